//go:build race

package serve

// raced says that the race detector runs: then sync.Pool forgets at random, and allocations cannot be counted.
const raced = true
