package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/internal/web"
)

// rig is a whole gateway in the test's process, with what a test wants to hear of it.
type rig struct {
	*gateway
	t      *testing.T
	path   string
	log    *logBook
	events *eventBook

	leaks bool // contexts may leak: the test is about that

	end  context.CancelFunc
	done chan error
	once sync.Once
}

// rigOptions are what a test may want otherwise.
type rigOptions struct {
	seams seams
	tweak func(*config.Config) // after the file was read
	early func(*gateway)       // between opening and running
}

// startRig writes text as the configuration in dir and runs it until the test ends, or stop.
func startRig(t *testing.T, dir, text string, o rigOptions) *rig {
	t.Helper()
	path := write(t, dir, "gateway.yaml", text)
	cfg, err := config.Load(path, drivers())
	if err != nil {
		t.Fatal(err)
	}
	if o.tweak != nil {
		o.tweak(cfg)
	}
	r := &rig{t: t, path: path, log: &logBook{}, events: &eventBook{}, done: make(chan error, 1)}
	o.seams.event, o.seams.look = r.events.add, 100*time.Millisecond
	if r.gateway, err = openGatewayOn(t.Context(), cfg, slog.New(r.log), o.seams); err != nil {
		t.Fatal(err)
	}
	if o.early != nil {
		o.early(r.gateway)
	}
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, reloadSignals()...)
	t.Cleanup(func() { signal.Stop(hup) })
	go func() { r.done <- r.serve(ctx, hup, 0, debugOptions{}) }()
	t.Cleanup(r.stop)
	return r
}

// stop ends the gateway as SIGTERM does, and holds it to its account.
func (r *rig) stop() {
	r.once.Do(func() {
		r.end()
		if err := <-r.done; err != nil {
			r.t.Errorf("the gateway ended with %v", err)
		}
		r.sweep()
		if n := r.guard.Counts(); n.Findings() > 0 && !r.leaks {
			r.t.Errorf("contexts leak: %+v", r.guard.Summary().Sites)
		}
		if s := r.Ledger(); s.Residue != 0 {
			r.t.Errorf("residue %d: %+v", s.Residue, s)
		}
		if err := r.Close(); err != nil {
			r.t.Error(err)
		}
		if r.t.Failed() {
			r.t.Log(r.log.String())
		}
	})
}

// page waits for the address of page and API, and returns it without a slash at its end.
func (r *rig) page() (base string) {
	r.t.Helper()
	until(r.t, "the page is there", func() bool {
		base, _, _ = strings.Cut(r.log.find("page and API address="), " ")
		base = strings.TrimSuffix(base, "/")
		return base != ""
	})
	return base
}

// configText is the beginning of every test's configuration: no page, data in dir, segments that are soon made.
func configText(dir string) string {
	return fmt.Sprintf("gateway: {name: test, data: %q, listen: 'off'}\njournal: {segment_bytes: 1MiB, max_bytes: 256MiB, flush_every: 5ms}\n", filepath.Join(dir, "data"))
}

func (r *rig) device(name string) device.Status {
	r.t.Helper()
	s, ok := r.runtime.Device(name)
	if !ok {
		r.t.Fatalf("there is no device %s", name)
	}
	return s
}

// reads waits until the device was read n times more than now, each time with all its values good.
func (r *rig) reads(name string, n uint64) {
	r.t.Helper()
	want := r.device(name).Reads + n
	until(r.t, name+" is read", func() bool {
		s := r.device(name)
		return s.Reads >= want && s.State == device.Ready && r.good(name)
	})
}

// good says whether all tags of a device have good values.
func (r *rig) good(name string) bool {
	return r.count(name, tag.Quality.IsGood) > 0 && r.count(name, notGood) == 0
}

func notGood(q tag.Quality) bool { return !q.IsGood() }

func (r *rig) count(name string, is func(tag.Quality) bool) int {
	n := 0
	last, _ := r.runtime.LastOf(name, nil)
	for _, l := range last {
		if is(l.Quality) {
			n++
		}
	}
	return n
}

func (r *rig) alarm(id string) (web.Alarm, bool) {
	for _, a := range r.Alarms() {
		if a.ID == id {
			return a, true
		}
	}
	return web.Alarm{}, false
}

func (r *rig) sink(id string) web.Sink {
	for _, s := range r.Sinks() {
		if s.ID == id {
			return s
		}
	}
	return web.Sink{}
}

// until waits until ok: on a busy machine that may take long, and only what never comes fails.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !comes(ok) {
		t.Fatalf("it never happened: %s", what)
	}
}

// comes says whether ok comes to be.
func comes(ok func() bool) bool {
	look, never := time.NewTicker(5*time.Millisecond), time.NewTimer(time.Minute)
	defer look.Stop()
	defer never.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-never.C:
			return false
		}
	}
	return true
}

// eventBook keeps the events of devices.
type eventBook struct {
	mu  sync.Mutex
	all []device.Event
}

func (b *eventBook) add(e device.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, e)
}

// mark returns the number of events so far.
func (b *eventBook) mark() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.all)
}

// since counts the events behind a mark that took a device to a state.
func (b *eventBook) since(mark int, name string, to device.State) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, e := range b.all[mark:] {
		if e.Device == name && e.To == to {
			n++
		}
	}
	return n
}

// String lists the events behind mark.
func (b *eventBook) list(mark int, name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s strings.Builder
	for _, e := range b.all[mark:] {
		if e.Device == name {
			s.WriteString("\n\t" + e.Time.Format("05.000 ") + e.From.String() + " > " + e.To.String() + ": " + e.Reason)
		}
	}
	return s.String()
}

// logBook is a slog.Handler that keeps lines.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (*logBook) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (b *logBook) WithAttrs([]slog.Attr) slog.Handler         { return b }
func (b *logBook) WithGroup(string) slog.Handler              { return b }

func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
	return nil
}

// find returns what follows prefix in the first line that begins so, "" when none does.
func (b *logBook) find(prefix string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			return rest
		}
	}
	return ""
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.lines, "\n")
}

// footprint is what the process holds.
type footprint struct{ goroutines, descriptors int }

func now() footprint {
	f := footprint{goroutines: runtime.NumGoroutine(), descriptors: -1}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.descriptors = len(files)
	}
	return f
}

// atRest returns the least that the process holds over many looks: a device that is just being read has a goroutine more.
func atRest() footprint {
	least := now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		<-tick.C
		f := now()
		least = footprint{min(least.goroutines, f.goroutines), min(least.descriptors, f.descriptors)}
	}
	return least
}

// openFiles lists what the descriptors are.
func openFiles() string {
	var s []string
	files, _ := os.ReadDir("/proc/self/fd")
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
			s = append(s, to)
		}
	}
	return strings.Join(s, "\n")
}

// sweep has the collector and the detector look.
func (r *rig) sweep() {
	runtime.GC()
	r.guard.Sweep()
}
