package device

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// A turn that breaks off brings what it brought; the other tags have their last usable value at once.
func TestPartOfARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 3))
		b.run()
		time.Sleep(3 * time.Second)
		b.plc(1).change(func(p *plc) { p.partial = 1 })
		time.Sleep(5 * time.Second)
		st := b.status("d0001")
		if st.State != Degraded || st.Outages != 0 || !strings.HasPrefix(st.Reason, "asked for ") {
			t.Errorf("%v, %q, %d outages", st.State, st.Reason, st.Outages)
		}
		if b.last(100).Quality != tag.Good || b.last(101).Quality != tag.UncertainLastUsable || b.last(102).Quality != tag.UncertainLastUsable {
			t.Errorf("%v, %v, %v", b.last(100).Quality, b.last(101).Quality, b.last(102).Quality)
		}
		if st.Degraded.Level == DegradeNone || st.Degraded.Why != "reads came only in part" {
			t.Errorf("%+v", st.Degraded)
		}
		b.plc(1).change(func(p *plc) { p.partial = 0 })
		time.Sleep(25 * time.Second) // ten whole reads prove each level
		if st := b.status("d0001"); st.State != Ready {
			t.Errorf("%v, %q", st.State, st.Reason)
		}
		if got := strings.Join(b.book.of(102), ", "); got != "good 1, uncertain (last usable value) 1, good 1" {
			t.Errorf("rows: %s", got)
		}
		b.quit()
	})
}

// units returns specs of n devices on one endpoint.
func (b *bench) units(n uint32) []Spec {
	var specs []Spec
	for u := uint32(1); u <= n; u++ {
		s := b.spec(u, time.Second, 1)
		s.Addr.Host, s.Addr.Path = "plc1:502", fmt.Sprint(u)
		specs = append(specs, s)
	}
	return specs
}

// Behind one gateway a unit that is silent is silent alone: the session stays and the others are read.
func TestSilentUnitBehindAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.units(5)...)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).change(func(p *plc) { p.dead = "3" })
		time.Sleep(time.Minute)
		for _, s := range b.Devices() {
			if s.Number == 3 && (s.State.polled() || s.Outages != 1) || s.Number != 3 && (s.State != Ready || s.Outages != 0) {
				t.Errorf("%s: %v, %d outages", s.Name, s.State, s.Outages)
			}
		}
		if n := b.plc(1).dialled(); n != 1 {
			t.Errorf("%d dials: the session that works was closed", n)
		}
		if n := b.status("d0003").Timeouts; n < 8 || n > 12 {
			t.Errorf("%d timeouts in a minute: 3 until it is down, then one of 2s every 5s at most, for they are the neighbours' time", n)
		}
		b.plc(1).change(func(p *plc) { p.dead = "" })
		time.Sleep(10 * time.Second)
		if st := b.status("d0003"); st.State != Ready {
			t.Errorf("back it is %v", st.State)
		}
		b.quit()
	})
}

// When the gateway goes, all its units go and come back over one connection, and one dial at a time asks for them all.
func TestGatewayVanishesWithItsUnits(t *testing.T) {
	for _, m := range []mode{refuses, blackHole, silent, mute} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.apply(b.units(5)...)
			b.run()
			time.Sleep(5 * time.Second)
			b.plc(1).set(m)
			time.Sleep(time.Minute)
			for _, s := range b.Devices() {
				if s.State.polled() || s.Outages != 1 {
					t.Errorf("mode %d: %s: %v, %d outages", m, s.Name, s.State, s.Outages)
				}
			}
			if n := b.plc(1).dialled(); n > 60 {
				t.Errorf("mode %d: %d dials in a minute", m, n)
			}
			b.plc(1).set(fine)
			time.Sleep(15 * time.Second)
			for _, s := range b.Devices() {
				if s.State != Ready {
					t.Errorf("mode %d: %s: %v (%s)", m, s.Name, s.State, s.Reason)
				}
			}
			b.quit()
		})
	}
}

// What waits for a turn is dropped with the first timeout: a dead connection gets as many reads as it takes to know, and no more.
func TestDeadConnectionIsNotReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		specs := b.units(2)
		for i, s := range specs {
			for k := range uint32(5) {
				specs[i].Groups = append(specs[i].Groups, Group{Name: fmt.Sprint(k), Interval: time.Second,
					Tags: []TagSpec{{ID: tag.ID(s.Number*1000 + k), Name: fmt.Sprint(s.Name, k)}}})
			}
		}
		b.plc(1).set(silent)
		b.apply(specs...)
		b.run()
		time.Sleep(time.Minute)
		b.plc(1).change(func(p *plc) {
			if p.reads[1] > 5 || p.reads[2] > 1 || len(p.reads) < 5 {
				t.Errorf("reads by session: %v; want 3 of one unit and 2 of the other on the first, and one probe on later ones", p.reads)
			}
		})
		b.quit()
	})
}

func TestUserLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, 100*time.Millisecond, 4)
		s.RequestsPerSecond, s.PauseAfterConnect, s.Limits.MaxRegisters = 8, 700*time.Millisecond, 2 // 2 requests a turn
		began := time.Now()
		b.apply(s)
		b.run()
		time.Sleep(10*time.Second + 500*time.Millisecond)
		polls := b.polls()["plc1:502"]
		if first := polls[0].Sub(began); first != 700*time.Millisecond {
			t.Errorf("first poll %v after the connect", first)
		}
		for i := 1; i < len(polls); i++ {
			if d := polls[i].Sub(polls[i-1]); d < 250*time.Millisecond {
				t.Errorf("turns of 2 requests %v apart", d)
			}
		}
		st := b.status("d0001")
		if n := len(polls); n < 30 || n > 41 {
			t.Errorf("%d turns in 10s", n)
		}
		if st.Groups[0].Requests != 2 || st.Groups[0].Missed < 50 {
			t.Errorf("%+v", st.Groups[0])
		}
		b.quit()
	})
}

// A session may have as many connections as all devices of its endpoint allow, and as the gateway has left; they are given back with it.
func TestPools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{MaxSessions: 5})
		specs := b.units(3)
		specs[0].Slots, specs[0].Limits.Connections = 4, 4
		specs[1].Slots, specs[1].Limits.Connections = 8, 3
		specs[2].Slots = 6
		other := b.spec(9, time.Second, 1)
		other.Slots, other.Limits.Connections = 4, 4
		b.apply(specs...)
		b.run()
		time.Sleep(10 * time.Second)
		b.apply(append(specs, other)...)
		time.Sleep(10 * time.Second)
		if got := fmt.Sprint(b.plc(1).allowed(), b.plc(9).allowed()); got != "[3] [2]" {
			t.Errorf("connections allowed %v, want 3 of 5, then the 2 left", got)
		}
		b.apply(other)
		b.plc(9).set(refuses)
		time.Sleep(time.Second)
		b.plc(9).set(fine)
		time.Sleep(20 * time.Second)
		if got := b.plc(9).allowed(); got[len(got)-1] != 4 {
			t.Errorf("alone %v, want 4 in the end", got)
		}
		other.Slots, other.Limits.Connections = 2, 2
		b.apply(other)
		time.Sleep(time.Second)
		if got := b.plc(9).allowed(); got[len(got)-1] != 2 || b.plc(9).connections() != 1 || b.status("d0009").Outages > 1 {
			t.Errorf("with fewer slots %v, %+v", got, b.status("d0009"))
		}
		b.quit()
	})
}

func TestPoolsNeedSlots(t *testing.T) {
	for want, s := range map[string]Spec{
		"needs as many slots, not 1": {Limits: Limits{Connections: 2}},
		"needs as many slots, not 3": {Slots: 3, Limits: Limits{Connections: 4}},
		"below 0":                    {Limits: Limits{Connections: -1}},
		"exclude each other":         {Slots: 4, Limits: Limits{Connections: 4}, PauseAfterConnect: 1},
		"":                           {Slots: 4, Limits: Limits{Connections: 4}},
	} {
		if err := s.CheckConnections(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Periods that pass while a turn runs are counted and skipped, never queued.
func TestOverrun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, 100*time.Millisecond, 1)
		s.Profile = resilience.Remote()
		b.plc(1).latency = 250 * time.Millisecond
		b.apply(s)
		b.run()
		time.Sleep(30 * time.Second)
		st := b.status("d0001").Groups[0]
		n := len(b.polls()["plc1:502"])
		if n < 99 || n > 101 || int(st.Missed) < 198 || int(st.Missed) > 202 {
			t.Errorf("%d turns, %d missed, want 100 and 200", n, st.Missed)
		}
		if st.Lag != 0 {
			t.Errorf("lag %v", st.Lag)
		}
		if g := b.Stats().Groups[0]; g.Missed != st.Missed || g.Lag.Count < 98 || g.RTT.Count != uint64(n) || g.RTT.Counts[8] != uint64(n) {
			t.Errorf("%+v", g)
		}
		b.quit()
	})
}

// A slow device raises its timeout by the replies that come too late, and is then read.
func TestLateRepliesRaiseTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		p := b.spec(1, time.Second, 1)
		b.apply(p)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).change(func(p *plc) { p.latency, p.late = 700*time.Millisecond, 1 })
		time.Sleep(time.Minute)
		st := b.status("d0001")
		if st.State != Ready || st.Late == 0 || st.Timeouts == 0 || st.Timeout < 700*time.Millisecond || st.Outages != 0 {
			t.Errorf("%+v", st)
		}
		if st.RTT < 500*time.Millisecond {
			t.Errorf("smoothed round trip %v", st.RTT)
		}
		if s := b.Stats(); s.Late != st.Late || s.Timeouts != st.Timeouts {
			t.Errorf("%+v", s)
		}
		b.quit()
	})
}

// What a device teaches is kept, told, within what was configured, and makes a new plan.
func TestLearnedLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := map[string][]Limits{}
		b := newBench(t, Config{OnLearned: func(d string, l Limits) { told[d] = append(told[d], l) }})
		s := b.spec(1, time.Second, 10)
		s.Limits = Limits{Window: 2}
		s.Learned = Limits{MaxBits: 9, CapsLearned: time.Now()}
		b.plc(1).limits = Limits{Window: 8, PDU: 240}
		var reads atomic.Uint64
		b.plc(1).onRead = func(o Observer) {
			o.Refused(Span{Area: 3, From: 7, To: 7}, nil)
			o.Foreign()
			if reads.Add(1) > 2 {
				o.Learned(Limits{MaxRegisters: 5, Holes: []Span{{Area: 3, From: 7, To: 7}}})
			}
		}
		b.apply(s)
		b.run()
		time.Sleep(10 * time.Second)
		b.quit()
		n := reads.Load()
		last := told["d0001"][len(told["d0001"])-1]
		if len(told["d0001"]) != 2 || last.MaxRegisters != 5 || last.MaxBits != 9 || last.PDU != 240 || len(last.Holes) != 1 {
			t.Errorf("told %+v", told)
		}
		st := b.status("d0001")
		if st.Limits.Window != 2 || st.Groups[0].Requests != 2 || st.Refused != n || st.Foreign != n {
			t.Errorf("%+v", st)
		}
		if c := len(b.driver.limits); c != 3 {
			t.Errorf("compiled %d times: at first, after the open, after the lesson", c)
		}
	})
}

// A window is of the connection: what one unit behind a gateway has taught holds for the others, and is told of them too.
func TestUnitsShareAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := map[string][]Limits{}
		b := newBench(t, Config{OnLearned: func(d string, l Limits) { told[d] = append(told[d], l) }})
		var once sync.Once
		tried := time.Unix(1_700_000_000, 0)
		b.plc(1).onRead = func(o Observer) {
			once.Do(func() { o.Learned(Limits{Window: 2, WindowTried: tried, MaxBits: 9}) })
		}
		b.apply(b.units(3)...)
		b.run()
		time.Sleep(10 * time.Second)
		b.quit()
		bits := 0
		for u := 1; u <= 3; u++ {
			name := fmt.Sprintf("d%04d", u)
			if got := b.status(name).Limits; got.Window != 2 || !got.WindowTried.Equal(tried) || len(told[name]) != 1 || told[name][0].Window != 2 {
				t.Errorf("%s: %+v, told %+v", name, got, told[name])
			}
			bits += b.status(name).Limits.MaxBits
		}
		if bits != 9 {
			t.Errorf("caps are a device's own, and sum up to %d", bits)
		}
	})
}

// A tag that has no place in a plan after something was learned is told by its quality; the others go on.
func TestTagWithoutPlaceInThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 3)
		s.Groups[0].Tags[1].Address = "hole"
		b.plc(1).onRead = func(o Observer) { o.Learned(Limits{Holes: []Span{{From: 1, To: 1}}}) }
		b.apply(s)
		b.run()
		time.Sleep(5 * time.Second)
		for id, want := range map[tag.ID]string{100: "good 1", 101: "good 1, bad (configuration error) null", 102: "good 1"} {
			if got := strings.Join(b.book.of(id), ", "); got != want {
				t.Errorf("%d: %s, want %s", id, got, want)
			}
		}
		b.quit()
	})
}

// A device of which nothing is asked any more stays as it is, and comes back when its connection does.
func TestNothingToAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 1)
		s.Groups[0].Tags[0].Address = "held"
		b.plc(1).mode = refuses
		b.apply(s)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).set(fine)
		time.Sleep(10 * time.Second)
		if st := b.status("d0001"); st.State != Ready || st.Outages != 1 || b.last(100).Quality != tag.BadNodeIDUnknown {
			t.Errorf("%v, %d outages, %v", st.State, st.Outages, b.last(100).Quality)
		}
		b.quit()
	})
}

// Rows that say of a tag that it is not asked for are no sign of life.
func TestHeldTagsAreNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 2)
		s.Groups[0].Tags[0].Address = "held"
		b.apply(s)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).set(silent)
		time.Sleep(time.Minute)
		if st := b.status("d0001"); st.State.connected() && st.State != Suspect || st.Outages != 1 || b.last(101).Quality != tag.UncertainLastUsable {
			t.Errorf("%v, %d outages, %v", st.State, st.Outages, b.last(101).Quality)
		}
		b.quit()
	})
}

func TestMerge(t *testing.T) {
	hole := func(area uint8, from, to uint32) Span { return Span{area, from, to} }
	configured := Limits{MaxRegisters: 50, Gap: -1}
	know := merge(configured, configured, Limits{MaxRegisters: 100, MaxBits: 7, Gap: 9, Holes: []Span{hole(3, 1, 5)}})
	if know.MaxRegisters != 50 || know.MaxBits != 7 || know.Gap != -1 {
		t.Errorf("%+v", know)
	}
	next := merge(configured, know, Limits{MaxRegisters: 20, PDU: 99, MaxWrite: 3, MaxItems: 20, Window: 4, RequestWorth: 77, Holes: []Span{hole(3, 2, 4), hole(4, 2, 4)}})
	if next.MaxRegisters != 20 || next.PDU != 99 || next.MaxWrite != 3 || next.MaxItems != 20 || next.Window != 4 || next.RequestWorth != 77 || next.MaxBits != 7 {
		t.Errorf("%+v", next)
	}
	if len(next.Holes) != 2 || len(know.Holes) != 1 {
		t.Errorf("holes %v, before %v", next.Holes, know.Holes)
	}
}

// Rows for which the journal has no room are counted, the last values go on, and they pass when there is room again though nothing changed.
func TestOutputFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 3))
		b.book.full = true
		b.run()
		time.Sleep(5500 * time.Millisecond)
		polls := uint64(len(b.polls()["plc1:502"]))
		b.book.mu.Lock()
		if b.book.dropped != 3*polls || b.Stats().Dropped != 3*polls || b.last(100).Quality != tag.Good {
			t.Errorf("%d dropped of %d polls, last %v", b.book.dropped, polls, b.last(100))
		}
		b.book.full = false
		b.book.mu.Unlock()
		time.Sleep(5 * time.Second)
		if got := b.book.of(102); len(got) != 1 {
			t.Errorf("rows %v", got)
		}
		b.quit()
	})
}

type outputFunc func(b *tag.Batch) bool

func (f outputFunc) Offer(b *tag.Batch, _ func(error)) bool { return f(b) }

// What a device refused last is said until all of the group came.
func TestRefusalIsSaidUntilAllCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 2))
		var refuses atomic.Int32 // 1 refuses, 2 says nothing more and has a bad row, 0 all is well
		refuses.Store(1)
		b.plc(1).onRead = func(o Observer) {
			if refuses.Load() == 1 {
				o.Refused(Span{}, errors.New("DB7 is not there"))
			}
		}
		b.plc(1).value = func(id tag.ID) (tag.Kind, uint64, tag.Quality) {
			if id == 101 && refuses.Load() > 0 {
				return tag.Null, 0, tag.BadNodeIDUnknown
			}
			return tag.Bool, 1, tag.Good
		}
		b.run()
		for _, c := range []struct {
			refuses int32
			want    string
		}{{1, "DB7 is not there"}, {2, "DB7 is not there"}, {0, ""}, {2, ""}} {
			refuses.Store(c.refuses)
			time.Sleep(3 * time.Second)
			if st := b.status("d0001"); st.Groups[0].Refusal != c.want || st.State != Ready {
				t.Errorf("%d: %q, %v", c.refuses, st.Groups[0].Refusal, st.State)
			}
		}
		b.quit()
	})
}
