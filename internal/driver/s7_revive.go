package driver

import (
	"context"
	"slices"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/s7"
)

// s7Revival is what a session knows of the holes of one plan.
type s7Revival = revival[*s7Plan]

// revivalOf returns what is known of p's holes, nil when p has none.
func (s *s7Session) revivalOf(p *s7Plan) *s7Revival {
	if len(p.inHole) == 0 {
		return nil
	}
	return s.revivals.of(p, s.search.trusted)
}

// hold appends the rows of p's tags in holes. When a probe is due it leaves one of them out, and returns which one, else -1.
func (s *s7Session) hold(p *s7Plan, rev *s7Revival) (probe int) {
	probe = rev.probe(len(p.inHole))
	for i := range p.inHole {
		if i != probe {
			s.dec.into.Append(p.inHole[i].cell.id, s.dec.ts, tag.BadNodeIDUnknown, tag.Null, 0)
		}
	}
	return probe
}

// probe asks for a tag in a hole. One that is there again makes all holes of its DB or area doubtful: from the next Read on they are asked for, and learned anew
// where they still are. Of a long tag only the next Read has all.
func (s *s7Session) probe(ctx context.Context, rev *s7Revival, n int) error {
	h := &rev.now.inHole[n]
	vars := []s7.Var{{Item: h.item}}
	err := s.client.Read(ctx, vars)
	v := &vars[0]
	switch {
	case !answered(v):
		return err
	case v.Err != nil:
		s.dec.ts = v.At.UnixNano()
		why := refusalOf(v)
		q := why.quality()
		if why.isHole() {
			q = tag.BadNodeIDUnknown // as without the probe
		} else {
			s.obs.Refused(h.span, explain(v.Err))
		}
		s.dec.into.Append(h.cell.id, s.dec.ts, q, tag.Null, 0)
		return err
	}
	s.search.trusted = true
	if h.whole {
		s.dec.ts = v.At.UnixNano()
		s.dec.cell(&h.cell, v.Data)
	}
	replanS7(rev, slices.DeleteFunc(slices.Clone(rev.now.lim.Holes), func(o device.Span) bool {
		return o.Area == h.span.Area && o.From>>16 == h.span.From>>16
	}))
	return err
}

// relearnS7 notes the holes that were found in a Read. Without revival the device's next plan has them.
func relearnS7(rev *s7Revival, holes []device.Span) {
	if rev.now != rev.plan && len(holes) > 0 {
		replanS7(rev, append(slices.Clone(rev.now.lim.Holes), holes...))
	}
}

func replanS7(rev *s7Revival, holes []device.Span) {
	base := rev.plan.s7PlanBase
	base.lim.Holes = holes
	if p, err := base.plan(rev.plan.tags); err == nil { // they were planned before, under the same limits
		rev.now = p
	}
}
