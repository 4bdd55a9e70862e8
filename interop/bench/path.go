package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The data path under load: endpoints connections, units devices behind each, floats tags a device, read every interval through the
// journal into the file sink. The simulator and the gateway are processes of their own; the gateway's is measured.
const (
	endpoints = 10
	units     = 10
	floats    = 1000
	settle    = 5 * time.Second
	measure   = 20 * time.Second

	startWithin = time.Minute
)

func benchPath(ctx context.Context, w io.Writer, millrace string) error {
	const title = "Data path: Modbus, journal, file sink; one gateway process"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	fmt.Fprintf(w, "%9s %9s %12s %12s %7s %10s %9s %13s %14s %14s\n",
		"asked/s", "read/s", "journaled/s", "delivered/s", "missed", "CPU cores", "peak RSS", "ns CPU/value", "wire kB/s", "planned kB/s")
	most := 0.0
	for interval := time.Second; interval > 50*time.Millisecond; interval /= 2 {
		r, err := pathRun(ctx, millrace, interval)
		if err != nil {
			return err
		}
		asked := endpoints * units * floats / interval.Seconds()
		fmt.Fprintf(w, "%9.0f %9.0f %12.0f %12.0f %7.0f %10.2f %6d MB %13.0f %14.0f %14.0f\n", asked, r.read, r.journaled, r.delivered, r.missed,
			r.cores, r.peak>>20, r.cores*1e9/r.read, r.wire/1e3, r.planned/1e3)
		if r.residue != 0 {
			fmt.Fprintf(w, "  the ledger's residue is %v\n", r.residue)
		}
		if most = max(most, r.delivered); r.read < 0.97*asked {
			break // more cannot be had
		}
	}
	fmt.Fprintf(w, "most values/s through to the file, on %d CPUs shared with the simulator: %.0f; wire: the whole loopback interface, other programs included\n", runtime.NumCPU(), most)
	return nil
}

// rates are per second; wire is the payload of the loopback interface, whosever it is, planned the bytes of frames that millrace plan reckons with.
type rates struct {
	read, journaled, delivered, missed, residue float64
	cores, wire, planned                        float64
	peak                                        int64
}

func pathRun(ctx context.Context, millrace string, interval time.Duration) (r rates, err error) {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	simPort, err := freePort()
	if err != nil {
		return r, err
	}
	webPort, err := freePort()
	if err != nil {
		return r, err
	}
	config := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(config, []byte(pathConfig(dir, simPort, webPort, interval)), 0o600); err != nil {
		return r, err
	}
	if r.planned, err = plannedBytes(ctx, millrace, config); err != nil {
		return r, err
	}
	sim, err := start(ctx, millrace, "sim", "modbus", "--listen", net.JoinHostPort("127.0.0.1", simPort), "--devices", strconv.Itoa(endpoints))
	if err != nil {
		return r, err
	}
	defer terminate(sim, &err)
	gateway, err := start(ctx, millrace, "run", "-c", config)
	if err != nil {
		return r, err
	}
	defer terminate(gateway, &err)

	if err := awaitPage(ctx, webPort); err != nil {
		return r, err
	}
	if err := pause(ctx, settle); err != nil {
		return r, err
	}
	a, err := takeSample(ctx, gateway.cmd.Process.Pid, webPort)
	if err != nil {
		return r, err
	}
	if err := pause(ctx, measure); err != nil {
		return r, err
	}
	b, err := takeSample(ctx, gateway.cmd.Process.Pid, webPort)
	if err != nil {
		return r, err
	}
	s := b.at.Sub(a.at).Seconds()
	per := func(name string) float64 { return (b.metrics[name] - a.metrics[name]) / s }
	r.read, r.journaled, r.delivered = per("millrace_values_read_total"), per("millrace_values_journaled_total"), per("millrace_sink_delivered_total")
	r.missed = b.metrics["millrace_missed_reads_total"] - a.metrics["millrace_missed_reads_total"]
	r.residue = b.metrics["millrace_ledger_residue"]
	r.cores, r.wire, r.peak = (b.cpu-a.cpu)/s, (b.wire-a.wire)/s, b.peak
	return r, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitPage waits until the gateway's page answers: on a busy machine a start takes seconds.
func awaitPage(ctx context.Context, webPort string) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		_, err := scrape(ctx, "http://127.0.0.1:"+webPort+"/metrics")
		if err == nil {
			return nil
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("the gateway's page does not answer: %w", err)
		}
	}
}

// plannedBytes asks the gateway how many bytes of frames a second it will exchange with all devices of a configuration.
func plannedBytes(ctx context.Context, millrace, config string) (float64, error) {
	out, err := exec.CommandContext(ctx, millrace, "plan", "--json", "-c", config).Output()
	if err != nil {
		return 0, fmt.Errorf("plan: %w", err)
	}
	var plan struct {
		Total struct {
			BytesPerSecond float64 `json:"bytes_per_second"`
		} `json:"total"`
	}
	err = json.Unmarshal(out, &plan)
	return plan.Total.BytesPerSecond, err
}

func terminate(c *child, err *error) {
	c.cmd.Process.Signal(syscall.SIGTERM)
	io.Copy(io.Discard, c.out)
	if e := c.stop(); e != nil {
		*err = errors.Join(*err, fmt.Errorf("%s: %w", strings.Join(c.cmd.Args[1:3], " "), e))
	}
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// pathConfig reads floats with every value passed on, changed or not.
func pathConfig(dir, simPort, webPort string, interval time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "gateway: {name: bench, data: %q, listen: \"127.0.0.1:%s\"}\n", filepath.Join(dir, "data"), webPort)
	fmt.Fprintf(&b, "templates:\n  unit:\n    groups:\n      all:\n        interval: %v\n        tags:\n", interval)
	for i := range floats {
		fmt.Fprintf(&b, "          f%04d: holding:%d:float32 every=true\n", i, 2*i)
	}
	b.WriteString("devices:\n")
	for e := range endpoints {
		for u := range units {
			fmt.Fprintf(&b, "  - {id: e%02d-u%02d, template: unit, address: \"modbus://127.0.0.%d:%s/%d\"}\n", e, u, e+1, simPort, u+1)
		}
	}
	fmt.Fprintf(&b, "sinks:\n  - {id: files, type: file, dir: %q, rotate_bytes: 1GiB}\n", filepath.Join(dir, "out"))
	return b.String()
}

// sample is what is known of the gateway at one moment.
type sample struct {
	at        time.Time
	metrics   map[string]float64 // summed over labels
	cpu, wire float64
	peak      int64
}

func takeSample(ctx context.Context, pid int, webPort string) (s sample, err error) {
	s.at = time.Now()
	if s.cpu, err = cpuSeconds(pid); err != nil {
		return s, err
	}
	if s.peak, err = peakMemory(pid); err != nil {
		return s, err
	}
	if s.wire, err = loopbackPayload(); err != nil {
		return s, err
	}
	s.metrics, err = scrape(ctx, "http://127.0.0.1:"+webPort+"/metrics")
	return s, err
}

// scrape returns the metrics at url, summed over labels.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	all, err := scrapeSeries(ctx, url)
	out := make(map[string]float64, len(all))
	for series, v := range all {
		name, _, _ := strings.Cut(series, "{")
		out[name] += v
	}
	return out, err
}

// scrapeSeries returns the metrics at url by name with labels.
func scrapeSeries(ctx context.Context, url string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			continue
		}
		out[line[:i]] = v
	}
	return out, nil
}

// headers are those of a packet as the loopback interface counts it: IPv4 (20), TCP (20) with time stamps (12), no Ethernet.
const headers = 52

// loopbackPayload returns the bytes that the loopback interface carried, less the headers.
func loopbackPayload() (float64, error) {
	b, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(b), "\n") {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || name != "lo" {
			continue
		}
		f := strings.Fields(rest)
		bytes, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			return 0, err
		}
		packets, err := strconv.ParseFloat(f[1], 64)
		return bytes - headers*packets, err
	}
	return 0, errors.New("/proc/net/dev: no lo")
}
