package s7

import (
	"math"
	"time"

	"millrace/wire"
)

// s5Bases are the bases of an S5TIME, by bits 12 and 13.
var s5Bases = [4]time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second}

// Duration reads a time span, or the time since midnight.
func (t DataType) Duration(b []byte) (time.Duration, error) {
	if err := t.check(b, ClassDuration); err != nil {
		return 0, err
	}
	v := bits(b)
	switch t {
	case TypeS5Time:
		return s5Time(b)
	case TypeTime:
		return time.Duration(int32(v)) * time.Millisecond, nil
	case TypeTOD:
		if v >= uint64(midnight/time.Millisecond) {
			return 0, t.bad("past midnight")
		}
		return time.Duration(v) * time.Millisecond, nil
	case TypeLTOD:
		if v >= uint64(midnight) {
			return 0, t.bad("past midnight")
		}
	}
	return time.Duration(v), nil
}

func s5Time(b []byte) (time.Duration, error) {
	v, ok := bcd3(b)
	if !ok {
		return 0, TypeS5Time.bad("bcd")
	}
	return time.Duration(v) * s5Bases[b[0]>>4&3], nil
}

// AppendDuration appends a time span, or the time since midnight, cut off at the resolution of t: that of an S5TIME is the smallest base which
// reaches. What is out of range is an error, and b is as it was.
func (t DataType) AppendDuration(b []byte, d time.Duration) ([]byte, error) {
	ms := int64(d / time.Millisecond)
	switch t {
	case TypeS5Time:
		return appendS5Time(b, d)
	case TypeTime:
		if ms == int64(int32(ms)) {
			return wire.AppendU32(b, uint32(ms)), nil
		}
	case TypeTOD:
		if d >= 0 && d < midnight {
			return wire.AppendU32(b, uint32(ms)), nil
		}
	case TypeLTOD:
		if d >= 0 && d < midnight {
			return wire.AppendU64(b, uint64(d)), nil
		}
	case TypeLTime:
		return wire.AppendU64(b, uint64(d)), nil
	default:
		return b, t.bad("type of another class")
	}
	return b, t.bad("range")
}

func appendS5Time(b []byte, d time.Duration) ([]byte, error) {
	for i, base := range s5Bases {
		if n := d / base; d >= 0 && n <= maxBCD3 {
			return wire.AppendU16(b, uint16(i)<<12|toBCD3(uint16(n))), nil
		}
	}
	return b, TypeS5Time.bad("range")
}

// Time reads a point in time. DATE, DT and DTL are the PLC's wall clock, which is given as UTC; LDT is UTC.
func (t DataType) Time(b []byte) (time.Time, error) {
	if err := t.check(b, ClassTime); err != nil {
		return time.Time{}, err
	}
	var v time.Time
	ok := true
	switch t {
	case TypeDate:
		v = time.Date(1990, 1, 1+int(bits(b)), 0, 0, 0, 0, time.UTC)
	case TypeLDT:
		v = time.Unix(0, int64(bits(b))).UTC()
	case TypeDT:
		v, ok = decodeDT(b)
	case TypeDTL:
		v, ok = decodeDTL(b)
	}
	if !ok {
		return time.Time{}, t.bad("date or time of day")
	}
	return v, nil
}

// AppendTime appends a point in time, cut off at the resolution of t. DATE, DT and DTL take the wall clock of v in its own location. What is
// out of range is an error, and b is as it was.
func (t DataType) AppendTime(b []byte, v time.Time) ([]byte, error) {
	switch t {
	case TypeDate:
		if days := daysSince1990(v); days >= 0 && days <= math.MaxUint16 {
			return wire.AppendU16(b, uint16(days)), nil
		}
	case TypeLDT:
		if !v.Before(time.Unix(0, math.MinInt64)) && !v.After(time.Unix(0, math.MaxInt64)) {
			return wire.AppendU64(b, uint64(v.UnixNano())), nil
		}
	case TypeDT:
		if inDT(v) {
			return appendDT(b, v), nil
		}
	case TypeDTL:
		if y := v.Year(); y >= dtlFirstYear && y <= dtlLastYear {
			return appendDTL(b, v), nil
		}
	default:
		return b, t.bad("type of another class")
	}
	return b, t.bad("range")
}

func daysSince1990(v time.Time) int64 {
	const seconds = 24 * 60 * 60
	y, m, d := v.Date()
	epoch := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	return (time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() - epoch) / seconds
}

const (
	dtFirstYear  = 1990
	dtLastYear   = 2089
	dtlFirstYear = 1970
	dtlLastYear  = 2554
)

// decodeDT reads YY MM DD hh mm ss, two digits and one digit of milliseconds, day of the week. The day of the week is not looked at:
// it says nothing new, and stacks write what they like there.
func decodeDT(b []byte) (time.Time, bool) {
	if len(b) != dtLen {
		return time.Time{}, false
	}
	var f [dtLen - 1]int
	for i := range f {
		var ok bool
		if f[i], ok = bcd(b[i]); !ok {
			return time.Time{}, false
		}
	}
	if b[7]>>4 > 9 {
		return time.Time{}, false
	}
	year := 2000 + f[0]
	if f[0] >= dtFirstYear%100 {
		year -= 100
	}
	ms := f[6]*10 + int(b[7]>>4)
	return clockTime(year, f[1], f[2], f[3], f[4], f[5], ms*int(time.Millisecond))
}

// inDT reports whether v is a time that a DT can hold.
func inDT(v time.Time) bool { return v.Year() >= dtFirstYear && v.Year() <= dtLastYear }

func appendDT(b []byte, v time.Time) []byte {
	y, m, d := v.Date()
	hh, mm, ss := v.Clock()
	ms := v.Nanosecond() / int(time.Millisecond)
	b = append(b, toBCD(y%100), toBCD(int(m)), toBCD(d), toBCD(hh), toBCD(mm), toBCD(ss), toBCD(ms/10))
	return append(b, byte(ms%10)<<4|weekday(v))
}

// weekday returns 1 for Sunday to 7 for Saturday.
func weekday(v time.Time) byte { return byte(v.Weekday()) + 1 }

// decodeDTL reads year(2) month day weekday hour minute second nanosecond(4).
func decodeDTL(b []byte) (time.Time, bool) {
	c := wire.Over(b)
	year, month, day := int(c.U16()), int(c.U8()), int(c.U8())
	c.Skip(1)
	hh, mm, ss, ns := int(c.U8()), int(c.U8()), int(c.U8()), int64(c.U32())
	if !c.Complete() || year < dtlFirstYear || year > dtlLastYear || ns >= int64(time.Second) {
		return time.Time{}, false
	}
	return clockTime(year, month, day, hh, mm, ss, int(ns))
}

func appendDTL(b []byte, v time.Time) []byte {
	y, m, d := v.Date()
	hh, mm, ss := v.Clock()
	b = append(wire.AppendU16(b, uint16(y)), byte(m), byte(d), weekday(v), byte(hh), byte(mm), byte(ss))
	return wire.AppendU32(b, uint32(v.Nanosecond()))
}

// clockTime makes a time of fields and refuses those that time.Date would carry over, as 31 February.
func clockTime(year, month, day, hh, mm, ss, ns int) (time.Time, bool) {
	if month < 1 || month > 12 || day < 1 || hh > 23 || mm > 59 || ss > 59 {
		return time.Time{}, false
	}
	v := time.Date(year, time.Month(month), day, hh, mm, ss, ns, time.UTC)
	return v, v.Day() == day
}
