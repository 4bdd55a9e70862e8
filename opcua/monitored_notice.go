package opcua

import (
	"bytes"

	"millrace/opcua/ua"
)

// stamps is what a DataValue has beside its value.
type stamps struct {
	source, server ua.DateTime // 0 is none
	status         ua.StatusCode
	sourcePico     uint16 // in 10 ps
	serverPico     uint16
}

func stampsOf(v *ua.DataValue) stamps {
	return stamps{v.SourceTimestamp, v.ServerTimestamp, v.Status, v.SourcePicoseconds, v.ServerPicoseconds}
}

// notice is a value that waits in the queue of an item. The variant is encoded; the rest are numbers, since clients ask for different time stamps and the
// overflow bit comes late.
type notice struct {
	value []byte // encoded Variant; empty is none
	stamps
}

const (
	statusOverflow = 0x0480 // InfoType DataValue, Overflow
	noticeFixed    = 4 + 1 + 4 + 8 + 2 + 8 + 2
)

// size is the most bytes that appendTo appends.
func (n *notice) size() int { return noticeFixed + len(n.value) }

// appendTo appends a MonitoredItemNotification with the time stamps that were asked for.
func (n *notice) appendTo(b []byte, handle uint32, t ua.TimestampsToReturn) []byte {
	b = ua.AppendUInt32(b, handle)
	at := len(b)
	mask := byte(0)
	b = append(b, 0)
	if len(n.value) > 0 {
		mask |= byte(ua.HasValue)
		b = append(b, n.value...)
	}
	if n.status != ua.Good {
		mask |= byte(ua.HasStatus)
		b = ua.AppendStatusCode(b, n.status)
	}
	if n.source != 0 && (t == ua.TimestampsToReturnSource || t == ua.TimestampsToReturnBoth) {
		mask |= byte(ua.HasSourceTimestamp)
		b = ua.AppendDateTime(b, n.source)
		if n.sourcePico != 0 {
			mask |= byte(ua.HasSourcePicoseconds)
			b = ua.AppendUInt16(b, n.sourcePico)
		}
	}
	if n.server != 0 && (t == ua.TimestampsToReturnServer || t == ua.TimestampsToReturnBoth) {
		mask |= byte(ua.HasServerTimestamp)
		b = ua.AppendDateTime(b, n.server)
		if n.serverPico != 0 {
			mask |= byte(ua.HasServerPicoseconds)
			b = ua.AppendUInt16(b, n.serverPico)
		}
	}
	b[at] = mask
	return b
}

// sample is what a sampler has found, encoded once for all its items. It is the sampler's: who keeps something of it copies.
type sample struct {
	value   []byte // encoded Variant; empty is none
	number  float64
	bits    uint64    // of the number, unless it is none
	kind    ua.TypeId // of the number whose bits these are; 0 is none
	numeric bool      // number is the value: a scalar of a number type
	stamps
	room [2 * noticeScalar]byte // where value lies while there is room for it twice
}

// noticeScalar is the longest scalar that is a number or a time, encoded.
const noticeScalar = 1 + 8

// change says in what a sample differs from the one before.
type change uint8

const (
	changedStatus change = 1 << iota
	changedValue
	changedTime // of the source
)

// set takes v in and returns in what it differs from what was there.
func (s *sample) set(v *ua.DataValue) (c change) {
	next := stampsOf(v)
	c = s.stamps.differ(&next)
	s.stamps = next
	if s.setValue(&v.Value) {
		c |= changedValue
	}
	return c
}

func (s *stamps) differ(next *stamps) (c change) {
	if next.status != s.status {
		c |= changedStatus
	}
	if next.source != s.source || next.sourcePico != s.sourcePico {
		c |= changedTime
	}
	return c
}

// differs says in what next differs from s.
func (s *sample) differs(next *sample) change {
	c := s.stamps.differ(&next.stamps)
	if !bytes.Equal(s.value, next.value) {
		c |= changedValue
	}
	return c
}

// setValue takes the value in. A number is compared by its bits; what else there is, NaN too, is encoded behind what was there, in the same buffer, and moved to the front when the
// two differ.
func (s *sample) setValue(v *ua.Variant) (changed bool) {
	if s.value == nil {
		s.value, s.kind = s.room[:0], 0
	}
	if number, ok := numberOf(v); ok && number == number {
		return s.setNumber(v, number)
	}
	s.kind = 0
	n := len(s.value)
	b := s.value
	if !v.IsNull() {
		b = v.AppendTo(b)
	}
	if bytes.Equal(b[:n], b[n:]) {
		s.value = b[:n]
		return false
	}
	s.value = b[:copy(b, b[n:])]
	s.number, s.numeric = numberOf(v)
	return true
}

func (s *sample) setNumber(v *ua.Variant, number float64) (changed bool) {
	kind, bits := v.Type(), v.Bits()
	if kind == s.kind && bits == s.bits {
		return false
	}
	s.kind, s.bits, s.number, s.numeric = kind, bits, number, true
	s.value = v.AppendTo(s.value[:0])
	return true
}

// numberOf returns the value of a scalar number.
func numberOf(v *ua.Variant) (float64, bool) {
	if v.IsArray() || !isNumber(v.Type()) {
		return 0, false
	}
	return v.Float64()
}

func isNumber(t ua.TypeId) bool { return t >= ua.TypeSByte && t <= ua.TypeDouble }
