package resilience

import (
	"fmt"
	"math"
	"time"
)

// Prediction says what makes a device suspected of going away. The zero value has the defaults.
type Prediction struct {
	Off       bool
	Deviation time.Duration // standard deviation of round trips from which on; 0 is 80 ms
	Decay     time.Duration // growth of the round trip per second from which on; 0 is 15 ms
	Phi       float64       // suspicion by silence from which on; 0 is 8
	Pause     time.Duration // silence that is acceptable on top of what is usual; 0 is one poll interval
}

// WithDefaults returns p with its defaults filled in.
func (p Prediction) WithDefaults() Prediction {
	if p.Deviation == 0 {
		p.Deviation = 80 * time.Millisecond
	}
	if p.Decay == 0 {
		p.Decay = 15 * time.Millisecond
	}
	if p.Phi == 0 {
		p.Phi = 8
	}
	return p
}

// Check says what is wrong with p, nil when nothing is.
func (p Prediction) Check() error {
	switch {
	case p.Deviation < 0:
		return fmt.Errorf("prediction: the deviation must not be below 0, not %v", p.Deviation)
	case p.Decay < 0:
		return fmt.Errorf("prediction: the decay must not be below 0, not %v", p.Decay)
	case p.Phi < 0 || p.Phi > 300 || math.IsNaN(p.Phi):
		return fmt.Errorf("prediction: phi must be 0 to 300, not %v", p.Phi)
	case p.Pause < 0:
		return fmt.Errorf("prediction: the pause must not be below 0, not %v", p.Pause)
	}
	return nil
}

// Sign is what points to a device that goes away.
type Sign uint8

// The signs.
const (
	NoSign    Sign = iota
	Deviation      // round trips vary more than they may, and more than they used to
	Decay          // round trips grow faster than they may, and faster than they used to vary
	Silence        // the device has been silent for longer than is usual
)

// Verdict is what the signs of a device come to.
type Verdict uint8

// The verdicts.
const (
	Well      Verdict = iota
	Suspected         // one sign
	Down              // silence, at two looks in a row
)

// Predictor watches the round trips and signs of life of one device, and says whether it is about to go away. It judges nothing by one reply: what varies always is the
// device's way, so that both deviation and decay count only where they are more than three times what the device was like before. Times are those of Phi. The zero value is ready to
// use; nothing allocates.
type Predictor struct {
	phi     Phi
	recent  moments // of about the last 8 round trips
	usual   moments // of about the last 256
	replies uint16  // up to leastReplies

	from     time.Duration // begin of the window of decay
	sum      float64       // of the round trips in it, ms
	count    uint32
	previous float64 // mean of the window before, ms; 0 unknown
	growth   float64 // of the mean from window to window, ms per s
	chance   float64 // what growth may be by chance, ms per s
	grew     float64 // the last growth that was judged, ms per s
	grown    uint8   // windows in a row that grew too fast

	noisy bool
	looks uint8 // in a row with too high a phi
}

// moments are mean and variance of round trips in ms.
type moments struct{ mean, variance float32 }

func (m *moments) add(ms, weight float64) {
	diff := ms - float64(m.mean)
	m.mean += float32(weight * diff)
	m.variance = float32((1 - weight) * (float64(m.variance) + weight*diff*diff))
}

func (m *moments) deviation() float64 { return math.Sqrt(float64(m.variance)) }

const (
	recentWeight = 1.0 / 8
	usualWeight  = 1.0 / 256
	leastReplies = 64          // fewer say nothing of what is usual
	decayWindow  = time.Second // the shortest over which growth is reckoned: of polls each 10 ms one that is a millisecond longer is no growth of 100 ms per s
	leastGrown   = 2           // windows in a row that must grow
	unusual      = 3           // times what was usual
	outlier      = 2.5         // deviations from the usual, beyond which a round trip counts as if it were so far
	calm         = 0.75        // of a threshold, below which a sign is over
)

// Replied takes the round trip of a request.
func (p *Predictor) Replied(rtt time.Duration) {
	ms := float64(rtt) / float64(time.Millisecond)
	p.sum += ms
	p.count++
	if p.replies < leastReplies {
		p.replies++
		// The weight of the first ones is that of a mean, or the first one would stay in it for long.
		p.recent.add(ms, max(recentWeight, 1/float64(p.replies)))
		p.usual.add(ms, 1/float64(p.replies))
		return
	}
	p.recent.add(ms, recentWeight)
	// What is unusual is not to become the usual while it lasts; but in time, or a link that has changed would stay suspected.
	most := outlier * p.usual.deviation()
	usual := float64(p.usual.mean)
	p.usual.add(min(max(ms, usual-most), usual+most), usualWeight)
}

// strays returns by how much the last round trips stray from what is usual, ms: their own deviation, and that of their mean.
func (p *Predictor) strays() float64 {
	off := float64(p.recent.mean - p.usual.mean)
	return math.Sqrt(float64(p.recent.variance) + off*off)
}

// Beat takes a sign of life: a read that came whole.
func (p *Predictor) Beat(at time.Duration) {
	p.phi.Beat(at)
	p.looks = 0
	if p.from == 0 {
		p.from = at
	}
	window := at - p.from
	if window < decayWindow || p.count == 0 {
		return
	}
	mean := p.sum / float64(p.count)
	if p.previous > 0 && window < phiOutage*decayWindow+8*p.phi.Mean() {
		p.growth = (mean - p.previous) / window.Seconds()
		p.chance = unusual * math.Sqrt2 * p.usual.deviation() / math.Sqrt(float64(p.count)) / window.Seconds()
	} else {
		p.growth = 0
	}
	p.previous, p.from, p.sum, p.count = mean, at, 0, 0
}

// Look judges the signs as they are at that time. A device whose polls are interval apart is looked at about as often: each look at a silence counts. It returns the strongest sign.
func (p *Predictor) Look(at, interval time.Duration, set Prediction) (Verdict, Sign) {
	set = set.WithDefaults()
	if set.Off {
		return Well, NoSign
	}
	if p.Phi(at, interval, set) >= set.Phi {
		p.looks = min(p.looks+1, 2)
		if p.looks == 2 {
			return Down, Silence
		}
		return Suspected, Silence
	}
	p.looks = 0
	return p.judge(set)
}

// Judge judges the signs that need no clock: it is called with each sign of life.
func (p *Predictor) Judge(set Prediction) (Verdict, Sign) {
	set = set.WithDefaults()
	if set.Off {
		return Well, NoSign
	}
	return p.judge(set)
}

func (p *Predictor) judge(set Prediction) (Verdict, Sign) {
	if p.replies < leastReplies {
		return Well, NoSign
	}
	usual := p.usual.deviation()
	limit := max(float64(set.Deviation)/float64(time.Millisecond), unusual*usual)
	switch d := p.strays(); {
	case d >= limit:
		p.noisy = true
	case d < calm*limit:
		p.noisy = false
	}
	p.judgeGrowth(set)
	switch {
	case p.grown >= leastGrown:
		return Suspected, Decay
	case p.noisy:
		return Suspected, Deviation
	}
	return Well, NoSign
}

// judgeGrowth counts windows that grew too fast, each once: growth is 0 again when it is counted.
func (p *Predictor) judgeGrowth(set Prediction) {
	if p.growth == 0 {
		return
	}
	limit := max(float64(set.Decay)/float64(time.Millisecond), p.chance)
	switch {
	case p.growth >= limit:
		p.grown = min(p.grown+1, 8)
	case p.grown > 0 && p.growth < 0:
		p.grown = 0
	case p.grown > 0 && p.growth < calm*limit:
		p.grown--
	}
	p.grew, p.growth = p.growth, 0
}

// Growth returns by how much round trips grow a second, as far as is known.
func (p *Predictor) Growth() time.Duration { return time.Duration(p.grew * float64(time.Millisecond)) }

// Heard returns when the last sign of life was, 0 without one, and Mean how far apart they are on average.
func (p *Predictor) Heard() time.Duration { return p.phi.last }
func (p *Predictor) Mean() time.Duration  { return p.phi.Mean() }

// Wait has the silence begin anew then: before, the device was not asked.
func (p *Predictor) Wait(at time.Duration) {
	if p.phi.last != 0 {
		p.phi.last = at
	}
	p.looks, p.from, p.sum, p.count, p.previous = 0, 0, 0, 0, 0
}

// Phi returns how unlikely the silence is at that time (Phi.At).
func (p *Predictor) Phi(at, interval time.Duration, set Prediction) float64 {
	return p.phi.At(at, set.pause(interval))
}

// Late returns when silence will be a sign if nothing comes until then, 0 as long as nothing is known.
func (p *Predictor) Late(interval time.Duration, set Prediction) time.Duration {
	set = set.WithDefaults()
	return p.phi.Reaches(set.Phi, set.pause(interval))
}

func (p Prediction) pause(interval time.Duration) time.Duration {
	if p.Pause > 0 {
		return p.Pause
	}
	return interval
}

// Strays returns by how much the last round trips stray from what is usual.
func (p *Predictor) Strays() time.Duration {
	return time.Duration(p.strays() * float64(time.Millisecond))
}
