package sink

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"millrace/internal/tag"
)

type line struct {
	Tag      string          `json:"tag"`
	TS       string          `json:"ts"`
	Received string          `json:"received"`
	Value    json.RawMessage `json:"value"`
	Type     string          `json:"type"`
	Encoding string          `json:"encoding"`
	Quality  string          `json:"quality"`
	Q        uint32          `json:"q"`
	Epoch    string          `json:"epoch"`
	Offset   uint64          `json:"offset"`
}

func appendString(dst []byte, s string) []byte { return append(append(dst, byte(len(s))), s...) }

func TestLines(t *testing.T) {
	f32 := func(f float64) uint64 { return uint64(math.Float32bits(float32(f))) }
	ints := tag.AppendElem(tag.AppendElem(nil, tag.Int16, 7), tag.Int16, 0xFFFE)
	floats := tag.AppendElem(tag.AppendElem(nil, tag.Float64, math.Float64bits(1.5)), tag.Float64, math.Float64bits(math.NaN()))
	cases := []struct {
		kind     tag.Kind
		bits     uint64
		aux      []byte
		want     string
		encoding string
	}{
		{kind: tag.Null, want: `null`},
		{kind: tag.Bool, bits: 1, want: `true`},
		{kind: tag.Int8, bits: ^uint64(0), want: `-1`},
		{kind: tag.Uint16, bits: 65535, want: `65535`},
		{kind: tag.Int64, bits: 1 << 63, want: `-9223372036854775808`},
		{kind: tag.Uint64, bits: math.MaxUint64, want: `18446744073709551615`},
		{kind: tag.Float32, bits: f32(21.3), want: `21.3`},
		{kind: tag.Float32, bits: f32(math.NaN()), want: `"NaN"`},
		{kind: tag.Float64, bits: math.Float64bits(math.Inf(1)), want: `"Infinity"`},
		{kind: tag.Float64, bits: math.Float64bits(math.Inf(-1)), want: `"-Infinity"`},
		{kind: tag.Float64, bits: math.Float64bits(1e300), want: `1e+300`},
		{kind: tag.String, aux: []byte("a \"q\" \\ \x00\n\t\r é"), want: `"a \"q\" \\ \u0000\n\t\r é"`},
		{kind: tag.String, aux: []byte{0xFF, 'a'}, want: `"/2E="`, encoding: "base64"},
		{kind: tag.ByteString, aux: []byte{1, 2, 3}, want: `"AQID"`},
		{kind: tag.DateTime, bits: 1, want: `"1970-01-01T00:00:00.000000001Z"`},
		{kind: tag.Int16 | tag.Array, aux: ints, want: `[7,-2]`},
		{kind: tag.Float64 | tag.Array, aux: floats, want: `[1.5,"NaN"]`},
		{kind: tag.String | tag.Array, aux: appendString(appendString(nil, "x"), "y,"), want: `["x","y,"]`},
		{kind: tag.String | tag.Array, aux: appendString(appendString(nil, "x"), "\xFE"), want: `["eA==","/g=="]`, encoding: "base64"},
	}
	b := &tag.Batch{Received: time.Date(2026, 3, 1, 10, 0, 1, 5, time.UTC).UnixNano()}
	ts := time.Date(2026, 3, 1, 10, 0, 0, 123456789, time.UTC).UnixNano()
	for _, c := range cases {
		if c.kind.Width() > 0 {
			b.Append(1, ts, tag.BadTimeout, c.kind, c.bits)
		} else {
			b.AppendAux(1, ts, tag.BadTimeout, c.kind, c.aux)
		}
	}
	var e Encoder
	for i, c := range cases {
		text := e.AppendRow(nil, `a/"b`, b, i, 0xAB, uint64(100+i))
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatalf("%s: %v: %s", c.kind, err, text)
		}
		if string(l.Value) != c.want || l.Encoding != c.encoding || l.Type != c.kind.String() {
			t.Errorf("%s: value %s type %s encoding %q, want %s, %q", c.kind, l.Value, l.Type, l.Encoding, c.want, c.encoding)
		}
		if l.Tag != `a/"b` || l.TS != "2026-03-01T10:00:00.123456789Z" || l.Received != "2026-03-01T10:00:01.000000005Z" ||
			l.Quality != "bad" || l.Q != uint32(tag.BadTimeout) || l.Epoch != "00000000000000ab" || l.Offset != uint64(100+i) {
			t.Errorf("%s: %s", c.kind, text)
		}
	}
}

func TestLineAllocatesNothing(t *testing.T) {
	b := &tag.Batch{Received: 5}
	b.Append(1, 7, tag.Good, tag.Float32, uint64(math.Float32bits(21.5)))
	b.Append(1, 8, tag.Uncertain, tag.Int64, 9)
	b.Append(1, 9, tag.Bad, tag.Uint64, 9)
	b.Append(1, 9, tag.Bad, tag.Bool, 1)
	b.AppendString(1, 10, tag.Good, "running")
	b.AppendAux(1, 11, tag.Good, tag.Int16|tag.Array, []byte{1, 0, 2, 0})
	var e Encoder
	buf := make([]byte, 0, 4096)
	n := testing.AllocsPerRun(100, func() {
		buf = buf[:0]
		for i := range b.Len() {
			buf = e.AppendRow(buf, "press/temp", b, i, 1, 2)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for %d rows", n, b.Len())
	}
}

// FuzzLine holds every line to being JSON that gives the text back.
func FuzzLine(f *testing.F) {
	f.Add("press/temp", []byte("running"), true)
	f.Add("x", []byte{0, 0xFF, '"'}, false)
	f.Fuzz(func(t *testing.T, name string, text []byte, array bool) {
		if !utf8.ValidString(name) {
			return
		}
		b := &tag.Batch{}
		kind := tag.String
		aux := text
		if array {
			kind |= tag.Array
		}
		b.AppendAux(1, 0, tag.Good, kind, aux)
		var e Encoder
		out := e.AppendRow(nil, name, b, 0, 1, 2)
		var l line
		if err := json.Unmarshal(out, &l); err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		if l.Tag != name || strings.Count(string(out), "\n") != 1 {
			t.Fatalf("tag %q became %q", name, l.Tag)
		}
		if array {
			return
		}
		var s string
		if err := json.Unmarshal(l.Value, &s); err != nil {
			t.Fatal(err)
		}
		if l.Encoding == "base64" {
			p, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			s = string(p)
		}
		if s != string(text) {
			t.Fatalf("text %q became %q", text, s)
		}
	})
}
