package heal

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// machine writes the files of a /proc and a /sys of the tests.
func machine(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestNode(t *testing.T) {
	root := t.TempDir()
	s, start := &Sampler{root: root}, time.Unix(1000, 0)
	machine(t, root, map[string]string{
		"proc/stat":        "cpu  100 0 100 800 0 0 0 0 50 0\ncpu0 1 2 3 4\n",
		"proc/self/stat":   "7 (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0",
		"proc/self/cgroup": "0::/system.slice/millrace.service\n",
		"proc/self/status": "Name:\tmillrace\nVmRSS:\t  2048 kB\n",
		"proc/meminfo":     "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n",
	})
	if n := s.Sample(start); n.CPU != 0 || !near(n.Memory, 0.6) || n.ProcessSize != 2<<20 {
		t.Errorf("%+v", n)
	}
	machine(t, root, map[string]string{"proc/stat": "cpu  180 10 100 810 0 0 0 0 50 0\n", "proc/self/stat": "7 (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 110 60 0 0 20 0"})
	if n := s.Sample(start.Add(time.Second)); !near(n.CPU, 0.9) || !near(n.ProcessCPU, 0.2/float64(runtime.NumCPU())) {
		t.Errorf("of 100 ticks 10 were idle: %+v", n)
	}
	if n := s.Sample(start.Add(time.Second + time.Millisecond)); !near(n.CPU, 0.9) {
		t.Errorf("a sample too soon is the last one: %+v", n)
	}
}

// TestNodeInAContainer: half a core is allowed, 0.48 of it used; and of 1000 bytes 950.
func TestNodeInAContainer(t *testing.T) {
	root := t.TempDir()
	s, start := &Sampler{root: root}, time.Unix(1000, 0)
	group := "sys/fs/cgroup/box/"
	machine(t, root, map[string]string{
		"proc/stat": "cpu  100 0 100 800 0 0 0 0\n", "proc/self/cgroup": "0::/box\n", "proc/meminfo": "MemTotal: 1000 kB\nMemAvailable: 900 kB\n",
		group + "cpu.stat": "usage_usec 1000000\nuser_usec 1\n", group + "cpu.max": "50000 100000\n", group + "memory.max": "1000\n", group + "memory.current": "950\n",
	})
	s.Sample(start)
	machine(t, root, map[string]string{"proc/stat": "cpu  110 0 100 890 0 0 0 0\n", group + "cpu.stat": "usage_usec 1480000\n"})
	if n := s.Sample(start.Add(time.Second)); !near(n.CPU, 0.96) || !near(n.Memory, 0.95) {
		t.Errorf("%+v", n)
	}
}

// TestNodeWithoutProc: what the runtime knows is left.
func TestNodeWithoutProc(t *testing.T) {
	s := &Sampler{root: t.TempDir()}
	s.Sample(time.Unix(1000, 0))
	if n := s.Sample(time.Unix(1001, 0)); n.ProcessSize == 0 || n.CPU < 0 || n.CPU > 1 || n.Memory != 0 {
		t.Errorf("%+v", n)
	}
}

func TestThisMachine(t *testing.T) {
	n := NewSampler().Sample(time.Now())
	if runtime.GOOS == "linux" && (n.Memory <= 0 || n.Memory >= 1) || n.ProcessSize == 0 {
		t.Errorf("%+v", n)
	}
}
