package main

import "testing"

func TestGarbagePercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 100}, {4 << 20, 100}, {48 << 20, 100}, {64 << 20, 75}, {96 << 20, 50}, {192 << 20, 25}, {4 << 30, 25}} {
		if got := garbagePercent(c.live); got != c.want {
			t.Errorf("%d MiB in use: room for %d %% of garbage, want %d", c.live>>20, got, c.want)
		}
	}
}
