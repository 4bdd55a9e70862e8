//go:build !race

package sim

const raced = false // the race detector is off
