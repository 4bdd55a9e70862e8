package device

import (
	"math"

	"millrace/internal/tag"
)

// take brings what a turn read into the table: scales the rows of b, writes them down as last values, and leaves in b those that
// pass the deadband. It returns how many rows there were and how many the deadband held back. Rows of tags that the device
// does not have, or that are out of service by now, are held back too. When part is set the read broke off, and the tags of plan
// of which nothing came are marked as if the device were down.
func (t *table) take(b *tag.Batch, plan Plan, part bool) (read, filtered int) {
	return t.takeAs(b, plan, part, false)
}

// takeCached is take for a turn that asked for one tag of plan: the others keep the time of their last value, which is how old they are.
func (t *table) takeCached(b *tag.Batch, plan Plan, _ bool) (read, filtered int) {
	return t.takeAs(b, plan, true, true)
}

func (t *table) takeAs(b *tag.Batch, plan Plan, part, cached bool) (read, filtered int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn++
	seq := t.clock.Add(1)
	t.scaleRows(b)
	if part {
		t.markMissing(b, plan, cached)
	}
	read, filtered = t.passRows(b, seq)
	if t.seq == seq {
		t.moved(b.Received)
	}
	return read, filtered
}

// scaleRows makes engineering values of raw ones and gives rows without a time the one at which they came.
func (t *table) scaleRows(b *tag.Batch) {
	pos := -1
	for i, id := range b.ID {
		if b.TS[i] == 0 {
			b.TS[i] = b.Received
		}
		if pos = t.index(id, pos+1); pos < 0 {
			continue
		}
		t.cells[pos].turn = t.turn
		if s := t.tags[pos].spec.Shared; s != nil && s.Scale != 0 {
			scale(b, i, s.Scale, s.Bias)
		}
	}
}

// scale turns row i into raw*factor + bias: a float64, or an array of them. What is not a number stays as it is.
func scale(b *tag.Batch, i int, factor, bias float64) {
	v := b.Value(i)
	if f, ok := v.Float(); ok {
		b.Kind[i], b.Bits[i] = tag.Float64, math.Float64bits(f*factor+bias)
		return
	}
	w := v.Kind.Elem().Width()
	if !v.Kind.IsArray() || w == 0 || v.Kind.Elem() == tag.DateTime {
		return
	}
	off := len(b.Aux)
	for k := range len(v.Aux) / w {
		e, _ := v.Elem(k)
		f, _ := e.Float()
		b.Aux = tag.AppendElem(b.Aux, tag.Float64, math.Float64bits(f*factor+bias))
	}
	b.Kind[i], b.Bits[i] = tag.Float64|tag.Array, uint64(off)<<32|uint64(len(b.Aux)-off)
}

// passRows writes the rows down and keeps those that pass, in order.
func (t *table) passRows(b *tag.Batch, seq uint64) (read, filtered int) {
	read = b.Len()
	if t.bequeathed { // the successor says what there is to say
		b.Truncate(0)
		return read, read
	}
	pos, keep := -1, 0
	for i := range read {
		pos = t.index(b.ID[i], pos+1)
		if pos < 0 || t.tags[pos].out && b.Quality[i] != tag.BadOutOfService || b.TS[i] != b.Received && t.overtaken(pos, b.TS[i]) { // what has the time at which it came, as marks have, is of now, whatever the device's clock says
			continue
		}
		t.put(pos, b, i, seq)
		if !t.pass(pos, b, i) {
			continue
		}
		b.ID[keep], b.TS[keep], b.Quality[keep], b.Kind[keep], b.Bits[keep] = b.ID[i], b.TS[i], b.Quality[i], b.Kind[i], b.Bits[i]
		keep++
	}
	b.Truncate(keep)
	return read, read - keep
}

// pass says whether row i of b is news to the consumers, and if so remembers that they were told.
func (t *table) pass(pos int, b *tag.Batch, i int) bool {
	c := &t.cells[pos]
	v := b.Value(i)
	if p := &c.passed; p.any && p.quality == b.Quality[i] && !t.tags[pos].spec.passes(c, v) {
		return false
	}
	c.passed = passed{any: true, quality: b.Quality[i], kind: v.Kind, bits: v.Bits}
	c.setTold(v.Aux)
	return true
}

// passes says whether v is news by t's deadband.
func (t *TagSpec) passes(c *cell, v tag.Value) bool {
	var d Deadband
	if t.Shared != nil {
		d = t.Shared.Deadband
	}
	return d.passes(c, v)
}

// passes says whether v is far enough from what passed last, both of the same quality.
func (d *Deadband) passes(c *cell, v tag.Value) bool {
	last := &c.passed
	if d.Every || last.kind != v.Kind {
		return true
	}
	if last.bits == v.Bits && string(c.told()) == string(v.Aux) {
		return false
	}
	if !last.quality.IsGood() || v.Kind == tag.Bool || d.Abs <= 0 && d.Percent <= 0 {
		return true
	}
	was, _ := tag.Value{Kind: last.kind, Bits: last.bits}.Float()
	diff, ok := distance(last.bits, v)
	if !ok || math.IsInf(was, 0) { // any share of infinity is infinity
		return true
	}
	// Written as "not within", so that NaN passes: it is neither.
	return !(d.Abs > 0 && diff <= d.Abs) && !(d.Percent > 0 && diff <= d.Percent/100*d.span(was))
}

// distance returns how far v is from the value of its kind in was, and false when that is no number. Whole numbers are subtracted before they
// are rounded: above 2^53 a float64 does not tell neighbours apart.
func distance(was uint64, v tag.Value) (float64, bool) {
	switch v.Kind {
	case tag.Int64:
		return float64(max(v.Bits^1<<63, was^1<<63) - min(v.Bits^1<<63, was^1<<63)), true // as far apart as with the sign, and without overflow
	case tag.Uint64:
		return float64(max(v.Bits, was) - min(v.Bits, was)), true
	}
	is, ok := v.Float()
	before, _ := tag.Value{Kind: v.Kind, Bits: was}.Float()
	return math.Abs(is - before), ok
}

// span is what a percentage is of.
func (d *Deadband) span(last float64) float64 {
	if d.Low == 0 && d.High == 0 {
		return math.Abs(last)
	}
	return math.Abs(d.High - d.Low)
}

// markDown appends a row to b for every tag in service: its last usable value, or that there is no communication, leaves in b what
// passes, and returns as take does.
func (t *table) markDown(b *tag.Batch) (read, filtered int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.tags {
		if !t.tags[i].out {
			t.appendUnread(b, i, tag.BadNoCommunication)
		}
	}
	return t.passRows(b, t.clock.Add(1))
}

// markTags is markDown for a given quality: of all tags, or of those out of service when only is set.
func (t *table) markTags(b *tag.Batch, q tag.Quality, only bool) (read, filtered int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.tags {
		if t.tags[i].out || !only {
			b.Append(t.tags[i].id, b.Received, q, tag.Null, 0)
		}
	}
	return t.passRows(b, t.clock.Add(1))
}

// markMissing appends rows for the tags of plan that the turn did not write.
func (t *table) markMissing(b *tag.Batch, plan Plan, cached bool) {
	pos := -1
	for _, s := range plan.Tags() {
		if pos = t.index(s.ID, pos+1); pos < 0 || t.cells[pos].turn == t.turn {
			continue
		}
		t.appendUnread(b, pos, tag.BadTimeout)
		if c := &t.cells[pos]; cached && !c.quality.IsBad() {
			b.TS[b.Len()-1] = c.ts
		}
	}
}

// appendUnread appends the row of a tag that cannot be read: the last value as long as it was usable, else none with quality bad.
func (t *table) appendUnread(b *tag.Batch, pos int, bad tag.Quality) {
	c := &t.cells[pos]
	switch {
	case c.quality.IsBad():
		b.Append(t.tags[pos].id, b.Received, bad, tag.Null, 0)
	case c.kind.Width() > 0:
		b.Append(t.tags[pos].id, b.Received, tag.UncertainLastUsable, c.kind, c.bits)
	default:
		b.AppendAux(t.tags[pos].id, b.Received, tag.UncertainLastUsable, c.kind, c.value())
	}
}
