package tag

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestElems(t *testing.T) {
	words := binary.AppendUvarint(append(binary.AppendUvarint(append(binary.AppendUvarint(nil, 2), "ab"...), 0), 1), 1)[:5]
	for _, c := range []struct {
		v    Value
		want string
	}{
		{Value{Kind: Int16 | Array, Aux: []byte{0, 0x80, 0xff, 0x7f, 9}}, "[-32768,32767]"}, // a byte too many is no element
		{Value{Kind: String | Array, Aux: words}, `["ab",""]`},                              // nor is a text that is cut off
		{Value{Kind: Bool | Array}, "[]"},
	} {
		if got := string(c.v.AppendJSON(nil, JSONOptions{})); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
		n := 0
		for it := c.v.Elems(); it.Next(); n++ {
			e, ok := c.v.Elem(it.Index)
			if !ok || it.Index != n || e.Kind != it.Value.Kind || e.Bits != it.Value.Bits || !bytes.Equal(e.Aux, it.Value.Aux) {
				t.Errorf("element %d is %v, and %v, %v by its number", n, it.Value, e, ok)
			}
		}
		if _, ok := c.v.Elem(n); ok {
			t.Errorf("%s: the walk ends after %d", c.want, n)
		}
	}
	if it := Float64Value(1).Elems(); it.Next() {
		t.Error("a scalar has an element")
	}
}

// A million elements, each walked over once: by their numbers it would be a million millions divided by two.
func TestLongArrayOfTexts(t *testing.T) {
	const n = 1 << 20
	if got := (Value{Kind: String | Array, Aux: make([]byte, n)}).AppendJSON(nil, JSONOptions{}); len(got) != 3*n+1 {
		t.Errorf("%d bytes", len(got))
	}
}
