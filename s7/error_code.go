package s7

import "fmt"

// ErrorCode is why a PDU was refused as a whole: error class and code of a header, or the error of a Userdata answer. 0 is no error: request
// decoders answer it for a request in order.
type ErrorCode uint16

// The codes that PLCs are seen to send, and that a server needs.
const (
	ErrServiceUnknown     ErrorCode = 0x8104 // not implemented, or a frame error; also what PUT/GET answers when it is switched off
	ErrNoResource         ErrorCode = 0x8302
	ErrNoFurtherUpload    ErrorCode = 0x8304
	ErrSequence           ErrorCode = 0x8401
	ErrObjectStatus       ErrorCode = 0x8402
	ErrNotPerformed       ErrorCode = 0x8404
	ErrFrame              ErrorCode = 0x8500 // wrong frame, or an answer that the PDU has no room for
	ErrAddressing         ErrorCode = 0x8701
	ErrNotSupported       ErrorCode = 0x8702
	ErrAccessRefused      ErrorCode = 0x8703
	ErrObjectDamaged      ErrorCode = 0x8704
	ErrBlockNameSyntax    ErrorCode = 0xD201
	ErrParameterSyntax    ErrorCode = 0xD202
	ErrUnlinkedBlocks     ErrorCode = 0xD208
	ErrBlockNotFound      ErrorCode = 0xD209
	ErrNoBlock            ErrorCode = 0xD20E
	ErrBlockTooLong       ErrorCode = 0xD20F
	ErrBlockNumber        ErrorCode = 0xD210
	ErrBlockHeader        ErrorCode = 0xD212
	ErrBlockLength        ErrorCode = 0xD219
	ErrRulesViolated      ErrorCode = 0xD240
	ErrProtected          ErrorCode = 0xD241
	ErrInfoUnavailable    ErrorCode = 0xD401
	ErrNoSZL              ErrorCode = 0xD402
	ErrUserdataSyntax     ErrorCode = 0xD405
	ErrInfoNotNow         ErrorCode = 0xD406
	ErrSecuritySyntax     ErrorCode = 0xD601
	ErrWrongPassword      ErrorCode = 0xD602
	ErrAlreadyLegitimised ErrorCode = 0xD603
	ErrAlreadyEnabled     ErrorCode = 0xD604
	ErrNoPassword         ErrorCode = 0xD605
	ErrCyclicAddress      ErrorCode = 0xD801
	ErrCyclicNoJob        ErrorCode = 0xD802
	ErrCyclicStatus       ErrorCode = 0xD803
	ErrCyclicTime         ErrorCode = 0xD804
	ErrCyclicFull         ErrorCode = 0xD805
	ErrCyclicOverload     ErrorCode = 0xD807
	ErrDateTime           ErrorCode = 0xDC01
)

// String returns e in words with its number.
func (e ErrorCode) String() string {
	if w := e.words(); w != "" {
		return fmt.Sprintf("0x%04X (%s)", uint16(e), w)
	}
	if w := e.class(); w != "" {
		return fmt.Sprintf("0x%04X (%s)", uint16(e), w)
	}
	return fmt.Sprintf("0x%04X", uint16(e))
}

func (e ErrorCode) words() string {
	switch e {
	case 0:
		return "no error"
	case ErrServiceUnknown:
		return "service not implemented or frame error"
	case ErrNoResource:
		return "too few resources"
	case ErrNoFurtherUpload:
		return "no further parallel upload"
	case ErrSequence:
		return "wrong service sequence"
	case ErrObjectStatus:
		return "status of the object forbids the service"
	case ErrNotPerformed:
		return "function cannot be performed"
	case ErrFrame:
		return "wrong frame or PDU size"
	case ErrAddressing:
		return "addressing error"
	case ErrNotSupported:
		return "service not supported"
	case ErrAccessRefused:
		return "access refused"
	case ErrObjectDamaged:
		return "object damaged"
	}
	return e.serviceWords()
}

func (e ErrorCode) serviceWords() string {
	switch e {
	case ErrBlockNameSyntax:
		return "syntax error in block name"
	case ErrParameterSyntax, ErrSecuritySyntax:
		return "syntax error in parameters"
	case ErrUnlinkedBlocks:
		return "too many blocks that are not linked"
	case ErrBlockNotFound:
		return "block not found"
	case ErrNoBlock:
		return "no further block"
	case ErrBlockTooLong:
		return "block too long"
	case ErrBlockNumber:
		return "invalid block number"
	case ErrBlockHeader:
		return "incorrect block header"
	case ErrBlockLength:
		return "incorrect block lengths"
	case ErrRulesViolated:
		return "coordination rules violated"
	case ErrProtected:
		return "not permitted at this protection level"
	case ErrInfoUnavailable, ErrNoSZL:
		return "information function unavailable"
	case ErrUserdataSyntax:
		return "service not supported or syntax error"
	case ErrInfoNotNow:
		return "information currently unavailable"
	case ErrWrongPassword:
		return "wrong password"
	case ErrAlreadyLegitimised:
		return "connection is already legitimised"
	case ErrAlreadyEnabled:
		return "connection is already enabled"
	case ErrNoPassword:
		return "no password is set"
	case ErrDateTime:
		return "date or time invalid"
	}
	return e.cyclicWords()
}

func (e ErrorCode) cyclicWords() string {
	switch e {
	case ErrCyclicAddress:
		return "invalid tag address"
	case ErrCyclicNoJob:
		return "job does not exist"
	case ErrCyclicStatus:
		return "illegal job status"
	case ErrCyclicTime:
		return "illegal cycle time"
	case ErrCyclicFull:
		return "no more cyclic jobs"
	case ErrCyclicOverload:
		return "aborted by overload"
	}
	return ""
}

// class returns the words for an error class that a header has.
func (e ErrorCode) class() string {
	switch e >> 8 {
	case 0x81:
		return "application relationship"
	case 0x82:
		return "object definition"
	case 0x83:
		return "no resources"
	case 0x84:
		return "service processing"
	case 0x85:
		return "supplies"
	case 0x87:
		return "access"
	}
	return ""
}
