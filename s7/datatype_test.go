package s7

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// both checks that bytes read as a value and the value writes as the same bytes.
func both[V comparable](t *testing.T, typ DataType, hex string, want V, read func([]byte) (V, error), write func([]byte, V) ([]byte, error)) {
	t.Helper()
	b := unhex(hex)
	if got, err := read(b); err != nil || got != want {
		t.Errorf("%v %s reads %v, %v; want %v", typ, hex, got, err, want)
	}
	if got, err := write([]byte{0xAA}, want); err != nil || !bytes.Equal(got[1:], b) || got[0] != 0xAA {
		t.Errorf("%v %v writes %x, %v; want %x", typ, want, got[1:], err, b)
	}
}

func TestNumbers(t *testing.T) {
	for _, x := range []struct {
		typ  DataType
		hex  string
		want int64
	}{
		{TypeSInt, "80", -128}, {TypeSInt, "7F", 127}, {TypeInt, "FFFF", -1}, {TypeInt, "8000", -32768}, {TypeDInt, "80000000", math.MinInt32},
		{TypeDInt, "00000001", 1}, {TypeLInt, "8000000000000000", math.MinInt64}, {TypeLInt, "7FFFFFFFFFFFFFFF", math.MaxInt64},
	} {
		both(t, x.typ, x.hex, x.want, x.typ.Int, x.typ.AppendInt)
	}
	for _, x := range []struct {
		typ  DataType
		hex  string
		want uint64
	}{
		{TypeByte, "FF", 255}, {TypeWord, "0102", 258}, {TypeDWord, "FFFFFFFF", math.MaxUint32}, {TypeLWord, "FFFFFFFFFFFFFFFF", math.MaxUint64},
		{TypeUSInt, "80", 128}, {TypeUInt, "8000", 32768}, {TypeUDInt, "80000000", 1 << 31}, {TypeULInt, "8000000000000000", 1 << 63},
		{TypeCounter, "0999", 999}, {TypeCounter, "0000", 0}, {TypeCounter, "0123", 123},
	} {
		both(t, x.typ, x.hex, x.want, x.typ.Uint, x.typ.AppendUint)
	}
	for _, x := range []struct {
		typ  DataType
		hex  string
		want float64
	}{
		{TypeReal, "3FC00000", 1.5}, {TypeReal, "FF800000", math.Inf(-1)}, {TypeReal, "00000001", math.SmallestNonzeroFloat32},
		{TypeLReal, "3FF8000000000000", 1.5}, {TypeLReal, "7FEFFFFFFFFFFFFF", math.MaxFloat64},
	} {
		both(t, x.typ, x.hex, x.want, x.typ.Float, x.typ.AppendFloat)
	}
	if v, err := TypeReal.Float(unhex("7FC00000")); err != nil || !math.IsNaN(v) {
		t.Error(v, err)
	}
	if v, err := TypeCounter.Uint(unhex("F123")); err != nil || v != 123 {
		t.Error("high nibble of a counter", v, err)
	}
	for bit := range uint8(8) {
		if b := PutBool(0, bit, true); b != 1<<bit || !Bool(b, bit) || Bool(^b, bit) || PutBool(0xFF, bit, false) != ^b {
			t.Errorf("bit %d: %x", bit, b)
		}
	}
}

func TestDurations(t *testing.T) {
	for _, x := range []struct {
		typ  DataType
		hex  string
		want time.Duration
	}{
		{TypeTime, "80000000", math.MinInt32 * time.Millisecond}, {TypeTime, "000003E8", time.Second}, {TypeTOD, "05265BFF", midnight - time.Millisecond},
		{TypeTOD, "00000000", 0}, {TypeLTime, "8000000000000000", math.MinInt64}, {TypeLTime, "0000000000000001", 1},
		{TypeLTOD, "00004E94914EFFFF", midnight - 1}, {TypeS5Time, "0000", 0}, {TypeS5Time, "0999", 9990 * time.Millisecond},
		{TypeS5Time, "1100", 10 * time.Second}, {TypeS5Time, "1999", 99900 * time.Millisecond}, {TypeS5Time, "2100", 100 * time.Second},
		{TypeS5Time, "2999", 999 * time.Second}, {TypeS5Time, "3100", 1000 * time.Second}, {TypeS5Time, "3999", 9990 * time.Second},
	} {
		both(t, x.typ, x.hex, x.want, x.typ.Duration, x.typ.AppendDuration)
	}
	for hex, want := range map[string]time.Duration{"3001": 10 * time.Second, "C005": 50 * time.Millisecond, "E010": 10 * time.Second} {
		if got, err := TypeS5Time.Duration(unhex(hex)); err != nil || got != want {
			t.Errorf("S5TIME %s: %v, %v", hex, got, err)
		}
	}
	for _, x := range []struct {
		typ DataType
		d   time.Duration
		hex string
	}{
		{TypeS5Time, 19 * time.Millisecond, "0001"}, {TypeS5Time, 10050 * time.Millisecond, "1100"}, {TypeTime, -1500 * time.Microsecond, "FFFFFFFF"},
		{TypeTOD, 1999 * time.Microsecond, "00000001"},
	} {
		if got, err := x.typ.AppendDuration(nil, x.d); err != nil || unhexed(got) != strings.ToLower(x.hex) {
			t.Errorf("%v %v: %x, %v, want %s", x.typ, x.d, got, err, x.hex)
		}
	}
}

func TestTimes(t *testing.T) {
	date := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	for _, x := range []struct {
		typ  DataType
		hex  string
		want time.Time
	}{
		{TypeDate, "0000", date(1990, 1, 1)}, {TypeDate, "FFFF", date(2169, 6, 6)}, {TypeDate, "30BD", date(2024, 2, 29)},
		{TypeLDT, "0000000000000000", date(1970, 1, 1)}, {TypeLDT, "0000000000000001", time.Unix(0, 1).UTC()},
		{TypeLDT, "7FFFFFFFFFFFFFFF", time.Unix(0, math.MaxInt64).UTC()}, {TypeLDT, "8000000000000000", time.Unix(0, math.MinInt64).UTC()},
		{TypeDT, "2402291234567895", noon}, {TypeDT, "9001010000000002", date(1990, 1, 1)}, {TypeDT, "8912310000000007", date(2089, 12, 31)},
		{TypeDTL, "07E8 02 1D 05 0C 22 38 2F072F40", noon}, {TypeDTL, "07B2 01 01 05 00 00 00 00000000", date(1970, 1, 1)},
		{TypeDTL, "09FA 0C 1F 03 17 3B 3B 3B9AC9FF", time.Date(2554, 12, 31, 23, 59, 59, 999999999, time.UTC)},
	} {
		both(t, x.typ, x.hex, x.want, x.typ.Time, x.typ.AppendTime)
	}
	if got, err := TypeDT.Time(unhex("2402291234567890")); err != nil || !got.Equal(noon) {
		t.Error("a day of the week that is none", got, err)
	}
	east := time.FixedZone("", 3600)
	if b, err := TypeDT.AppendTime(nil, noon.In(east)); err != nil || b[3] != 0x13 {
		t.Errorf("the wall clock of its location: %x, %v", b, err)
	}
}

func TestTexts(t *testing.T) {
	for _, x := range []struct {
		typ   DataType
		chars int
		hex   string
		want  string
	}{
		{TypeChar, 0, "41", "A"}, {TypeChar, 0, "E4", "ä"}, {TypeWChar, 0, "20AC", "€"}, {TypeString, 4, "04 02 4142 0000", "AB"},
		{TypeString, 0, "00 00", ""}, {TypeString, 2, "02 02 FCDF", "üß"}, {TypeWString, 3, "0003 0002 20AC 0041 0000", "€A"},
		{TypeWString, 2, "0002 0002 D83DDE00", "😀"},
	} {
		b := unhex(x.hex)
		if got, err := x.typ.Text([]byte("."), b); err != nil || string(got) != "."+x.want {
			t.Errorf("%v %s reads %q, %v", x.typ, x.hex, got, err)
		}
		if got, err := x.typ.AppendText([]byte{0xAA}, x.want, x.chars); err != nil || !bytes.Equal(got[1:], b) {
			t.Errorf("%v %q writes %x, %v", x.typ, x.want, got[1:], err)
		}
		if n := x.typ.Size(x.chars); n != len(b) {
			t.Errorf("%v of %d: size %d", x.typ, x.chars, n)
		}
	}
	for _, x := range []struct { // text that survives, and an error
		typ  DataType
		hex  string
		want string
	}{
		{TypeString, "02 04 41424344", "AB"}, {TypeString, "FE FE 4142", "AB"}, {TypeString, "00 FF", ""}, {TypeWString, "0001 0002 0041 0042", "A"},
		{TypeWString, "0010 0010 0041 00", "A"}, {TypeString, "04", ""}, {TypeWString, "000400", ""}, {TypeChar, "", ""}, {TypeWChar, "00", ""}, {TypeChar, "4142", "A"},
	} {
		got, err := x.typ.Text(nil, unhex(x.hex))
		var ve *ValueError
		if !errors.As(err, &ve) || ve.Type != x.typ || string(got) != x.want {
			t.Errorf("%v %s reads %q, %v", x.typ, x.hex, got, err)
		}
	}
	for hex, want := range map[string]string{"0002 0002 D83D 0041": "\uFFFDA", "0001 0001 DE00": "\uFFFD", "0002 0001 D83D DE00": "\uFFFD"} {
		if got, err := TypeWString.Text(nil, unhex(hex)); err != nil || string(got) != want {
			t.Errorf("half a pair %s reads %q, %v", hex, got, err)
		}
	}
}

func TestValuesThatAreNone(t *testing.T) {
	reads := map[DataType][]string{
		TypeInt: {"", "00", "000000"}, TypeWord: {"00"}, TypeReal: {"000000"}, TypeCounter: {"000A", "00A0", "0A00", "00"},
		TypeS5Time: {"000A", "0F00", "00"}, TypeTOD: {"05265C00", "FFFFFFFF"}, TypeLTOD: {"00004E94914F0000", "FFFFFFFFFFFFFFFF"},
		TypeDT:  {"0000000000000000", "2402301234567895", "2404311234567895", "2413011234567895", "2402002434567895", "240A291234567895", "2402292434567895", "2402291260567895", "24022912346078A5", "24022912345678A5", "24022912345678"},
		TypeDTL: {"000000000000000000000000", "07E8021E05000000 00000000", "07E8021D05180000 00000000", "07E8021D05000000 3B9ACA00", "07B1010101000000 00000000", "09FB010101000000 00000000", "07E8021D"},
		TypeLDT: {"00"}, TypeDate: {"00"},
	}
	for typ, all := range reads {
		for _, hex := range all {
			var err error
			switch typ.Class() {
			case ClassInt:
				_, err = typ.Int(unhex(hex))
			case ClassUint:
				_, err = typ.Uint(unhex(hex))
			case ClassFloat:
				_, err = typ.Float(unhex(hex))
			case ClassDuration:
				_, err = typ.Duration(unhex(hex))
			case ClassTime:
				_, err = typ.Time(unhex(hex))
			}
			var ve *ValueError
			if !errors.As(err, &ve) || ve.Type != typ {
				t.Errorf("%v %s: %v", typ, hex, err)
			}
		}
	}
}

func TestValuesThatDoNotGoIn(t *testing.T) {
	type result struct {
		b   []byte
		err error
	}
	pack := func(b []byte, err error) result { return result{b, err} }
	in := []byte{0xAA}
	for i, r := range []result{
		pack(TypeSInt.AppendInt(in, 128)), pack(TypeSInt.AppendInt(in, -129)), pack(TypeDInt.AppendInt(in, math.MaxInt32+1)), pack(TypeWord.AppendInt(in, 0)),
		pack(TypeByte.AppendUint(in, 256)), pack(TypeUDInt.AppendUint(in, 1<<32)), pack(TypeCounter.AppendUint(in, 1000)), pack(TypeReal.AppendUint(in, 0)),
		pack(TypeReal.AppendFloat(in, 1e39)), pack(TypeInt.AppendFloat(in, 0)), pack(TypeS5Time.AppendDuration(in, -1)), pack(TypeS5Time.AppendDuration(in, 10000*time.Second)),
		pack(TypeTime.AppendDuration(in, 25*day)), pack(TypeTOD.AppendDuration(in, midnight)), pack(TypeTOD.AppendDuration(in, -1)),
		pack(TypeLTOD.AppendDuration(in, midnight)), pack(TypeDT.AppendDuration(in, 0)), pack(TypeDate.AppendTime(in, time.Date(1989, 12, 31, 23, 0, 0, 0, time.UTC))),
		pack(TypeDate.AppendTime(in, time.Date(2169, 6, 7, 0, 0, 0, 0, time.UTC))), pack(TypeDT.AppendTime(in, time.Time{})), pack(TypeDT.AppendTime(in, noon.AddDate(66, 0, 0))),
		pack(TypeDTL.AppendTime(in, time.Time{})), pack(TypeLDT.AppendTime(in, time.Time{})), pack(TypeTime.AppendTime(in, noon)),
		pack(TypeString.AppendText(in, "abc", 2)), pack(TypeString.AppendText(in, "€", 2)), pack(TypeString.AppendText(in, "", 255)), pack(TypeString.AppendText(in, "", -1)),
		pack(TypeString.AppendText(in, "\xff", 9)), pack(TypeWString.AppendText(in, "😀", 1)), pack(TypeWString.AppendText(in, "", 16383)), pack(TypeChar.AppendText(in, "", 0)),
		pack(TypeChar.AppendText(in, "ab", 0)), pack(TypeWChar.AppendText(in, "😀", 0)), pack(TypeInt.AppendText(in, "a", 0)),
	} {
		var ve *ValueError
		if !errors.As(r.err, &ve) || !bytes.Equal(r.b, in) {
			t.Errorf("case %d: %x, %v", i, r.b, r.err)
		}
	}
}

func TestDataTypesAreNamed(t *testing.T) {
	for i := range 256 {
		typ := DataType(i)
		back, ok := ParseDataType(typ.String())
		if known := typ.Class() != ClassNone; known != ok || known && (back != typ || typ.Size(1) == 0) {
			t.Errorf("%v: class %v, parsed %v %v, size %d", typ, typ.Class(), back, ok, typ.Size(1))
		}
	}
	if _, ok := ParseDataType(""); ok {
		t.Error("no name is a type")
	}
}

func TestDataTypesDoNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 64)
	text := make([]byte, 0, 64)
	for typ := TypeByte; typ <= TypeCounter; typ++ {
		if n := testing.AllocsPerRun(100, func() {
			if !roundTrip(typ, buf, text) {
				t.Fatal(typ)
			}
		}); n != 0 {
			t.Errorf("%v: %v allocs", typ, n)
		}
	}
}

// roundTrip writes and reads a value of typ.
func roundTrip(typ DataType, buf, text []byte) bool {
	var err, again error
	switch typ.Class() {
	case ClassInt:
		buf, err = typ.AppendInt(buf, -5)
		_, again = typ.Int(buf)
	case ClassUint:
		buf, err = typ.AppendUint(buf, 5)
		_, again = typ.Uint(buf)
	case ClassFloat:
		buf, err = typ.AppendFloat(buf, 5)
		_, again = typ.Float(buf)
	case ClassDuration:
		buf, err = typ.AppendDuration(buf, time.Hour)
		_, again = typ.Duration(buf)
	case ClassTime:
		buf, err = typ.AppendTime(buf, noon)
		_, again = typ.Time(buf)
	case ClassText:
		buf, err = typ.AppendText(buf, "ä", 5)
		_, again = typ.Text(text, buf)
	}
	return err == nil && again == nil
}
