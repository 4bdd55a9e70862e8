package driver

import "millrace/internal/tag"

// assembly puts long tags together from their pieces. It keeps its memory from one Read to the next.
type assembly struct {
	bytes []byte
	left  []int // by long tag: pieces that have not come; 0 when its row is written
}

// reset makes a ready for one Read of p.
func (a *assembly) reset(p *modbusPlan) {
	if len(p.long) == 0 {
		return
	}
	if cap(a.bytes) < p.bytes {
		a.bytes = make([]byte, p.bytes)
	}
	a.bytes = a.bytes[:p.bytes]
	clear(a.bytes)
	a.left = a.left[:0]
	for i := range p.long {
		a.left = append(a.left, p.long[i].pieces)
	}
}

// cells appends the rows of cells, which data holds whole; data begins with the address first places behind the request's own. Pieces go
// to a, and the last one of a tag brings its row.
func (d *decoder) cells(p *modbusPlan, a *assembly, area modbusArea, cells []cell, data []byte, first uint16) {
	for i := range cells {
		c := cells[i]
		c.off -= first
		if c.piece < 0 {
			d.cell(&c, area, data)
			continue
		}
		d.piece(p, a, &c, data)
	}
}

func (d *decoder) piece(p *modbusPlan, a *assembly, c *cell, data []byte) {
	pc := p.pieces[c.piece]
	l := &p.long[pc.long]
	whole := a.bytes[l.offset : l.offset+l.bytes]
	if l.bits {
		for i := range int(c.n) {
			at := pc.at + i
			whole[at/8] |= byte(bitAt(data, int(c.off)+i)) << (at % 8)
		}
	} else {
		copy(whole[2*pc.at:], data[2*int(c.off):2*(int(c.off)+int(c.n))])
	}
	if a.left[pc.long] == 0 {
		return // an earlier piece was refused, and the row says so
	}
	a.left[pc.long]--
	if a.left[pc.long] > 0 {
		return
	}
	if l.bits {
		d.bits(l.id, l.size, whole, 0)
		return
	}
	d.registers(&l.cell, l.size, whole)
}

// refuse appends the row of a cell that the device does not give.
func (d *decoder) refuse(p *modbusPlan, a *assembly, c *cell, q tag.Quality) {
	if c.piece >= 0 {
		long := p.pieces[c.piece].long
		if a.left[long] == 0 {
			return
		}
		a.left[long] = 0
	}
	d.into.Append(c.id, d.ts, q, tag.Null, 0)
}
