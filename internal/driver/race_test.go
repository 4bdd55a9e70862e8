//go:build race

package driver

// underRace: the pools of s7.Server drop buffers at random then, so allocations cannot be counted.
const underRace = true
