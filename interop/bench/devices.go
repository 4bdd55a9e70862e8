package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

const (
	manyDevices = 10_000
	deviceTags  = 10 // each

	devicesMeasure = 20 * time.Second
	idleMeasure    = time.Minute
	idleInterval   = time.Minute
	connectWithin  = 3 * time.Minute
)

// benchDevices has one gateway read very many devices, all the time and hardly ever.
func benchDevices(ctx context.Context, w io.Writer, set settings) error {
	const title = "Ten thousand devices, ten tags each, journal and file sink; one gateway process"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	fmt.Fprintf(w, "%-9s %9s %8s %9s %9s %9s %7s %12s %10s %12s %10s %9s\n",
		"", "interval", "devices", "polls/s", "values/s", "missed", "late", "lag p50", "lag p99", "CPU cores", "kB/device", "sim CPU")
	fmt.Fprintf(w, "%-9s %9s %8s %9s %9s %9s %7s %12s %10s %12s %10s\n", "target", "1s", "", "all", "all", "0", "", "", "<= 50ms", "<= 1.2", "<= 20")
	fmt.Fprintf(w, "%-9s %9s %8s %9s %9s %9s %7s %12s %10s %12s %10s\n", "", "1m", "", "", "", "", "", "", "", "<= 0.02", "")
	for _, protocol := range []string{"modbus", "s7"} {
		for _, interval := range []time.Duration{time.Second, idleInterval} {
			r, err := devicesRun(ctx, set, protocol, interval)
			if err != nil {
				return fmt.Errorf("%s every %v: %w", protocol, interval, err)
			}
			fmt.Fprintf(w, "%-9s %9v %8.0f %9.0f %9.0f %9.0f %7.0f %12s %10s %12.3f %10.1f %9.2f\n", protocol, interval, r.devices, r.polls, r.read, r.missed, r.late,
				bound(r.lag.quantile(0.5)), bound(r.lag.quantile(0.99)), r.cores, r.perDevice/1e3, r.simCores)
			if r.residue != 0 {
				fmt.Fprintf(w, "  the ledger's residue is %v\n", r.residue)
			}
		}
	}
	fmt.Fprintln(w, "known: 500 devices at 1 s, 0.9 core, 300 MB; 150-180 kB a device. Both processes share the machine.")
	return nil
}

// bound writes the upper bound of a bucket.
func bound(seconds float64) string {
	if math.IsInf(seconds, 1) {
		return "more"
	}
	return "<=" + time.Duration(seconds*float64(time.Second)).String()
}

// devicesFigures are rates per second; perDevice is bytes.
type devicesFigures struct {
	devices, polls, read, missed, late, residue float64
	lag                                         buckets
	cores, simCores, perDevice                  float64
}

func devicesRun(ctx context.Context, set settings, protocol string, interval time.Duration) (r devicesFigures, err error) {
	empty, err := residentWith(ctx, set, protocol, 1, interval)
	if err != nil {
		return r, err
	}
	p, err := startPlant(ctx, set, plantConfig{protocol: protocol, devices: manyDevices, interval: interval})
	if err != nil {
		return r, err
	}
	defer p.stop(&err)
	if err := p.awaitRead(ctx, manyDevices, connectWithin); err != nil {
		return r, err
	}
	if err := pause(ctx, settle); err != nil {
		return r, err
	}
	measure := devicesMeasure
	if interval == idleInterval {
		measure = idleMeasure
	}
	a, err := p.look(ctx)
	if err != nil {
		return r, err
	}
	if err := pause(ctx, measure); err != nil {
		return r, err
	}
	b, err := p.look(ctx)
	if err != nil {
		return r, err
	}
	s := b.at.Sub(a.at).Seconds()
	r.devices = areRead(b.series)
	r.lag = b.lag().minus(a.lag())
	r.polls, r.read = r.lag.count()/s, (b.sum("millrace_values_read_total")-a.sum("millrace_values_read_total"))/s
	r.missed, r.late = b.sum("millrace_missed_reads_total")-a.sum("millrace_missed_reads_total"), b.sum("millrace_late_replies_total")-a.sum("millrace_late_replies_total")
	r.residue = b.sum("millrace_ledger_residue")
	r.cores, r.simCores = (b.cpu-a.cpu)/s, (b.simCPU-a.simCPU)/s
	r.perDevice = float64(b.rss-empty) / r.devices
	return r, nil
}

// residentWith returns the memory of a gateway with so many devices, once they are read.
func residentWith(ctx context.Context, set settings, protocol string, devices int, interval time.Duration) (rss int64, err error) {
	p, err := startPlant(ctx, set, plantConfig{protocol: protocol, devices: devices, interval: interval})
	if err != nil {
		return 0, err
	}
	defer p.stop(&err)
	if err := p.awaitRead(ctx, devices, connectWithin); err != nil {
		return 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	l, err := p.look(ctx)
	return l.rss, err
}
