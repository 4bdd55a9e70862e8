package resilience

import (
	"math"
	"time"
)

// Phi says how unlikely it is that a device which is well has been silent for so long, from how its signs of life came so far (phi accrual [Hayashibara 2004]): phi is
// -log10 of the probability that the next one comes even later, so that at 8 one such silence in a hundred million would be a false alarm if silences were normally
// distributed. They are not where polls are lost: that is what the pause is for, a silence that is acceptable on top of the mean. It keeps the moments of the intervals, in 24
// bytes. Times are since one beginning, more than nothing, and by a clock that nobody sets: an hour that a wall clock skips is no silence. The zero value is ready to use.
type Phi struct {
	mean     float64       // of intervals, s
	variance float64       // s²
	last     time.Duration // 0 before the first
}

const (
	phiWeight = 1.0 / 16 // of the newest interval
	phiLeast  = 0.1      // s: the least standard deviation, so that a device that is on time to the millisecond may be late for once
	phiOutage = 8        // means: an interval that is longer is an outage, and says nothing of how signs of life come
)

// Beat takes a sign of life.
func (p *Phi) Beat(at time.Duration) {
	was := p.last
	p.last = at
	if was == 0 {
		return
	}
	s := (at - was).Seconds()
	switch {
	case s < 0, p.mean > 0 && s > phiOutage*p.mean+1:
		return
	case p.mean == 0:
		p.mean = s
		return
	}
	diff := s - p.mean
	p.mean += phiWeight * diff
	p.variance = (1 - phiWeight) * (p.variance + phiWeight*diff*diff)
}

// At returns phi at that time, 0 as long as nothing is known. pause is the silence that is acceptable on top of the mean.
func (p *Phi) At(at, pause time.Duration) float64 {
	if p.mean == 0 {
		return 0
	}
	silent := (at - p.last - pause).Seconds()
	y := (silent - p.mean) / p.deviation()
	if y <= 0 {
		return 0 // not late yet
	}
	return tail(y)
}

// tail returns -log10 of the probability that what is normally distributed is more than y deviations above its mean.
func tail(y float64) float64 {
	if y < farTail {
		return -math.Log10(math.Erfc(y/math.Sqrt2) / 2)
	}
	return y*y/2*math.Log10E + math.Log10(y*math.Sqrt(2*math.Pi)) // Erfc is 0 soon
}

const farTail = 30

// Reaches returns when phi will be threshold if nothing comes until then, 0 as long as nothing is known.
func (p *Phi) Reaches(threshold float64, pause time.Duration) time.Duration {
	if p.mean == 0 {
		return 0
	}
	lo, hi := 0.0, 2+math.Sqrt(2*threshold*math.Ln10) // tail(hi) is above threshold
	for range 24 {
		if mid := (lo + hi) / 2; tail(mid) < threshold {
			lo = mid
		} else {
			hi = mid
		}
	}
	return p.last + pause + time.Duration((p.mean+hi*p.deviation())*1e9) + time.Microsecond // that it is reached then, whatever was rounded
}

// Mean returns the mean interval, 0 as long as nothing is known.
func (p *Phi) Mean() time.Duration { return time.Duration(p.mean * 1e9) }

func (p *Phi) deviation() float64 { return max(math.Sqrt(p.variance), phiLeast) }
