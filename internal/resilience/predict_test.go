package resilience_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"millrace/internal/resilience"
	"millrace/internal/resilience/linktrace"
)

// What a Predictor says along generated traces, with bounds that hold for these seeds: announced cuts are foreseen, sudden ones are found as soon as phi can, and links that
// are as they always are stay unsuspected. The benchmark (interop/bench, part predict) prints the figures of longer ones.
func TestPredictionOnTraces(t *testing.T) {
	bounds := map[string]struct {
		wrong, wrongDowns   float64 // a day
		recall, precision   float64
		lead, delay, downBy time.Duration // medians: at least, at most, at most
	}{
		"LAN":      {1.5, 0, 1, 0.95, 10 * time.Second, 4 * time.Second, 5 * time.Second},
		"radio":    {60, 1, 0.95, 0.60, 15 * time.Second, 6 * time.Second, 7 * time.Second},
		"slow PLC": {0.2, 0.6, 0.95, 0.98, 20 * time.Second, 20 * time.Second, 25 * time.Second},
	}
	for _, l := range linktrace.Links() {
		b := bounds[l.Name]
		for seed := uint64(1); seed <= 3; seed++ {
			s := l.Make(seed, 100_000, true).Rate(resilience.Prediction{})
			if s.Found != s.Cuts || s.Cuts < 50 || s.Recall() < b.recall || s.Precision() < b.precision {
				t.Errorf("%s, seed %d: %d of %d cuts found, recall %.2f, precision %.2f", l.Name, seed, s.Found, s.Cuts, s.Recall(), s.Precision())
			}
			if linktrace.Median(s.Leads) < b.lead || linktrace.Median(s.Delays) > b.delay || linktrace.Median(s.DownDelays) > b.downBy || len(s.DownDelays) < s.Cuts*9/10 {
				t.Errorf("%s, seed %d: foreseen %v before, else found %v after, down %v after, %d of them", l.Name, seed,
					linktrace.Median(s.Leads), linktrace.Median(s.Delays), linktrace.Median(s.DownDelays), len(s.DownDelays))
			}
			s = l.Make(seed, 100_000, false).Rate(resilience.Prediction{})
			if s.WrongPerDay() > b.wrong || s.WrongDownsPerDay() > b.wrongDowns {
				t.Errorf("%s, seed %d, without cuts: %.2f suspicions and %.2f verdicts of down a day", l.Name, seed, s.WrongPerDay(), s.WrongDownsPerDay())
			}
		}
	}
}

// beats gives p so many signs of life, a second apart and up to so much late, and returns the time of the last.
func beats(beat func(time.Duration), n int, jitter time.Duration) (at time.Duration) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		at = time.Duration(1000+i)*time.Second + time.Duration(r.Int64N(int64(jitter)+1))
		beat(at)
	}
	return at
}

func TestPhi(t *testing.T) {
	if n := unsafe.Sizeof(resilience.Phi{}); n != 24 {
		t.Errorf("%d bytes", n)
	}
	var p resilience.Phi
	if p.At(5*time.Second, 0) != 0 || p.Reaches(8, 0) != 0 {
		t.Error("nothing is known, and something is said")
	}
	last := beats(p.Beat, 100, 0)
	if m := p.Mean(); m != time.Second {
		t.Errorf("mean %v", m)
	}
	// The normal tail: 1.2816 deviations of 0.1 s are late with a probability of 0.1, 3.7190 with 0.0001.
	for _, c := range []struct{ y, phi float64 }{{1.281552, 1}, {2.326348, 2}, {3.090232, 3}, {3.719016, 4}, {5.612001, 8}} {
		at := last + time.Second + time.Duration(c.y*0.1*1e9)
		if got := p.At(at, 0); math.Abs(got-c.phi) > 0.001*c.phi {
			t.Errorf("%v deviations late: phi %.3f, want %v", c.y, got, c.phi)
		}
		if got := p.At(at+3*time.Second, 3*time.Second); math.Abs(got-c.phi) > 0.001*c.phi {
			t.Errorf("%v deviations late with a pause: phi %.3f, want %v", c.y, got, c.phi)
		}
	}
	for _, threshold := range []float64{0.5, 1, 8, 16, 200} {
		if at := p.Reaches(threshold, time.Second); math.Abs(p.At(at, time.Second)-threshold) > 0.001*threshold {
			t.Errorf("phi is %v when it should be %v", p.At(at, time.Second), threshold)
		}
	}
	last += time.Hour // an outage says nothing of how signs of life come, and what comes out of order neither
	p.Beat(last)
	p.Beat(last - time.Minute)
	if m := p.Mean(); m != time.Second {
		t.Errorf("mean %v", m)
	}
}

func TestPredictorSigns(t *testing.T) {
	var set resilience.Prediction
	fresh := func() (*resilience.Predictor, func(rtt time.Duration) (resilience.Verdict, resilience.Sign)) {
		p, at := new(resilience.Predictor), 1000*time.Second
		return p, func(rtt time.Duration) (resilience.Verdict, resilience.Sign) {
			at += time.Second
			p.Replied(rtt)
			p.Beat(at)
			return p.Judge(set)
		}
	}
	p, poll := fresh()
	for i := range 200 {
		if v, _ := poll(time.Duration(10+i%3) * time.Millisecond); v != resilience.Well {
			t.Fatalf("poll %d: %v", i, v)
		}
	}
	var sign resilience.Sign
	for i := 1; i < 20 && sign == resilience.NoSign; i++ {
		_, sign = poll(time.Duration(10+20*i) * time.Millisecond)
	}
	if sign != resilience.Decay {
		t.Errorf("round trips that grow by 20 ms per second: %v", sign)
	}
	for range 40 {
		_, sign = poll(11 * time.Millisecond)
	}
	if sign != resilience.NoSign {
		t.Errorf("calm again: %v", sign)
	}
	for range 20 {
		_, sign = poll(150 * time.Millisecond)
	}
	if sign != resilience.Deviation || p.Strays() < 100*time.Millisecond {
		t.Errorf("far from what is usual, by %v: %v", p.Strays(), sign)
	}
	for range 3000 {
		_, sign = poll(150 * time.Millisecond)
	}
	if sign != resilience.NoSign {
		t.Errorf("that is usual by now: %v", sign)
	}
	set.Off = true
	if _, sign = poll(3 * time.Second); sign != resilience.NoSign {
		t.Errorf("off: %v", sign)
	}
}

func TestPredictorSilence(t *testing.T) {
	var p resilience.Predictor
	var set resilience.Prediction
	last := beats(p.Beat, 100, 0)
	late := p.Late(time.Second, set)
	if d := late - last; d < 2500*time.Millisecond || d > 2700*time.Millisecond {
		t.Errorf("late after %v", d)
	}
	for i, want := range []resilience.Verdict{resilience.Suspected, resilience.Down, resilience.Down} {
		v, sign := p.Look(late+time.Duration(i)*time.Second+time.Millisecond, time.Second, set)
		if v != want || sign != resilience.Silence {
			t.Errorf("look %d: %v, %v", i, v, sign)
		}
	}
	p.Beat(late + 4*time.Second)
	if v, _ := p.Look(late+5*time.Second, time.Second, set); v != resilience.Well {
		t.Errorf("after a sign of life: %v", v)
	}
	set.Pause = time.Minute
	if v, _ := p.Look(late+30*time.Second, time.Second, set); v != resilience.Well {
		t.Errorf("within the pause: %v", v)
	}
}

func TestPredictionCheck(t *testing.T) {
	if err := (resilience.Prediction{}).Check(); err != nil {
		t.Error(err)
	}
	for _, p := range []resilience.Prediction{{Deviation: -1}, {Decay: -1}, {Phi: -1}, {Phi: math.NaN()}, {Pause: -1}} {
		if p.Check() == nil {
			t.Errorf("%+v is let pass", p)
		}
	}
}

// Whatever comes, nothing is allocated and no number is none.
func TestPredictorTakesEverything(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var p resilience.Predictor
	at := time.Second
	if n := testing.AllocsPerRun(10_000, func() {
		at += time.Duration(r.Int64N(int64(time.Hour))) >> r.IntN(50)
		p.Replied(time.Duration(r.Int64()) >> r.IntN(63))
		if r.IntN(3) > 0 {
			p.Beat(at)
		}
		p.Judge(resilience.Prediction{})
		p.Look(at+time.Duration(r.Int64N(int64(time.Minute))), time.Second, resilience.Prediction{})
		if phi := p.Phi(at, time.Second, resilience.Prediction{}); math.IsNaN(phi) || phi < 0 {
			t.Fatalf("phi is %v", phi)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPredictor(b *testing.B) {
	var p resilience.Predictor
	at := time.Second
	b.ReportAllocs()
	for b.Loop() {
		at += time.Second
		p.Replied(3 * time.Millisecond)
		p.Beat(at)
		p.Judge(resilience.Prediction{})
	}
}
