package s7

import (
	"sync"
	"time"
)

// alarm is a timer whose function is waited for. Its owner's lock guards set and stop; the function takes that lock itself.
type alarm struct {
	timer *time.Timer
	rings sync.WaitGroup // one a ring that is set, or under way
}

// set makes f run after d, in a goroutine of its own, in place of what was set before.
func (a *alarm) set(d time.Duration, f func()) {
	if a.timer == nil {
		a.rings.Add(1)
		a.timer = time.AfterFunc(d, func() {
			defer a.rings.Done()
			f()
		})
		return
	}
	if !a.timer.Reset(d) {
		a.rings.Add(1)
	}
}

// stop takes back what was set. A function that runs already goes on until its end, which wait waits for; nothing may be set any more.
func (a *alarm) stop() {
	if a.timer != nil && a.timer.Stop() {
		a.rings.Done()
	}
}

// wait returns when no function runs. The owner's lock must not be held.
func (a *alarm) wait() { a.rings.Wait() }
