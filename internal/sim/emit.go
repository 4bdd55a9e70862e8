package sim

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// EmitOptions shapes the gateway configuration that matches a simulator. The zero value is a good default.
type EmitOptions struct {
	Waves    int           // live values of each device to read; default 10, at most as many as it has
	Statics  int           // and so many float32 from the beginning of the static image; default 0, at most as many as it has
	Interval time.Duration // of the group; default 1 s
	Sink     string        // directory of the file sink; default "out"
	Data     string        // data directory of the gateway; default "data"
	Profile  string        // default lan
}

func (o EmitOptions) withDefaults(waves, statics int) (EmitOptions, error) {
	if o.Waves == 0 && o.Statics == 0 {
		o.Waves = min(10, waves)
	}
	if o.Waves < 0 || o.Waves > waves || o.Statics < 0 || o.Statics > statics {
		return o, fmt.Errorf("sim: %d waves and %d static values; there are %d and %d", o.Waves, o.Statics, waves, statics)
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

// offer is what the devices of a protocol have to be read.
type offer struct {
	protocol       string
	waves, statics int              // how many of each
	wave, static   func(int) string // address and type of each
	url            func(n int) string
}

// emit writes the gateway configuration that reads the devices: one template, and a device for each address.
func (f *fleet) emit(w io.Writer, o EmitOptions, of offer) error {
	o, err := o.withDefaults(of.waves, of.statics)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "gateway:\n  name: simulated\n  data: %q\n  listen: 127.0.0.1:8080\n", o.Data)
	fmt.Fprintf(b, "templates:\n  sim:\n    protocol: %s\n    profile: %s\n    groups:\n      live:\n        interval: %s\n        tags:\n", of.protocol, o.Profile, o.Interval)
	for k := range o.Waves {
		fmt.Fprintf(b, "          wave%03d: \"%s unit=bar deadband=0.5\"\n", k, of.wave(k))
	}
	for k := range o.Statics {
		fmt.Fprintf(b, "          static%05d: %q\n", k, of.static(k))
	}
	fmt.Fprint(b, "devices:\n")
	for n := 1; n <= len(f.devices); n++ {
		fmt.Fprintf(b, "  - {id: %s, template: sim, address: %q}\n", DeviceID(n), of.url(n))
	}
	fmt.Fprintf(b, "sinks:\n  - {id: files, type: file, dir: %q}\n", o.Sink)
	return b.Flush() // keeps the first error of all that went before
}
