package device

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPressure(t *testing.T) {
	intervals := []time.Duration{time.Second, 10 * time.Second, time.Minute}
	rule, err := Shedding{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := pressure{Shedding: rule}
	var got []string
	n := 0
	feed := func(looks int, late time.Duration) {
		for range looks {
			n++
			switch p.look(late, time.Second) {
			case pressSay:
				got = append(got, fmt.Sprint(n, " say"))
			case pressShed:
				got = append(got, fmt.Sprint(n, " shed ", p.step(intervals)))
			case pressReturn:
				got = append(got, fmt.Sprint(n, " return ", p.stepBack()))
			case pressOver:
				got = append(got, fmt.Sprint(n, " over"))
			case pressNone:
			}
		}
	}
	feed(10, 50*time.Millisecond)  // neither late nor on time
	feed(10, 150*time.Millisecond) // late
	feed(4, 300*time.Millisecond)  // too late
	feed(1, 10*time.Millisecond)
	feed(20, 300*time.Millisecond) // a step each five looks
	feed(155, 10*time.Millisecond) // on time: the last step comes back first, each after thirty looks
	feed(5, 300*time.Millisecond)  // that did not last
	feed(700, 10*time.Millisecond) // so that each waits for twice as long
	want := []string{
		"15 say", "21 shed 1m0s", "30 shed 1m0s", "35 shed 1m0s", "40 shed 10s", "45 shed 10s",
		"75 return 10s", "105 return 10s", "135 return 1m0s", "165 return 1m0s", "195 return 1m0s",
		"205 shed 1m0s", "265 return 1m0s", "564 over",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if p.wait != 0 || len(p.steps) != 0 {
		t.Errorf("at rest: %+v", p)
	}
}

// A scheduler that is late has all groups of the longest interval wait, says whose fault it is, and lets them come back.
func TestLateSchedulerSheds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.book.forgetful = true
		var specs []Spec
		for n := uint32(1); n <= 20; n++ {
			s := b.spec(n, 100*time.Millisecond, 1)
			slow := b.spec(n+100, 10*time.Second, 1).Groups[0]
			slow.Name = "slow"
			s.Groups = append(s.Groups, slow)
			specs = append(specs, s)
		}
		b.apply(specs...)
		b.run()
		busy := make(chan struct{})
		go func() { // somebody takes the scheduler's time: half of it, a tenth of a second at a time
			for {
				select {
				case <-busy:
					return
				case <-time.After(100 * time.Millisecond):
				}
				b.mail.call(func(*shard) { time.Sleep(100 * time.Millisecond) })
			}
		}()
		time.Sleep(12 * time.Second)
		s := b.Stats()
		if s.Stretched != 20 || s.Shed == 0 || s.SchedulerLate < 25*time.Millisecond {
			t.Errorf("late: %d stretched, %d shed, late by %v", s.Stretched, s.Shed, s.SchedulerLate)
		}
		if !strings.Contains(s.Overload, "group fast, of 20 devices, is read 200 times a second, as of d0001 each 100ms") {
			t.Errorf("culprit: %q", s.Overload)
		}
		if g := b.status("d0007").Groups; g[0].Every != 100*time.Millisecond || g[1].Every == 10*time.Second {
			t.Errorf("read each %v and %v", g[0].Every, g[1].Every)
		}
		close(busy)
		time.Sleep(5 * time.Second)
		shed := b.Stats().Shed
		time.Sleep(10 * time.Minute)
		if s := b.Stats(); s.Stretched != 0 || s.Shed != shed || s.Overload != "" || b.status("d0007").Groups[1].Every != 10*time.Second {
			t.Errorf("on time again: %d stretched, %d shed, before %d, %q", s.Stretched, s.Shed, shed, s.Overload)
		}
		b.quit()
	})
}
