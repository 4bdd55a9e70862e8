//go:build race

package ctxguard

// underRace: sync.Pool drops buffers at random then, so allocations cannot be counted.
const underRace = true
