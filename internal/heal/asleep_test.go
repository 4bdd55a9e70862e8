package heal

import (
	"testing"
	"testing/synctest"
	"time"
)

// stops has the look after next take that long, once: as in a process that is stopped.
func (p *fakePlant) stops(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node = func() Node {
		time.Sleep(d)
		d = 0
		return Node{}
	}
}

// What was not looked at has not held: a gateway that was stopped does not act on what it saw once before and once behind it, and gives what it did the time that the rule says.
func TestOversleptIsNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := lossRule(Action{Type: Reconnect})
		rule.For, rule.Within = 90*time.Second, 2*time.Minute
		rule.Verify = "device.loss < 0.01"
		p := newFakePlant(4)
		h := startHealing(t, p, newFakeHistory(), rule)
		after(5 * time.Second)
		lossOf(0.1, time.Millisecond)(p)
		after(5 * time.Second)
		p.stops(time.Hour)
		after(time.Hour + 70*time.Second) // and in a minute it looks again
		h.want()                          // it was there for a few seconds, as far as is known
		after(time.Minute)
		h.want(Running)
		p.stops(time.Hour)
		after(time.Hour + 10*time.Second)
		h.want(Running) // it had some seconds
		lossOf(0, time.Millisecond)(p)
		after(time.Minute)
		h.want(Healed)
	})
}
