package device

import (
	"slices"
	"time"

	"millrace/internal/resilience"
)

// turns is a queue for dials at a common rate. A turn is given when it is due: one that was reserved before would not know that the rate has fallen since, nor who came meanwhile.
//
// Who was read until just now goes before those that are away or new: what became of a thousand others makes nobody who lost its connection wait, and it is back at once. One turn of urgentRow+1 is for
// the others all the same.
type turns struct {
	timer   timer // the next turn
	at      time.Time
	bucket  resilience.Bucket
	waiting []*endpoint // the urgent ones first, each part in the order in which they asked
	urgent  int         // how many of them are
	row     int         // urgent ones that had their turn since the last other one had
}

// urgentRow is how many turns in a row go to urgent ones while others wait.
const urgentRow = 3

// join puts e into the queue, and says whether it is the only one there.
func (t *turns) join(e *endpoint) (alone bool) {
	i := len(t.waiting)
	if e.proven {
		i = t.urgent
		t.urgent++
	}
	t.waiting = slices.Insert(t.waiting, i, e)
	return len(t.waiting) == 1
}

// leave takes e out of the queue, and says whether it was there.
func (t *turns) leave(s *shard, e *endpoint) bool {
	i := slices.Index(t.waiting, e)
	if i < 0 {
		return false
	}
	t.take(i)
	if len(t.waiting) == 0 {
		s.timers.disarm(&t.timer)
	}
	return true
}

func (t *turns) take(i int) *endpoint {
	e := t.waiting[i]
	t.waiting = slices.Delete(t.waiting, i, i+1)
	if i < t.urgent {
		t.urgent--
	}
	return e
}

// pop takes out whose turn it is.
func (t *turns) pop() *endpoint {
	others := len(t.waiting) > t.urgent
	if t.urgent > 0 && (!others || t.row < urgentRow) {
		t.row++
		return t.take(0)
	}
	t.row = 0
	return t.take(t.urgent)
}

// arm reserves the next turn, from from on.
func (t *turns) arm(s *shard, from time.Time) {
	t.at = t.bucket.Reserve(from, t.waiting[0].pool)
	s.timers.arm(&t.timer, t.at)
}

// ofAll is the queue of all dials, behind those of the subnets.
type ofAll struct{ turns }

// fire has who is next dialled.
func (a *ofAll) fire(s *shard, now time.Time) {
	e := a.pop()
	s.rt.counters.dialsWaiting.Add(-1)
	if len(a.waiting) > 0 {
		a.arm(s, a.at)
	}
	e.push(job{kind: jobOpen, at: now})
	s.next(e, now)
}
