//go:build !race

package modbus

// raceDetector says that everything costs ten times as much.
const raceDetector = false
