package main

import "testing"

func TestGarbagePercent(t *testing.T) {
	for _, c := range []struct {
		live, perSecond uint64
		want            int
	}{
		{0, 0, 100}, {8 << 20, 0, 100}, {32 << 20, 0, 25}, {160 << 20, 100 << 10, 5}, {160 << 20, 1 << 20, 6}, {160 << 20, 5 << 20, 31}, {160 << 20, 1 << 30, 100},
	} {
		if got := garbagePercent(c.live, c.perSecond); got != c.want {
			t.Errorf("%d MiB in use, %d KiB a second: room for %d %% of garbage, want %d", c.live>>20, c.perSecond>>10, got, c.want)
		}
	}
}
