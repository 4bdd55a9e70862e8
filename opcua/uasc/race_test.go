//go:build race

package uasc

// raceEnabled says that the race detector is on, which allocates by itself.
const raceEnabled = true
