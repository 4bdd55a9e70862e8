package driver

import (
	"slices"
	"time"

	"millrace/internal/device"
)

const (
	// probeEvery is how often one of a plan's tags in holes is asked for all the same; the first one in the first Read of a session. A program
	// download may bring back what was not there, and what was learned outlives restarts.
	probeEvery = 30 * time.Second

	// maxRevivals bounds the plans whose holes a session looks after. It begins anew beyond: plans that were replaced are among them.
	maxRevivals = 64
)

// holedPlan is a plan that knows of holes and can be made anew with others.
type holedPlan[P any] interface {
	comparable
	holes() []device.Span
	withHoles(holes []device.Span) (P, error)
}

// revival is what a session knows of the holes of one plan.
type revival[P holedPlan[P]] struct {
	plan P         // as the device has it
	now  P         // plan, or the same without the holes that are no more
	due  time.Time // of the next probe
	next int       // which tag in a hole it asks for, modulo their number
}

// revivals are those of a session.
type revivals[P holedPlan[P]] []revival[P]

// of returns what is known of the holes of p, which has some. Those of a session on which something was asked for may just have been found.
func (all *revivals[P]) of(p P, asked bool) *revival[P] {
	for i := range *all {
		if (*all)[i].plan == p {
			return &(*all)[i]
		}
	}
	if len(*all) == maxRevivals {
		*all = (*all)[:0]
	}
	rev := revival[P]{plan: p, now: p}
	if asked {
		rev.due = time.Now().Add(probeEvery)
	}
	*all = append(*all, rev)
	return &(*all)[len(*all)-1]
}

// probe says which of so many tags in holes is to be asked for now, -1 when none is.
func (rev *revival[P]) probe(held int) int {
	if rev == nil || held == 0 {
		return -1
	}
	now := time.Now()
	if now.Before(rev.due) {
		return -1
	}
	rev.due = now.Add(probeEvery)
	n := rev.next % held
	rev.next = n + 1
	return n
}

// doubt has the tags asked for again that lie in holes beside one that is there again: in the same area, and the same upper half of the span, which is the unit or
// DB. Where there still are holes they are learned anew.
func (rev *revival[P]) doubt(there device.Span) {
	rev.replan(slices.DeleteFunc(slices.Clone(rev.now.holes()), func(h device.Span) bool {
		return h.Area == there.Area && h.From>>16 == there.From>>16
	}))
}

// relearn notes the holes that were found in a Read. Without revival the device's next plan has them.
func (rev *revival[P]) relearn(holes []device.Span) {
	if rev.now != rev.plan && len(holes) > 0 {
		rev.replan(append(slices.Clone(rev.now.holes()), holes...))
	}
}

func (rev *revival[P]) replan(holes []device.Span) {
	if p, err := rev.plan.withHoles(holes); err == nil { // its tags were planned before, under the same limits
		rev.now = p
	}
}
