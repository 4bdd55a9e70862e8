//go:build !race

package opcua

const underRace = false
