//go:build race

package sim

const raced = true // the race detector is on
