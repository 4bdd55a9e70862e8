//go:build race

package modbus

// underRace: sync.Pool drops buffers at random then, so allocations cannot be counted.
const underRace = true
