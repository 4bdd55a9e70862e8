package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	goneFor      = 30 * time.Second
	returnWithin = 2 * time.Minute
)

// vanishing is a way for all devices to go away together, and to come back.
type vanishing struct {
	name     string
	go_, end func(ctx context.Context, p *plant) error
}

var vanishings = []vanishing{
	{"killed", func(_ context.Context, p *plant) error { return p.killSim() }, func(ctx context.Context, p *plant) error { return p.startSim(ctx) }},
	{"silent",
		func(_ context.Context, p *plant) error { return p.sim.Process.Signal(syscall.SIGSTOP) },
		func(_ context.Context, p *plant) error { return p.sim.Process.Signal(syscall.SIGCONT) }},
}

// benchReturn has ten thousand devices go away for half a minute and come back, all at the same moment.
func benchReturn(ctx context.Context, w io.Writer, set settings) error {
	const title = "Ten thousand devices vanish together and return, lan profile"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	fmt.Fprintf(w, "%-8s %-8s %9s %10s %10s %10s %9s %9s %12s %14s\n", "", "", "were down", "half", "99 %", "all", "dials", "wasted", "not back", "less at once")
	fmt.Fprintf(w, "%-8s %-8s %9s %10s %10s %10s %9s %9s %12s\n", "target", "", "", "", "", "<= 30s", "", "<= 10 %", "0")
	for _, protocol := range []string{"modbus", "s7"} {
		for _, v := range vanishings {
			if err := returnRun(ctx, w, set, protocol, v); err != nil {
				return fmt.Errorf("%s %s: %w", protocol, v.name, err)
			}
		}
	}
	fmt.Fprintln(w, "known: never with a fixed retry, 60 s with full jitter alone. Times count from the moment at which the devices take connections again; less at once: are read, in smaller requests, as on a machine that is too slow.")
	return nil
}

func returnRun(ctx context.Context, w io.Writer, set settings, protocol string, v vanishing) (err error) {
	p, err := startPlant(ctx, set, plantConfig{protocol: protocol, devices: manyDevices, interval: time.Second})
	if err != nil {
		return err
	}
	defer p.stop(&err)
	if err := p.awaitRead(ctx, manyDevices, connectWithin); err != nil {
		return err
	}
	if err := v.go_(ctx, p); err != nil {
		return err
	}
	if err := pause(ctx, goneFor); err != nil {
		return err
	}
	gone, err := scrapeSeries(ctx, p.metrics())
	if err != nil {
		return err
	}
	if err := v.end(ctx, p); err != nil {
		return err
	}
	if err := p.awaitListening(ctx); err != nil {
		return err
	}
	began := time.Now()
	first, err := scrapeSeries(ctx, p.metrics())
	if err != nil {
		return err
	}
	var half, most, all time.Duration
	last := first
	for time.Since(began) < returnWithin && all == 0 {
		if last, err = scrapeSeries(ctx, p.metrics()); err != nil {
			return err
		}
		since, read := time.Since(began), areRead(last)
		for _, x := range []struct {
			at    *time.Duration
			share float64
		}{{&half, 0.5}, {&most, 0.99}, {&all, 1}} {
			if *x.at == 0 && read >= x.share*manyDevices {
				*x.at = since
			}
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	const dials, failures = "millrace_device_dials_total", "millrace_device_dial_failures_total"
	tried, failed := last[dials]-first[dials], last[failures]-first[failures]
	fmt.Fprintf(w, "%-8s %-8s %9.0f %10s %10s %10s %9.0f %8.1f%% %12.0f %14.0f\n", protocol, v.name, manyDevices-areRead(gone),
		seconds(half), seconds(most), seconds(all), tried, 100*max(failed, tried-manyDevices)/manyDevices, manyDevices-areRead(last), areDegraded(last))
	if all == 0 {
		return p.printStatus(ctx, w)
	}
	return nil
}

// printStatus writes what the gateway says of itself: which devices are not there at this moment, since when, and why.
func (p *plant) printStatus(ctx context.Context, w io.Writer) error {
	out, err := exec.CommandContext(ctx, p.millrace, "status", "--server", "http://127.0.0.1:"+p.web).Output()
	if bad := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &bad) && bad.ExitCode() == 1) { // 1 is that something is wrong
		return fmt.Errorf("millrace status: %w", err)
	}
	_, err = w.Write(out)
	return err
}

func seconds(d time.Duration) string {
	if d == 0 {
		return "never"
	}
	return d.Round(100 * time.Millisecond).String()
}

// awaitListening waits until the simulator takes connections.
func (p *plant) awaitListening(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", p.simAddr)
		if err == nil {
			return c.Close()
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("the simulator does not listen: %w", err)
		}
	}
}
