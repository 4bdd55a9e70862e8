package inflight

import "time"

// slot is one id that has no answer yet.
type slot struct {
	id       uint16
	key      Key
	used     bool
	writing  bool // the write that carries the frame has not returned
	at       int  // where the frame starts in that write
	size     int  // bytes of the frame
	turn     *Turn
	call     int // the request's number in turn.Work
	tries    int // with this one
	sent     time.Time
	deadline time.Time
}

// givenUp reports whether nobody waits for the answer any more. The id stays taken until it comes.
func (s *slot) givenUp() bool { return s.turn == nil }

// table holds the ids without a reply, and the last ones that got theirs. It is pure: no lock, no clock, no socket.
type table struct {
	slots    []slot
	inFlight int // slots with a turn
	next     uint16
	answered []answeredID // a ring
	at       int          // the oldest
}

// How far back a duplicate is known from a foreign answer: four times as many as ever were in flight at once.
const (
	leastAnswered = 16
	mostAnswered  = 64 // four times the usual largest window of 16
)

type answeredID struct {
	id  uint16
	key Key // 0: unused entry
}

// add takes a free id for s, and returns s in its place, which is good until the next add. Ids go up by one and skip those that still wait for a reply: an id that timed out is not used again
// until its reply came.
func (t *table) add(s slot) *slot {
	for t.next++; t.find(t.next) != nil; t.next++ {
	}
	s.id, s.used = t.next, true
	t.inFlight++
	for i := range t.slots {
		if !t.slots[i].used {
			t.slots[i] = s
			return &t.slots[i]
		}
	}
	t.slots = append(t.slots, s)
	return &t.slots[len(t.slots)-1]
}

// find returns the slot of id, or nil. The pointer is good until the next add.
func (t *table) find(id uint16) *slot {
	for i := range t.slots {
		if s := &t.slots[i]; s.id == id && s.used {
			return s
		}
	}
	return nil
}

// only returns the one slot in flight of a connection without ids, or nil.
func (t *table) only() *slot {
	for i := range t.slots {
		if s := &t.slots[i]; s.used && !s.givenUp() {
			return s
		}
	}
	return nil
}

// lone returns whose everything in flight is, nil when that is nothing, or of several.
func (t *table) lone() (of *Turn) {
	for i := range t.slots {
		s := &t.slots[i]
		switch {
		case s.givenUp() || s.turn == of:
		case of != nil:
			return nil
		default:
			of = s.turn
		}
	}
	return of
}

// overtakes reports whether somebody still waits for the reply to a request older than s.
func (t *table) overtakes(s *slot) bool {
	for i := range t.slots {
		if o := &t.slots[i]; o.used && !o.givenUp() && int16(o.id-s.id) < 0 { // ids wrap
			return true
		}
	}
	return false
}

// giveUp leaves s without a caller.
func (t *table) giveUp(s *slot) {
	s.turn = nil
	t.inFlight--
}

// answer frees s, whose reply came, and remembers its id.
func (t *table) answer(s *slot) {
	if n := min(max(4*len(t.slots), leastAnswered), mostAnswered); n > len(t.answered) {
		grown := make([]answeredID, n)
		have := copy(grown, t.answered[t.at:]) // the oldest first
		have += copy(grown[have:], t.answered[:t.at])
		t.answered, t.at = grown, have
	}
	t.answered[t.at] = answeredID{id: s.id, key: s.key}
	t.at = (t.at + 1) % len(t.answered)
	t.withdraw(s)
}

// withdraw frees s as if it had never been.
func (t *table) withdraw(s *slot) {
	if !s.givenUp() {
		t.inFlight--
	}
	*s = slot{}
}

// duplicate reports whether h repeats an answer that came lately.
func (t *table) duplicate(p Protocol, h Head) bool {
	for _, a := range t.answered {
		if a.id == h.ID && a.key != 0 && p.Fits(a.key, h.Key) == "" {
			return true
		}
	}
	return false
}

// unanswered counts the ids that nobody waits for: those whose time is over, and all.
func (t *table) unanswered(now time.Time) (timedOut, all int) {
	for i := range t.slots {
		if s := &t.slots[i]; s.used && s.givenUp() {
			all++
			if !now.Before(s.deadline) {
				timedOut++
			}
		}
	}
	return timedOut, all
}

// earliest returns the first deadline of what tn has in flight, zero when that is nothing.
func (t *table) earliest(tn *Turn) (by time.Time) {
	for i := range t.slots {
		if s := &t.slots[i]; s.turn == tn && (by.IsZero() || s.deadline.Before(by)) {
			by = s.deadline
		}
	}
	return by
}
