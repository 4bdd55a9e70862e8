package device

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What falls due first has to be done first, but nothing passes a job that makes or ends the session, nor a turn that is reserved.
func TestQueueByDeadline(t *testing.T) {
	start := time.Unix(1000, 0)
	read := func(name string, by int) job {
		return job{kind: jobRead, group: &group{spec: Group{Name: name}}, by: start.Add(time.Duration(by))}
	}
	reserved := read("reserved", 9)
	reserved.at = start
	e := &endpoint{}
	for _, j := range []job{
		reserved, read("minute", 60), read("second", 1), read("ten", 10), read("second too", 1), {kind: jobClose}, read("after", 0), {kind: jobOpen},
		{kind: jobMark}, read("last", 5), read("before it", 4), {kind: jobMark, mark: markOut},
	} {
		e.push(j)
	}
	var got []string
	for len(e.queue) > 0 {
		j := e.pop()
		switch j.kind {
		case jobRead:
			got = append(got, j.group.spec.Name)
		case jobMark:
			got = append(got, fmt.Sprint("mark ", j.mark))
		default:
			got = append(got, fmt.Sprint("job ", j.kind))
		}
	}
	const want = "mark 0, mark 1, reserved, second, second too, ten, minute, job 3, after, job 0, before it, last"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("in order of deadlines:\n%s, want\n%s", s, want)
	}
}

// A fast group of an endpoint that has time for all is read on time, however many slow ones wait: they have the time.
func TestFastGroupsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.book.forgetful = true
		s := b.spec(1, 100*time.Millisecond, 1)
		for i := range 20 {
			g := b.spec(uint32(2+i), 10*time.Second, 1).Groups[0]
			g.Name = fmt.Sprint("slow", i)
			s.Groups = append(s.Groups, g)
		}
		b.plc(1).latency = 20 * time.Millisecond
		b.apply(s)
		b.run()
		time.Sleep(time.Minute)
		for i, g := range b.status(s.Name).Groups {
			if g.Missed > 0 || g.LastRead.IsZero() {
				t.Errorf("group %d: %d missed, read %v", i, g.Missed, g.LastRead)
			}
		}
		b.quit()
	})
}

func TestBeats(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, interval := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second, 1700 * time.Millisecond, time.Minute, time.Hour} {
		const devices = 10_000
		at := map[time.Time]int{}
		for n := range uint32(devices) {
			u := &unit{spec: &Spec{Number: n + 1}}
			g := &group{unit: u, every: interval}
			u.groups = []*group{g}
			at[g.firstDue(now)]++
		}
		beat := beat(interval)
		if beat == 0 {
			if len(at) < devices*9/10 {
				t.Errorf("%v: %d due times without a grid", interval, len(at))
			}
			continue
		}
		even := float64(devices) * float64(beat) / float64(interval)
		for due, n := range at {
			if due.UnixNano()%int64(interval)%int64(beat) != 0 {
				t.Fatalf("%v: due at %v, off the grid of %v", interval, due, beat)
			}
			if float64(n) > even+4 {
				t.Fatalf("%v: %d due at once, evenly it were %.1f", interval, n, even)
			}
		}
	}
}

// One of n groups falls due and is set to its next due time.
func BenchmarkTimers(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var h timers
			now := time.Now()
			all := make([]timer, n)
			for i := range all {
				all[i].order = uint64(i)
				h.arm(&all[i], now.Add(rand.N(time.Second)))
			}
			b.ReportAllocs()
			for b.Loop() {
				wait, _ := h.next(now)
				now = now.Add(wait)
				h.arm(h.pop(now), now.Add(time.Second))
			}
		})
	}
}

// The same by looking at all deadlines each 5 ms: the sweep that the heap was measured against.
func BenchmarkSweep(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			at := make([]int64, n)
			for i := range at {
				at[i] = rand.N(int64(time.Second))
			}
			fired, sweeps := 0, 0
			b.ResetTimer()
			for now := int64(0); fired < b.N; now += int64(5 * time.Millisecond) {
				for i, d := range at {
					if d <= now {
						at[i] = d + int64(time.Second)
						fired++
					}
				}
				sweeps++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sweeps), "ns/sweep")
		})
	}
}
