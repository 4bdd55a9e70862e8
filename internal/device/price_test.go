package device

import (
	"testing"
	"testing/synctest"
	"time"
)

// What requests cost is measured, told, and makes a new plan when it differs much from what the plan was made with; a plan is not made anew for less.
func TestWhatARequestIsWorth(t *testing.T) {
	for _, c := range []struct {
		name      string
		learned   int
		perByte   time.Duration
		worth     int // as told; 0 is not told
		compiles  int
		firstWith int
	}{
		{"a serial line", 0, 87 * time.Microsecond, 91, 1, 0}, // 8 ms are worth 92 bytes: as good as the 100 that is reckoned with
		{"a fast network", 0, 2 * time.Microsecond, 4000, 2, 0},
		{"a slow serial line", 0, time.Millisecond, 8, 2, 0},
		{"what was learned before", 4000, 2 * time.Microsecond, 0, 1, 4000},
	} {
		synctest.Test(t, func(t *testing.T) {
			told := 0
			b := newBench(t, Config{OnLearned: func(_ string, l Limits) { told = l.RequestWorth }})
			s := b.spec(1, time.Second, 1)
			s.Learned.RequestWorth = c.learned
			b.plc(1).onRead = func(o Observer) {
				for _, size := range []int{30, 60, 140, 271} {
					o.Served(1, size, 8*time.Millisecond+time.Duration(size)*c.perByte)
				}
			}
			b.apply(s)
			b.run()
			time.Sleep(10 * time.Minute)
			b.quit()
			if c.compiles == 1 {
				c.worth = 0
			}
			if told < c.worth*9/10 || told > c.worth*11/10 {
				t.Errorf("%s: told %d, want about %d", c.name, told, c.worth)
			}
			if n := len(b.driver.limits); n != c.compiles || b.driver.limits[0].RequestWorth != c.firstWith {
				t.Errorf("%s: compiled with %+v, want %d times", c.name, b.driver.limits, c.compiles)
			}
			st := b.status("d0001")
			if st.RequestCost < 7*time.Millisecond || st.RequestCost > 9*time.Millisecond || st.ByteCost < c.perByte*9/10 || st.ByteCost > c.perByte*11/10 {
				t.Errorf("%s: %v and %v a byte", c.name, st.RequestCost, st.ByteCost)
			}
		})
	}
}

// A plan that merged everything asks for one size, which says nothing of what a byte costs: it stays as it is.
func TestAMergedPlanStaysMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 1)
		s.Learned.RequestWorth = 2000
		b.plc(1).onRead = func(o Observer) { o.Served(1, 271, 9*time.Millisecond) }
		b.apply(s)
		b.run()
		time.Sleep(20 * time.Minute)
		b.quit()
		if n := len(b.driver.limits); n != 1 {
			t.Errorf("compiled %d times: %+v", n, b.driver.limits)
		}
	})
}

func TestTurnsAreTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.plc(1).latency = 30 * time.Millisecond
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		time.Sleep(time.Minute)
		b.quit()
		if took := b.status("d0001").Groups[0].Took; took != 30*time.Millisecond {
			t.Errorf("a turn took %v", took)
		}
	})
}
