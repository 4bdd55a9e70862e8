package opcua

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// keepTimes ends the intervals of all subscriptions when they are due, until ctx ends: the one goroutine that does so. It blocks on its timer alone.
func (p *subscriptions) keepTimes(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var batch []*subscription
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		var wait time.Duration
		batch, wait = p.sweep(batch)
		if wait >= 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

// sweep ends the intervals that are due. It returns how long there is nothing to do then, -1 when there is nothing to come. What is to be said for a single one it sends itself;
// for more, goroutines do so side by side.
func (p *subscriptions) sweep(batch []*subscription) ([]*subscription, time.Duration) {
	now := time.Now()
	batch = p.takeDue(batch[:0], int64(now.Sub(p.started)))
	// Where several end together and there are fewer Publish requests, priority decides, then who was served longest ago.
	slices.SortStableFunc(batch, func(a, b *subscription) int { return cmp.Compare(b.rank.Load(), a.rank.Load()) })
	var turns *sendTurns
	if len(batch) == 1 {
		turns = &p.turns
	}
	for i, s := range batch {
		p.tick(s, now, turns)
		batch[i] = nil
	}
	p.turns.send()
	return batch, p.untilDue()
}

// takeDue appends those whose interval has ended and begins their next one. Intervals that passed unseen, because the process stood still, are not made up for.
func (p *subscriptions) takeDue(batch []*subscription, now int64) []*subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.due) > 0 && p.due[0].at <= now {
		s := p.due[0].sub
		next := s.due.at + int64(s.interval)
		if next <= now {
			next = now + int64(s.interval)
		}
		p.due.set(&s.due, next)
		batch = append(batch, s)
	}
	return batch
}

func (p *subscriptions) untilDue() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.due) == 0 {
		return -1
	}
	return max(0, time.Duration(p.due[0].at)-time.Since(p.started))
}

// schedule begins an interval of s, if that still exists. The session that it belongs to need not be locked.
func (p *subscriptions) schedule(s *subscription, interval time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byID[s.id] != s {
		return
	}
	s.interval = interval
	p.due.set(&s.due, int64(time.Since(p.started)+interval))
	if p.due[0] == &s.due {
		select {
		case p.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// tick ends one interval of s. turns, if not nil, gets the turns to send of the connections that have something to send now.
func (p *subscriptions) tick(s *subscription, now time.Time, turns *sendTurns) {
	o := s.lockOwner()
	if o == nil {
		return // deleted meanwhile
	}
	o.turns = turns
	ended := o.tick(s, now)
	o.turns = nil
	o.mu.Unlock()
	if ended {
		p.forget(s)
	}
}
