package ua

import "testing"

func TestSkip(t *testing.T) {
	d := NewDecoder([]byte{1, 2, 3}, Limits{})
	if d.Skip(2); d.Bad() || d.At() != 2 || d.U8() != 3 {
		t.Errorf("at %d, %v", d.At(), d.Err())
	}
	for _, n := range []int{1, -1} {
		d := NewDecoder(nil, Limits{})
		if d.Skip(n); d.Status() != BadDecodingError {
			t.Errorf("%d of no bytes: %v", n, d.Status())
		}
	}
}
