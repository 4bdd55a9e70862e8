package ua

import (
	"encoding/binary"
	"slices"
)

// DataValueMask says which fields of a DataValue are there. Its values are those of the wire [OPC 10000-6 5.2.2.17].
type DataValueMask uint8

// The fields of a DataValue.
const (
	HasValue             DataValueMask = 0x01
	HasStatus            DataValueMask = 0x02
	HasSourceTimestamp   DataValueMask = 0x04
	HasServerTimestamp   DataValueMask = 0x08
	HasSourcePicoseconds DataValueMask = 0x10
	HasServerPicoseconds DataValueMask = 0x20

	dataValueMask DataValueMask = 0x3f
)

// DataValue is a value with its quality and its times [OPC 10000-4 7.11]. What is not in Has is zero: a Status that is not there is Good.
type DataValue struct {
	Value             Variant
	SourceTimestamp   DateTime
	ServerTimestamp   DateTime
	Status            StatusCode
	SourcePicoseconds uint16 // 10 ps each, 0..9999
	ServerPicoseconds uint16
	Has               DataValueMask
}

// mask returns the fields that are written: those of Has, and those whose contents speak for themselves.
func (v *DataValue) mask() DataValueMask {
	has := v.Has & dataValueMask
	if v.Value.kind != TypeNull {
		has |= HasValue
	}
	if v.Status != 0 {
		has |= HasStatus
	}
	if v.SourceTimestamp != 0 {
		has |= HasSourceTimestamp
	}
	if v.ServerTimestamp != 0 {
		has |= HasServerTimestamp
	}
	return has
}

// AppendDataValue appends v.
func AppendDataValue(b []byte, v DataValue) []byte { return v.AppendTo(b) }

// maxFlat is the most that a DataValue of a scalar of up to eight bytes takes: mask, type, value, status, and two times of 8+2 bytes.
const maxFlat = 1 + 1 + 8 + 4 + 10 + 10

// AppendTo appends v: the fields in Has, and the value, status and times that are not zero.
func (v *DataValue) AppendTo(b []byte) []byte {
	has := v.mask()
	w := flatWidth(v.Value.kind)
	if has&HasValue != 0 && (w == 0 || v.Value.flag != 0) {
		return v.appendRest(v.Value.AppendTo(append(b, byte(has))), has)
	}
	b = slices.Grow(b, maxFlat)
	at := len(b)
	p := b[at : at+maxFlat]
	p[0] = byte(has)
	n := 1
	if has&HasValue != 0 {
		p[1] = byte(v.Value.kind)
		binary.LittleEndian.PutUint64(p[2:], v.Value.quiet())
		n = 2 + w
	}
	if has&^HasValue == HasSourceTimestamp {
		binary.LittleEndian.PutUint64(p[n:], uint64(v.SourceTimestamp))
		return b[:at+n+8]
	}
	return v.appendRest(b[:at+n], has)
}

// appendRest appends what follows the value.
func (v *DataValue) appendRest(b []byte, has DataValueMask) []byte {
	if has&HasStatus != 0 {
		b = AppendStatusCode(b, v.Status)
	}
	if has&HasSourceTimestamp != 0 {
		b = AppendDateTime(b, v.SourceTimestamp)
	}
	if has&HasSourcePicoseconds != 0 {
		b = AppendUInt16(b, v.SourcePicoseconds)
	}
	if has&HasServerTimestamp != 0 {
		b = AppendDateTime(b, v.ServerTimestamp)
	}
	if has&HasServerPicoseconds != 0 {
		b = AppendUInt16(b, v.ServerPicoseconds)
	}
	return b
}

// DataValue reads a DataValue.
func (d *Decoder) DataValue() (v DataValue) {
	d.dataValue(&v)
	return v
}

// DataValueInto reads a DataValue into v, all of it.
func (d *Decoder) DataValueInto(v *DataValue) {
	*v = DataValue{}
	d.dataValue(v)
}

// dataValue reads a DataValue into v, which is zero: elements of a new array are not cleared twice.
func (d *Decoder) dataValue(v *DataValue) {
	if len(d.b)-d.at < maxFlat {
		d.dataValueRest(v, DataValueMask(d.U8()))
		return
	}
	p := d.b[d.at : d.at+maxFlat]
	has := DataValueMask(p[0])
	w := flatWidth(TypeId(p[1]))
	if has&HasValue == 0 || w == 0 {
		d.at++
		d.dataValueRest(v, has)
		return
	}
	v.Value.kind = TypeId(p[1])
	v.Value.bits = flatBits(v.Value.kind, w, binary.LittleEndian.Uint64(p[2:]))
	if has&dataValueMask == HasValue|HasSourceTimestamp {
		v.Has = has & dataValueMask
		v.SourceTimestamp = DateTime(binary.LittleEndian.Uint64(p[2+w:]))
		d.at += 2 + w + 8
		return
	}
	d.at += 2 + w
	d.dataValueRest(v, has&^HasValue)
	v.Has |= HasValue
}

// dataValueRest reads the fields in has.
func (d *Decoder) dataValueRest(v *DataValue, has DataValueMask) {
	v.Has = has & dataValueMask
	if has&HasValue != 0 {
		d.variant(&v.Value)
	}
	if has&HasStatus != 0 {
		v.Status = d.StatusCode()
	}
	if has&HasSourceTimestamp != 0 {
		v.SourceTimestamp = d.DateTime()
	}
	if has&HasSourcePicoseconds != 0 {
		v.SourcePicoseconds = d.U16()
	}
	if has&HasServerTimestamp != 0 {
		v.ServerTimestamp = d.DateTime()
	}
	if has&HasServerPicoseconds != 0 {
		v.ServerPicoseconds = d.U16()
	}
}

// Equal reports whether v and o hold the same fields.
func (v *DataValue) Equal(o *DataValue) bool {
	return v.mask() == o.mask() && v.Status == o.Status &&
		v.SourceTimestamp == o.SourceTimestamp && v.ServerTimestamp == o.ServerTimestamp &&
		v.SourcePicoseconds == o.SourcePicoseconds && v.ServerPicoseconds == o.ServerPicoseconds && v.Value.Equal(o.Value)
}
