package device

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// factWatch holds in every test what Altered promises: a fact does not change without its device's number. It looks at each event, and where devices are few at each read.
type factWatch struct {
	mu    sync.Mutex
	known map[*unit]factsAt
}

type factsAt struct {
	number uint64
	facts  Status
}

const fewDevices = 8

func (b *bench) watch() {
	w := &b.facts
	w.mu.Lock()
	defer w.mu.Unlock()
	units := b.all()
	if len(units) > fewDevices {
		return
	}
	if w.known == nil {
		w.known = map[*unit]factsAt{}
	}
	for _, u := range units {
		var s Status
		number := u.altered.Load()
		u.status(&s, b.Runtime, time.Now())
		if u.altered.Load() != number {
			continue // it changes now
		}
		is := factsAt{number, factsOf(&s)}
		if was, ok := w.known[u]; ok && was.number == number && !reflect.DeepEqual(was.facts, is.facts) {
			b.t.Errorf("%s has number %d still, and was\n%+v\nand is\n%+v", s.Name, number, was.facts, is.facts)
		}
		w.known[u] = is
	}
}

// factsOf returns s without what moves with each read. A suspicion may be one of silence, which is reckoned when it is asked for; half open connections are told to all devices of an endpoint one
// after the other.
func factsOf(s *Status) Status {
	f := keep(s)
	f.RTT, f.Jitter, f.Timeout, f.Loss, f.Load, f.Phi, f.Suspicion, f.TCP, f.RequestCost, f.ByteCost = 0, 0, 0, 0, 0, 0, "", TCPSample{}, 0, 0
	f.Reads, f.Timeouts, f.Late, f.Foreign, f.Refused, f.Slots, f.SlotsUsed, f.HalfOpen = 0, 0, 0, 0, 0, 0, 0, 0
	f.HalfOpenSince = time.Time{}
	for i := range f.Routes {
		f.Routes[i].RTT = 0
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		g.Lag, g.Took, g.LastRead, g.Missed = 0, 0, time.Time{}, 0
		if g.Refusal != "" {
			g.Refusal = "yes"
		}
	}
	return f
}

// alteredSince returns the names of what Altered visits.
func (b *bench) alteredSince(since uint64, also func(int) bool) (names []string, number uint64, all bool) {
	number, all = b.Altered(since, also, func(i int, s *Status) {
		if want := b.Devices()[i].Name; s.Name != want {
			b.t.Errorf("%s is visited at place %d, where %s is", s.Name, i, want)
		}
		names = append(names, s.Name)
	})
	return names, number, all
}

// Devices that are read on time are not altered; one that goes away is, alone, and so is one that comes, with all others.
func TestAltered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		specs := []Spec{b.spec(1, time.Second, 3), b.spec(2, time.Second, 3), b.spec(3, time.Second, 3)}
		b.apply(specs...)
		b.run()
		defer b.quit()
		time.Sleep(5 * time.Second)
		names, number, all := b.alteredSince(0, nil)
		if !all || !slices.Equal(names, []string{"d0001", "d0002", "d0003"}) {
			t.Errorf("at first %v, all %v", names, all)
		}
		time.Sleep(time.Minute)
		if names, n, all := b.alteredSince(number, nil); len(names) > 0 || n != number || all {
			t.Errorf("a minute in which all went well altered %v, number %d after %d, all %v", names, n, number, all)
		}
		if names, _, _ := b.alteredSince(number, func(i int) bool { return i == 2 }); !slices.Equal(names, []string{"d0003"}) {
			t.Errorf("the third was asked for besides, and %v came", names)
		}
		b.plc(2).set(silent)
		time.Sleep(time.Minute)
		names, number, all = b.alteredSince(number, nil)
		if all || !slices.Equal(names, []string{"d0002"}) {
			t.Errorf("d0002 went away, and %v was altered, all %v", names, all)
		}
		b.apply(specs...)
		if names, _, all := b.alteredSince(number, func(int) bool { return false }); all || len(names) > 1 {
			t.Errorf("the same configuration again altered %v, all %v", names, all)
		}
		specs[0] = b.spec(1, 2*time.Second, 3)
		b.apply(specs...)
		if names, _, all := b.alteredSince(number, nil); !all || len(names) != 3 {
			t.Errorf("another configuration altered %v, all %v", names, all)
		}
	})
}

// A look at devices that are as they were allocates nothing.
func TestAlteredAllocates(t *testing.T) {
	if raced {
		t.Skip("the race detector allocates")
	}
	b := newBench(t, Config{})
	var specs []Spec
	for i := range uint32(100) {
		specs = append(specs, b.spec(i+1, time.Second, 10))
	}
	b.apply(specs...)
	_, number, _ := b.alteredSince(0, nil)
	never := func(int) bool { return false }
	if n := testing.AllocsPerRun(100, func() { b.Altered(number, never, func(int, *Status) { t.Error("one was visited") }) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestStates(t *testing.T) {
	b := newBench(t, Config{})
	out := b.spec(2, time.Second, 1)
	out.OutOfService = true
	b.apply(b.spec(1, time.Second, 1), out)
	by, n := b.States()
	if by[Idle] != 1 || n != 1 {
		t.Errorf("%v, %d out", by, n)
	}
}

// A visit gives what a copy does, whatever the device before had.
func TestDevicesAreFilledAnew(t *testing.T) {
	b := newBench(t, Config{})
	rich := b.spec(1, time.Second, 3)
	rich.Groups = append(rich.Groups, Group{Name: "slow", Interval: time.Minute, Tags: []TagSpec{{ID: 999, Name: "d0001/slow", Address: "x"}}})
	rich.Routes = []Route{{Addr: Addr{Scheme: "fake", Host: "other:502", Path: "1"}, Name: "ring"}}
	b.apply(rich, b.spec(2, time.Second, 1))
	for s := range b.Runtime.Devices() {
		alone, _ := b.Device(s.Name)
		alone.Phi, alone.Suspicion = s.Phi, s.Suspicion
		if fmt.Sprintf("%+v", alone) != fmt.Sprintf("%+v", *s) {
			t.Errorf("alone\n%+v\namong others\n%+v", alone, *s)
		}
	}
}
