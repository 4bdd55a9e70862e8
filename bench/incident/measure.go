package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"millrace/ctxguard"
)

// figures are what one variant has cost.
type figures struct {
	Waiters   int64         `json:"waiters"`  // goroutines in <-Done
	Contexts  int64         `json:"contexts"` // cancelCtx objects alive after a collection
	HeapBytes uint64        `json:"heapBytes"`
	Mallocs   float64       `json:"mallocsPerSecond"`
	Pause     time.Duration `json:"pause"` // of one collection, on average
	PauseMax  time.Duration `json:"pauseMax"`
	Requests  float64       `json:"requestsPerSecond"`
	P99       time.Duration `json:"p99"`
	Findings  uint64        `json:"findings"` // of the guard, when it looked
}

const clients = 8

// measure loads one variant and prints its figures.
func measure(ctx context.Context, o options, w io.Writer) error {
	runtime.MemProfileRate = 4 << 10 // some dozens of samples of a thousand contexts, and too little to be felt
	life, end := context.WithCancel(ctx)
	defer end()
	var g *ctxguard.Guard
	if o.guard {
		var err error
		if g, err = ctxguard.New(ctxguard.Config{}); err != nil {
			return err
		}
	}
	s := newServer(life, o, g)
	defer s.followers.Wait()
	defer end()
	addr, stop, err := listen(s)
	if err != nil {
		return err
	}
	defer stop()
	var off *ctxguard.Guard
	before := off.Take(ctx, ctxguard.SnapshotConfig{GC: true})
	took, latencies, err := load(ctx, "http://"+addr+"/?q=", o.load)
	if err != nil {
		return err
	}
	at := off.Take(ctx, ctxguard.SnapshotConfig{}) // what the load has allocated
	after := off.Take(ctx, ctxguard.SnapshotConfig{GC: true})
	for range 20 { // the collector tells of what was dropped a little later
		runtime.GC()
		g.Sweep()
	}
	return json.NewEncoder(w).Encode(gather(s, before, at, after, took, latencies))
}

func gather(s *server, before, at, after ctxguard.Snapshot, took time.Duration, latencies []time.Duration) figures {
	f := figures{
		HeapBytes: after.Mem.HeapBytes, Mallocs: float64(at.Mem.Mallocs-before.Mem.Mallocs) / took.Seconds(), PauseMax: at.Mem.PauseMax,
		Requests: float64(len(latencies)) / took.Seconds(), Findings: s.guard.Counts().Findings(),
	}
	for _, x := range after.Goroutines {
		if x.State == "chan receive" && len(x.Frames) > 0 && strings.HasSuffix(x.Frames[0].Func, ".follow") {
			f.Waiters += x.Count
		}
	}
	for _, x := range after.Heap {
		if x.Kind != "" {
			f.Contexts += x.Objects
		}
	}
	if n := at.Mem.NumGC - before.Mem.NumGC; n > 0 {
		f.Pause = (at.Mem.PauseTotal - before.Mem.PauseTotal) / time.Duration(n)
	}
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		f.P99 = latencies[n*99/100]
	}
	return f
}

// listen serves h on loopback until stop.
func listen(h http.Handler) (addr string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	return ln.Addr().String(), func() { srv.Close(); <-done }, nil
}

// load asks with several clients for d, and returns how long each answer took.
func load(ctx context.Context, url string, d time.Duration) (time.Duration, []time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tr := &http.Transport{MaxIdleConnsPerHost: clients}
	defer tr.CloseIdleConnections()
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range clients {
		wg.Go(func() {
			mine, err := ask(ctx, &http.Client{Transport: tr}, url+strconv.Itoa(i))
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	return time.Since(begin), all, failed
}

func ask(ctx context.Context, c *http.Client, url string) (took []time.Duration, err error) {
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, url, nil)
		if err != nil {
			return took, err
		}
		begin := time.Now()
		resp, err := c.Do(r)
		if err != nil {
			return took, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return took, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// table measures all variants, each in a process of its own, and prints them side by side.
func table(ctx context.Context, o options, w io.Writer) error {
	rows := []struct {
		name string
		args []string
	}{
		{"cancel lost below a long-lived parent", []string{"--variant", "lost"}},
		{"  mended", []string{"--variant", "lost", "--mended"}},
		{"  leaking, every context looked after", []string{"--variant", "lost", "--guard"}},
		{"  mended, every context looked after", []string{"--variant", "lost", "--mended", "--guard"}},
		{"kept in a map, its cancel runs", []string{"--variant", "map"}},
		{"  mended", []string{"--variant", "map", "--mended"}},
	}
	fmt.Fprintf(w, "worked incident, %d clients for %v each\n", clients, o.load)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "variant\tin <-Done\tcancelCtx\theap MB\tmallocs/s\tGC pause\tlongest\trequests/s\tP99\tfindings\t")
	for _, r := range rows {
		f, err := child(ctx, append(r.args, "--json", "--load", o.load.String()))
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%.1f\t%.0f\t%v\t%v\t%.0f\t%v\t%d\t\n", r.name, f.Waiters, f.Contexts, float64(f.HeapBytes)/1e6, f.Mallocs,
			f.Pause.Round(time.Microsecond), f.PauseMax.Round(time.Microsecond), f.Requests, f.P99.Round(10*time.Microsecond), f.Findings)
	}
	return t.Flush()
}

// child runs this program with other arguments.
func child(ctx context.Context, args []string) (f figures, err error) {
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(out, &f)
}
