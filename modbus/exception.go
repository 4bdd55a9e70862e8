package modbus

import (
	"strconv"

	"millrace/wire"
)

// ExceptionCode is why a device refused a request [Modbus 7]. 0 is no exception: request decoders answer it for a request in order.
type ExceptionCode uint8

// The exception codes of the specification.
const (
	IllegalFunction        ExceptionCode = 0x01
	IllegalDataAddress     ExceptionCode = 0x02
	IllegalDataValue       ExceptionCode = 0x03
	ServerDeviceFailure    ExceptionCode = 0x04
	Acknowledge            ExceptionCode = 0x05
	ServerDeviceBusy       ExceptionCode = 0x06
	MemoryParityError      ExceptionCode = 0x08
	GatewayPathUnavailable ExceptionCode = 0x0A
	GatewayTargetFailed    ExceptionCode = 0x0B
)

// String returns the specification's words for e, or its number.
func (e ExceptionCode) String() string {
	switch e {
	case 0:
		return "no exception"
	case IllegalFunction:
		return "illegal function"
	case IllegalDataAddress:
		return "illegal data address"
	case IllegalDataValue:
		return "illegal data value"
	case ServerDeviceFailure:
		return "server device failure"
	case Acknowledge:
		return "acknowledge"
	case ServerDeviceBusy:
		return "server device busy"
	case MemoryParityError:
		return "memory parity error"
	case GatewayPathUnavailable:
		return "gateway path unavailable"
	case GatewayTargetFailed:
		return "gateway target device failed to respond"
	}
	return "code " + strconv.Itoa(int(e))
}

// ExceptionResponse refuses a request: function | 0x80, code [Modbus 7].
type ExceptionResponse struct {
	Function Function // of the request
	Code     ExceptionCode
}

// AppendTo appends the PDU. The bit is set, not added: a request of function 0x83 is refused with 0x83, where an addition would wrap round
// to 0x03 and look like success.
func (m *ExceptionResponse) AppendTo(b []byte) []byte {
	return append(b, byte(m.Function)|exceptionBit, byte(m.Code))
}

// Decode reads a PDU of two bytes whose first has the exception bit.
func (m *ExceptionResponse) Decode(pdu []byte) error {
	c := wire.Over(pdu)
	f, code := c.U8(), c.U8()
	switch {
	case c.Bad() || f&exceptionBit == 0:
		return malformed(pdu, "no exception")
	case !c.Complete():
		return malformed(pdu, "length")
	case code == 0:
		return malformed(pdu, "exception code 0")
	}
	m.Function, m.Code = Function(f&^exceptionBit), ExceptionCode(code)
	return nil
}
