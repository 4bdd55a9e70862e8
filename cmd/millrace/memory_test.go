package main

import "testing"

func TestGarbagePercent(t *testing.T) {
	for _, c := range []struct {
		live, perSecond uint64
		want            int
	}{
		{0, 0, 100}, {16 << 20, 0, 100}, {64 << 20, 0, 25}, {160 << 20, 100 << 10, 10}, {160 << 20, 1 << 20, 10}, {160 << 20, 5 << 20, 31}, {160 << 20, 1 << 30, 100},
	} {
		if got := garbagePercent(c.live, c.perSecond); got != c.want {
			t.Errorf("%d MiB in use, %d KiB a second: room for %d %% of garbage, want %d", c.live>>20, c.perSecond>>10, got, c.want)
		}
	}
}
