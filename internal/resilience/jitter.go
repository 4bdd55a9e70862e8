package resilience

import (
	"math"
	"math/bits"
	"time"
)

// Jitter watches how round trips vary and how many requests are lost, and says whether the rule for such links holds: it begins with a standard deviation of
// 25 ms or 3 % lost, and ends below 15 ms and 1 %. The deviation is that of about the last 32 round trips, weighted; the share that was lost is of the last
// 128 requests. The zero value is ready to use.
type Jitter struct {
	lost     [2]uint64 // a bit a request, the newest lowest; set without a reply
	mean     float64   // of the round trip, ms
	variance float64   // ms²
	samples  uint8     // up to jitterWindow
	replies  uint8     // up to jitterSamples
	on       bool
}

const (
	jitterWindow  = 128
	jitterSamples = 32 // round trips that weigh; fewer say nothing of the deviation
	leastRequests = 64 // fewer say nothing of the share that is lost: 2 of them are 3 %

	jitterOn, jitterOff = 25.0, 15.0 // ms
	lossOn, lossOff     = 0.03, 0.01
)

// Replied takes the round trip of a request.
func (j *Jitter) Replied(rtt time.Duration) {
	j.shift(0)
	ms := float64(rtt) / float64(time.Millisecond)
	if j.replies < jitterSamples {
		j.replies++
	}
	// The weight of the first ones is that of a mean, or the first one would stay in it for long [Welford].
	diff, weight := ms-j.mean, 1/float64(j.replies)
	j.mean += diff * weight
	j.variance += (diff*diff*(1-weight) - j.variance) * weight
	j.judge()
}

// Lost takes a request without a reply.
func (j *Jitter) Lost() {
	j.shift(1)
	j.judge()
}

// Late takes back that the last request that was lost was.
func (j *Jitter) Late() {
	for i := range j.lost {
		if j.lost[i] != 0 {
			j.lost[i] &= j.lost[i] - 1 // the lowest bit is the newest
			break
		}
	}
	j.judge()
}

func (j *Jitter) shift(bit uint64) {
	j.lost[1] = j.lost[1]<<1 | j.lost[0]>>63
	j.lost[0] = j.lost[0]<<1 | bit
	if j.samples < jitterWindow {
		j.samples++
	}
}

func (j *Jitter) judge() {
	dev, loss := j.variance, j.Loss()
	if j.samples < leastRequests {
		loss = 0
	}
	if j.replies < jitterSamples {
		dev = 0
	}
	switch {
	case dev >= jitterOn*jitterOn || loss >= lossOn:
		j.on = true
	case dev < jitterOff*jitterOff && loss < lossOff:
		j.on = false
	}
}

// On says whether the rule for such links holds.
func (j *Jitter) On() bool { return j.on }

// Loss returns the share of the last requests that had no reply, from 0 to 1.
func (j *Jitter) Loss() float64 {
	if j.samples == 0 {
		return 0
	}
	return float64(bits.OnesCount64(j.lost[0])+bits.OnesCount64(j.lost[1])) / float64(j.samples)
}

// Deviation returns the standard deviation of the round trip.
func (j *Jitter) Deviation() time.Duration {
	return time.Duration(math.Sqrt(j.variance) * float64(time.Millisecond))
}
