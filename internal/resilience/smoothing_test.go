package resilience

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A mean that gives the newest sample 85 % is said to smooth round trips. It keeps most of their noise, and a time-out that is made of it fires on answers that are on
// their way; the weight of RFC 6298, an eighth, leaves a quarter of the noise.
func TestSmoothing(t *testing.T) {
	const n = 100_000
	seed := uint64(5)
	r := rand.New(rand.NewPCG(seed, 1))
	rto := NewRTO(time.Millisecond, time.Minute)
	var fast float64
	var raw, slow, quick []float64
	var early [2]int // time-outs before an answer that came
	for i := range n {
		rtt := 200 + 30*r.NormFloat64()
		if r.IntN(50) == 0 {
			rtt += 100 * r.ExpFloat64() // now and then the device is busy
		}
		rtt = max(rtt, 1)
		if i > 100 {
			if float64(rto.Timeout())/1e6 < rtt {
				early[0]++
			}
			if 1.5*fast < rtt { // a half more than the mean, as is usual with it
				early[1]++
			}
			raw, slow, quick = append(raw, rtt), append(slow, float64(rto.SRTT())/1e6), append(quick, fast)
		}
		rto.Sample(time.Duration(rtt*1e6), false)
		fast = 0.15*fast + 0.85*rtt
	}
	kept := func(x []float64) float64 { return deviation(x) / deviation(raw) }
	t.Logf("of the noise of %.0f ms (seed %d) the weight 1/8 keeps %.0f %%, 0.85 keeps %.0f %%; time-outs of answers that came, per 100,000: SRTT + 4 RTTVAR %d, half more than the mean %d",
		deviation(raw), seed, 100*kept(slow), 100*kept(quick), early[0], early[1])
	if kept(slow) > 0.35 || kept(quick) < 0.75 {
		t.Errorf("kept %.2f and %.2f", kept(slow), kept(quick))
	}
	if 2*early[0] > early[1] {
		t.Errorf("%d time-outs against %d", early[0], early[1])
	}
}

func deviation(x []float64) float64 {
	mean, sum := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		sum += (v - mean) * (v - mean)
	}
	return math.Sqrt(sum / float64(len(x)))
}
