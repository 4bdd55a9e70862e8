//go:build !race

package listen

const underRace = false
