//go:build race

package s7

// underRace: sync.Pool drops buffers at random then, so allocations cannot be counted.
const underRace = true
