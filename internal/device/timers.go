package device

import "time"

// timer is a deadline that belongs to something. The zero value, with owner and order set, is not armed.
type timer struct {
	order uint64 // decides between equal deadlines, so that a run can be repeated exactly
	pos   int    // place in the heap, from 1; 0 is not armed
	owner interface{ fire(s *shard, now time.Time) }
}

// timers is a heap of deadlines, the next one first. Each has four below it, and what they are compared by lies in the heap itself: a step down
// looks at one or two lines of the cache, and at no timer but the one that moves. The zero value is empty.
type timers struct {
	base time.Time // that deadlines are counted from: the first that was armed
	heap []deadline
}

type deadline struct {
	at    time.Duration // since base
	order uint64
	timer *timer
}

const timersBelow = 4

// arm sets t's deadline to at, whether it has one or not.
func (h *timers) arm(t *timer, at time.Time) {
	if h.base.IsZero() {
		h.base = at
	}
	d := deadline{at: at.Sub(h.base), order: t.order, timer: t}
	if t.pos == 0 {
		h.heap = append(h.heap, d)
		t.pos = len(h.heap)
	}
	h.place(t.pos-1, d)
}

// disarm takes t out.
func (h *timers) disarm(t *timer) {
	if t.pos == 0 {
		return
	}
	i, last := t.pos-1, len(h.heap)-1
	t.pos = 0
	moved := h.heap[last]
	h.heap[last] = deadline{}
	h.heap = h.heap[:last]
	if i < last {
		h.place(i, moved)
	}
}

// pop takes out and returns the first timer whose deadline is not after now, nil when there is none.
func (h *timers) pop(now time.Time) *timer {
	if len(h.heap) == 0 || h.heap[0].at > now.Sub(h.base) {
		return nil
	}
	t := h.heap[0].timer
	h.disarm(t)
	return t
}

// next returns how long after now the first deadline is, 0 or less when it has passed, and false when there is none.
func (h *timers) next(now time.Time) (time.Duration, bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return h.heap[0].at - now.Sub(h.base), true
}

func (d *deadline) before(o *deadline) bool { return d.at < o.at || d.at == o.at && d.order < o.order }

// place puts d where it belongs, from i on, where there is room.
func (h *timers) place(i int, d deadline) {
	for i > 0 {
		p := (i - 1) / timersBelow
		if !d.before(&h.heap[p]) {
			break
		}
		h.set(i, h.heap[p])
		i = p
	}
	for {
		c := h.first(i)
		if c < 0 || !h.heap[c].before(&d) {
			break
		}
		h.set(i, h.heap[c])
		i = c
	}
	h.set(i, d)
}

// first returns the first of those below i, -1 when there is none.
func (h *timers) first(i int) int {
	first := timersBelow*i + 1
	if first >= len(h.heap) {
		return -1
	}
	for c := first + 1; c < min(timersBelow*i+1+timersBelow, len(h.heap)); c++ {
		if h.heap[c].before(&h.heap[first]) {
			first = c
		}
	}
	return first
}

func (h *timers) set(i int, d deadline) {
	h.heap[i] = d
	d.timer.pos = i + 1
}
