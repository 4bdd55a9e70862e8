//go:build !race

package modbus

const underRace = false
