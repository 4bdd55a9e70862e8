package resilience

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// costRun feeds c with requests of the sizes of a plan, by a device that takes request for each and byteCost for each byte, with noise of a share of that.
func costRun(c *Cost, seed uint64, n int, sizes []int, request, byteCost time.Duration, noise float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		size := sizes[i%len(sizes)]
		t := float64(request) + float64(byteCost)*float64(size)
		c.Sample(1, size, time.Duration(t*(1+noise*(2*r.Float64()-1))))
	}
}

func TestCostIsLearned(t *testing.T) {
	for _, x := range []struct {
		name              string
		request, byteCost time.Duration
		sizes             []int
		noise             float64
		worth             int // within a quarter
	}{
		{"serial line at 9600 baud", 8 * ms, 1042 * time.Microsecond, []int{30, 60, 140, 271}, 0.1, 8},
		{"serial line at 115200 baud", 8 * ms, 87 * time.Microsecond, []int{30, 60, 140, 271}, 0.1, 92},
		{"PLC with a cycle of 20 ms", 20 * ms, 20 * time.Microsecond, []int{30, 60, 140, 271}, 0.05, 1000},
		{"TCP on a LAN", 2 * ms, 400 * time.Nanosecond, []int{30, 271}, 0.02, 4096},
	} {
		var c Cost
		costRun(&c, 7, 2000, x.sizes, x.request, x.byteCost, x.noise)
		if got := c.Worth(129, 4, 4096); got < x.worth*3/4 || got > x.worth*5/4 {
			request, b := c.Fit(129)
			t.Errorf("%s: a request is worth %d bytes, want about %d (seed 7, fit %v and %v ns a byte)", x.name, got, x.worth, request, b)
		}
	}
}

// Requests of one size say what they cost as a whole. How that splits is the prior's.
func TestCostOfOneSizeIsThePrior(t *testing.T) {
	var c Cost
	costRun(&c, 1, 1000, []int{100}, 10*ms, 10*time.Microsecond, 0)
	request, b := c.Fit(129)
	if sum := float64(request) + 100*b; sum < 10.9e6 || sum > 11.1e6 {
		t.Errorf("a request of 100 bytes is reckoned to take %v, and took 11ms", time.Duration(sum))
	}
	if got := c.Worth(129, 4, 4096); got < 125 || got > 133 {
		t.Errorf("a request is worth %d bytes, want the prior's 129", got)
	}
	if (&Cost{}).Worth(129, 4, 4096) != 129 {
		t.Error("without a sample it is not the prior")
	}
}

// What arrives together counts together: k requests, their bytes, the time of all.
func TestCostOfBursts(t *testing.T) {
	var one, many Cost
	sizes := []int{30, 60, 140, 271}
	for i := range 2000 {
		a, b := sizes[i%4], sizes[(i/4)%4]
		took := func(n int) time.Duration { return 5*ms + time.Duration(n)*50*time.Microsecond }
		one.Sample(1, a, took(a))
		one.Sample(1, b, took(b))
		many.Sample(2, a+b, took(a)+took(b))
	}
	if x, y := one.Worth(129, 4, 4096), many.Worth(129, 4, 4096); x < 95 || x > 105 || y < 95 || y > 105 {
		t.Errorf("one by one a request is worth %d bytes, in pairs %d; want 100", x, y)
	}
}

// One request in fifty is held up by something else: that is not what requests cost.
func TestCostForgivesOutliers(t *testing.T) {
	var c Cost
	r := rand.New(rand.NewPCG(3, 3))
	sizes := []int{30, 60, 140, 271}
	for i := range 4000 {
		size := sizes[i%4]
		took := 5*ms + time.Duration(size)*50*time.Microsecond
		if r.IntN(50) == 0 {
			took += time.Second
		}
		c.Sample(1, size, took)
	}
	if got := c.Worth(129, 4, 4096); got < 60 || got > 140 {
		t.Errorf("a request is worth %d bytes, want about 100", got)
	}
}

// A device that is another one now is known again after some hundred requests.
func TestCostFollows(t *testing.T) {
	var c Cost
	sizes := []int{30, 60, 140, 271}
	costRun(&c, 5, 2000, sizes, 20*ms, 20*time.Microsecond, 0.02)
	costRun(&c, 6, 2000, sizes, 8*ms, 87*time.Microsecond, 0.02)
	if got := c.Worth(129, 4, 4096); got < 70 || got > 120 {
		t.Errorf("a request is worth %d bytes, want about 92", got)
	}
}

func TestCostBadInput(t *testing.T) {
	var c Cost
	c.Sample(0, 10, ms)
	c.Sample(1, 0, ms)
	c.Sample(1, 10, 0)
	c.Sample(1, 10, -ms)
	if c.Samples() != 0 {
		t.Error("nonsense was taken")
	}
	for range 100 { // longer ones are quicker
		c.Sample(1, 10, 10*ms)
		c.Sample(1, 200, ms)
	}
	if a, b := c.Fit(129); a <= 0 || b != 0 {
		t.Errorf("%v and %v ns a byte", a, b)
	}
}

func TestCostAllocatesNothing(t *testing.T) {
	var c Cost
	if n := testing.AllocsPerRun(100, func() { c.Sample(1, 50, ms); c.Worth(129, 4, 4096) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if size := unsafe.Sizeof(c); size > 56 {
		t.Errorf("a device's cost takes %d bytes", size)
	}
}
