package driver

import (
	"context"

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
	rev.doubt(h.span)
	return err
}

func (p *s7Plan) holes() []device.Span { return p.lim.Holes }

// withHoles plans p's tags with other holes.
func (p *s7Plan) withHoles(holes []device.Span) (*s7Plan, error) {
	base := p.s7PlanBase
	base.lim.Holes = holes
	return base.plan(p.tags)
}
