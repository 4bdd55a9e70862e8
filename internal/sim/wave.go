package sim

import (
	"math"
	"time"
)

// Waves is how many live values a Modbus device has.
const Waves = 500

// Wave returns live value k, 0 to Waves-1, of a device at t: a sine between 0 and 100 with a period of 10 s + k * 0.5 s. The phase moves
// with the number of the device, so that devices differ.
func Wave(device, k int, t time.Time) float32 {
	period := 10 + 0.5*float64(k)
	seconds := float64(t.UnixMilli()%(int64(period*1000))) / 1000
	phase := float64(device%360) / 360
	return float32(50 + 50*math.Sin(2*math.Pi*(seconds/period+phase)))
}
