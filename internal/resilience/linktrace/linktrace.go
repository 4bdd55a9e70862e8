// Package linktrace makes traces of polls over links that are cut now and then, and scores what a resilience.Predictor said of them.
package linktrace

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"millrace/internal/resilience"
)

// Link is a kind of link with a device at its end.
type Link struct {
	Name     string
	Poll     time.Duration
	RTT      time.Duration // median
	Spread   float64       // of the logarithm of the round trip
	Jitter   time.Duration // uniform, on top
	Loss     float64       // share of polls without an answer
	Stretch  float64       // how much longer round trips are just before a cut that announces itself
	Fading   float64       // share of polls without an answer then
	Announce time.Duration // how long before such a cut it begins
}

// Links returns a LAN, a radio link and a slow PLC, polled as in the reference that they are compared with: 1 s and 0.1 % lost, 1 s and 3 %, 5 s and 1 s of jitter.
func Links() []Link {
	return []Link{
		{Name: "LAN", Poll: time.Second, RTT: 2 * time.Millisecond, Spread: 0.3, Loss: 0.001, Stretch: 200, Fading: 0.1, Announce: 20 * time.Second},
		{Name: "radio", Poll: time.Second, RTT: 180 * time.Millisecond, Spread: 0.3, Loss: 0.03, Stretch: 6, Fading: 0.3, Announce: 40 * time.Second},
		{Name: "slow PLC", Poll: 5 * time.Second, RTT: 300 * time.Millisecond, Spread: 0.2, Jitter: time.Second, Loss: 0, Stretch: 20, Fading: 0, Announce: time.Minute},
	}
}

// Cut is a time in which the device is not there.
type Cut struct {
	From, To  time.Time
	Announced bool // round trips grow before it
}

// Trace is the answers to polls over a link, in order of their arrival.
type Trace struct {
	Link    Link
	From    time.Time
	Answers []Answer
	Cuts    []Cut
}

// Answer is one.
type Answer struct {
	At  time.Time
	RTT time.Duration
}

const (
	cutFor   = 30 * time.Second
	cutEvery = 20 * time.Minute
)

// Make makes a trace of so many polls, with cuts of 30 s every 20 minutes, of which every other one announces itself; without any when cuts is false.
func (l Link) Make(seed uint64, polls int, cuts bool) Trace {
	r := rand.New(rand.NewPCG(seed, 1))
	t := Trace{Link: l, From: time.Unix(0, 0)}
	end := t.From.Add(time.Duration(polls) * l.Poll)
	for at := t.From.Add(cutEvery); cuts && at.Before(end.Add(-cutEvery/2)); at = at.Add(cutEvery) {
		from := at.Add(time.Duration(r.Int64N(int64(cutEvery / 4))))
		t.Cuts = append(t.Cuts, Cut{From: from, To: from.Add(cutFor), Announced: len(t.Cuts)%2 == 0})
	}
	next := 0
	for n := range polls {
		at := t.From.Add(time.Duration(n) * l.Poll)
		for next < len(t.Cuts) && t.Cuts[next].To.Before(at) {
			next++
		}
		near := 0.0
		if next < len(t.Cuts) {
			near = t.Cuts[next].near(at, l.Announce)
		}
		if a, ok := l.poll(r, at, near); ok {
			t.Answers = append(t.Answers, a)
		}
	}
	slices.SortStableFunc(t.Answers, func(a, b Answer) int { return a.At.Compare(b.At) })
	return t
}

// near returns how far at is from the beginning of what announces a cut: 0 before it, 1 at the cut, 2 in it.
func (c Cut) near(at time.Time, announce time.Duration) float64 {
	switch left := c.From.Sub(at); {
	case left <= 0:
		return 2
	case c.Announced && left < announce:
		return 1 - float64(left)/float64(announce)
	}
	return 0
}

func (l Link) poll(r *rand.Rand, at time.Time, near float64) (Answer, bool) {
	rtt := float64(l.RTT) * math.Exp(l.Spread*r.NormFloat64()) * (1 + (l.Stretch-1)*min(near, 1))
	if l.Jitter > 0 {
		rtt += float64(r.Int64N(int64(l.Jitter)))
	}
	if lost := r.Float64() < l.Loss+(l.Fading-l.Loss)*min(near, 1); lost || near > 1 {
		return Answer{}, false
	}
	return Answer{At: at.Add(time.Duration(rtt)), RTT: time.Duration(rtt)}, true
}

// Score is what became of the suspicions of a Predictor along a trace.
type Score struct {
	Cuts, Announced int
	Suspicions      int             // how often it began to suspect the device
	Wrong           int             // of them, those that no cut followed within a minute
	Foreseen        int             // announced cuts that it suspected before they were there
	Found           int             // cuts that it suspected before or while they were there
	Downs           int             // verdicts of down
	WrongDowns      int             // of them, those outside of a cut
	Leads           []time.Duration // of foreseen cuts: how long before, sorted
	Delays          []time.Duration // of the others that were found: how long after, sorted
	DownDelays      []time.Duration // from a cut to its verdict of down, sorted
	Days            float64
}

// Precision returns the share of suspicions that a cut followed.
func (s Score) Precision() float64 { return share(s.Suspicions-s.Wrong, s.Suspicions) }

// Recall returns the share of announced cuts that were foreseen.
func (s Score) Recall() float64 { return share(s.Foreseen, s.Announced) }

// WrongPerDay and WrongDownsPerDay return false alarms per device and day.
func (s Score) WrongPerDay() float64      { return float64(s.Wrong) / s.Days }
func (s Score) WrongDownsPerDay() float64 { return float64(s.WrongDowns) / s.Days }

func share(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

// Median returns the middle of sorted durations, 0 when there are none.
func Median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return d[len(d)/2]
}

// watch is a predictor along a trace.
type watch struct {
	resilience.Predictor
	set     resilience.Prediction
	poll    time.Duration
	from    time.Time // of the trace
	suspect bool
	began   []time.Time // suspicions
	downs   []time.Time
}

func (w *watch) see(v resilience.Verdict, at time.Time) {
	if v != resilience.Well && !w.suspect {
		w.began = append(w.began, at)
	}
	w.suspect = v != resilience.Well
}

// silence looks at the silence before the answer that comes at until, as the gateway does: when it is late, and then each poll interval.
func (w *watch) silence(until time.Duration) {
	at := w.Late(w.poll, w.set)
	if at == 0 {
		return
	}
	for told := false; at < until; at += w.poll {
		v, _ := w.Look(at, w.poll, w.set)
		w.see(v, w.from.Add(at))
		if v == resilience.Down && !told {
			w.downs = append(w.downs, w.from.Add(at))
			told = true
		}
		if told {
			return
		}
	}
}

// Rate runs a Predictor along t.
func (t Trace) Rate(set resilience.Prediction) Score {
	w := watch{set: set, poll: t.Link.Poll, from: t.From}
	for _, a := range t.Answers {
		at := a.At.Sub(t.From)
		w.silence(at)
		w.Replied(a.RTT)
		w.Beat(at)
		v, _ := w.Judge(set)
		w.see(v, a.At)
	}
	return t.score(&w)
}

// follows is how long after a suspicion a cut counts as the one that was suspected.
const follows = time.Minute

func (t Trace) score(w *watch) Score {
	s := Score{Cuts: len(t.Cuts), Suspicions: len(w.began), Downs: len(w.downs)}
	if n := len(t.Answers); n > 0 {
		s.Days = t.Answers[n-1].At.Sub(t.From).Hours() / 24
	}
	for _, at := range w.began {
		if !slices.ContainsFunc(t.Cuts, func(c Cut) bool { return !at.Before(c.From.Add(-follows)) && at.Before(c.To.Add(follows)) }) {
			s.Wrong++
		}
	}
	for _, at := range w.downs {
		if !slices.ContainsFunc(t.Cuts, func(c Cut) bool { return !at.Before(c.From) && at.Before(c.To) }) {
			s.WrongDowns++
		}
	}
	for _, c := range t.Cuts {
		t.scoreCut(&s, w, c)
	}
	slices.Sort(s.Leads)
	slices.Sort(s.Delays)
	slices.Sort(s.DownDelays)
	return s
}

func (t Trace) scoreCut(s *Score, w *watch, c Cut) {
	if c.Announced {
		s.Announced++
	}
	if i := slices.IndexFunc(w.began, func(at time.Time) bool { return !at.Before(c.From.Add(-follows)) && at.Before(c.To) }); i >= 0 {
		s.Found++
		switch lead := c.From.Sub(w.began[i]); {
		case lead > 0 && c.Announced:
			s.Foreseen++
			s.Leads = append(s.Leads, lead)
		case lead <= 0:
			s.Delays = append(s.Delays, -lead)
		}
	}
	if i := slices.IndexFunc(w.downs, func(at time.Time) bool { return !at.Before(c.From) && at.Before(c.To) }); i >= 0 {
		s.DownDelays = append(s.DownDelays, w.downs[i].Sub(c.From))
	}
}
