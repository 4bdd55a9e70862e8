//go:build !race

package s7

const underRace = false
