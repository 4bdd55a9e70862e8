package s7

import "fmt"

// What helps against the refusals of S7-1200 and S7-1500.
const (
	hintPutGet    = "S7-1200 and S7-1500: permit access with PUT/GET in the CPU's protection settings"
	hintOptimised = "switch off optimised block access of the DB"
)

// Hint says in words what a refusal is a sign of and what to try, or "" where the error says it all.
func (e *Error) Hint() string {
	switch {
	case e.Err != nil:
		return ""
	case e.Detail == DetailRunning:
		return "the CPU runs already"
	case e.Detail == DetailStopped:
		return "the CPU stands already"
	case e.Refused != 0:
		return e.hintOfRefusal()
	}
	return e.hintOfCode()
}

// block names where the item lies.
func (e *Error) block() string {
	if e.Item.Area == AreaDB || e.Item.Area == AreaInstanceDB {
		return fmt.Sprintf("%v%d", e.Item.Area, e.Item.DB)
	}
	return "area " + e.Item.Area.String()
}

func (e *Error) hintOfCode() string {
	switch e.Code {
	case ReturnNoObject:
		return fmt.Sprintf("there is no %s in the PLC, or it cannot be addressed by bytes: %s", e.block(), hintOptimised)
	case ReturnAddress:
		return fmt.Sprintf("the address is not inside %s: it may have become shorter; %s", e.block(), hintOptimised)
	case ReturnAccess:
		return "the PLC denies access: protection level, write protection of the block, or PUT/GET is off. " + hintPutGet
	case ReturnTypeUnsupported:
		return fmt.Sprintf("the PLC does not know %v as a type: ask for bytes", e.Item.Size)
	case ReturnTypeMismatch:
		return "the PLC expects another length or type there"
	case ReturnHardware:
		return "a module is missing or faulty, as of a peripheral address without one"
	case ReturnBusy:
		return "the PLC is busy with the object: try again"
	}
	return ""
}

func (e *Error) hintOfRefusal() string {
	switch e.Refused {
	case ErrServiceUnknown:
		if e.Function == FuncRead || e.Function == FuncWrite {
			return "PUT/GET is off, or the block is optimised. " + hintPutGet + "; " + hintOptimised
		}
		return "the PLC does not have this service"
	case ErrFrame:
		return "the PLC takes no request or answer of that length or kind"
	case ErrProtected, ErrAccessRefused:
		return "the protection level of the CPU forbids it: a password is needed"
	case ErrNoResource, ErrNoFurtherUpload:
		return "the PLC does this for others already: try again later"
	case ErrInfoUnavailable, ErrNoSZL:
		return "the PLC does not have that list"
	case ErrBlockNotFound, ErrNoBlock:
		return "there is no such block in the PLC"
	case ErrWrongPassword:
		return "the password is wrong"
	case ErrNoPassword:
		return "the PLC has no password: nothing is protected"
	case ErrObjectStatus, ErrNotPerformed:
		return "the CPU is in a state that forbids it: the position of its selector, its mode, or another job"
	}
	return ""
}
