package sim

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"millrace/modbus"
)

// EmitOptions shapes the gateway configuration that matches a simulator. The zero value is a good default.
type EmitOptions struct {
	Waves    int           // live values of each device to read; default 10, at most Waves
	Statics  int           // and so many float32 of the static image from holding register 0 on; default 0, at most 30000
	Interval time.Duration // of the group; default 1 s
	Sink     string        // directory of the file sink; default "out"
	Data     string        // data directory of the gateway; default "data"
	Profile  string        // default lan
}

func (o EmitOptions) withDefaults() (EmitOptions, error) {
	if o.Waves == 0 && o.Statics == 0 {
		o.Waves = 10
	}
	if o.Waves < 0 || o.Waves > Waves || o.Statics < 0 || o.Statics > firstWave/2 {
		return o, fmt.Errorf("sim: %d waves and %d static values; there are %d and %d", o.Waves, o.Statics, Waves, firstWave/2)
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Interval < 0 {
		return o, fmt.Errorf("sim: interval %s is not above 0", o.Interval)
	}
	for _, d := range [...]struct {
		p   *string
		def string
	}{{&o.Sink, "out"}, {&o.Data, "data"}, {&o.Profile, "lan"}} {
		if *d.p == "" {
			*d.p = d.def
		}
	}
	return o, nil
}

// DeviceID is what the emitted configuration calls device n.
func DeviceID(n int) string { return fmt.Sprintf("sim-%05d", n) }

// scheme returns how the gateway's addresses begin.
func (m *Modbus) scheme() string {
	switch {
	case m.cfg.TLS != nil:
		return "modbus+tls"
	case m.cfg.Framing == modbus.FramingRTU:
		return "modbus+rtu"
	}
	return "modbus"
}

// EmitConfig writes the gateway configuration that reads the simulated devices: one template, and a device for each address.
func (m *Modbus) EmitConfig(w io.Writer, o EmitOptions) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "gateway:\n  name: simulated\n  data: %q\n  listen: 127.0.0.1:8080\n", o.Data)
	fmt.Fprintf(b, "templates:\n  sim:\n    protocol: modbus\n    profile: %s\n    groups:\n      live:\n        interval: %s\n        tags:\n", o.Profile, o.Interval)
	for k := range o.Waves {
		fmt.Fprintf(b, "          wave%03d: \"holding:%d:float32 unit=bar deadband=0.5\"\n", k, firstWave+2*k)
	}
	for k := range o.Statics {
		fmt.Fprintf(b, "          static%05d: \"holding:%d:float32\"\n", k, 2*k)
	}
	fmt.Fprint(b, "devices:\n")
	for n := 1; n <= len(m.devices); n++ {
		fmt.Fprintf(b, "  - {id: %s, template: sim, address: \"%s://%s/1\"}\n", DeviceID(n), m.scheme(), m.Addr(n))
	}
	fmt.Fprintf(b, "sinks:\n  - {id: files, type: file, dir: %q}\n", o.Sink)
	return b.Flush() // keeps the first error of all that went before
}
