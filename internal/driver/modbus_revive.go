package driver

import (
	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

// revivalOf returns what is known of p's holes, nil when p has none.
func (s *modbusSession) revivalOf(p *modbusPlan) *modbusRevival {
	if len(p.inHole) == 0 {
		return nil
	}
	return s.revivals.of(p, len(s.split.best) > 0)
}

// modbusRevival is what a session knows of the holes of one plan.
type modbusRevival = revival[*modbusPlan]

// hold appends the rows of p's tags in holes. When a probe is due it asks for one of them instead, behind all other calls, and returns
// which one, else -1.
func (s *modbusSession) hold(p *modbusPlan, rev *modbusRevival) (probe int) {
	if probe = rev.probe(len(p.inHole)); probe >= 0 {
		r := &p.inHole[probe]
		s.ask(r.unit, r.area, r.from, r.count)
	}
	for i := range p.inHole {
		if i != probe {
			s.dec.into.Append(p.inHole[i].cells[0].id, s.dec.ts, tag.BadNodeIDUnknown, tag.Null, 0)
		}
	}
	return probe
}

// probed looks at what came of a probe. A tag that is there again makes all holes of its unit and area doubtful: from the next Read on they
// are asked for, and learned anew where they still are. Of a long tag only the next Read has all.
func (s *modbusSession) probed(rev *modbusRevival, probe int, call *modbus.Call) error {
	p := rev.now
	r := &p.inHole[probe]
	switch exceptionOf(call.Err) {
	case modbus.IllegalDataAddress, modbus.IllegalDataValue:
		s.dec.into.Append(r.cells[0].id, s.dec.ts, tag.BadNodeIDUnknown, tag.Null, 0) // as without the probe
		return nil
	}
	if call.Err != nil {
		return s.settleRefusal(p, r, r.cells, call)
	}
	if r.span.To-r.span.From+1 == uint32(r.count) {
		s.dec.ts = call.At.UnixNano()
		s.dec.cells(p, &s.long, r.area, r.cells, call.Data, 0)
	}
	rev.doubt(r.span)
	return nil
}

func (p *modbusPlan) holes() []device.Span { return p.lim.Holes }

// withHoles plans p's tags with other holes.
func (p *modbusPlan) withHoles(holes []device.Span) (*modbusPlan, error) {
	base := p.planBase
	base.lim.Holes = holes
	return base.plan(p.tags)
}
