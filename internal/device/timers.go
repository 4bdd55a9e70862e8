package device

import "time"

// timer is a deadline that belongs to something. The zero value, with owner and order set, is not armed.
type timer struct {
	at    time.Time
	order uint64 // decides between equal deadlines, so that a run can be repeated exactly
	pos   int    // place in the heap, from 1; 0 is not armed
	owner interface{ fire(s *shard, now time.Time) }
}

// timers is a heap of deadlines, the next one first.
type timers []*timer

// arm sets t's deadline to at, whether it has one or not.
func (h *timers) arm(t *timer, at time.Time) {
	t.at = at
	if t.pos == 0 {
		*h = append(*h, t)
		t.pos = len(*h)
		h.up(t.pos - 1)
		return
	}
	h.up(t.pos - 1)
	h.down(t.pos - 1)
}

// disarm takes t out.
func (h *timers) disarm(t *timer) {
	if t.pos == 0 {
		return
	}
	i, last := t.pos-1, len(*h)-1
	h.swap(i, last)
	*h = (*h)[:last]
	t.pos = 0
	if i < last {
		moved := (*h)[i]
		h.up(i)
		h.down(moved.pos - 1)
	}
}

// pop takes out and returns the first timer whose deadline is not after now, nil when there is none.
func (h *timers) pop(now time.Time) *timer {
	if len(*h) == 0 || (*h)[0].at.After(now) {
		return nil
	}
	t := (*h)[0]
	h.disarm(t)
	return t
}

func (h timers) less(i, j int) bool {
	if c := h[i].at.Compare(h[j].at); c != 0 {
		return c < 0
	}
	return h[i].order < h[j].order
}

func (h timers) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

func (h timers) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !h.less(i, p) {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h timers) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h.less(c+1, c) {
			c++
		}
		if !h.less(c, i) {
			return
		}
		h.swap(i, c)
		i = c
	}
}
