package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Writes by the API of a gateway that reads 100,000 values a second, journals and delivers them: each is audited before it leaves, read back, and audited again. The time is that of the request.
const (
	writesEach   = 100
	writesApart  = 50 * time.Millisecond
	writesLoad   = time.Second // interval of the reads: endpoints * units * floats values in it
	writesTarget = 50 * time.Millisecond
)

func benchWrites(ctx context.Context, w io.Writer, millrace string) (err error) {
	const title = "Writes: audited, sent, read back, audited, beside 100,000 values read each second"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	simPort, err := freePort()
	if err != nil {
		return err
	}
	webPort, err := freePort()
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "gateway.yaml")
	text := strings.Replace(pathConfig(dir, simPort, webPort, writesLoad), "devices:\n", "      set: {interval: 1s, tags: {w: \"holding:5000:int16 rw\"}}\ndevices:\n", 1)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	sim, err := start(ctx, millrace, "sim", "modbus", "--listen", net.JoinHostPort("127.0.0.1", simPort), "--devices", strconv.Itoa(endpoints))
	if err != nil {
		return err
	}
	defer terminate(sim, &err)
	gateway, err := start(ctx, millrace, "run", "-c", config)
	if err != nil {
		return err
	}
	defer terminate(gateway, &err)
	if err := awaitPage(ctx, webPort); err != nil {
		return err
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	fmt.Fprintf(w, "%-28s %9s %8s %8s %8s %8s %11s %9s\n", "", "values/s", "avg ms", "p50 ms", "p99 ms", "max ms", "confirmed", "audited")
	token, err := os.ReadFile(filepath.Join(dir, "data", "token"))
	if err != nil {
		return err
	}
	c := writeClient{url: "http://127.0.0.1:" + webPort, token: strings.TrimSpace(string(token))}
	before := 0
	for _, r := range []struct {
		name string
		at   int // at once
	}{{"one after the other", 1}, {"ten at a time", 10}} {
		a, err := takeSample(ctx, gateway.cmd.Process.Pid, webPort)
		if err != nil {
			return err
		}
		took, confirmed, err := c.run(ctx, r.at)
		if err != nil {
			return err
		}
		b, err := takeSample(ctx, gateway.cmd.Process.Pid, webPort)
		if err != nil {
			return err
		}
		all, err := auditedWrites(ctx, millrace, filepath.Join(dir, "data"))
		if err != nil {
			return err
		}
		rate := (b.metrics["millrace_values_read_total"] - a.metrics["millrace_values_read_total"]) / b.at.Sub(a.at).Seconds()
		fmt.Fprintf(w, "%-28s %9.0f %8.1f %8.1f %8.1f %8.1f %4d of %d %2d of %d\n", r.name, rate, ms(mean(took)), ms(took[len(took)/2]), ms(took[len(took)*99/100-1]), ms(took[len(took)-1]),
			confirmed, writesEach, all-before, writesEach)
		before = all
	}
	fmt.Fprintf(w, "target: p99 at most %v, %d of %d confirmed and audited\n", writesTarget, writesEach, writesEach)
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func mean(all []time.Duration) (m time.Duration) {
	for _, d := range all {
		m += d
	}
	return m / time.Duration(len(all))
}

type writeClient struct{ url, token string }

// run writes each device's tag once, so many at a time, and returns how long each took, the shortest first.
func (c *writeClient) run(ctx context.Context, at int) (took []time.Duration, confirmed int, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, at)
	for i := range writesEach {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			end, e := c.write(ctx, fmt.Sprintf("e%02d-u%02d/w", i%endpoints, i/endpoints%units), time.Now().UnixNano()%30_000)
			d := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, d)
			if err == nil {
				err = e
			}
			if end == "confirmed" {
				confirmed++
			}
		})
		if err := pause(ctx, writesApart/time.Duration(at)); err != nil {
			break
		}
	}
	wg.Wait()
	slices.Sort(took)
	return took, confirmed, err
}

func (c *writeClient) write(ctx context.Context, tag string, value int64) (end string, err error) {
	body, err := json.Marshal(map[string]any{"tag": tag, "value": value, "why": "bench"})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/api/v1/writes", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var v struct{ End, Reason, Error string }
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return "", err
	}
	if v.End == "" {
		return "", fmt.Errorf("write %s: %s", tag, v.Error)
	}
	return v.End, nil
}

// auditedWrites holds the audit log to its chain and counts the writes that it has as confirmed.
func auditedWrites(ctx context.Context, millrace, data string) (int, error) {
	if out, err := exec.CommandContext(ctx, millrace, "audit", "verify", "--data", data).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("audit verify: %w: %s", err, out)
	}
	out, err := exec.CommandContext(ctx, millrace, "audit", "list", "--data", data, "--end", "confirmed", "--json").Output()
	return bytes.Count(out, []byte("\n")), err
}
