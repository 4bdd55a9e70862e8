package tag

import "fmt"

// Quality is an OPC UA StatusCode, whatever the protocol the value came by [OPC 10000-4 7.39].
type Quality uint32

// The codes that Millrace itself gives. Devices that speak OPC UA may give any other.
const (
	Good                     Quality = 0
	Uncertain                Quality = 0x40000000
	UncertainLastUsable      Quality = 0x40900000 // the last value that was good; the device cannot be asked now
	UncertainSubNormal       Quality = 0x40950000
	Bad                      Quality = 0x80000000
	BadInternalError         Quality = 0x80020000
	BadResourceUnavailable   Quality = 0x80040000 // the device is busy
	BadCommunicationError    Quality = 0x80050000
	BadDecodingError         Quality = 0x80070000
	BadTimeout               Quality = 0x800A0000
	BadUserAccessDenied      Quality = 0x801F0000
	BadNoCommunication       Quality = 0x80310000
	BadWaitingForInitialData Quality = 0x80320000
	BadNodeIDUnknown         Quality = 0x80340000 // the device has no such address
	BadNotReadable           Quality = 0x803A0000
	BadNotWritable           Quality = 0x803B0000
	BadOutOfRange            Quality = 0x803C0000
	BadNotSupported          Quality = 0x803D0000
	BadTypeMismatch          Quality = 0x80740000
	BadConfigurationError    Quality = 0x80890000
	BadNotConnected          Quality = 0x808A0000
	BadDeviceFailure         Quality = 0x808B0000
	BadSensorFailure         Quality = 0x808C0000
	BadOutOfService          Quality = 0x808D0000
)

// IsGood, IsUncertain and IsBad look at the severity bits. A code with severity 3 is reserved and counts as bad.
func (q Quality) IsGood() bool      { return q>>30 == 0 }
func (q Quality) IsUncertain() bool { return q>>30 == 1 }
func (q Quality) IsBad() bool       { return q>>30 >= 2 }

// Class returns the severity: 0 good, 1 uncertain, 2 bad.
func (q Quality) Class() int { return min(int(q>>30), 2) }

// String returns good, or the code's name in words, or its class and number.
func (q Quality) String() string {
	switch q &^ 0xFFFF {
	case Good:
		return "good"
	case Uncertain:
		return "uncertain"
	case UncertainLastUsable:
		return "uncertain (last usable value)"
	case UncertainSubNormal:
		return "uncertain (sub-normal)"
	case Bad:
		return "bad"
	case BadInternalError:
		return "bad (internal error)"
	case BadResourceUnavailable:
		return "bad (device busy)"
	case BadCommunicationError:
		return "bad (communication error)"
	case BadDecodingError:
		return "bad (undecodable)"
	case BadTimeout:
		return "bad (timeout)"
	case BadUserAccessDenied:
		return "bad (access denied)"
	case BadNoCommunication:
		return "bad (no communication)"
	case BadWaitingForInitialData:
		return "bad (waiting for the first value)"
	case BadNodeIDUnknown:
		return "bad (no such address)"
	case BadNotReadable:
		return "bad (not readable)"
	case BadNotWritable:
		return "bad (not writable)"
	case BadOutOfRange:
		return "bad (out of range)"
	case BadNotSupported:
		return "bad (not supported)"
	case BadTypeMismatch:
		return "bad (type mismatch)"
	case BadConfigurationError:
		return "bad (configuration error)"
	case BadNotConnected:
		return "bad (not connected)"
	case BadDeviceFailure:
		return "bad (device failure)"
	case BadSensorFailure:
		return "bad (sensor failure)"
	case BadOutOfService:
		return "bad (out of service)"
	}
	return fmt.Sprintf("%s (0x%08X)", [...]string{"good", "uncertain", "bad", "bad"}[q>>30], uint32(q))
}
