package ring

import (
	"runtime"
	"sync"
	"testing"
)

func TestRingKeepsOrderAndBounds(t *testing.T) {
	r, c := New[int](5, 2)
	if r.Size() != 8 {
		t.Fatalf("%d places, want a power of two that holds 5", r.Size())
	}
	for i := range 8 {
		if !r.Put(i) {
			t.Fatalf("no place for value %d of 8", i)
		}
	}
	got := make([]int, 6)
	if n := c[0].Take(got); n != 6 || got[5] != 5 {
		t.Errorf("took %d, %v", n, got)
	}
	if r.Put(8) {
		t.Error("a value was put over one that the slowest had not taken")
	}
	if n := c[1].Take(got[:3]); n != 3 || got[0] != 0 {
		t.Errorf("took %d, %v", n, got)
	}
	for i := 8; i < 11; i++ {
		if !r.Put(i) {
			t.Errorf("no place for value %d", i)
		}
	}
	if r.Put(11) {
		t.Error("a value too many")
	}
	if n := c[0].Take(got); n != 5 || got[0] != 6 || got[4] != 10 {
		t.Errorf("round the end: took %d, %v", n, got)
	}
	if n := c[0].Take(got); n != 0 {
		t.Errorf("took %d of an empty ring", n)
	}
}

func TestPutKeeping(t *testing.T) {
	r, c := New[int](4, 1)
	for _, tc := range []struct {
		keep int
		want bool
	}{{4, false}, {3, true}, {3, false}, {2, true}, {1, true}, {1, false}, {0, true}, {0, false}} {
		if got := r.PutKeeping(0, tc.keep); got != tc.want {
			t.Errorf("put keeping %d: %v", tc.keep, got)
		}
	}
	c[0].Take(make([]int, 1))
	if r.PutKeeping(0, 1) || !r.PutKeeping(0, 0) {
		t.Error("one place is one place")
	}
}

func TestRingWithoutConsumersIsNeverFull(t *testing.T) {
	r, _ := New[int](1, 0)
	for range 100 {
		if !r.Put(1) {
			t.Fatal("full")
		}
	}
}

// One producer, three consumers at their own pace: each gets every value in order.
func TestRingUnderRace(t *testing.T) {
	const values = 20_000
	r, cursors := New[int](64, 3)
	var wg sync.WaitGroup
	for i, c := range cursors {
		wg.Go(func() {
			into := make([]int, 1+10*i)
			for next := 0; next < values; {
				n := c.Take(into)
				for _, v := range into[:n] {
					if v != next {
						t.Errorf("consumer %d got %d, want %d", i, v, next)
						return
					}
					next++
				}
				if n == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	for i := range values {
		for !r.Put(i) {
			runtime.Gosched()
		}
	}
	wg.Wait()
}

func TestRingDoesNotAllocate(t *testing.T) {
	r, c := New[[4]int](16, 1)
	into := make([][4]int, 4)
	if n := testing.AllocsPerRun(100, func() { r.Put([4]int{1}); c[0].Take(into) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
