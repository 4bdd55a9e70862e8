package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	isolationDevices = 1000
	isolationSick    = 20 // half of them dead, half of them tar pits
	isolationPairs   = 5
	isolationMeasure = 10 * time.Second
)

// benchIsolation measures how late devices are read while others are dead or do not let go, beside the same without those.
func benchIsolation(ctx context.Context, w io.Writer, set settings) error {
	const title = "1 % dead and 1 % tar pits of 1,000 devices: how late the others are read"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	dead := []string{fmt.Sprintf("silence,devices=1-%d", isolationSick/2), fmt.Sprintf("trickle:50ms,devices=%d-%d", isolationSick/2+1, isolationSick)}
	var p99 [2][]float64
	var missed [2]float64
	for range isolationPairs {
		for i, faults := range [][]string{nil, dead} {
			lag, n, err := isolationRun(ctx, set, faults)
			if err != nil {
				return err
			}
			p99[i] = append(p99[i], lag*1e3)
			missed[i] += n
		}
	}
	for i, name := range []string{"all are well", "20 are sick"} {
		fmt.Fprintf(w, "%-14s lag p99 of the others %6.2f ms (%.2f..%.2f), %.0f polls missed\n", name, median(p99[i]), slices.Min(p99[i]), slices.Max(p99[i]), missed[i])
	}
	within := median(p99[1]) <= slices.Max(p99[0])
	fmt.Fprintf(w, "median of %d alternating pairs: %+.0f %%, within the spread without: %v; known: +30 %%; target: within, none missed\n",
		isolationPairs, 100*(median(p99[1])/median(p99[0])-1), within)
	return nil
}

// isolationRun returns the 99th percentile of the lag of those that are well, in seconds, and how many of their polls were missed.
func isolationRun(ctx context.Context, set settings, faults []string) (lag, missed float64, err error) {
	p, err := startPlant(ctx, set, plantConfig{protocol: "modbus", devices: isolationDevices, interval: time.Second, faults: faults, apart: isolationSick})
	if err != nil {
		return 0, 0, err
	}
	defer p.stop(&err)
	if err := p.awaitRead(ctx, isolationDevices-isolationSick, connectWithin); err != nil {
		return 0, 0, err
	}
	if err := pause(ctx, 2*settle); err != nil { // until the dead ones are known to be
		return 0, 0, err
	}
	a, err := p.look(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := pause(ctx, isolationMeasure); err != nil {
		return 0, 0, err
	}
	b, err := p.look(ctx)
	if err != nil {
		return 0, 0, err
	}
	const name = `millrace_missed_reads_total{group="live"}`
	return b.lagOf("live").minus(a.lagOf("live")).between(0.99), b.series[name] - a.series[name], nil
}

// between returns quantile q, as if what is in a bucket were spread evenly over it.
func (b buckets) between(q float64) float64 {
	want, below, from := q*b.count(), 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(b)) {
		if b[bound] >= want && !math.IsInf(bound, 1) {
			return from + (bound-from)*(want-below)/max(b[bound]-below, 1)
		}
		from, below = bound, b[bound]
	}
	return from
}
