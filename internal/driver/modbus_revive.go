package driver

import (
	"slices"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

const (
	// probeEvery is how often one of a plan's tags in holes is asked for all the same; the first one in the first Read of a session. A program
	// download may bring back what was not there, and what was learned outlives restarts.
	probeEvery = 30 * time.Second

	// maxRevivals bounds the plans whose holes a session looks after. It begins anew beyond: plans that were replaced are among them.
	maxRevivals = 64
)

// revival is what a session knows of the holes of one plan.
type revival struct {
	plan *modbusPlan // as the device has it
	now  *modbusPlan // plan, or the same without the holes that are no more
	due  time.Time   // of the next probe
	next int         // index of it in now.inHole, modulo their number
}

// revivalOf returns what is known of p's holes, nil when p has none.
func (s *modbusSession) revivalOf(p *modbusPlan) *revival {
	if len(p.inHole) == 0 {
		return nil
	}
	for i := range s.revivals {
		if s.revivals[i].plan == p {
			return &s.revivals[i]
		}
	}
	if len(s.revivals) == maxRevivals {
		s.revivals = s.revivals[:0]
	}
	rev := revival{plan: p, now: p}
	if len(s.split.best) > 0 {
		rev.due = time.Now().Add(probeEvery) // these holes may just have been found
	}
	s.revivals = append(s.revivals, rev)
	return &s.revivals[len(s.revivals)-1]
}

// hold appends the rows of p's tags in holes. When a probe is due it asks for one of them instead, behind all other calls, and returns
// which one, else -1.
func (s *modbusSession) hold(p *modbusPlan, rev *revival) (probe int) {
	probe = -1
	if now := time.Now(); rev != nil && len(p.inHole) > 0 && !now.Before(rev.due) {
		rev.due = now.Add(probeEvery)
		probe = rev.next % len(p.inHole)
		rev.next = probe + 1
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
func (s *modbusSession) probed(rev *revival, probe int, call *modbus.Call) error {
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
	rev.replan(slices.DeleteFunc(slices.Clone(p.lim.Holes), func(h device.Span) bool {
		return h.Area == r.span.Area && h.From>>16 == r.span.From>>16
	}))
	return nil
}

// relearn notes the holes that were found in a Read. Without revival the device's next plan has them.
func (rev *revival) relearn(holes []device.Span) {
	if rev.now != rev.plan && len(holes) > 0 {
		rev.replan(append(slices.Clone(rev.now.lim.Holes), holes...))
	}
}

func (rev *revival) replan(holes []device.Span) {
	base := rev.plan.planBase
	base.lim.Holes = holes
	if p, err := base.plan(rev.plan.tags); err == nil { // they were planned before, under the same limits
		rev.now = p
	}
}
