package write

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"millrace/internal/tag"
)

// kind returns the kind of the engineering value that t takes, Null when only the device knows it.
func (t *Target) kind() tag.Kind {
	switch {
	case t.Spec == nil, t.Spec.Terms().Scale == 0:
		return t.Kind
	case t.Kind.IsArray():
		return tag.Float64 | tag.Array
	}
	return tag.Float64
}

// Parse reads a value of kind k as a person types it: 42, -1.5, true, [1,2,3], or a text. Null is any kind.
func Parse(typed string, k tag.Kind) (tag.Value, error) {
	switch {
	case k == tag.String, k == tag.ByteString, k == tag.DateTime:
		return text(typed, k)
	}
	typed = strings.TrimSpace(typed)
	if json.Valid([]byte(typed)) {
		return FromJSON([]byte(typed), k)
	}
	return text(typed, k.Elem())
}

// FromJSON reads a value of kind k; Null is any. Numbers keep all their digits; bytes are base64, times RFC 3339.
func FromJSON(raw json.RawMessage, k tag.Kind) (tag.Value, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return tag.Value{}, errors.New("it is no JSON value")
	}
	return fromAny(v, k)
}

// fromAny makes a value that can be one of kind k, if k is known.
func fromAny(v any, k tag.Kind) (tag.Value, error) {
	switch v := v.(type) {
	case bool:
		return boolean(v), nil
	case json.Number:
		return number(string(v))
	case string:
		return text(v, k.Elem())
	case []any:
		return list(v, k)
	}
	return tag.Value{}, errors.New("it is neither a number, true, false, a text nor a list of these")
}

func boolean(v bool) tag.Value {
	if v {
		return tag.Value{Kind: tag.Bool, Bits: 1}
	}
	return tag.Value{Kind: tag.Bool}
}

func number(s string) (tag.Value, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return tag.Value{Kind: tag.Int64, Bits: uint64(n)}, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return tag.Value{Kind: tag.Uint64, Bits: n}, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return tag.Value{}, fmt.Errorf("%s is too large", s)
	}
	return tag.Float64Value(f), nil
}

func text(s string, k tag.Kind) (tag.Value, error) {
	switch k {
	case tag.ByteString:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return tag.Value{}, errors.New("bytes are written in base64")
		}
		return tag.Value{Kind: tag.ByteString, Aux: b}, nil
	case tag.DateTime:
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return tag.Value{}, errors.New("a time is written as 2006-01-02T15:04:05Z")
		}
		if !time.Unix(0, at.UnixNano()).Equal(at) {
			return tag.Value{}, errors.New("a time is between 1677-09-22 and 2262-04-11")
		}
		return tag.Value{Kind: tag.DateTime, Bits: uint64(at.UnixNano())}, nil
	}
	return tag.Value{Kind: tag.String, Aux: []byte(s)}, nil
}

// list makes an array of the kind that its elements have in common: the one of k when they go into that.
func list(v []any, k tag.Kind) (tag.Value, error) {
	elems := make([]tag.Value, len(v))
	common := k.Elem()
	for i := range v {
		if _, nested := v[i].([]any); nested {
			return tag.Value{}, errors.New("a list in a list is no value")
		}
		var err error
		if elems[i], err = fromAny(v[i], k); err != nil {
			return tag.Value{}, err
		}
		if k == tag.Null {
			common = widest(common, elems[i].Kind)
		}
	}
	return arrayOf(elems, common)
}

// widest is the kind that values of a and b go into: the number with a fraction, when they are numbers.
func widest(a, b tag.Kind) tag.Kind {
	switch {
	case a == tag.Null || a == b:
		return b
	case a == tag.Float64 || b == tag.Float64 || a == tag.Uint64 || b == tag.Uint64:
		return tag.Float64
	}
	return b
}

func arrayOf(elems []tag.Value, k tag.Kind) (tag.Value, error) {
	out := tag.Value{Kind: k | tag.Array}
	for _, e := range elems {
		c, err := convert(e, k)
		if err != nil {
			return out, err
		}
		out.Aux = appendElem(out.Aux, c)
	}
	return out, nil
}

func appendElem(b []byte, e tag.Value) []byte {
	if e.Kind.Width() > 0 {
		return tag.AppendElem(b, e.Kind, e.Bits)
	}
	return append(binary.AppendUvarint(b, uint64(len(e.Aux))), e.Aux...)
}

// TypeError is a value that a tag cannot have.
type TypeError struct {
	Value string
	What  string
	Range bool // it is of the right type, and too large or too small
}

func (e *TypeError) Error() string { return e.Value + ": " + e.What }

func mismatch(v tag.Value, format string, args ...any) error {
	return &TypeError{Value: v.String(), What: fmt.Sprintf(format, args...)}
}

// convert returns v as kind k: exactly, but for the digits of floats. Null is any.
func convert(v tag.Value, k tag.Kind) (tag.Value, error) {
	switch {
	case k == tag.Null || v.Kind == k:
		return v, nil
	case k.IsArray() != v.Kind.IsArray() && k.IsArray():
		return v, mismatch(v, "the tag has a list")
	case k.IsArray() != v.Kind.IsArray():
		return v, mismatch(v, "the tag has one value")
	case k.IsArray():
		var elems []tag.Value
		for it := v.Elems(); it.Next(); {
			elems = append(elems, it.Value)
		}
		return arrayOf(elems, k.Elem())
	}
	return scalar(v, k)
}

func scalar(v tag.Value, k tag.Kind) (tag.Value, error) {
	switch k {
	case tag.Bool:
		if v.Bits <= 1 && isInteger(v.Kind) {
			return tag.Value{Kind: tag.Bool, Bits: v.Bits}, nil
		}
		return v, mismatch(v, "the tag is true or false")
	case tag.Float32, tag.Float64:
		f, ok := v.Float()
		if !ok || v.Kind == tag.Bool {
			return v, mismatch(v, "the tag has numbers")
		}
		if k == tag.Float64 {
			return tag.Float64Value(f), nil
		}
		if g := float32(f); math.IsInf(float64(g), 0) && !math.IsInf(f, 0) {
			return v, &TypeError{Value: v.String(), What: "it does not fit into a float32", Range: true}
		}
		return tag.Value{Kind: tag.Float32, Bits: uint64(math.Float32bits(float32(f)))}, nil
	case tag.String, tag.ByteString, tag.DateTime:
		return v, mismatch(v, "the tag has a %v", k)
	}
	return integer(v, k)
}

func isInteger(k tag.Kind) bool { return k >= tag.Int8 && k <= tag.Uint64 }

// integer returns v as a whole number of kind k.
func integer(v tag.Value, k tag.Kind) (tag.Value, error) {
	neg, n := false, v.Bits // n is the amount
	switch {
	case v.Kind == tag.Int8 || v.Kind == tag.Int16 || v.Kind == tag.Int32 || v.Kind == tag.Int64:
		if neg = int64(v.Bits) < 0; neg {
			n = -v.Bits
		}
	case isInteger(v.Kind):
	default:
		f, ok := v.Float()
		if !ok || v.Kind == tag.Bool || f != math.Trunc(f) {
			return v, mismatch(v, "the tag has whole numbers")
		}
		if math.Abs(f) >= 1<<64 {
			return v, &TypeError{Value: v.String(), What: "it does not fit into " + k.String(), Range: true}
		}
		neg, n = f < 0, uint64(math.Abs(f))
	}
	bits := uint(8 * k.Width())
	signed := k == tag.Int8 || k == tag.Int16 || k == tag.Int32 || k == tag.Int64
	most := uint64(math.MaxUint64) >> (64 - bits)
	if signed {
		most >>= 1
	}
	if neg && signed && n <= most+1 {
		return tag.Value{Kind: k, Bits: -n}, nil
	}
	if neg && n != 0 || n > most {
		return v, &TypeError{Value: v.String(), What: "it does not fit into " + k.String(), Range: true}
	}
	return tag.Value{Kind: k, Bits: n}, nil
}

// raw undoes the scaling of an engineering value, and makes it of the kind that the device has. known is the kind of the device's value where the address does not say it.
func (t *Target) raw(v tag.Value, known tag.Kind) (tag.Value, error) {
	if t.Spec.Terms().Scale == 0 {
		k := t.Kind
		if k == tag.Null {
			k = known
		}
		return convert(v, k)
	}
	if _, err := convert(v, t.kind()); err != nil {
		return v, err
	}
	if !v.Kind.IsArray() {
		return t.unscaled(v)
	}
	var elems []tag.Value
	for it := v.Elems(); it.Next(); {
		e, err := t.unscaled(it.Value)
		if err != nil {
			return v, err
		}
		elems = append(elems, e)
	}
	return arrayOf(elems, t.Kind.Elem())
}

// unscaled is raw for one value. A device that has whole numbers gets the nearest one.
func (t *Target) unscaled(v tag.Value) (tag.Value, error) {
	f, ok := v.Float()
	if !ok {
		return v, mismatch(v, "the tag has numbers")
	}
	terms := t.Spec.Terms()
	f = (f - terms.Bias) / terms.Scale
	k := t.Kind.Elem()
	if near := math.Round(f); isInteger(k) || k == tag.Null && math.Abs(f-near) <= 1e-9*max(1, math.Abs(f)) {
		f = near
	}
	raw, err := convert(tag.Float64Value(f), k)
	var te *TypeError
	if errors.As(err, &te) {
		return raw, &TypeError{Value: v.String(), What: "that is " + te.Value + " in the device: " + te.What, Range: te.Range}
	}
	return raw, err
}

// nearest is v as the device has it when it is sent raw for it: itself, where scaling takes no more than the last digits of it.
func (t *Target) nearest(v, raw tag.Value) tag.Value {
	terms := t.Spec.Terms()
	f, number := v.Float()
	if terms.Scale == 0 || !number || !isInteger(raw.Kind) {
		return v
	}
	shown := t.engineering(raw)
	g, _ := shown.Float()
	if math.Abs(f-g) <= 1e-6*math.Abs(terms.Scale)+1e-12*max(math.Abs(f), math.Abs(terms.Bias)) {
		return v
	}
	return shown
}

// engineering is the value that the gateway shows when the device has raw.
func (t *Target) engineering(raw tag.Value) tag.Value {
	terms := t.Spec.Terms()
	if terms.Scale == 0 {
		return raw
	}
	return raw.Scaled(terms.Scale, terms.Bias)
}

// same says whether got is want, both as the gateway shows them, within tolerance.
func same(want, got tag.Value, tolerance float64) bool {
	if want.Kind != got.Kind {
		c, err := convert(want, got.Kind)
		if err != nil {
			return false
		}
		want = c
	}
	if want.Bits == got.Bits && bytes.Equal(want.Aux, got.Aux) {
		return true
	}
	if want.Kind.IsArray() {
		return sameElems(want, got, tolerance)
	}
	a, ok := want.Float()
	b, _ := got.Float()
	return ok && (a == b || math.Abs(a-b) <= tolerance || math.IsNaN(a) && math.IsNaN(b))
}

func sameElems(want, got tag.Value, tolerance float64) bool {
	a, b := want.Elems(), got.Elems()
	for a.Next() {
		if !b.Next() || !same(a.Value, b.Value, tolerance) {
			return false
		}
	}
	return !b.Next()
}
