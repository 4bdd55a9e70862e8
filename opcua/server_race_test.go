//go:build race

package opcua

// underRace: sync.Pool drops buffers at random then, so allocations cannot be counted.
const underRace = true
