package device

import (
	"math/bits"
	"time"
)

// RTTPicture is the round trips of a device's requests: now, and in the two hours before. Times are right to an eighth.
type RTTPicture struct {
	Began   time.Time // of the epoch that runs; the figures below are of it
	Samples uint64
	Min     time.Duration
	Median  time.Duration
	P99     time.Duration
	Max     time.Duration
	Usual   time.Duration // the median as it was when it was lowest, of the last two hours; 0 when too few came
	History []RTTEpoch    // those that are over, the oldest first
}

// RTTEpoch is the round trips of some minutes.
type RTTEpoch struct {
	Began       time.Time
	Samples     uint64
	Median, P99 time.Duration
}

const (
	rttEpoch   = 5 * time.Minute
	rttEpochs  = 24
	rttBuckets = 81 // four an octave from 64 us to 67 s, and what is below
	rttLeast   = 10 // samples that make a picture
)

// rtts counts round trips by their logarithm: 370 bytes for two hours of a device. Nothing of it allocates.
type rtts struct {
	began  int64 // Unix seconds, 0 before the first
	counts [rttBuckets]uint16
	past   [rttEpochs]rttPast // a ring
	next   uint8
}

// rttPast is an epoch that is over.
type rttPast struct {
	began       uint32 // Unix seconds, 0 for none
	samples     uint16
	median, p99 uint8 // buckets
}

// rttBucket returns where d is counted: bucket b holds what is up to rttBound(b).
func rttBucket(d time.Duration) int {
	us := uint64(max(d, 0)/time.Microsecond) >> 4 // 64 us is 4: a leading bit and two behind it
	if us < 4 {
		return 0
	}
	n := bits.Len64(us)
	return min(1+(n-3)*4+int(us>>(n-3)&3), rttBuckets-1)
}

// rttMiddle returns the middle of bucket b.
func rttMiddle(b int) time.Duration {
	if b == 0 {
		return 32 * time.Microsecond
	}
	octave, quarter := (b-1)/4, (b-1)%4
	low := (64 * time.Microsecond) << octave
	return low + low*time.Duration(2*quarter+1)/8
}

func (r *rtts) observe(d time.Duration) {
	if c := &r.counts[rttBucket(d)]; *c < 1<<16-1 {
		*c++
	}
}

// roll ends the epoch that runs when it is over.
func (r *rtts) roll(now time.Time) {
	at := now.Unix()
	switch {
	case r.began == 0:
		r.began = at
	case at < r.began: // the clock was set
		r.began = at
	case at-r.began >= int64(rttEpoch/time.Second):
		r.end()
		r.began = at
	}
}

func (r *rtts) end() {
	n := r.samples()
	if n >= rttLeast {
		r.past[r.next] = rttPast{began: uint32(r.began), samples: uint16(min(n, 1<<16-1)), median: uint8(r.quantile(n, 0.5)), p99: uint8(r.quantile(n, 0.99))}
		r.next = (r.next + 1) % rttEpochs
	}
	r.counts = [rttBuckets]uint16{}
}

func (r *rtts) samples() (n uint64) {
	for _, c := range r.counts {
		n += uint64(c)
	}
	return n
}

// quantile returns the bucket in which share q of n samples ends.
func (r *rtts) quantile(n uint64, q float64) int {
	want, sum := uint64(q*float64(n-1))+1, uint64(0)
	for b, c := range r.counts {
		if sum += uint64(c); sum >= want {
			return b
		}
	}
	return rttBuckets - 1
}

// picture returns what is known.
func (r *rtts) picture() RTTPicture {
	p := RTTPicture{Samples: r.samples()}
	if r.began != 0 {
		p.Began = time.Unix(r.began, 0)
	}
	for i := range rttEpochs {
		e := r.past[(int(r.next)+i)%rttEpochs]
		if e.began == 0 {
			continue
		}
		p.History = append(p.History, RTTEpoch{time.Unix(int64(e.began), 0), uint64(e.samples), rttMiddle(int(e.median)), rttMiddle(int(e.p99))})
		p.lowest(rttMiddle(int(e.median)))
	}
	if p.Samples == 0 {
		return p
	}
	p.Min, p.Max = rttMiddle(r.quantile(p.Samples, 0)), rttMiddle(r.quantile(p.Samples, 1))
	p.Median, p.P99 = rttMiddle(r.quantile(p.Samples, 0.5)), rttMiddle(r.quantile(p.Samples, 0.99))
	if p.Samples >= 2*rttLeast {
		p.lowest(rttMiddle(r.quantile(p.Samples, 0.1))) // what was usual before it rose, within one epoch
	}
	return p
}

func (p *RTTPicture) lowest(d time.Duration) {
	if p.Usual == 0 || d < p.Usual {
		p.Usual = d
	}
}
