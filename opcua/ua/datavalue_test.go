package ua

import (
	"reflect"
	"testing"
)

// TestDataValuesReadAlikeAtTheEndAndBefore compares the two ways of reading: with room for the longest flat DataValue behind it, and without.
func TestDataValuesReadAlikeAtTheEndAndBefore(t *testing.T) {
	f := newFiller(12)
	for _, v := range append(f.scalars(), Int32Array([]int32{1}), Bool(false), SByte(127), Int64(-1), Float(-0.5)) {
		for has := range DataValueMask(64) {
			in := DataValue{Has: has, SourceTimestamp: 0, Value: v}
			if has&HasStatus != 0 {
				in.Status = UncertainInitialValue
			}
			if has&HasSourceTimestamp != 0 {
				in.SourceTimestamp = 133e15
			}
			if has&HasServerTimestamp != 0 {
				in.ServerTimestamp = 134e15
			}
			if has&HasSourcePicoseconds != 0 {
				in.SourcePicoseconds = 5
			}
			if has&HasServerPicoseconds != 0 {
				in.ServerPicoseconds = 6
			}
			checkBothWays(t, &in)
		}
	}
}

func checkBothWays(t *testing.T, in *DataValue) {
	t.Helper()
	b := in.AppendTo(nil)
	n := len(b)
	b[0] |= 0xc0 // bits that mean nothing
	short := NewDecoder(b, Limits{})
	var first DataValue
	short.DataValueInto(&first)
	long := NewDecoder(append(b, make([]byte, 2*maxFlat)...), Limits{})
	second := DataValue{Value: String("what was there before"), Status: BadTimeout, Has: 0x3f}
	long.DataValueInto(&second)
	if short.Done() != nil || long.Err() != nil || long.At() != n {
		t.Fatalf("%+v: %v, %v, %d of %d bytes", in, short.Err(), long.Err(), long.At(), n)
	}
	if !reflect.DeepEqual(first, second) || !first.Equal(in) || first.Has != in.mask() {
		t.Fatalf("%+v reads as %+v at the end, and as %+v before", in, first, second)
	}
}

func TestTimes(t *testing.T) {
	for _, x := range []struct {
		at   DateTime
		text string
		ns   int64
	}{
		{0, "null", 0},
		{ticksToUnix, "1970-01-01T00:00:00Z", 0},
		{ticksToUnix + 1, "1970-01-01T00:00:00.0000001Z", 100},
		{ticksToUnix - 1, "1969-12-31T23:59:59.9999999Z", -100},
		{1, "1601-01-01T00:00:00.0000001Z", -9223372036854775800},
		{MaxDateTime, "9999-12-31T23:59:59Z", 9223372036854775800},
	} {
		if got := x.at.String(); got != x.text {
			t.Errorf("%d prints as %s, want %s", int64(x.at), got, x.text)
		}
		if got := x.at.UnixNano(); got != x.ns {
			t.Errorf("%v is %d ns, want %d", x.at, got, x.ns)
		}
		if back := DateTimeOf(x.at.Time()); back != x.at && x.at != MaxDateTime {
			t.Errorf("%v comes back as %v", x.at, back)
		}
	}
	if got := DateTimeOf(MaxDateTime.Time().Add(1e9)); got != MaxDateTime {
		t.Errorf("the year 10000 is %v", got)
	}
	if got := DateTimeOfUnixNano(-1); got != ticksToUnix-1 {
		t.Errorf("1 ns before 1970 is %v", got)
	}
}

func TestStatusCodes(t *testing.T) {
	for code, want := range map[StatusCode]string{
		Good: "Good", BadNodeIdUnknown: "BadNodeIdUnknown", BadNodeIdUnknown | StatusInfoDataValue | StatusOverflow: "BadNodeIdUnknown+0x0480",
		0x8fff0000: "StatusCode(0x8FFF0000)",
	} {
		if got := code.Error(); got != want {
			t.Errorf("%#x is %s, want %s", uint32(code), got, want)
		}
		if back, ok := ParseStatusCode(want); code != 0x8fff0000 && (!ok || back != code) {
			t.Errorf("%s is read as %v", want, back)
		}
	}
	for text, want := range map[string]StatusCode{"badtimeout": BadTimeout, "0x800a0000": BadTimeout, "2148139008": BadTimeout} {
		if got, ok := ParseStatusCode(text); !ok || got != want {
			t.Errorf("%s is read as %v", text, got)
		}
	}
	for _, text := range []string{"", "+", "Bad luck", "0x1FFFFFFFF", "BadTimeout+x", "-1"} {
		if got, ok := ParseStatusCode(text); ok {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	if !Good.IsGood() || !UncertainInitialValue.IsUncertain() || !BadTimeout.IsBad() || BadTimeout.IsGood() || Good.IsBad() {
		t.Error("severities")
	}
}
