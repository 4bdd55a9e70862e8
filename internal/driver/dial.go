package driver

import (
	"cmp"
	"time"

	"millrace/internal/device"
)

// dialTimes says how long the parts of a dial may take, and all of it, which an option of the device may say. What nobody says is 0.
type dialTimes struct{ all, connect, handshake time.Duration }

func dialTimesOf(o device.Observer, option time.Duration) dialTimes {
	t, ok := o.(device.Timeouts)
	if !ok {
		return dialTimes{all: option}
	}
	d := dialTimes{connect: t.Connect(), handshake: t.Handshake()}
	d.all = cmp.Or(option, d.connect+d.handshake)
	return d
}
