package ua

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// NumericRange names a part of an array, a matrix, a string or a byte string [OPC 10000-4 7.27]: one IndexRange for each dimension. An empty one is the whole.
type NumericRange []IndexRange

// IndexRange is the elements Low to High of a dimension, both included, counted from 0.
type IndexRange struct{ Low, High uint32 }

// rangeDimensions is the most dimensions of a NumericRange that is read from text.
const rangeDimensions = 32

// IsEmpty reports whether r is the whole.
func (r NumericRange) IsEmpty() bool { return len(r) == 0 }

// String returns the form that ParseNumericRange reads: "3", "1:4", "0:1,2".
func (r NumericRange) String() string {
	var parts []string
	for _, x := range r {
		s := strconv.FormatUint(uint64(x.Low), 10)
		if x.High != x.Low {
			s += ":" + strconv.FormatUint(uint64(x.High), 10)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ",")
}

// ParseNumericRange reads an index, or a range low:high with low < high, for each dimension, separated by commas. "" is the whole. The error wraps BadIndexRangeInvalid.
func ParseNumericRange(s string) (NumericRange, error) {
	if s == "" {
		return nil, nil
	}
	if strings.Count(s, ",") >= rangeDimensions {
		return nil, fmt.Errorf("ua: range of more than %d dimensions: %w", rangeDimensions, BadIndexRangeInvalid)
	}
	var r NumericRange
	for part := range strings.SplitSeq(s, ",") {
		low, high, ok := parseIndexRange(part)
		if !ok {
			return nil, fmt.Errorf("ua: range %q: want an index, or low:high with low < high, for each dimension: %w", s, BadIndexRangeInvalid)
		}
		r = append(r, IndexRange{low, high})
	}
	return r, nil
}

func parseIndexRange(s string) (low, high uint32, ok bool) {
	first, second, isRange := strings.Cut(s, ":")
	if low, ok = parseIndex(first); !ok || !isRange {
		return low, low, ok
	}
	high, ok = parseIndex(second)
	return low, high, ok && low < high
}

// parseIndex reads digits alone: no sign, no space.
func parseIndex(s string) (uint32, bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// ApplyRange returns the part of v that r names. What lies beyond the end of a dimension is left out; if nothing is left, or v has no such dimensions, the status is
// BadIndexRangeNoData. Of a scalar string the range counts characters, of a byte string bytes; one dimension more than an array of those has is taken of each element. The
// part may share its elements with v.
func (v Variant) ApplyRange(r NumericRange) (Variant, StatusCode) {
	if len(r) == 0 {
		return v, Good
	}
	return v.ranged(r, nil)
}

// Splice returns v with the part that r names replaced by part, which must have v's type and exactly the size of r, else the status is BadTypeMismatch or
// BadIndexRangeDataMismatch. All of r must lie within v, else it is BadIndexRangeNoData. v is not changed.
func (v Variant) Splice(r NumericRange, part Variant) (Variant, StatusCode) {
	if len(r) == 0 {
		return part, Good
	}
	if part.kind != v.kind {
		return v, BadTypeMismatch
	}
	return v.ranged(r, &part)
}

// ranged is ApplyRange without a part, and Splice with one.
func (v *Variant) ranged(r NumericRange, part *Variant) (Variant, StatusCode) {
	if v.flag == 0 {
		return v.rangedText(r, part)
	}
	switch s := v.elements().(type) {
	case []bool:
		return rangedElements(v, s, r, part, nil)
	case []int8:
		return rangedElements(v, s, r, part, nil)
	case []uint8:
		return rangedElements(v, s, r, part, nil)
	case []int16:
		return rangedElements(v, s, r, part, nil)
	case []uint16:
		return rangedElements(v, s, r, part, nil)
	case []int32:
		return rangedElements(v, s, r, part, nil)
	case []uint32:
		return rangedElements(v, s, r, part, nil)
	case []int64:
		return rangedElements(v, s, r, part, nil)
	case []uint64:
		return rangedElements(v, s, r, part, nil)
	case []float32:
		return rangedElements(v, s, r, part, nil)
	case []float64:
		return rangedElements(v, s, r, part, nil)
	case []DateTime:
		return rangedElements(v, s, r, part, nil)
	case []string:
		return rangedElements(v, s, r, part, stringPart)
	case [][]byte:
		return rangedElements(v, s, r, part, bytesPart)
	}
	return v.rangedObjects(r, part)
}

// rangedObjects is ranged for arrays of what is no number and no text.
func (v *Variant) rangedObjects(r NumericRange, part *Variant) (Variant, StatusCode) {
	switch s := v.elements().(type) {
	case []Guid:
		return rangedElements(v, s, r, part, nil)
	case []XmlElement:
		return rangedElements(v, s, r, part, nil)
	case []NodeId:
		return rangedElements(v, s, r, part, nil)
	case []ExpandedNodeId:
		return rangedElements(v, s, r, part, nil)
	case []StatusCode:
		return rangedElements(v, s, r, part, nil)
	case []QualifiedName:
		return rangedElements(v, s, r, part, nil)
	case []LocalizedText:
		return rangedElements(v, s, r, part, nil)
	case []ExtensionObject:
		return rangedElements(v, s, r, part, nil)
	case []DataValue:
		return rangedElements(v, s, r, part, nil)
	case []Variant:
		return rangedElements(v, s, r, part, nil)
	}
	return Variant{}, BadIndexRangeNoData
}

// rangedText is ranged for a scalar: a string or a byte string.
func (v *Variant) rangedText(r NumericRange, part *Variant) (Variant, StatusCode) {
	if len(r) != 1 || part != nil && part.flag != 0 {
		return Variant{}, BadIndexRangeNoData
	}
	switch v.kind {
	case TypeString:
		if part == nil {
			s, ok := stringPart(v.text, r[0], nil)
			return String(s), noDataUnless(ok)
		}
		s, ok := stringPart(v.text, r[0], &part.text)
		return String(s), noDataUnless(ok)
	case TypeByteString:
		var p *[]byte
		if part != nil {
			b := part.Bytes()
			p = &b
		}
		b, ok := bytesPart(v.Bytes(), r[0], p)
		return ByteString(b), noDataUnless(ok)
	}
	return Variant{}, BadIndexRangeNoData
}

func noDataUnless(ok bool) StatusCode {
	if ok {
		return Good
	}
	return BadIndexRangeNoData
}

// stringPart returns the characters x of s, or s with them replaced by part.
func stringPart(s string, x IndexRange, part *string) (string, bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	runes := []rune(s)
	if part == nil {
		runes, ok := bounded(runes, x)
		return string(runes), ok
	}
	out, ok := spliced(runes, x, []rune(*part))
	return string(out), ok
}

// bytesPart is stringPart for bytes.
func bytesPart(s []byte, x IndexRange, part *[]byte) ([]byte, bool) {
	if part == nil {
		return bounded(s, x)
	}
	return spliced(s, x, *part)
}

// bounded returns the elements x of s, without those beyond its end.
func bounded[T any](s []T, x IndexRange) ([]T, bool) {
	if uint64(x.Low) >= uint64(len(s)) {
		return nil, false
	}
	return s[x.Low:min(uint64(x.High)+1, uint64(len(s)))], true
}

// spliced returns a copy of s with the elements x replaced by part, which must be as many.
func spliced[T any](s []T, x IndexRange, part []T) ([]T, bool) {
	if uint64(x.High) >= uint64(len(s)) || uint64(len(part)) != uint64(x.High)-uint64(x.Low)+1 {
		return nil, false
	}
	out := append([]T(nil), s...)
	copy(out[x.Low:], part)
	return out, true
}

// rangedElements is ranged for the elements of an array or a matrix. inner, of texts alone, takes a part of one element.
func rangedElements[T any](v *Variant, s []T, r NumericRange, part *Variant, inner func(T, IndexRange, *T) (T, bool)) (Variant, StatusCode) {
	dims := v.Dims()
	if dims == nil {
		dims = []uint32{uint32(len(s))}
	}
	var each *IndexRange
	if inner != nil && len(r) == len(dims)+1 {
		each, r = &r[len(dims)], r[:len(dims)]
	}
	box, ok := boxOf(dims, r, part != nil)
	if !ok {
		return Variant{}, BadIndexRangeNoData
	}
	if part == nil {
		return takeBox(v, s, &box, each, inner)
	}
	return putBox(v, s, &box, each, part, inner)
}

// takeBox returns the elements in box.
func takeBox[T any](v *Variant, s []T, box *rangeBox, each *IndexRange, inner func(T, IndexRange, *T) (T, bool)) (Variant, StatusCode) {
	if len(box.dims) == 1 && each == nil {
		end := box.from[0] + box.size[0]
		return array(v.kind, s[box.from[0]:end:end]), Good
	}
	out, ok := make([]T, box.n), true
	box.each(func(i, at int) {
		out[i] = s[at]
		if each != nil {
			var fits bool
			out[i], fits = inner(s[at], *each, nil)
			ok = ok && fits
		}
	})
	return Matrix(box.size, array(v.kind, out)), noDataUnless(ok)
}

// putBox returns a copy of s with the elements in box replaced by those of part.
func putBox[T any](v *Variant, s []T, box *rangeBox, each *IndexRange, part *Variant, inner func(T, IndexRange, *T) (T, bool)) (Variant, StatusCode) {
	in, ok := part.elements().([]T)
	if !ok || len(in) != box.n || part.Dims() != nil && !slices.Equal(part.Dims(), box.size) {
		return *v, BadIndexRangeDataMismatch
	}
	out := append([]T(nil), s...)
	box.each(func(i, at int) {
		out[at] = in[i]
		if each != nil {
			var fits bool
			out[at], fits = inner(s[at], *each, &in[i])
			ok = ok && fits
		}
	})
	if !ok {
		return *v, BadIndexRangeNoData
	}
	return Matrix(v.Dims(), array(v.kind, out)), Good
}

// rangeBox is a NumericRange within the dimensions of a matrix.
type rangeBox struct {
	dims []uint32 // of the matrix
	from []uint32
	size []uint32 // of the part
	n    int      // elements of the part
}

// boxOf lays r into dims; whole wants all of it to lie within.
func boxOf(dims []uint32, r NumericRange, whole bool) (rangeBox, bool) {
	if len(r) != len(dims) {
		return rangeBox{}, false
	}
	b := rangeBox{dims: dims, n: 1, from: make([]uint32, len(r)), size: make([]uint32, len(r))}
	for i, x := range r {
		if x.Low >= dims[i] || whole && x.High >= dims[i] {
			return rangeBox{}, false
		}
		b.from[i] = x.Low
		b.size[i] = min(x.High, dims[i]-1) - x.Low + 1
		b.n *= int(b.size[i]) // no more than there are elements
	}
	return b, true
}

// each calls f with the places of all elements of the part, in order, each in the matrix.
func (b *rangeBox) each(f func(i, at int)) {
	pos := make([]uint32, len(b.dims))
	for i := range b.n {
		at := 0
		for d := range b.dims {
			at = at*int(b.dims[d]) + int(b.from[d]+pos[d])
		}
		f(i, at)
		for d := len(pos) - 1; d >= 0; d-- {
			if pos[d]++; pos[d] < b.size[d] {
				break
			}
			pos[d] = 0
		}
	}
}
