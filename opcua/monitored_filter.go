package opcua

import (
	"bytes"
	"encoding/binary"
	"math"

	"millrace/opcua/ua"
)

// itemFilter decides which samples of an item are told. [OPC 10000-4 7.22.2]
type itemFilter struct {
	trigger  ua.DataChangeTrigger
	banded   bool    // there is a deadband
	deadband float64 // absolute: a percentage was multiplied with the range when the item was made
	last     float64 // the number that was told last, if numeric
	numeric  bool
	array    []byte // what was told last when it is an array and there is a deadband: its encoding
}

// passes says whether a sample that differs in c from the one before is to be told.
func (f *itemFilter) passes(s *sample, c change) bool {
	switch {
	case c&changedStatus != 0:
		return true
	case f.trigger == ua.DataChangeTriggerStatus:
		return false
	case c&changedValue != 0:
		return f.beyond(s)
	}
	return f.trigger == ua.DataChangeTriggerStatusValueTimestamp && c&changedTime != 0
}

// told remembers what deadbands are measured from.
func (f *itemFilter) told(s *sample) {
	if !f.banded {
		return
	}
	f.last, f.numeric = s.number, s.numeric
	if !s.numeric {
		f.array = append(f.array[:0], s.value...)
	}
}

// beyond says whether s lies outside of the deadband around what was told last. Whatever is no number has no deadband; NaN is beyond everything.
func (f *itemFilter) beyond(s *sample) bool {
	switch {
	case !f.banded:
		return true
	case f.numeric && s.numeric:
		return !(math.Abs(s.number-f.last) <= f.deadband)
	case f.numeric || s.numeric:
		return true
	}
	return f.arrayBeyond(s.value)
}

// variantArray is what a Variant's first byte has beside its type when it is an array; 0x40 more when that has dimensions.
const variantArray = 0x80

// arrayBeyond compares encoded arrays of numbers element by element: one that is beyond is enough, and so is another type or length.
func (f *itemFilter) arrayBeyond(b []byte) bool {
	was := f.array
	if len(b) < 5 || len(was) != len(b) || b[0]&variantArray == 0 || !bytes.Equal(b[:5], was[:5]) {
		return true
	}
	t := ua.TypeId(b[0] & 0x3F)
	if !isNumber(t) {
		return true
	}
	n, size := int(binary.LittleEndian.Uint32(b[1:])), numberSize(t)
	end := 5 + n*size
	for at := 5; at < end; at += size {
		if !(math.Abs(numberAt(t, b[at:])-numberAt(t, was[at:])) <= f.deadband) {
			return true
		}
	}
	return !bytes.Equal(b[end:], was[end:]) // dimensions
}

func numberSize(t ua.TypeId) int {
	switch t {
	case ua.TypeSByte, ua.TypeByte:
		return 1
	case ua.TypeInt16, ua.TypeUInt16:
		return 2
	case ua.TypeInt32, ua.TypeUInt32, ua.TypeFloat:
		return 4
	default:
		return 8
	}
}

func numberAt(t ua.TypeId, b []byte) float64 {
	switch t {
	case ua.TypeSByte:
		return float64(int8(b[0]))
	case ua.TypeByte:
		return float64(b[0])
	case ua.TypeInt16:
		return float64(int16(binary.LittleEndian.Uint16(b)))
	case ua.TypeUInt16:
		return float64(binary.LittleEndian.Uint16(b))
	case ua.TypeInt32:
		return float64(int32(binary.LittleEndian.Uint32(b)))
	case ua.TypeUInt32:
		return float64(binary.LittleEndian.Uint32(b))
	case ua.TypeInt64:
		return float64(int64(binary.LittleEndian.Uint64(b)))
	case ua.TypeUInt64:
		return float64(binary.LittleEndian.Uint64(b))
	case ua.TypeFloat:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	default:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
}
