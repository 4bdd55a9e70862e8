package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

const (
	outageDevices = 1000
	outageLook    = 5 * time.Second
	heapWithin    = 0.02
	slopeWithin   = 1.0 // MB an hour
)

// outage has all devices of a gateway be gone for so many minutes and come back. It is an error when that leaves a descriptor, a goroutine or more than 2 % of heap behind, or
// when memory grew meanwhile.
func outage(ctx context.Context, w io.Writer, millrace, minutes string) (err error) {
	m, err := strconv.ParseFloat(minutes, 64)
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	set := settings{millrace: millrace, debug: "127.0.0.1:" + port}
	p, err := startPlant(ctx, set, plantConfig{protocol: "modbus", devices: outageDevices, interval: time.Second})
	if err != nil {
		return err
	}
	defer p.stop(&err)
	if err := p.warmUp(ctx); err != nil {
		return err
	}
	before, err := p.rest(ctx, set.debug)
	if err != nil {
		return err
	}
	if err := p.killSim(); err != nil {
		return err
	}
	slope, err := p.growth(ctx, set.debug, time.Duration(m*float64(time.Minute)))
	if err != nil {
		return err
	}
	if err := p.startSim(ctx); err != nil {
		return err
	}
	after, err := p.rest(ctx, set.debug)
	if err != nil {
		return err
	}
	heap := after.heap/before.heap - 1
	fmt.Fprintf(w, "outage of %v min, %d devices: descriptors %d and %d, goroutines %d and %d, live heap %.1f and %.1f MB (%+.1f %%), RSS %+.2f MB/h meanwhile\n", m, outageDevices,
		before.descriptors, after.descriptors, before.goroutines, after.goroutines, before.heap/1e6, after.heap/1e6, 100*heap, slope)
	var errs []error
	if before.descriptors != after.descriptors {
		errs = append(errs, errors.New("descriptors differ"))
	}
	if before.goroutines != after.goroutines {
		errs = append(errs, errors.New("goroutines differ"))
	}
	if heap > heapWithin || heap < -heapWithin {
		errs = append(errs, fmt.Errorf("the heap differs by more than %.0f %%", 100*heapWithin))
	}
	if slope > slopeWithin {
		errs = append(errs, fmt.Errorf("memory grew by more than %v MB/h", slopeWithin))
	}
	return errors.Join(errs...)
}

// warmUp has the devices be gone for moments, until the gateway remembers of each of them as much as it ever will: the last twelve changes, and each kind of fault.
func (p *plant) warmUp(ctx context.Context) error {
	for range 4 {
		if err := p.awaitRead(ctx, outageDevices, connectWithin); err != nil {
			return err
		}
		if err := p.killSim(); err != nil {
			return err
		}
		if err := pause(ctx, 3*settle); err != nil {
			return err
		}
		if err := p.startSim(ctx); err != nil {
			return err
		}
	}
	return nil
}

// resting is what a gateway has when nothing changes.
type resting struct {
	descriptors, goroutines int
	heap                    float64 // after two collections
}

// rest waits until all devices are read and returns what the gateway has then. Goroutines of turns come and go: the fewest of several looks are those that stay.
func (p *plant) rest(ctx context.Context, debug string) (r resting, err error) {
	if err := p.awaitRead(ctx, outageDevices, connectWithin); err != nil {
		return r, err
	}
	if err := pause(ctx, 3*settle); err != nil {
		return r, err
	}
	for range 20 {
		n, err := numberAt(ctx, "http://"+debug+"/debug/pprof/goroutine?debug=1", `goroutine profile: total (\d+)`)
		if err != nil {
			return r, err
		}
		if r.goroutines == 0 || int(n) < r.goroutines {
			r.goroutines = int(n)
		}
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.gateway.Process.Pid))
		if err != nil {
			return r, err
		}
		if r.descriptors == 0 || len(files) < r.descriptors {
			r.descriptors = len(files) // the page's connections come and go, too
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return r, err
		}
	}
	for range 2 {
		if r.heap, err = numberAt(ctx, "http://"+debug+"/debug/pprof/heap?gc=1&debug=1", `# HeapAlloc = (\d+)`); err != nil {
			return r, err
		}
	}
	return r, nil
}

func numberAt(ctx context.Context, url, pattern string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(pattern).FindSubmatch(body)
	if m == nil {
		return 0, fmt.Errorf("%s: no %s", url, pattern)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// growth watches the gateway's memory without garbage for d and returns by how many MB an hour it grows, by regression. The first quarter does not count: what the devices had is
// given back then.
func (p *plant) growth(ctx context.Context, debug string, d time.Duration) (float64, error) {
	var n, sx, sy, sxx, sxy float64
	began := time.Now()
	for time.Since(began) < d {
		if err := pause(ctx, outageLook); err != nil {
			return 0, err
		}
		if time.Since(began) < d/4 {
			continue
		}
		if _, err := numberAt(ctx, "http://"+debug+"/debug/pprof/heap?gc=1&debug=1", `# HeapAlloc = (\d+)`); err != nil {
			return 0, err
		}
		rss, err := memory(p.gateway.Process.Pid)
		if err != nil {
			return 0, err
		}
		x, y := time.Since(began).Hours(), float64(rss)/1e6
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx), nil
}
