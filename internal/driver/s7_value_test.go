package driver

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"millrace/internal/tag"
	"millrace/s7"
)

// decodeS7 returns what address means when its bytes are b.
func decodeS7(t testing.TB, address string, b []byte) (tag.Value, tag.Quality) {
	t.Helper()
	p, err := parseS7(address)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != p.bytes() {
		t.Fatalf("%s takes %d bytes, not %d", address, p.bytes(), len(b))
	}
	var into tag.Batch
	d := s7Decoder{into: &into}
	before := string(b)
	d.cell(&s7Cell{id: 1, count: int32(p.count), chars: uint16(p.chars), typ: p.typ, bit: uint8(p.bit)}, b)
	if into.Len() != 1 || string(b) != before {
		t.Fatalf("%s: %d rows, bytes % x after % x", address, into.Len(), b, before)
	}
	if q := into.Quality[0]; !q.IsBad() && into.Kind[0] != p.kind() {
		t.Errorf("%s gives a %v, and says %v", address, into.Kind[0], p.kind())
	}
	return into.Value(0), into.Quality[0]
}

func TestS7ValuesBothWays(t *testing.T) {
	for _, c := range []struct{ address, bytes, want string }{
		{"M0.3", "08", "true"}, {"M0.3", "f7", "false"},
		{"MB0", "ff", "255"}, {"MB0:SINT", "ff", "-1"}, {"MB0:USINT", "80", "128"},
		{"MW0", "8001", "32769"}, {"MW0:INT", "8001", "-32767"}, {"MW0:UINT", "0102", "258"},
		{"MD0", "80000001", "2147483649"}, {"MD0:DINT", "fffffffe", "-2"}, {"MD0:UDINT", "00000007", "7"}, {"MD0:REAL", "3fc00000", "1.5"},
		{"MB0:LWORD", "8000000000000001", "9223372036854775809"}, {"MB0:LINT", "ffffffffffffffff", "-1"}, {"MB0:ULINT", "0000000000000002", "2"},
		{"MB0:LREAL", "bff8000000000000", "-1.5"},
		{"MB0:CHAR", "e9", "é"}, {"MW0:WCHAR", "20ac", "€"}, {"MB0:CHAR[5]", "4162630000", "Abc"}, {"MW0:WCHAR[4]", "d83dde000041 0000", "😀A"},
		{"MB0:STRING[5]", "0503 616263 0000", "abc"}, {"MB0:WSTRING[3]", "0003 0002 20ac 0041 0000", "€A"},
		{"MW0:DATE", "0000", `"1990-01-01T00:00:00Z"`}, {"MW0:DATE", "ffff", `"2169-06-06T00:00:00Z"`},
		{"MD0:TOD", "05265bff", "86399999"}, {"MD0:TIME", "fffffc18", "-1000"}, {"MB0:LTIME", "ffffffffffffffff", "-1"}, {"MB0:LTOD", "00004e94914effff", "86399999999999"},
		{"MB0:LDT", "0000000000000001", `"1970-01-01T00:00:00.000000001Z"`},
		{"MB0:DT", "25 02 28 23 59 58 12 36", `"2025-02-28T23:59:58.123Z"`}, {"MB0:DTL", "07e9 02 1c 06 17 3b 3a 075bcd15", `"2025-02-28T23:59:58.123456789Z"`},
		{"MW0:S5TIME", "0127", "1270"}, {"MW0:S5TIME", "3999", "9990000"}, {"T1", "2100", "100000"}, {"C1", "0999", "999"}, {"MW0:COUNTER", "0012", "12"},
		{"M0.1:BOOL[10]", "a605", "[true,true,false,false,true,false,true,true,false,true]"},
		{"MW0:INT[3]", "0001ffff7fff", "[1,-1,32767]"}, {"MD0:REAL[2]", "3f800000c0000000", "[1,-2]"}, {"T0[2]", "00010002", "[10,20]"},
		{"MB0:STRING[3][2]", "0302 4142 00 00 0301 43 0000", `["AB","C"]`}, {"MW0:DATE[2]", "00000001", `["1990-01-01T00:00:00Z","1990-01-02T00:00:00Z"]`},
		{"MD0:TIME[2]", "00000001ffffffff", "[1,-1]"},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.bytes, " ", ""))
		if err != nil {
			t.Fatal(c.bytes, err)
		}
		v, q := decodeS7(t, c.address, b)
		if got := v.String(); got != c.want || q != tag.Good {
			t.Errorf("%s % x is %s, %v; want %s", c.address, b, got, q, c.want)
			continue
		}
		p, _ := parseS7(c.address)
		back, err := p.encode(nil, v)
		if p.typ == s7.TypeBool {
			if want := strings.Count(c.want, "true"); strings.Count(string(back), "\x01") != want || len(back) != max(1, p.count) {
				t.Errorf("%s is written as % x", c.address, back)
			}
			continue
		}
		if err != nil || hex.EncodeToString(back) != hex.EncodeToString(b) {
			t.Errorf("%s %s is written as % x, %v; want % x", c.address, c.want, back, err, b)
		}
		// What a person types comes to the same.
		typed, err := S7{}.ParseValue(c.address, strings.Trim(c.want, `"`))
		if err != nil {
			t.Errorf("%s=%s: %v", c.address, c.want, err)
			continue
		}
		if again, err := p.encode(nil, typed); err != nil || string(again) != string(b) {
			t.Errorf("%s=%s is written as % x, %v; want % x", c.address, c.want, again, err, b)
		}
	}
}

func TestS7OddValues(t *testing.T) {
	for _, c := range []struct {
		address, bytes, want string
		q                    tag.Quality
	}{
		{"MB0:STRING[4]", "04ff61626364", "abcd", tag.Uncertain}, // longer than its bytes
		{"MB0:STRING[4]", "020461626364", "ab", tag.Uncertain},   // longer than declared
		{"MB0:STRING[4]", "ff0261626364", "ab", tag.Good},        // declared longer than the address says
		{"MB0:STRING[4]", "000000000000", "", tag.Good},          // never written to
		{"MB0:WSTRING[2]", "0002ffff00410042", "AB", tag.Uncertain},
		{"MW0:WCHAR[2]", "d83d0041", "\uFFFDA", tag.Good}, // half a pair
		{"MW0:WCHAR", "d83d", "\uFFFD", tag.Good},
		{"MW0:S5TIME", "0a00", "null", tag.BadDecodingError},
		{"C1", "00ff", "null", tag.BadDecodingError},
		{"MD0:TOD", "05265c00", "null", tag.BadDecodingError},
		{"MB0:DT", "2502312359581230", "null", tag.BadDecodingError}, // 31 February
		{"MB0:DTL", "0902021c06173b3a00000000", "null", tag.BadOutOfRange},
		{"MW0:S5TIME[2]", "00010a00", "null", tag.BadDecodingError},
		{"MB0:STRING[2][2]", "02056162 02014300", `["ab","C"]`, tag.Uncertain},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.bytes, " ", ""))
		if err != nil {
			t.Fatal(c.bytes, err)
		}
		if v, q := decodeS7(t, c.address, b); v.String() != c.want || q != c.q {
			t.Errorf("%s % x is %q, %v; want %q, %v", c.address, b, v.String(), q, c.want, c.q)
		}
	}
}

func TestS7ParseValue(t *testing.T) {
	for _, c := range []struct{ address, value, want string }{
		{"MW20:INT", "0010", "10"}, {"MW20", "0x10", "16"}, {"MD0:TIME", "1m30s", "90000"}, {"MD0:TIME", "T#-1m_30s", "-90000"}, {"MD0:TIME", "0", "0"},
		{"MW0:S5TIME", "S5T#2s", "2000"}, {"MB0:LTIME", "1us", "1000"}, {"MD0:TOD", "12:30", "45000000"}, {"MD0:TOD", "TOD#12:30:00.5", "45000500"}, {"MB0:LTOD", "00:00:01", "1000000000"},
		{"MB0:DTL", "2025-03-01 12:30:00", `"2025-03-01T12:30:00Z"`}, {"MB0:DT", "DT#2025-03-01-12:30:00", `"2025-03-01T12:30:00Z"`}, {"MW0:DATE", "D#2025-03-01", `"2025-03-01T00:00:00Z"`},
		{"M0.0", "on", "true"}, {"M0.0[2]", "[1, off]", "[true,false]"}, {"MB0:STRING[4][2]", "[ab, c]", `["ab","c"]`}, {"PQW256:INT", "-5", "-5"},
		{"MW20:INT", "40000", "goes from -32768 to 32767"}, {"MW20", "-1", "goes from 0 to 65535"}, {"MW20", "1.5", "whole numbers"}, {"MD0:REAL", "1e39", "goes up to"}, {"MD0:REAL", "x", "no number"},
		{"C1", "1000", "COUNTER goes from 0 to 999"}, {"T1", "9990001", "TIMER goes from 0 to 9990000 of milliseconds"}, {"MD0:TOD", "86400000", "to 86399999"},
		{"MW0:DATE", "1989-12-31", "no such date"}, {"MB0:DT", "2090-01-01", "no such date"}, {"MB0:DTL", "yesterday", "a date is written"},
		{"MB0:STRING[2]", "abc", "2 characters fit"}, {"MB0:STRING[2]", "€", "the type has none for"}, {"MB0:CHAR", "ab", "1 characters fit"}, {"MB0:CHAR[3]", "€", "has none for"},
		{"MW0:INT[2]", "[1]", "2 elements"}, {"MW0:INT[2]", "[1,2,3]", "2 elements"}, {"MW0:INT[2]", "1,2", "an array is written"}, {"M0.0", "2", "true or false"},
		{"PIW256", "1", "are the module's"}, {"PQ0.0", "1", "have no bits"}, {"DB1.DBD4:REEL", "1", "did you mean REAL?"},
	} {
		v, err := S7{}.ParseValue(c.address, c.value)
		got := v.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s=%s: %s, want %s", c.address, c.value, got, c.want)
		}
	}
}

// FuzzS7Decode: no bytes panic, and what decodes well is written as the same value again.
func FuzzS7Decode(f *testing.F) {
	for _, a := range []string{"MB0:STRING[5]", "MB0:WSTRING[3]", "MB0:DTL", "MW0:S5TIME", "M0.3[20]", "MB0:STRING[3][2]", "MD0:TOD[2]", "MW0:WCHAR[4]"} {
		f.Add(a, []byte("\x05\x03abc\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	}
	f.Fuzz(func(t *testing.T, address string, b []byte) {
		p, err := parseS7(address)
		if err != nil || len(b) < p.bytes() {
			return
		}
		b = b[:p.bytes()]
		v, q := decodeS7(t, address, b)
		if q != tag.Good {
			return
		}
		back, err := p.encode(nil, v)
		if err != nil || p.typ == s7.TypeBool {
			return // half a pair of UTF-16 is read and cannot be written
		}
		if again, q := decodeS7(t, address, back); q != tag.Good || !sameValue(again, v) {
			t.Errorf("%s % x is %v; written % x it is %v, %v", address, b, v, back, again, q)
		}
	})
}

// randomS7 returns a valid address below byte 600 or so, near others.
func randomS7(r *rand.Rand) string {
	p := s7Point{at: r.IntN(500), typ: s7.DataType(1 + r.IntN(int(s7.TypeCounter)))}
	switch r.IntN(10) {
	case 0:
		p.area = []s7.Area{s7.AreaInputs, s7.AreaOutputs, s7.AreaMarkers, s7.AreaPeripheral}[r.IntN(4)]
	case 1:
		p.area, p.typ = s7.AreaTimer, s7.TypeS5Time
	case 2:
		p.area, p.typ = s7.AreaCounter, s7.TypeCounter
	default:
		p.area, p.db = s7.AreaDB, uint16(1+r.IntN(4))
	}
	switch {
	case p.typ == s7.TypeBool:
		p.bit = r.IntN(8)
	case isHeaded(p.typ):
		p.chars = 1 + r.IntN(60)
	}
	if r.IntN(8) == 0 {
		p.count = 1 + r.IntN(60)
	}
	return p.String()
}

func TestS7RandomAddressesAreCanonical(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		a := randomS7(r)
		if got, err := (S7{}).Canonical(a); err != nil || got != a {
			t.Fatalf("%s is %s, %v", a, got, err)
		}
	}
}
