package ua

import (
	"fmt"
	"strconv"
	"strings"
)

// StatusCode is the result of an operation or the quality of a value: two bits of severity, the code, and 16 bits of detail
// [OPC 10000-4 7.38]. It is an error, so that errors.Is(err, ua.BadNodeIdUnknown) works on everything that wraps one. A Good one as
// an error is a mistake of the caller: compare before you return it.
type StatusCode uint32

// Bits of a StatusCode below the code.
const (
	StatusStructureChanged StatusCode = 1 << 15
	StatusSemanticsChanged StatusCode = 1 << 14
	StatusInfoDataValue    StatusCode = 1 << 10 // the InfoType that makes the bits below mean something
	StatusOverflow         StatusCode = 1 << 7  // with StatusInfoDataValue: the queue of the monitored item overflowed
	statusCodeMask         StatusCode = 0xffff0000
)

// IsGood reports whether the severity is good.
func (s StatusCode) IsGood() bool { return s>>30 == 0 }

// IsUncertain reports whether the severity is uncertain.
func (s StatusCode) IsUncertain() bool { return s>>30 == 1 }

// IsBad reports whether the severity is bad.
func (s StatusCode) IsBad() bool { return s>>30 >= 2 }

// Code returns s without its detail bits: what the constants of this package are compared with.
func (s StatusCode) Code() StatusCode { return s & statusCodeMask }

// String returns the name of the code ("BadNodeIdUnknown"), with the number when the code is unknown and the detail bits when there are some.
func (s StatusCode) String() string {
	name := statusName(s.Code())
	switch detail := s &^ statusCodeMask; {
	case name == "":
		return fmt.Sprintf("StatusCode(0x%08X)", uint32(s))
	case detail != 0:
		return fmt.Sprintf("%s+0x%04X", name, uint32(detail))
	}
	return name
}

// ParseStatusCode reads what String returns, in letters of either case, or a number, which may begin with 0x.
func ParseStatusCode(text string) (StatusCode, bool) {
	if n, err := strconv.ParseUint(text, 0, 32); err == nil {
		return StatusCode(n), true
	}
	name, detail, has := strings.Cut(text, "+")
	bits, err := strconv.ParseUint(detail, 0, 16)
	if name == "" || has && err != nil {
		return 0, false
	}
	const severities, codes = 3, 1 << 14
	for i := range severities * codes {
		s := StatusCode(i/codes)<<30 | StatusCode(i%codes)<<16
		if strings.EqualFold(statusName(s), name) {
			return s | StatusCode(bits), true
		}
	}
	return 0, false
}

// Error returns what String returns.
func (s StatusCode) Error() string { return s.String() }

// Is reports whether target is the same code; the detail bits do not count.
func (s StatusCode) Is(target error) bool {
	t, ok := target.(StatusCode)
	return ok && t.Code() == s.Code()
}
