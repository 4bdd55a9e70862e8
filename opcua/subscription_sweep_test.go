package opcua

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/opcua/ua"
)

// answerLog notes what is answered when.
type answerLog struct {
	start time.Time
	mu    sync.Mutex
	said  []string
}

func (a *answerLog) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = append(a.said, fmt.Sprintf("%v ", time.Since(a.start))+fmt.Sprintf(format, args...))
}

func (a *answerLog) begin(late) *outgoing { return &outgoing{} }

func (a *answerLog) send(l late, m *outgoing, _ *sendTurns) {
	d := ua.NewDecoder(m.b, ua.Limits{})
	a.note("%d: sub %d", l.id, d.U32())
}

func (a *answerLog) fault(l late, status ua.StatusCode) { a.note("%d: %v", l.id, status) }
func (a *answerLog) room(late) int                      { return 1 << 20 }

func (a *answerLog) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := a.said
	a.said = nil
	return said
}

// sweeping is a registry whose sweep runs until the test ends.
func sweeping(t *testing.T) (*subscriptions, *answerLog) {
	limits, err := SubscriptionLimits{MinLifetime: 1}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	a := &answerLog{start: time.Now()}
	p := newSubscriptionRegistry(limits, a)
	p.last = 0
	ctx, cancel := context.WithCancel(t.Context())
	var swept sync.WaitGroup
	swept.Go(func() { p.keepTimes(ctx) })
	t.Cleanup(func() { cancel(); swept.Wait() })
	return p, a
}

func (p *subscriptions) addForTest(t *testing.T, o *sessionSubscriptions, interval time.Duration, alive, life uint32, priority uint8) *subscription {
	t.Helper()
	s := &subscription{budget: subBudget{all: &p.budget}, machine: newSubMachine(alive, life, true), most: 100}
	s.rank.Store(rankOf(priority, 0))
	o.mu.Lock()
	status := p.add(o, s)
	o.mu.Unlock()
	if status != ua.Good {
		t.Fatal(status)
	}
	p.schedule(s, interval)
	return s
}

func (o *sessionSubscriptions) publishForTest(id uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := subPublish{late: late{id: id}}
	if status := o.publish(r, time.Now()); status != ua.Good {
		o.answers.fault(r.late, status)
	}
}

// Intervals end when they are due, however many subscriptions there are, and one that is made or changed later is not late for it.
func TestSubscriptionSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a := sweeping(t)
		o := p.newOwner(ua.NodeId{}, subscriber{})
		slow := p.addForTest(t, o, time.Hour, 1, 3, 0)
		time.Sleep(time.Second)
		fast := p.addForTest(t, o, 100*time.Millisecond, 2, 6, 0)
		for i := range uint32(3) {
			o.publishForTest(i + 1)
		}
		time.Sleep(time.Second)
		want := []string{"1.1s 1: sub 2", "1.3s 2: sub 2", "1.5s 3: sub 2"}
		if got := a.take(); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		// six cycles since the last message, and the subscription is over
		o.publishForTest(4)
		if got := a.take(); len(got) != 1 || got[0] != "2s 4: sub 2" {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Second)
		if p.find(fast.id) != nil || p.find(slow.id) == nil {
			t.Error("the wrong subscription is over")
		}
		o.publishForTest(5) // that it is over
		p.schedule(slow, time.Second)
		o.publishForTest(6)
		time.Sleep(1500 * time.Millisecond)
		want = []string{"3s 5: sub 2", "4s 6: sub 1"}
		if got := a.take(); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// Where intervals end together and Publish requests are few, the highest priority has them.
func TestSubscriptionSweepPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a := sweeping(t)
		o := p.newOwner(ua.NodeId{}, subscriber{})
		for priority := range uint8(5) {
			p.addForTest(t, o, time.Second, 1, 30, priority)
		}
		o.publishForTest(1)
		o.publishForTest(2)
		time.Sleep(time.Second)
		synctest.Wait()
		if got, want := a.take(), []string{"1s 1: sub 5", "1s 2: sub 4"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// A process that stood still does not make up for the intervals that it missed, and a deleted subscription leaves nothing behind.
func TestSubscriptionSweepStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits, _ := SubscriptionLimits{}.withDefaults()
		a := &answerLog{start: time.Now()}
		p := newSubscriptionRegistry(limits, a)
		o := p.newOwner(ua.NodeId{}, subscriber{})
		s := p.addForTest(t, o, time.Second, 1, 30, 0)
		for i := range uint32(9) {
			o.publishForTest(i)
		}
		time.Sleep(5500 * time.Millisecond)
		_, wait := p.sweep(nil)
		if got := a.take(); len(got) != 1 || wait != time.Second {
			t.Errorf("%q, and %v until the next", got, wait)
		}
		if status := p.remove(o, s.id); status != ua.Good {
			t.Error(status)
		}
		if _, wait := p.sweep(nil); wait >= 0 || len(p.byID) > 0 || len(p.users) > 0 {
			t.Errorf("%v until nothing, %d subscriptions, %d users", wait, len(p.byID), len(p.users))
		}
		p.schedule(s, time.Second)
		if len(p.due) > 0 {
			t.Error("a subscription that is gone is due")
		}
	})
}

// The heap of due times against sorting.
func TestDueHeap(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var h dueHeap
	all := make([]dueTime, 100)
	for step := range 10_000 {
		x := &all[r.IntN(len(all))]
		if r.IntN(4) == 0 {
			h.remove(x)
		} else {
			h.set(x, r.Int64N(50))
		}
		in := 0
		for i := range all {
			if all[i].place > 0 {
				in++
				if h[all[i].place-1] != &all[i] || all[i].at < h[0].at {
					t.Fatalf("seed %d step %d: element %d out of place", seed, step, i)
				}
			}
		}
		if in != len(h) {
			t.Fatalf("seed %d step %d: %d elements know their place, %d are there", seed, step, in, len(h))
		}
	}
}
