package resilience

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"
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

// What several requests that were on their way together say is said by the first of them.
func TestRTODoublesOnceForAWindow(t *testing.T) {
	r := NewRTO(200*ms, 5*time.Second)
	for range 50 {
		r.Sample(10*ms, false)
	}
	for i, want := range []time.Duration{400 * ms, 800 * ms, 1600 * ms} {
		sent := r.Timeout()
		for range 4 {
			r.TimedOut(sent)
		}
		if r.Timeout() != want {
			t.Errorf("window %d: %v, want %v", i+1, r.Timeout(), want)
		}
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

// A letter a call: x fails, r is a repetition that fails, o comes, s comes slowly, O is a repetition that comes; a space is a second. T stands where it opens.
func TestBreaker(t *testing.T) {
	lan, remote := LAN(), Remote()
	slow := LAN()
	slow.SlowRate = 0.8
	for _, c := range []struct {
		name    string
		p       Profile
		trial   int
		in, out string
	}{
		{"three in a row", lan, 0, "x r r", "- - T"},
		{"a success between", lan, 0, "x r O x r r", "- - - - - T"},
		{"too slow for three", lan, 0, "x           r", "-           T"},
		{"slow, but a success between", lan, 0, "x O           x          r r", "- -           -          - T"},
		{"goes on", lan, 0, "x r r r", "- - T T"},
		{"three of five", lan, 0, "o o x O x O x", "- - - - - - T"},
		{"four calls are no share", lan, 0, "o x O x O x", "- - - - - -"},
		{"repetitions are no calls", lan, 0, "o o x r O x r O", "- - - - - - - -"},
		{"what is older than the window does not count", lan, 0, "x O x O           o o x O x", "- - - -           - - - - -"},
		{"radio: four of five in a row", remote, 0, "o x r r r O", "- - - - - -"},
		{"slow calls", slow, 0, "o s s s s", "- - - - T"},
		{"slow and quick", slow, 0, "s s o s o s s s s", "- - - - - - - - -"},
		{"on trial", lan, 10, "o x O x", "- - - T"},
		{"the first on trial", lan, 10, "x", "T"},
		{"behind the trial", lan, 4, "o o o o x O x O", "- - - - - - - -"},
	} {
		b, now := NewBreaker(c.p), time.Unix(0, 0)
		b.Trial(c.trial)
		got := ""
		for _, what := range c.in {
			var open bool
			switch what {
			case ' ':
				now = now.Add(time.Second)
				got += " "
				continue
			case 'x', 'r':
				open = b.Fail(now, what == 'r')
			default:
				open = b.OK(now, what == 's', what == 'O')
			}
			got += string("-T"[map[bool]int{true: 1}[open]])
		}
		if got != c.out {
			t.Errorf("%s: %s opens\n%s, want\n%s", c.name, c.in, got, c.out)
		}
	}
}

// A clock that is set, forwards or back, empties the window and does nothing worse.
func TestBreakerWindowMovesWithTheClock(t *testing.T) {
	b, now := NewBreaker(LAN()), time.Unix(1e9, 0)
	for _, d := range []time.Duration{0, time.Second, 240 * time.Hour, -480 * time.Hour, time.Second} {
		now = now.Add(d)
		b.OK(now, false, false)
	}
	if sum := b.sum(); sum.calls != 2 {
		t.Errorf("%d calls in the window", sum.calls)
	}
	for range 1 << 17 {
		b.OK(now, false, false)
	}
	if sum := b.sum(); sum.calls < 1<<16-1 {
		t.Errorf("%d calls: a count ran over", sum.calls)
	}
}

func TestRetries(t *testing.T) {
	var r Retries
	for i, want := range []time.Duration{0, 100 * ms, 300 * ms, 900 * ms, 900 * ms} {
		if got := r.Next(fixedRand(1), false); got != want {
			t.Errorf("repetition %d after %v at most, want %v", i+1, got, want)
		}
	}
	if r.Done() != 5 {
		t.Errorf("%d done", r.Done())
	}
	r.Reset()
	for i, want := range []time.Duration{0, 0, 100 * ms} {
		if got := r.Next(fixedRand(1), true); got != want {
			t.Errorf("quick: repetition %d after %v at most, want %v", i+1, got, want)
		}
	}
}

// What a device carries of these rules.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name        string
		bytes, most uintptr
	}{
		{"breaker", unsafe.Sizeof(Breaker{}), 128}, {"jitter", unsafe.Sizeof(Jitter{}), 48}, {"ladder", unsafe.Sizeof(Ladder{}), 64},
		{"dial rate", unsafe.Sizeof(AIMD{}), 128}, {"rto", unsafe.Sizeof(RTO{}), 64}, {"back-off", unsafe.Sizeof(Backoff{}), 24}, {"retries", unsafe.Sizeof(Retries{}), 1},
	} {
		t.Logf("%s: %d bytes", c.name, c.bytes)
		if c.bytes > c.most {
			t.Errorf("%s has %d bytes, more than %d", c.name, c.bytes, c.most)
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
	var jitter Jitter
	var retries Retries
	ladder, rate := NewLadder(LAN()), NewAIMD(400)
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(ms)
		r.Sample(10*ms, false)
		r.TimedOut(r.Timeout())
		r.Late(ms)
		b.Fail(now, false)
		jitter.Replied(10 * ms)
		jitter.Lost()
		ladder.Part(now, 0.5)
		ladder.Whole(now, true)
		ladder.Less(jitter.Loss())
		ladder.Failed(false)
		retries.Next(src, jitter.On())
		rate.OK(now, now, false)
		rate.TimedOut(now, now)
		b.OK(now, false, false)
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
	ladder := NewLadder(LAN())
	var jitter Jitter
	now := time.Unix(0, 0)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(ms)
		bucket.Reserve(now, 1)
		_ = r.Timeout()
		r.Sample(10*ms, false)
		jitter.Replied(10 * ms)
		r.Quick(jitter.On())
		br.OK(now, false, false)
		ladder.Whole(now, true)
	}
}

// set returns t as it reads when the wall clock was set by so much and the monotonic one was not: its first word is a flag, 33 bits of seconds and 30 of nanoseconds.
func set(t time.Time, by time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(by/time.Second) << 30
	return t
}

// A clock that is set in the middle of it does not empty a breaker's window, and makes no run of failures longer than it is.
func TestBreakerAndAClockThatWasSet(t *testing.T) {
	for _, by := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		p := LAN()
		p.Failures = 100
		b, now := NewBreaker(p), time.Now()
		for range p.WithDefaults().MinCalls - 1 {
			if b.Fail(now, false) {
				t.Fatal("too soon")
			}
		}
		if !b.Fail(set(now, by), false) {
			t.Errorf("set by %v: the window is empty", by)
		}
		p.MinCalls = 100
		b = NewBreaker(p)
		if b.Fail(now, false) || b.Fail(set(now, by), false) {
			t.Errorf("set by %v: two failures at once are a long run", by)
		}
	}
}
