package opcua

// dueTime is when something is to be done for a subscription or for a group of samplers.
type dueTime struct {
	at    int64 // as distance from the server's start
	place int   // in the heap, from 1; 0 is not in it
	sub   *subscription
	group *samplerGroup
}

// dueHeap is times, the next one first. Each knows its place.
type dueHeap []*dueTime

// set puts t where it belongs with its new time, whether it is in the heap or not.
func (h *dueHeap) set(t *dueTime, at int64) {
	t.at = at
	if t.place == 0 {
		*h = append(*h, t)
		t.place = len(*h)
	}
	h.up(t.place - 1)
	h.down(t.place - 1)
}

func (h *dueHeap) remove(t *dueTime) {
	if t.place == 0 {
		return
	}
	i, last := t.place-1, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	t.place = 0
	if i < last {
		moved := (*h)[i]
		h.up(i)
		h.down(moved.place - 1)
	}
}

func (h dueHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h dueHeap) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if h[i].at >= h[p].at {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h dueHeap) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].at < h[c].at {
			c++
		}
		if h[c].at >= h[i].at {
			return
		}
		h.swap(i, c)
		i = c
	}
}
