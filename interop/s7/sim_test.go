package s7_test

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace/interop/capture"
)

// TestSimulator has foreign clients read and write what a simulated CPU documents: the plant of this suite, but for DB 2 and DB 3 and an I of 1,024 bytes.
func TestSimulator(t *testing.T) {
	addr := simulate(t)
	lines := slices.DeleteFunc(slices.Concat(reads(), writes()), func(line string) bool {
		return strings.Contains(line, "DB 2 ") || strings.Contains(line, "DB 3 ")
	})
	for i, c := range []client{snap7Client, gos7Client, pythonClient} {
		t.Run(c.name, func(t *testing.T) {
			proxy := capture.NewProxy(t, net.JoinHostPort([]string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}[i], addr)) // a fresh device each
			model := newPlant(quirks{})
			model.areas["I"] = pattern(1024)
			n := compare(t, c.connect(t, proxy.Addr, 480), lines, func(line string) string { return c.sees(line, model.answer(line)) })
			t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, proxy))
		})
	}
}

// simulate starts three simulated CPUs, at 127.0.0.1 and the two addresses behind it, and returns their port.
func simulate(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "millrace")
	build := exec.Command("go", "build", "-o", bin, "./cmd/millrace")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithCancel(context.Background())
	port := freePort(t)
	sim := exec.CommandContext(ctx, bin, "sim", "s7", "--listen", "127.0.0.1:"+port, "--devices", "3", "--model", "400")
	sim.Cancel = func() error { return sim.Process.Signal(syscall.SIGTERM) }
	var log strings.Builder
	sim.Stderr = &log
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		sim.Wait()
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			c.Close()
			return port
		}
		<-tick.C
	}
	t.Fatalf("the simulator does not listen after 10 s: %s", &log)
	return ""
}
