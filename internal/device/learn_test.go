package device

import (
	"testing"
	"testing/synctest"
	"time"
)

// What was learned of a device is not held against another one that has its name now, at another address.
func TestLearnedIsOfTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told Limits
		b := newBench(t, Config{OnLearned: func(_ string, l Limits) { told = l }})
		b.plc(1).onRead = func(o Observer) { o.Learned(Limits{MaxRegisters: 2, Server: "its own"}) }
		b.apply(b.spec(1, time.Second, 10))
		b.run()
		time.Sleep(5 * time.Second)
		if got := b.status("d0001").Groups[0].Requests; got != 5 {
			t.Fatalf("%d requests at two tags each, of ten", got)
		}
		for path, want := range map[string]int{"1": 5, "2": 1} {
			next := b.spec(1, time.Second, 10)
			next.Addr.Host, next.Addr.Path, next.Learned, next.Labels = "plc7:502", path, told, map[string]string{"path": path}
			if path == "1" {
				next.Addr = b.spec(1, time.Second, 1).Addr
			}
			b.apply(next)
			if got := b.status("d0001"); got.Groups[0].Requests != want || (got.Limits.Server != "") != (want == 5) {
				t.Errorf("at %s: %d requests, want %d; server %q", next.Addr, got.Groups[0].Requests, want, got.Limits.Server)
			}
			time.Sleep(time.Second)
		}
		b.quit()
	})
}

// What was learned never keeps a configuration from being used: a tag that has no place under old limits is planned without them, and they are learned anew.
func TestLearnedKeepsNoTagOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 3)
		s.Groups[0].Tags[1].Address = "hole"
		s.Learned = Limits{MaxRegisters: 1, Holes: []Span{{Area: 1, From: 2, To: 3}}}
		b.apply(s)
		if st := b.status("d0001"); st.Groups[0].Active != 3 || st.Groups[0].Requests != 1 || len(st.Limits.Holes) != 0 {
			t.Errorf("%+v, %+v", st.Groups[0], st.Limits)
		}
		bad := b.spec(1, time.Second, 3)
		bad.Groups[0].Tags[1].Address, bad.Learned = "bad", s.Learned
		if _, err := b.Apply([]Spec{bad}); err == nil {
			t.Error("a tag that has no place whatever was learned is accepted")
		}
		b.run()
		b.quit()
	})
}

// How much a device lets be read at once is asked for again in its first session after a day: it may be another one by then. What is configured stays.
func TestOldCapsAreTriedAgain(t *testing.T) {
	for what, c := range map[string]struct {
		age        time.Duration // of the cap; 0 is not known
		configured int
		refuses    bool
		want       int // requests of ten tags
		kept       bool
	}{
		"of today":                  {age: 23 * time.Hour, want: 5, kept: true},
		"of yesterday":              {age: 25 * time.Hour, want: 1},
		"of tomorrow":               {age: -time.Hour, want: 1},
		"of long ago":               {want: 1},
		"of yesterday, and as then": {age: 25 * time.Hour, refuses: true, want: 5, kept: true},
		"of yesterday, and one set": {age: 25 * time.Hour, configured: 5, want: 2},
		"of today, beside one set":  {age: time.Hour, configured: 5, want: 5, kept: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var told Limits
			tells := 0
			b := newBench(t, Config{OnLearned: func(_ string, l Limits) { told = l; tells++ }})
			s := b.spec(1, time.Second, 10)
			s.Limits.MaxRegisters, s.Learned.MaxRegisters = c.configured, 2
			if c.age != 0 {
				s.Learned.CapsLearned = time.Now().Add(-c.age)
			}
			if c.refuses {
				b.plc(1).onRead = func(o Observer) { o.Learned(Limits{MaxRegisters: 2}) }
			}
			b.apply(s)
			if n := b.status("d0001").Groups[0].Requests; n != 5 {
				t.Errorf("%s: %d requests before it is connected", what, n)
			}
			b.run()
			time.Sleep(3500 * time.Millisecond)
			if n := b.status("d0001").Groups[0].Requests; n != c.want {
				t.Errorf("%s: %d requests, want %d", what, n, c.want)
			}
			switch {
			case !c.kept && (told.MaxRegisters != 0 || tells != 1), c.refuses && (told.MaxRegisters != 2 || time.Since(told.CapsLearned) > time.Minute):
				t.Errorf("%s: told %d times, at last %+v", what, tells, told)
			case c.kept && !c.refuses && tells > 0:
				t.Errorf("%s: told %+v", what, told)
			}
			b.quit()
		})
	}
}
