package driver

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/s7"
)

// s7Range is one variable of a request: bytes of a DB or an area, or counters or timers.
type s7Range struct {
	item  s7.Item
	span  device.Span // the same as Limits knows it
	off   int         // of its first byte among those of all ranges
	cells []s7Cell    // by off; of a piece of a long tag none
	long  int         // index in s7Plan.long of what this is a piece of, -1 none
}

// s7Long is a tag that is read in pieces, each a range whose bytes follow those of the one before. The PLC may change it between two of them: only arrays and
// texts are cut, arrays between elements.
type s7Long struct {
	s7Cell
	pieces int
}

// s7Held is a tag in a hole.
type s7Held struct {
	cell  s7Cell
	item  s7.Item // it, or what of it one request may read
	span  device.Span
	whole bool // item is all of it
}

// s7Plan is immutable.
type s7Plan struct {
	s7PlanBase
	tags   []device.TagSpec
	ranges []s7Range
	pack   *s7.ReadPlan // of the ranges; nil without any
	out    []tag.ID     // out of service
	inHole []s7Held     // not asked for
	long   []s7Long
	bytes  int // of all ranges
}

// s7PlanBase is what a plan is made with besides its tags.
type s7PlanBase struct {
	lim    device.Limits
	window int // in flight, as it is known now
	item   int // most bytes of one variable
}

// Tags returns the tags in the order given to Compile, without those that it refused.
func (p *s7Plan) Tags() []device.TagSpec { return p.tags }

// Pace returns what is known of the window now. A PLC says with each connection how many jobs it takes at once.
func (p *s7Plan) Pace() device.Pace {
	return device.Pace{Window: p.window, MaxWindow: p.window, Connections: 1}
}

// s7Wire is what a PDU has around it: TPKT and COTP.
const s7Wire = s7.FrameBytes

// Requests describes the requests in the order in which they are sent. Bytes are those of whole frames.
func (p *s7Plan) Requests() []device.Request {
	if p.pack == nil {
		return nil
	}
	var out []device.Request
	var ranges []int
	for i, r := range p.pack.Requests() {
		d := device.Request{BytesOut: r.Out + s7Wire, BytesIn: r.In + s7Wire}
		ranges = p.pack.Vars(ranges[:0], i)
		p.describe(&d, ranges)
		out = append(out, d)
	}
	return out
}

// describe says of a request what it reads. From and To are those of its first DB or area.
func (p *s7Plan) describe(d *device.Request, ranges []int) {
	first := &p.ranges[ranges[0]].item
	elsewhere := map[device.Span]bool{} // by area, and DB as From
	d.From = 1<<32 - 1
	for _, i := range ranges {
		r := &p.ranges[i]
		d.Tags += max(1, len(r.cells))
		if r.item.Area != first.Area || r.item.DB != first.DB {
			elsewhere[device.Span{Area: r.span.Area, From: r.span.From >> 16}] = true
			continue
		}
		d.From, d.To = min(d.From, r.span.From&0xFFFF), max(d.To, r.span.To&0xFFFF)
	}
	d.Op = "read " + areaOf7(first)
	if len(ranges) > 1 {
		d.Op = fmt.Sprintf("read %d ranges, %s", len(ranges), areaOf7(first))
	}
	if n := len(elsewhere); n > 0 {
		d.Op += fmt.Sprintf(" and %d more areas,", n)
	}
}

// areaOf7 names the DB or area of an item.
func areaOf7(m *s7.Item) string {
	if m.Area == s7.AreaDB {
		return fmt.Sprintf("DB%d", m.DB)
	}
	return m.Area.String()
}

// Compile plans the requests that read tags. Neighbours are merged when that costs less than asking for them one by one, never across a hole; what comes of it is packed
// into the fewest requests that a PDU has room for, both ways. No value is torn: only arrays and texts that are longer than a PDU are read in pieces, arrays between
// elements, and the PLC may change them in between. A tag in a hole is not asked for and reads as BadNodeIDUnknown. Until a connection has negotiated a PDU
// the plan is made for that of the model, or for 240 bytes. The plan keeps tags.
func (S7) Compile(a device.Addr, tags []device.TagSpec, lim device.Limits) (device.Plan, error) {
	o, err := parseS7Options(a)
	if err == nil {
		err = checkConnections(lim)
	}
	if err != nil {
		return nil, err
	}
	return s7BaseOf(o.limit(lim)).plan(tags)
}

func s7BaseOf(lim device.Limits) s7PlanBase {
	lim.MaxItems = lesser(lim.MaxItems, lim.MaxTags)
	return s7PlanBase{lim: lim, window: max(1, lim.Window), item: s7.MaxReadData(lim.PDU)}
}

// plan plans tags. The error is joined of one *device.TagError a tag that cannot be read.
func (b s7PlanBase) plan(tags []device.TagSpec) (*s7Plan, error) {
	c := s7Compiler{s7PlanBase: b, plan: &s7Plan{s7PlanBase: b}, wants: make([]s7Want, 0, len(tags))}
	c.plan.tags = tags
	for i := range tags {
		err := c.add(&tags[i], i)
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
	if err := c.merge(); err != nil {
		return nil, err
	}
	return c.plan, errors.Join(c.errs...)
}

// s7Want is a cell, or a piece of a long tag, before it is in a range.
type s7Want struct {
	area s7.Area
	db   uint16
	at   int // byte, or number of a counter or timer
	n    int // bytes, or counters or timers
	long int // index in s7Plan.long of what this is a piece of, -1 none
	tag  int // whose it is, as the tags were given
	cell s7Cell
}

func (w *s7Want) end() int { return w.at + w.n }

// unit returns the bytes that one address of w stands for.
func (w *s7Want) unit() int {
	if w.area.Numbered() {
		return 2
	}
	return 1
}

func (w *s7Want) sameArea(v *s7Want) bool { return w.area == v.area && w.db == v.db }

type s7Compiler struct {
	s7PlanBase
	plan  *s7Plan
	wants []s7Want
	errs  []error
}

// add makes a want of t, which is tag i, or several, or holds it.
func (c *s7Compiler) add(t *device.TagSpec, i int) error {
	p, err := parseS7(t.Address)
	switch {
	case err != nil:
		return err
	case p.output:
		return bad("peripheral outputs cannot be read").hint("did you mean Q%s, the image of them?", p.place(p.letter())[2:])
	}
	if t.Writable {
		if err := p.canBeWritten(); err != nil {
			return err
		}
	}
	if t.OutOfService {
		c.plan.out = append(c.plan.out, t.ID)
		return nil
	}
	w := s7Want{area: p.area, db: p.db, at: p.at, n: p.end() - p.at, long: -1, tag: i, cell: s7Cell{
		id: t.ID, bytes: int32(p.bytes()), count: int32(p.count), chars: uint16(p.chars), typ: p.typ, bit: uint8(p.bit),
	}}
	switch {
	case c.inHole(&w, w.at, w.end()):
		c.hold(&w)
	case p.bytes() > c.item:
		c.cut(&w, &p)
	default:
		c.wants = append(c.wants, w)
	}
	return nil
}

// hold keeps a tag that is in a hole. Its item would show that the hole is no more: of a long tag it reads the end, since a hole is most often what a DB has become
// shorter by.
func (c *s7Compiler) hold(w *s7Want) {
	n := min(w.n, c.item/w.unit())
	c.plan.inHole = append(c.plan.inHole, s7Held{cell: w.cell, item: w.item(w.end()-n, w.end()), span: w.span(w.at, w.end()), whole: n == w.n})
}

// cut makes pieces of a tag that is longer than a variable of a request may be.
func (c *s7Compiler) cut(w *s7Want, p *s7Point) {
	step := c.item
	if size := p.stride(); p.typ != s7.TypeBool && size <= step {
		step -= step % size
	}
	step /= w.unit()
	l := s7Long{s7Cell: w.cell}
	l.off = int32(c.plan.bytes)
	c.plan.bytes += p.bytes()
	for at := w.at; at < w.end(); at += step {
		piece := *w
		piece.at, piece.n, piece.long = at, min(step, w.end()-at), len(c.plan.long)
		piece.cell.off = l.off + int32((at-w.at)*w.unit())
		c.wants = append(c.wants, piece)
		l.pieces++
	}
	c.plan.long = append(c.plan.long, l)
}

// item returns the variable that reads addresses from to, but not including, end.
func (w *s7Want) item(from, end int) s7.Item {
	switch w.area {
	case s7.AreaCounter:
		return s7.Counters(uint32(from), uint16(end-from))
	case s7.AreaTimer:
		return s7.Timers(uint32(from), uint16(end-from))
	}
	return s7.Bytes(w.area, w.db, uint32(from), uint16(end-from))
}

// span names the same addresses as Limits and Observer know them: those of a DB lie DB*65536 higher.
func (w *s7Want) span(from, end int) device.Span {
	base := uint32(w.db) << 16
	return device.Span{Area: uint8(w.area), From: base | uint32(from), To: base + uint32(end-1)}
}

// inHole says whether addresses of w's area touch a hole.
func (c *s7Compiler) inHole(w *s7Want, from, end int) bool {
	if len(c.lim.Holes) == 0 {
		return false
	}
	s := w.span(from, end)
	return slices.ContainsFunc(c.lim.Holes, func(h device.Span) bool { return h.Area == s.Area && h.From <= s.To && s.From <= h.To })
}

func compareWants(a, b s7Want) int {
	return cmp.Or(cmp.Compare(a.area, b.area), cmp.Compare(a.db, b.db), cmp.Compare(a.at, b.at), cmp.Compare(a.n, b.n))
}
