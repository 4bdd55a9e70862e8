package resilience

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// The numbers of RFC 6298 by hand: SRTT=R, RTTVAR=R/2 at first; then RTTVAR before SRTT, with alpha 1/8 and beta 1/4.
func TestRTONumbers(t *testing.T) {
	r := NewRTO(ms, time.Minute)
	if r.Timeout() != time.Second {
		t.Fatalf("before a sample: %v, want 1s [2.1]", r.Timeout())
	}
	for i, c := range []struct{ rtt, srtt, rttvar, rto time.Duration }{
		{100 * ms, 100 * ms, 50 * ms, 300 * ms},
		{100 * ms, 100 * ms, 37500 * time.Microsecond, 250 * ms},
		{180 * ms, 110 * ms, 48125 * time.Microsecond, 302500 * time.Microsecond},
		{30 * ms, 100 * ms, 56093750, 324375 * time.Microsecond},
	} {
		r.Sample(c.rtt, false)
		if r.SRTT() != c.srtt || r.Var() != c.rttvar || r.Timeout() != c.rto {
			t.Errorf("sample %d (%v): srtt %v var %v rto %v, want %v %v %v", i, c.rtt, r.SRTT(), r.Var(), r.Timeout(), c.srtt, c.rttvar, c.rto)
		}
	}
}

func TestRTOBounds(t *testing.T) {
	for _, p := range []Profile{LAN(), Site(), Remote()} {
		r := NewRTO(p.Floor, p.Ceiling)
		for range 100 {
			r.Sample(ms, false)
		}
		if r.Timeout() != p.Floor {
			t.Errorf("%s: %v after fast replies, want the floor %v", p.Name, r.Timeout(), p.Floor)
		}
		for range 20 {
			r.TimedOut(r.Timeout())
		}
		if r.Timeout() != p.Ceiling {
			t.Errorf("%s: %v after timeouts, want the ceiling %v", p.Name, r.Timeout(), p.Ceiling)
		}
	}
	r := NewRTO(0, time.Minute)
	for range 200 {
		r.Sample(40*ms, false)
	}
	if got := r.Timeout(); got != 41*ms {
		t.Errorf("without deviation %v, want SRTT + G = 41ms [2.3]", got)
	}
	if r = NewRTO(3*time.Second, 15*time.Second); r.Timeout() != 3*time.Second {
		t.Errorf("first timeout %v is below the floor", r.Timeout())
	}
}

func TestRTOKarn(t *testing.T) {
	r := NewRTO(ms, time.Minute)
	r.Sample(100*ms, false)
	r.TimedOut(300 * ms)
	r.TimedOut(600 * ms)
	if r.Timeout() != 1200*ms {
		t.Fatalf("two timeouts: %v, want 300ms doubled twice", r.Timeout())
	}
	r.Sample(10*ms, true)
	if r.Timeout() != 1200*ms || r.SRTT() != 100*ms {
		t.Errorf("a sample of a repeated request was taken: rto %v srtt %v", r.Timeout(), r.SRTT())
	}
	r.Sample(100*ms, false)
	if r.Timeout() != 250*ms {
		t.Errorf("after an honest sample %v, want 250ms", r.Timeout())
	}
}

func TestRTOLate(t *testing.T) {
	r := NewRTO(200*ms, 2*time.Second)
	for range 50 {
		r.Sample(10*ms, false)
	}
	r.TimedOut(200 * ms)
	before := r.Timeout()
	r.Late(0)
	if r.Timeout() != before {
		t.Errorf("a duplicate moved the timeout from %v to %v", before, r.Timeout())
	}
	r.Late(700 * ms)
	if r.Timeout() < 900*ms {
		t.Errorf("a reply took 900ms and the timeout is %v", r.Timeout())
	}
	for range 3 {
		r.Late(time.Hour)
	}
	if r.Timeout() != 2*time.Second {
		t.Errorf("late replies lifted the timeout to %v, above the ceiling", r.Timeout())
	}
}

func TestBreaker(t *testing.T) {
	start := time.Unix(0, 0)
	for _, c := range []struct {
		name string
		at   []int // seconds; -1 is a success
		want string
	}{
		{"three in a row", []int{0, 1, 2}, "--T"},
		{"a success between", []int{0, 1, -1, 2, 3, 4}, "--o--T"},
		{"too slow for three", []int{0, 11}, "-T"},
		{"slow, but a success between", []int{0, -1, 11, 21, 22}, "-o--T"},
		{"goes on", []int{0, 1, 2, 3}, "--TT"},
	} {
		b := NewBreaker(LAN())
		got := ""
		for _, s := range c.at {
			switch {
			case s < 0:
				b.OK()
				got += "o"
			case b.Fail(start.Add(time.Duration(s) * time.Second)):
				got += "T"
			default:
				got += "-"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

type fixedRand float64

func (f fixedRand) Int64N(n int64) int64 { return int64(float64(f) * float64(n-1)) }

func TestBackoff(t *testing.T) {
	b := NewBackoff(LAN())
	for i, want := range []time.Duration{200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5 * time.Second, 5 * time.Second} {
		if got := b.Next(fixedRand(1)); got != want {
			t.Errorf("try %d: at most %v, want %v", i, got, want)
		}
	}
	b.Reset()
	if got := b.Next(fixedRand(1)); got != 200*ms {
		t.Errorf("after Reset %v", got)
	}
	if got := b.Next(fixedRand(0)); got != 0 {
		t.Errorf("full jitter begins at 0, not %v", got)
	}
	seed := uint64(7)
	r := rand.New(rand.NewPCG(seed, 0))
	var sum time.Duration
	const n = 10000
	for range n {
		d := b.Next(r)
		if d < 0 || d > 5*time.Second {
			t.Fatalf("seed %d: wait %v", seed, d)
		}
		sum += d
	}
	if mean := sum / n; mean < 2400*ms || mean > 2600*ms {
		t.Errorf("seed %d: mean wait %v, want about half the cap", seed, mean)
	}
}

func TestBucket(t *testing.T) {
	start := time.Unix(1000, 0)
	b := NewBucket(10, 3)
	for i, want := range []time.Duration{0, 0, 0, 100 * ms, 200 * ms, 300 * ms} {
		if got := b.Reserve(start, 1).Sub(start); got != want {
			t.Errorf("turn %d at %v, want %v", i, got, want)
		}
	}
	b.SetRate(5)
	for i, want := range []time.Duration{600 * ms, 800 * ms} {
		if got := b.Reserve(start, 1).Sub(start); got != want {
			t.Errorf("at half the rate turn %d at %v, want %v behind those that are reserved", i, got, want)
		}
	}
	b = NewBucket(10, 3)
	later := start.Add(10 * time.Second)
	for i, want := range []time.Duration{0, 0, 0, 100 * ms} {
		if got := b.Reserve(later, 1).Sub(later); got != want {
			t.Errorf("after a pause turn %d at %v, want %v: a burst must not grow", i, got, want)
		}
	}
	b = NewBucket(10, 1)
	if at := b.Reserve(start, 5); !at.Equal(start) {
		t.Errorf("five turns at %v, want at once", at)
	}
	if at := b.Reserve(start, 1); at.Sub(start) != 500*ms {
		t.Errorf("after five turns the next at %v, want 500ms", at.Sub(start))
	}
	var none Bucket
	for range 1000 {
		if !none.Reserve(start, 1).Equal(start) {
			t.Fatal("the zero value limits")
		}
	}
}

func TestSlots(t *testing.T) {
	s := NewSlots(2)
	for i, want := range []bool{true, true, false} {
		if s.Take() != want {
			t.Fatalf("take %d of a budget of 2 is %v", i+1, !want)
		}
	}
	s.Give()
	if !s.Take() || s.Used() != 2 || s.Limit() != 2 {
		t.Fatalf("%d of %d", s.Used(), s.Limit())
	}
	s.SetLimit(1)
	s.Give()
	if s.Take() {
		t.Fatal("taken beyond a lowered limit")
	}
	s.Give()
	s.Give()
	if s.Used() != 0 {
		t.Fatal("below nothing")
	}
}

func TestProfiles(t *testing.T) {
	for _, name := range []string{"lan", "site", "remote"} {
		p, ok := ProfileNamed(name)
		if !ok || p.Name != name || p.Check() != nil {
			t.Errorf("%s: %+v %v", name, p, p.Check())
		}
	}
	if _, ok := ProfileNamed("moon"); ok {
		t.Error("there is no moon")
	}
	for want, spoil := range map[string]func(*Profile){
		"shortest timeout must": func(p *Profile) { p.Floor = 0 },
		"longest timeout":       func(p *Profile) { p.Ceiling = ms },
		"failures must":         func(p *Profile) { p.Failures = 0 },
		"window":                func(p *Profile) { p.Window = 0 },
		"the cap":               func(p *Profile) { p.Cap = ms },
	} {
		p := LAN()
		spoil(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestPollPathAllocatesNothing(t *testing.T) {
	r, b, back, bucket, slots := NewRTO(200*ms, 2*time.Second), NewBreaker(LAN()), NewBackoff(LAN()), NewBucket(400, 20), NewSlots(1)
	src := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(0, 0)
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(ms)
		r.Sample(10*ms, false)
		r.TimedOut(r.Timeout())
		r.Late(ms)
		b.Fail(now)
		b.OK()
		back.Next(src)
		back.Reset()
		bucket.Reserve(now, 1)
		slots.Take()
		slots.Give()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPollPath(b *testing.B) {
	r, br, bucket := NewRTO(200*ms, 2*time.Second), NewBreaker(LAN()), NewBucket(1e9, 1)
	now := time.Unix(0, 0)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(ms)
		bucket.Reserve(now, 1)
		_ = r.Timeout()
		r.Sample(10*ms, false)
		br.OK()
	}
}
