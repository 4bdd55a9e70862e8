//go:build !race

package ctxguard

const underRace = false
