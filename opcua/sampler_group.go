package opcua

import (
	"context"
	"time"

	"millrace/opcua/ua"
)

// samplerChunk is how many values are read at once.
const samplerChunk = 256

// samplerGroup is the samplers with the same interval. samplers.mu guards it.
type samplerGroup struct {
	interval time.Duration
	members  int             // samplers that items listen to; with the last the group goes
	list     []*sampler      // those that are read every interval
	from     []samplerSource // where the values of list are
	dirty    []*sampler      // read once, because the source told of a change
	due      dueTime         // of the next reading; out of the heap, of the last
}

// enter makes s a member of its group.
func (p *samplers) enter(s *sampler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.groups[s.every()]
	if g == nil {
		g = &samplerGroup{interval: s.every()}
		g.due.at, g.due.group = int64(time.Since(p.started)), g
		p.groups[g.interval] = g
	}
	g.members++
}

// enlist has a member read every interval.
func (p *samplers) enlist(s *sampler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.groups[s.every()]
	g.list, g.from = append(g.list, s), append(g.from, samplerSource{})
	s.place = len(g.list)
	p.arm(g)
}

// strike makes s a member no more.
func (p *samplers) strike(s *sampler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.groups[s.every()]
	if s.place > 0 {
		last := len(g.list) - 1
		g.list[s.place-1] = g.list[last]
		g.list[s.place-1].place = s.place
		g.list[last] = nil
		g.from[s.place-1], g.from[last] = g.from[last], samplerSource{}
		g.list, g.from, s.place = g.list[:last], g.from[:last], 0
	}
	if g.members--; g.members == 0 {
		p.due.remove(&g.due)
		delete(p.groups, g.interval)
		g.dirty = nil
	}
}

// soil has s read once, an interval after its group was read last. A source may tell of a change when nobody listens any more.
func (p *samplers) soil(s *sampler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := p.groups[s.every()]; g != nil {
		g.dirty = append(g.dirty, s)
		p.arm(g)
	}
}

// arm sets the time of the group's next reading, when it has none. mu is held.
func (p *samplers) arm(g *samplerGroup) {
	if g.due.place > 0 {
		return
	}
	p.due.set(&g.due, max(g.due.at+int64(g.interval), int64(time.Since(p.started))))
	if p.due[0] == &g.due {
		select {
		case p.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// run reads the groups when they are due, until ctx ends: the one goroutine that does so. It blocks on its timer, and on what the stores of values do.
func (p *samplers) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var x samplerScratch
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		for g := p.next(); g != nil && ctx.Err() == nil; g = p.next() {
			if g == p.lost {
				p.look(ctx)
				continue
			}
			p.readGroup(ctx, g, &x)
		}
		if wait := p.untilDue(); wait >= 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

// next takes a group that is due out of the heap, nil when there is none. Its next reading is an interval after this one was due; what passed unseen is not made
// up for.
func (p *samplers) next() *samplerGroup {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := int64(time.Since(p.started))
	if len(p.due) == 0 || p.due[0].at > now {
		return nil
	}
	g := p.due[0].group
	p.due.remove(&g.due)
	if g.due.at+int64(g.interval) <= now {
		g.due.at = now
	}
	return g
}

func (p *samplers) untilDue() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.due) == 0 {
		return -1
	}
	return max(0, time.Duration(p.due[0].at)-time.Since(p.started))
}

// readGroup reads all of a group that is due, some at a time, so that nobody waits long for the lock. One that is struck out meanwhile may let another one wait for the
// next reading.
func (p *samplers) readGroup(ctx context.Context, g *samplerGroup, x *samplerScratch) {
	at := 0
	for n := p.chunk(g, x, &at); n > 0; n = p.chunk(g, x, &at) {
		p.readChunk(ctx, x, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(g.list) > 0 || len(g.dirty) > 0 {
		p.arm(g)
	}
}

// readChunk reads for the first n samplers of x. What one lock guards is taken in together.
func (p *samplers) readChunk(ctx context.Context, x *samplerScratch, n int) {
	p.readAll(ctx, x, n)
	now := ua.DateTimeOf(time.Now())
	for i := 0; i < n; {
		i = x.take(i, n, now)
	}
	x.done(n)
}

// chunk puts the next samplers of a group in x and returns how many: those that are dirty, then those of the list from at on.
func (p *samplers) chunk(g *samplerGroup, x *samplerScratch, at *int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	if *at == 0 {
		n = copy(x.list[:], g.dirty)
		clear(g.dirty[copy(g.dirty, g.dirty[n:]):])
		g.dirty = g.dirty[:len(g.dirty)-n]
		for i, s := range x.list[:n] {
			s.dirty.Store(false) // what it tells from now on may come after the reading
			x.from[i] = p.sourceOf(s)
		}
	}
	from := min(*at, len(g.list))
	if more := copy(x.list[n:], g.list[from:]); more > 0 {
		p.update(g.list[from:from+more], g.from[from:from+more])
		copy(x.from[n:], g.from[from:from+more])
		*at += more
		n += more
	}
	return n
}
