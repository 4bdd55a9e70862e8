package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// plantConfig is what a plant is made of. The zero value of a field is the simulator's own default.
type plantConfig struct {
	protocol string // modbus or s7
	devices  int
	interval time.Duration
	faults   []string
	apart    int // the first so many devices have a group of another name
}

// plant is a simulator and the gateway that reads it by the configuration that the simulator prints; each is a process of its own, what they say goes to files.
type plant struct {
	cfg          plantConfig
	millrace     string
	dir          string
	simAddr, web string
	sim, gateway *exec.Cmd
	log, simLog  *os.File
}

func startPlant(ctx context.Context, set settings, cfg plantConfig) (p *plant, err error) {
	if set.millrace == "" {
		return nil, errors.New("this part needs -millrace BINARY")
	}
	p = &plant{cfg: cfg, millrace: set.millrace}
	defer func() {
		if err != nil {
			p.stop(&err)
		}
	}()
	if p.dir, err = os.MkdirTemp("", "millrace-bench-"); err != nil {
		return p, err
	}
	port, err := quietPort(ctx)
	if err != nil {
		return p, err
	}
	if p.web, err = freePort(); err != nil {
		return p, err
	}
	p.simAddr = net.JoinHostPort("127.0.0.1", port)
	if p.log, err = os.Create(filepath.Join(p.dir, "gateway.log")); err != nil {
		return p, err
	}
	if p.simLog, err = os.Create(filepath.Join(p.dir, "sim.log")); err != nil {
		return p, err
	}
	if err := p.configure(ctx); err != nil {
		return p, err
	}
	if err := p.startSim(ctx); err != nil {
		return p, err
	}
	args := []string{"run", "--log-level", "error", "-c", p.config()}
	if set.debug != "" {
		args = append(args, "--debug", set.debug)
	}
	if p.gateway, err = p.start(ctx, p.log, args...); err != nil {
		return p, err
	}
	return p, awaitPage(ctx, p.web)
}

// quietPort returns a free port that no connection is made from: a simulator that was ended must have it again, whatever the gateway dials meanwhile.
func quietPort(ctx context.Context) (string, error) {
	const from, to = 15_000, 30_000 // Linux takes those from 32768 on
	for range 100 {
		port := strconv.Itoa(from + rand.N(to-from))
		var lc net.ListenConfig
		if ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort("0.0.0.0", port)); err == nil {
			return port, ln.Close()
		}
	}
	return "", fmt.Errorf("no port from %d to %d is free", from, to)
}

func (p *plant) config() string { return filepath.Join(p.dir, "gateway.yaml") }

func (p *plant) simArgs() []string {
	args := []string{"sim", p.cfg.protocol, "--listen", p.simAddr, "--devices", strconv.Itoa(p.cfg.devices)}
	for _, f := range p.cfg.faults {
		args = append(args, "--fault", f)
	}
	return args
}

// configure writes what the simulator prints, with directories and a port of this run.
func (p *plant) configure(ctx context.Context) error {
	args := append(p.simArgs(), "--emit-config", "--interval", p.cfg.interval.String(), "--waves", strconv.Itoa(deviceTags))
	text, err := exec.CommandContext(ctx, p.millrace, args...).Output()
	if err != nil {
		return fmt.Errorf("sim --emit-config: %w", err)
	}
	for from, to := range map[string]string{
		`data: "data"`: fmt.Sprintf("data: %q", filepath.Join(p.dir, "data")), `dir: "out"`: fmt.Sprintf("dir: %q", filepath.Join(p.dir, "out")),
		"listen: 127.0.0.1:8080": "listen: 127.0.0.1:" + p.web,
	} {
		if !bytes.Contains(text, []byte(from)) {
			return fmt.Errorf("the simulator's configuration has no %s", from)
		}
		text = bytes.Replace(text, []byte(from), []byte(to), 1)
	}
	return os.WriteFile(p.config(), p.setApart(text), 0o600)
}

// setApart gives the first devices a template of their own, with the same tags in a group called sick.
func (p *plant) setApart(text []byte) []byte {
	if p.cfg.apart == 0 {
		return text
	}
	head, devices, _ := strings.Cut(string(text), "devices:\n")
	_, template, _ := strings.Cut(head, "  sim:\n")
	head += "  sick:\n" + strings.Replace(template, "      live:", "      sick:", 1)
	return []byte(head + "devices:\n" + strings.Replace(devices, "template: sim,", "template: sick,", p.cfg.apart))
}

func (p *plant) start(ctx context.Context, log *os.File, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, p.millrace, args...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, cmd.Start()
}

func (p *plant) startSim(ctx context.Context) (err error) {
	p.sim, err = p.start(ctx, p.simLog, p.simArgs()...)
	return err
}

// killSim ends the simulator as a power cut would: the kernel resets its connections.
func (p *plant) killSim() error {
	err := p.sim.Process.Kill()
	_ = p.sim.Wait() // killed is what it says
	p.sim = nil
	return err
}

func (p *plant) stop(err *error) {
	for _, cmd := range []*exec.Cmd{p.gateway, p.sim} {
		if cmd == nil {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGTERM) // when it is gone already Wait says how
		if e := cmd.Wait(); e != nil {
			*err = errors.Join(*err, fmt.Errorf("millrace %s: %w: %s", cmd.Args[1], e, p.said()))
		}
	}
	for _, f := range []*os.File{p.log, p.simLog} {
		if f != nil {
			_ = f.Close()
		}
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}

// said returns the end of what the gateway and the simulator wrote.
func (p *plant) said() string {
	var all []string
	for _, f := range []*os.File{p.log, p.simLog} {
		if f == nil {
			continue
		}
		b, _ := io.ReadAll(io.NewSectionReader(f, 0, 1<<20)) // of a log that cannot be read there is nothing to show
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		all = append(all, lines[max(0, len(lines)-5):]...)
	}
	return strings.Join(all, "\n")
}

// areRead returns how many devices are read: those that are ready, and those that are asked for less at once.
func areRead(series map[string]float64) float64 {
	return series[`millrace_devices{state="ready"}`] + areDegraded(series)
}

func areDegraded(series map[string]float64) float64 {
	return series[`millrace_devices{state="degraded"}`]
}

// awaitRead waits until n devices are read.
func (p *plant) awaitRead(ctx context.Context, n int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		m, err := scrapeSeries(ctx, p.metrics())
		if err == nil && areRead(m) >= float64(n) {
			return nil
		}
		if pause(ctx, 500*time.Millisecond) != nil {
			return fmt.Errorf("%.0f of %d devices are read after %v: %s", areRead(m), n, within, p.said())
		}
	}
}

func (p *plant) metrics() string { return "http://127.0.0.1:" + p.web + "/metrics" }

// glimpse is what is known of a plant at one moment.
type glimpse struct {
	at          time.Time
	series      map[string]float64 // by name with labels
	cpu, simCPU float64
	rss         int64
}

func (p *plant) look(ctx context.Context) (g glimpse, err error) {
	g.at = time.Now()
	if g.cpu, err = cpuSeconds(p.gateway.Process.Pid); err != nil {
		return g, err
	}
	if g.simCPU, err = cpuSeconds(p.sim.Process.Pid); err != nil {
		return g, err
	}
	if g.rss, err = memory(p.gateway.Process.Pid); err != nil {
		return g, err
	}
	g.series, err = scrapeSeries(ctx, p.metrics())
	return g, err
}

// sum adds up the series of one name.
func (g *glimpse) sum(name string) (total float64) {
	for s, v := range g.series {
		if n, _, _ := strings.Cut(s, "{"); n == name {
			total += v
		}
	}
	return total
}

// lag returns the histogram of lags over all groups.
func (g *glimpse) lag() buckets { return g.lagOf("") }

// lagOf returns that of the groups of a name.
func (g *glimpse) lagOf(group string) buckets {
	b := buckets{}
	for s, v := range g.series {
		labels, ok := strings.CutPrefix(s, "millrace_schedule_lag_seconds_bucket{")
		if !ok || group != "" && !strings.Contains(labels, `group="`+group+`"`) {
			continue
		}
		_, le, _ := strings.Cut(labels, `le="`)
		le, _, _ = strings.Cut(le, `"`)
		if bound, err := strconv.ParseFloat(le, 64); err == nil {
			b[bound] += v
		}
	}
	return b
}

// buckets is a cumulative histogram by upper bound; the last bound is infinite.
type buckets map[float64]float64

func (b buckets) minus(o buckets) buckets {
	d := maps.Clone(b)
	for bound, n := range o {
		d[bound] -= n
	}
	return d
}

func (b buckets) count() float64 { return b[math.Inf(1)] }

// quantile returns the upper bound of the bucket in which quantile q lies.
func (b buckets) quantile(q float64) float64 {
	for _, bound := range slices.Sorted(maps.Keys(b)) {
		if b[bound] >= q*b.count() {
			return bound
		}
	}
	return math.Inf(1)
}
