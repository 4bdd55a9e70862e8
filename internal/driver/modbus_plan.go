package driver

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// Sizes of a request to read and of its reply, headers included.
const (
	tcpReadOut = 12 // MBAP 7, function 1, address 2, quantity 2
	tcpReadIn  = 9  // MBAP 7, function 1, byte count 1
	rtuReadOut = 8  // unit 1, function 1, address 2, quantity 2, CRC 2
	rtuReadIn  = 5  // unit 1, function 1, byte count 1, CRC 2

	// modbusRequestWorth is what one more request costs in bytes besides those of its frames (21), until that was measured: twice the headers of Ethernet, IPv4 and
	// TCP (54). A gap of up to 64 registers costs less than a request then. The time of the round trip is not in it, so that merging errs on the side of
	// asking only for what is wanted.
	modbusRequestWorth = 2 * 54

	maxReadRegisters  = 125
	maxReadBits       = 2000
	maxWriteRegisters = 123
	replyOverhead     = 2 // function and byte count, of a PDU
)

// cell is one tag in one request.
type cell struct {
	id     tag.ID
	off    uint16 // from the request's first address
	n      uint16 // addresses
	size   uint16 // elements of an array or characters of a text, else 0
	bit    int8   // of a register, -1 none
	typ    modbusType
	order  byteOrder
	layout textLayout
	piece  int32 // index in modbusPlan.pieces, -1 when the tag is whole in this request
}

// planRequest is one request to read.
type planRequest struct {
	unit  uint8
	area  modbusArea
	from  uint16
	count uint16
	span  device.Span // the same addresses as Limits knows them
	cells []cell      // by off
}

// piece is a part of a tag that is longer than a request may be.
type piece struct {
	long int // index in modbusPlan.long
	at   int // address of the piece, from the tag's first
}

// longTag is a tag read in pieces. The device may change it between two of them: only arrays and texts are cut, arrays between elements.
type longTag struct {
	cell
	size   int // as cell.size, which is too small here
	bits   bool
	offset int // of its bytes in the session's scratch
	bytes  int
	pieces int
}

// modbusPlan is immutable.
type modbusPlan struct {
	planBase
	tags   []device.TagSpec
	reqs   []planRequest
	out    []tag.ID      // out of service
	inHole []planRequest // one tag each, or what of it one request may read: not asked for
	pieces []piece
	long   []longTag
	bytes  int // of all long tags
}

// planBase is what a plan is made with besides its tags.
type planBase struct {
	lim    device.Limits
	regs   int // most in one request
	bits   int
	window int  // in flight; of a learned one what was known when the plan was made
	most   int  // in flight, that a learned one may grow to
	auto   bool // the session learns it
	rtu    bool
	unit   uint8
	writes int // most registers in one write
}

// Tags returns the tags in the order given to Compile, without those that it refused.
func (p *modbusPlan) Tags() []device.TagSpec { return p.tags }

// Requests describes the requests in the order in which they are sent.
func (p *modbusPlan) Requests() []device.Request {
	out := make([]device.Request, 0, len(p.reqs))
	for i := range p.reqs {
		r := &p.reqs[i]
		d := device.Request{
			Op: readName(r.area), From: uint32(r.from), To: uint32(r.from) + uint32(r.count) - 1,
			Tags: len(r.cells), BytesOut: tcpReadOut, BytesIn: tcpReadIn + r.dataBytes(),
		}
		if p.rtu {
			d.BytesOut, d.BytesIn = rtuReadOut, rtuReadIn+r.dataBytes()
		}
		if r.unit != p.unit {
			d.Op += fmt.Sprintf(" of unit %d", r.unit)
		}
		out = append(out, d)
	}
	return out
}

// Pace returns what is known of the window now.
func (p *modbusPlan) Pace() device.Pace {
	return device.Pace{Window: p.window, MaxWindow: p.most, Connections: max(1, p.lim.Connections)}
}

func readName(a modbusArea) string {
	switch a {
	case areaCoil:
		return "read coils"
	case areaDiscrete:
		return "read discrete inputs"
	case areaInput:
		return "read input"
	}
	return "read holding"
}

func (r *planRequest) dataBytes() int {
	if r.area.isBits() {
		return (int(r.count) + 7) / 8
	}
	return 2 * int(r.count)
}

// Compile plans the requests that read tags. Neighbours are merged when reading the gap between them costs less than another request,
// never across a hole and never beyond what the device bears. A tag in a hole is not asked for and reads as BadNodeIDUnknown. The plan keeps
// tags.
func (Modbus) Compile(a device.Addr, tags []device.TagSpec, lim device.Limits) (device.Plan, error) {
	o, err := parseModbusOptions(a)
	if err != nil {
		return nil, err
	}
	lim = o.limit(lim)
	return planBase{
		lim: lim, window: max(1, lim.Window), most: o.mostInFlight(), auto: o.window == 0 && o.mostInFlight() > 1, rtu: o.rtu, unit: o.unit, writes: readCap(maxWriteRegisters, lim.MaxWrite),
		regs: readCap(maxReadRegisters, lim.MaxRegisters, (lim.PDU-replyOverhead)/2),
		bits: readCap(maxReadBits, lim.MaxBits, (lim.PDU-replyOverhead)*8),
	}.plan(tags)
}

// plan plans tags. The error is joined of one *device.TagError a tag that cannot be read.
func (b planBase) plan(tags []device.TagSpec) (*modbusPlan, error) {
	c := compiler{planBase: b, plan: &modbusPlan{planBase: b}}
	c.plan.tags = tags
	for i := range tags {
		err := c.add(&tags[i])
		switch {
		case err != nil && len(c.errs) == 0:
			c.plan.tags = slices.Clone(tags[:i]) // from here on it is not tags any more
			fallthrough
		case err != nil:
			c.errs = append(c.errs, &device.TagError{Tag: tags[i].Name, Address: tags[i].Address, Err: err})
		case len(c.errs) > 0:
			c.plan.tags = append(c.plan.tags, tags[i])
		}
	}
	c.merge()
	return c.plan, errors.Join(c.errs...)
}

// readCap returns the smallest of those that are greater than 0.
func readCap(limits ...int) int {
	least := limits[0]
	for _, l := range limits[1:] {
		if l > 0 {
			least = min(least, l)
		}
	}
	return least
}

// want is a cell before it is in a request.
type want struct {
	unit uint8
	area modbusArea
	addr int
	cell
}

func (w *want) end() int { return w.addr + int(w.n) }

type compiler struct {
	planBase
	plan  *modbusPlan
	wants []want
	errs  []error
}

// add makes a want of t, or several, or holds it.
func (c *compiler) add(t *device.TagSpec) error {
	p, err := parseModbus(t.Address)
	if err != nil {
		return err
	}
	if err := c.fits(&p); err != nil {
		return err
	}
	if t.Writable && !p.area.isWritable() {
		return bad("%ss cannot be written", p.area.noun()).hint("leave rw out")
	}
	unit := c.plan.unit
	if p.unit != noUnit {
		unit = uint8(p.unit)
	}
	if t.OutOfService {
		c.plan.out = append(c.plan.out, t.ID)
		return nil
	}
	w := want{unit: unit, area: p.area, addr: p.addr, cell: cell{
		id: t.ID, bit: int8(p.bit), typ: p.typ, order: p.order, layout: p.layout, piece: -1,
	}}
	if span := c.span(unit, p.area, p.addr, p.end()); c.inHole(span) {
		c.hold(w, &p, span)
		return nil
	}
	if p.span() > c.most(p.area) {
		c.cut(w, &p)
		return nil
	}
	w.n, w.size = uint16(p.span()), uint16(max(p.count, p.length))
	c.wants = append(c.wants, w)
	return nil
}

// hold keeps a tag that is in a hole. The request would show that the hole is no more: of a long tag it reads what it can.
func (c *compiler) hold(w want, p *modbusPoint, span device.Span) {
	w.n = uint16(min(p.span(), c.most(p.area)))
	if p.span() <= c.most(p.area) {
		w.size = uint16(max(p.count, p.length))
	}
	c.plan.inHole = append(c.plan.inHole, planRequest{
		unit: w.unit, area: w.area, from: uint16(w.addr), count: w.n, span: span, cells: []cell{w.cell},
	})
}

// fits refuses what no request to this device can read.
func (c *compiler) fits(p *modbusPoint) error {
	if p.scale != 0 {
		return bad("a scale in the address has no effect").hint("write scale=%g behind it, as an attribute of the tag", p.scale)
	}
	if !p.area.isBits() && !p.typ.isText() && p.typ.words() > c.regs {
		return bad("a %s takes %d registers, and the device gives %d in one request", p.typ, p.typ.words(), c.regs).
			hint("two requests could read two halves of different values")
	}
	return nil
}

func (c *compiler) most(a modbusArea) int {
	if a.isBits() {
		return c.bits
	}
	return c.regs
}

// cut makes pieces of a tag that is longer than a request may be.
func (c *compiler) cut(w want, p *modbusPoint) {
	step := c.most(p.area)
	if p.count > 0 && !p.area.isBits() {
		step -= step % p.typ.words()
	}
	l := longTag{cell: w.cell, size: max(p.count, p.length), bits: p.area.isBits(), offset: c.plan.bytes, bytes: 2 * p.span()}
	if l.bits {
		l.bytes = (p.span() + 7) / 8
	}
	for at := 0; at < p.span(); at += step {
		w.addr, w.n = p.addr+at, uint16(min(step, p.span()-at))
		w.piece = int32(len(c.plan.pieces))
		c.plan.pieces = append(c.plan.pieces, piece{long: len(c.plan.long), at: at})
		c.wants = append(c.wants, w)
		l.pieces++
	}
	c.plan.bytes += l.bytes
	c.plan.long = append(c.plan.long, l)
}

// merge makes requests of all wants.
func (c *compiler) merge() {
	slices.SortStableFunc(c.wants, func(a, b want) int {
		return cmp.Or(cmp.Compare(a.unit, b.unit), cmp.Compare(a.area, b.area), cmp.Compare(a.addr, b.addr), cmp.Compare(a.n, b.n))
	})
	cells := make([]cell, 0, len(c.wants)) // one backing array for all requests
	for i := 0; i < len(c.wants); {
		first, end := &c.wants[i], c.wants[i].end()
		j := i + 1
		for j < len(c.wants) && (c.lim.MaxTags == 0 || j-i < c.lim.MaxTags) && c.joins(first, end, &c.wants[j]) {
			end = max(end, c.wants[j].end())
			j++
		}
		start := len(cells)
		for _, w := range c.wants[i:j] {
			w.off = uint16(w.addr - first.addr)
			cells = append(cells, w.cell)
		}
		c.plan.reqs = append(c.plan.reqs, planRequest{
			unit: first.unit, area: first.area, from: uint16(first.addr), count: uint16(end - first.addr),
			span: c.span(first.unit, first.area, first.addr, end), cells: cells[start:len(cells):len(cells)],
		})
		i = j
	}
}

// joins says whether w may be read by the request that begins with first and ends before end.
func (c *compiler) joins(first *want, end int, w *want) bool {
	if w.unit != first.unit || w.area != first.area || max(end, w.end())-first.addr > c.most(w.area) {
		return false
	}
	gap := w.addr - end
	return gap <= 0 || c.cheap(w.area, gap) && !c.inHole(c.span(w.unit, w.area, end, w.addr))
}

// cheap says whether to read gap addresses for nothing rather than to make another request.
func (c *compiler) cheap(a modbusArea, gap int) bool {
	switch {
	case c.lim.Gap != 0:
		return gap <= c.lim.Gap
	case a.isBits():
		return (gap+7)/8 <= c.requestCost()
	}
	return 2*gap <= c.requestCost()
}

// requestCost is what one more request costs, bytes.
func (c *compiler) requestCost() int {
	return tcpReadOut + tcpReadIn + cmp.Or(c.lim.RequestWorth, modbusRequestWorth)
}

// RequestWorth returns what a request costs in bytes besides its frames.
func (Modbus) RequestWorth() int { return modbusRequestWorth }

// inHole says whether s touches a hole.
func (c *compiler) inHole(s device.Span) bool {
	for _, h := range c.lim.Holes {
		if h.Area == s.Area && h.From <= s.To && s.From <= h.To {
			return true
		}
	}
	return false
}

// span names the addresses from up to, but not including, end as Limits and Observer know them. Those of a tag that names its own unit
// lie (unit+1)*65536 higher, so that units of one device do not mix.
func (c *compiler) span(unit uint8, a modbusArea, from, end int) device.Span {
	base := uint32(0)
	if unit != c.plan.unit {
		base = (uint32(unit) + 1) << 16
	}
	return device.Span{Area: uint8(a), From: base + uint32(from), To: base + uint32(end) - 1}
}
