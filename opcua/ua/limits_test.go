package ua

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// nested returns bytes that nest n levels deep in each recursive type.
func nested(n int) map[string][]byte {
	array := append(bytes.Repeat(hexBytes(0x98, 1, 0, 0, 0), n), 0)
	value := append(bytes.Repeat(hexBytes(0x17, 1), n), 0)
	direct := append(bytes.Repeat([]byte{0x18}, n), 0)
	diagnostic := append(hexBytes(0x19), append(bytes.Repeat([]byte{0x40}, n), 0)...)
	return map[string][]byte{"arrays of Variant": array, "Variants": direct, "DataValues": value, "DiagnosticInfos": diagnostic}
}

func hexBytes(b ...byte) []byte { return b }

func TestNestingEndsAtTheLimit(t *testing.T) {
	for name, b := range nested(99) {
		d := NewDecoder(b, Limits{})
		d.Variant()
		if err := d.Done(); err != nil {
			t.Errorf("99 %s: %v", name, err)
		}
	}
	for _, n := range []int{101, 10_000, 1_000_000} {
		for name, b := range nested(n) {
			d := NewDecoder(b, Limits{})
			v := d.Variant()
			if d.Status() != BadEncodingLimitsExceeded {
				t.Errorf("%d %s: %v", n, name, d.Err())
			}
			runtime.KeepAlive(v)
		}
	}
}

func TestDepthIsGivenBack(t *testing.T) {
	b := AppendCount([]byte{0x98}, 300, false)
	for range 300 {
		b = append(b, nested(50)["arrays of Variant"]...)
	}
	d := NewDecoder(b, Limits{Depth: 60})
	d.Variant()
	if err := d.Done(); err != nil {
		t.Error(err)
	}
}

func TestEachLimit(t *testing.T) {
	text := String("12345678")
	for _, x := range []struct {
		name string
		lim  Limits
		v    Variant
		ok   bool
	}{
		{"array of 3", Limits{ArrayLength: 3}, Int32Array([]int32{1, 2, 3}), true},
		{"array of 4", Limits{ArrayLength: 3}, Int32Array([]int32{1, 2, 3, 4}), false},
		{"string of 8", Limits{StringLength: 8}, text, true},
		{"string of 9", Limits{StringLength: 8}, String("123456789"), false},
		{"byte string of 8", Limits{ByteStringLength: 8}, ByteString([]byte("12345678")), true},
		{"byte string of 9", Limits{ByteStringLength: 8}, ByteString([]byte("123456789")), false},
		{"body of 9", Limits{ByteStringLength: 8}, ExtensionObjectValue(ExtensionObject{TypeId: NumericId(0, 7), Body: make([]byte, 9)}), false},
		{"message of 13", Limits{Message: 13}, text, true},
		{"message of 12", Limits{Message: 12}, text, false},
		{"memory", Limits{Memory: 24 + 72 + 16}, DoubleArray(make([]float64, 9)), true},
		{"too little memory", Limits{Memory: 24 + 72 + 15}, DoubleArray(make([]float64, 9)), false},
	} {
		d := NewDecoder(x.v.AppendTo(nil), x.lim)
		got := d.Variant()
		if x.ok && (d.Done() != nil || !got.Equal(x.v)) || !x.ok && d.Status() != BadEncodingLimitsExceeded {
			t.Errorf("%s: %v, %v", x.name, got, d.Err())
		}
	}
}

// greedy are the messages that cost most memory for their length: elements of one or few bytes.
func greedy(size int) map[string][]byte {
	out := map[string][]byte{}
	for kind, element := range map[TypeId][]byte{
		TypeString: {0, 0, 0, 0}, TypeByteString: {1, 0, 0, 0, 7}, TypeNodeId: {0, 0}, TypeExpandedNodeId: {0, 0}, TypeLocalizedText: {0},
		TypeExtensionObject: {0, 0, 0}, TypeDataValue: {0}, TypeVariant: {0}, TypeDiagnosticInfo: {0}, TypeQualifiedName: {0, 0, 0, 0, 0, 0},
	} {
		n := size / len(element)
		out["array of "+kind.String()] = append(AppendCount([]byte{byte(kind) | variantArray}, n, false), bytes.Repeat(element, n)...)
	}
	for name, element := range map[string][]byte{
		"empty arrays": {0x86, 0, 0, 0, 0}, "matrices": {0xc3, 1, 0, 0, 0, 9, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}, "texts": {0x15, 0}, "values": {0x17, 0},
		"diagnostics": {0x19, 0x40, 0}, "strings": {0x0c, 1, 0, 0, 0, 'x'},
	} {
		n := size / len(element)
		out["Variants of "+name] = append(AppendCount([]byte{byte(TypeVariant) | variantArray}, n, false), bytes.Repeat(element, n)...)
	}
	return out
}

func TestMemoryStaysWithinTheLimit(t *testing.T) {
	const message = 1 << 20
	for name, b := range greedy(message - 64) {
		for _, arrays := range []int{0, message / 100, message / 5} { // also what just fits
			cut := b
			if arrays > 0 {
				n := min(arrays, int(b[1])|int(b[2])<<8|int(b[3])<<16|int(b[4])<<24)
				cut = AppendCount(append([]byte{}, b[0]), n, false)
				cut = append(cut, b[5:]...)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			d := NewDecoder(cut, Limits{Message: message})
			v := d.Variant()
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > message+message/8 {
				t.Errorf("%s: %d bytes for a message of %d", name, got, len(cut))
			}
			if d.Err() != nil && d.Status() != BadEncodingLimitsExceeded && d.Status() != BadDecodingError {
				t.Errorf("%s: %v", name, d.Err())
			}
			runtime.KeepAlive(v)
		}
	}
}

func TestByteStringsAreCopiesUnlessAliased(t *testing.T) {
	in := AppendByteString(nil, []byte{1, 2, 3})
	d := NewDecoder(in, Limits{})
	p := d.Bytes()
	d = NewDecoder(in, Limits{})
	d.Alias = true
	q := d.Bytes()
	in[4] = 9
	if p[0] != 1 || q[0] != 9 || cap(q) != 3 {
		t.Fatalf("copy %v, alias %v of %d", p, q, cap(q))
	}
}

func TestStringsOutliveTheInput(t *testing.T) {
	long := string(bytes.Repeat([]byte("0123456789"), 10_000))
	want := StringArray([]string{"a", long, "b", long, "c"})
	in := want.AppendTo(nil)
	d := NewDecoder(in, Limits{})
	got := d.Variant()
	clear(in)
	if d.Done() != nil || !got.Equal(want) {
		t.Fatal("strings changed with the input")
	}
}

// remadeSlices matches the rooms that generated code makes for the arrays of its structures.
var remadeSlices = regexp.MustCompile(`m\.(\w+) = remakeSlice\(d, m\.\w+, (\d+), (\d+)\)`)

// decoders matches the head of a generated decoder.
var decoders = regexp.MustCompile(`func \(m \*(\w+)\) DecodeFrom`)

func TestGeneratedSizesAreThoseOfTheCompiler(t *testing.T) {
	types := map[string]reflect.Type{}
	for _, id := range encodingIds() {
		m, _ := NewMessage(id)
		collect(types, reflect.TypeOf(m).Elem())
	}
	src, err := os.ReadFile("structures_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	var of reflect.Type
	for line := range strings.Lines(string(src)) {
		if x := decoders.FindStringSubmatch(line); x != nil {
			of = types[x[1]]
		}
		x := remadeSlices.FindStringSubmatch(line)
		if x == nil || of == nil {
			continue
		}
		field, _ := of.FieldByName(x[1])
		element := field.Type.Elem()
		if got := strconv.Itoa(int(element.Size())); got != x[3] {
			t.Errorf("an element of %s.%s takes %s bytes, not %s", of.Name(), x[1], got, x[3])
		}
		if m, ok := reflect.New(element).Interface().(Message); ok {
			least, _ := strconv.Atoi(x[2])
			if got := len(m.AppendTo(nil)); max(got, 1) < least {
				t.Errorf("an element of %s.%s takes %d bytes on the wire, and at least %d are asked for", of.Name(), x[1], got, least)
			}
		}
		checked++
	}
	if checked < 200 {
		t.Errorf("only %d arrays were checked", checked)
	}
}

func TestReuseKeepsRoomAndNothingElse(t *testing.T) {
	var m ReadResponse
	newFiller(11).fill(&m)
	m.Results = append(m.Results, m.Results...)
	long, short := m.AppendTo(nil), doubles(3).AppendTo(nil)
	var into ReadResponse
	for _, in := range [][]byte{long, short, long} {
		room := into.Results
		d := NewDecoder(in, Limits{})
		d.Reuse = true
		into.DecodeFrom(&d)
		if again := into.AppendTo(nil); d.Done() != nil || !bytes.Equal(again, in) {
			t.Fatalf("%v: read % x as % x", d.Err(), in, again)
		}
		if room != nil && &room[:1][0] != &into.Results[0] {
			t.Error("the room of the results was not used again")
		}
	}
	_ = into.AppendTo(nil)
	if n := testing.AllocsPerRun(100, func() {
		d := NewDecoder(short, Limits{})
		d.Reuse = true
		into.DecodeFrom(&d)
	}); n != 0 {
		t.Errorf("%v allocs", n)
	}
}

// collect adds the types of all fields below t by their names.
func collect(sizes map[string]reflect.Type, t reflect.Type) {
	if _, ok := sizes[t.Name()]; ok && t.Name() != "" {
		return
	}
	switch t.Kind() {
	case reflect.Slice:
		collect(sizes, t.Elem())
	case reflect.Struct:
		sizes[t.Name()] = t
		for i := range t.NumField() {
			collect(sizes, t.Field(i).Type)
		}
	default:
		sizes[t.Name()] = t
	}
}

func TestNothingIsAllocated(t *testing.T) {
	m := doubles(100)
	buf := AppendMessage(nil, m)
	if n := testing.AllocsPerRun(100, func() { buf = AppendMessage(buf[:0], m) }); n != 0 {
		t.Errorf("encode: %v allocs", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		d := NewDecoder(buf, Limits{})
		var m ReadResponse
		if d.EncodingId() != m.EncodingId() {
			t.Error("not a ReadResponse")
		}
		m.DecodeFrom(&d)
	}); n > 1 {
		t.Errorf("decode: %v allocs, want the results alone", n)
	}
	scalars := newFiller(4).scalars()
	out := make([]byte, 0, 1<<16)
	if n := testing.AllocsPerRun(100, func() {
		for i := range scalars {
			out = scalars[i].AppendTo(out[:0])
		}
	}); n != 0 {
		t.Errorf("encode scalars: %v allocs", n)
	}
	in := AppendUInt32(nil, 0)[:0]
	for _, v := range []Variant{Bool(true), Double(2), Int16(-3), StatusValue(BadTimeout), NodeIdValue(NumericId(3, 70000)), DateTimeValue(5), {}} {
		in = v.AppendTo(in)
	}
	if n := testing.AllocsPerRun(100, func() {
		d := NewDecoder(in, Limits{})
		var v Variant
		for d.Left() > 0 {
			d.VariantInto(&v)
		}
		if d.Done() != nil {
			t.Error(d.Err())
		}
	}); n != 0 {
		t.Errorf("decode scalars: %v allocs", n)
	}
}
