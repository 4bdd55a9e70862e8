package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/resilience"
	"millrace/internal/tag"
	"millrace/modbus"
)

const (
	degradeGateways = 10
	degradeUnits    = 10 // behind each: one is dead, one is slow
	degradeTags     = 20
	degradeWarmUp   = 20 * time.Second
	degradeMeasure  = 20 * time.Second
	slowRegister    = 75 * time.Millisecond // of the slow unit: 3 s for all of its tags, more than anybody waits
)

// benchDegrade reads 100 units behind ten Modbus gateways, of which ten are dead and ten too slow for large reads, with the breakers and the degraded mode, and without.
func benchDegrade(ctx context.Context, w io.Writer, set settings) error {
	const title = "100 Modbus units behind 10 gateways, 20 float tags each every second; 10 are dead, 10 slow"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	fmt.Fprintf(w, "%-9s %10s %12s %12s %12s %12s %12s %10s\n", "", "well read", "lag p50", "lag p99", "rtt p50", "rtt p99", "slow good", "heap kB")
	for range max(set.rounds/2, 1) {
		for _, with := range []bool{false, true} {
			r, err := degradeRun(ctx, with)
			if err != nil {
				return err
			}
			name := "without"
			if with {
				name = "with"
			}
			fmt.Fprintf(w, "%-9s %8.1f %% %12s %12s %12s %12s %10.1f %% %10.0f\n", name, 100*r.success, bound(r.lag50), bound(r.lag99), bound(r.rtt50), bound(r.rtt99), 100*r.slowGood, r.heap/1e3)
		}
	}
	fmt.Fprintln(w, "well read: polls that were done of those that were due, of the 80 that are well; slow good: tags of the slow ones with a good value not older than 30 s; heap: what is live, simulator included")
	return nil
}

type degradeFigures struct {
	success, slowGood, heap    float64
	lag50, lag99, rtt50, rtt99 float64 // seconds
}

// patient is a profile that never gives up, never asks for less, and tries all the time.
func patient() resilience.Profile {
	p := resilience.LAN()
	p.Failures, p.Window, p.MinCalls, p.NoDegrade = 1<<30, 24*time.Hour, 1<<30, true
	return p
}

func degradeRun(ctx context.Context, with bool) (r degradeFigures, err error) {
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	profile := patient()
	if with {
		profile = resilience.LAN()
	}
	specs, err := degradePlant(ctx, &running, profile)
	if err != nil {
		return r, err
	}
	sink := &nowhere{}
	rt, err := device.New(device.Config{Drivers: map[string]device.Driver{"modbus": driver.Modbus{}}, Output: sink, Ledger: sink})
	if err != nil {
		return r, err
	}
	if _, err := rt.Apply(specs); err != nil {
		return r, err
	}
	running.Go(func() { _ = rt.Run(ctx) })
	if err := pause(ctx, degradeWarmUp); err != nil {
		return r, err
	}
	before := degradeGroup(rt, "well")
	if err := pause(ctx, degradeMeasure); err != nil {
		return r, err
	}
	after := degradeGroup(rt, "well")
	done := float64(after.Lag.Count - before.Lag.Count)
	r.success = done / (done + float64(after.Missed-before.Missed))
	r.lag50, r.lag99 = quantileSince(before.Lag, after.Lag, 0.5), quantileSince(before.Lag, after.Lag, 0.99)
	r.rtt50, r.rtt99 = quantileSince(before.RTT, after.RTT, 0.5), quantileSince(before.RTT, after.RTT, 0.99)
	r.slowGood = slowGood(rt)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.heap = float64(m.HeapAlloc + m.StackInuse)
	return r, nil
}

// degradePlant serves the units and returns their devices.
func degradePlant(ctx context.Context, running *sync.WaitGroup, p resilience.Profile) ([]device.Spec, error) {
	var specs []device.Spec
	for range degradeGateways {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s, err := modbus.NewServer(modbus.ServerConfig{Handler: serialLine{}})
		if err != nil {
			return nil, err
		}
		running.Go(func() { _ = s.Serve(ctx, ln) })
		for unit := 1; unit <= degradeUnits; unit++ {
			n := uint32(len(specs) + 1)
			g := device.Group{Name: [...]string{1: "dead", 2: "slow", 3: "well"}[min(unit, 3)], Interval: time.Second}
			for i := range degradeTags {
				g.Tags = append(g.Tags, device.TagSpec{ID: tag.ID(n*100 + uint32(i)), Name: fmt.Sprintf("u%d/t%d", n, i), Address: fmt.Sprintf("holding:%d:float32", 1+2*i)})
			}
			specs = append(specs, device.Spec{Name: fmt.Sprintf("u%d", n), Number: n, Driver: "modbus", Profile: p, Groups: []device.Group{g},
				Addr: device.Addr{Scheme: "modbus", Host: ln.Addr().String(), Path: strconv.Itoa(unit)}})
		}
	}
	return specs, nil
}

// serialLine is a gateway with a serial line: unit 1 does not answer, unit 2 takes its time for each register, and nobody overtakes it.
type serialLine struct{}

func (serialLine) ReadRegisters(ctx context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	switch r.Unit {
	case 1:
		return modbus.NoAnswer
	case 2:
		if pause(ctx, time.Duration(r.Quantity)*slowRegister) != nil {
			return modbus.NoAnswer
		}
	}
	for i := range dst {
		dst[i] = byte(i)
	}
	return 0
}

func (serialLine) ReadBits(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

func (serialLine) WriteCoils(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

func (serialLine) WriteRegisters(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

// nowhere takes all values.
type nowhere struct{}

func (*nowhere) Offered(int, int)    {}
func (*nowhere) Dropped(string, int) {}
func (*nowhere) Offer(_ *tag.Batch, done func(error)) bool {
	if done != nil {
		done(errors.New("nobody keeps it"))
	}
	return true
}

func degradeGroup(rt *device.Runtime, name string) device.GroupStats {
	for _, g := range rt.Stats().Groups {
		if g.Name == name {
			return g
		}
	}
	return device.GroupStats{}
}

// quantileSince returns the bound of the bucket in which quantile q of what came between two snapshots is, seconds.
func quantileSince(a, b device.Histogram, q float64) float64 {
	if len(a.Counts) == 0 {
		a.Counts = make([]uint64, len(b.Counts))
	}
	var all, sum uint64
	for i := range b.Counts {
		all += b.Counts[i] - a.Counts[i]
	}
	for i := range b.Counts {
		if sum += b.Counts[i] - a.Counts[i]; float64(sum) >= q*float64(all) && i < len(b.Bounds) {
			return b.Bounds[i]
		}
	}
	return b.Bounds[len(b.Bounds)-1]
}

// slowGood returns the share of the tags of slow units that have a good value of late.
func slowGood(rt *device.Runtime) float64 {
	good, all := 0, 0
	for s := range rt.Devices() {
		if s.Groups[0].Name != "slow" {
			continue
		}
		last, _ := rt.LastOf(s.Name, nil)
		for _, l := range last {
			if all++; l.Quality.IsGood() && time.Since(time.Unix(0, l.TS)) < 30*time.Second {
				good++
			}
		}
	}
	return float64(good) / float64(max(all, 1))
}
