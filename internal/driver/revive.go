package driver

import "time"

const (
	// probeEvery is how often one of a plan's tags in holes is asked for all the same; the first one in the first Read of a session. A program
	// download may bring back what was not there, and what was learned outlives restarts.
	probeEvery = 30 * time.Second

	// maxRevivals bounds the plans whose holes a session looks after. It begins anew beyond: plans that were replaced are among them.
	maxRevivals = 64
)

// revival is what a session knows of the holes of one plan.
type revival[P comparable] struct {
	plan P         // as the device has it
	now  P         // plan, or the same without the holes that are no more
	due  time.Time // of the next probe
	next int       // which tag in a hole it asks for, modulo their number
}

// revivals are those of a session.
type revivals[P comparable] []revival[P]

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
