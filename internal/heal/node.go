package heal

import (
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// Sampler measures the node. CPU shares are of the time between two samples. One goroutine at a time uses it. Where there is no /proc, the process is all it knows of.
type Sampler struct {
	root string // of the file system
	last usage
	node Node
}

// usage is CPU time used up to a moment.
type usage struct {
	at                  time.Time
	busy, total         float64 // of the machine, in ticks
	group, groupAllowed float64 // of the container, in seconds; allowed is in cores
	process             float64 // seconds
}

// NewSampler returns a Sampler of this machine.
func NewSampler() *Sampler { return &Sampler{root: "/"} }

// least is how far apart samples are: ticks of 10 ms say nothing of less.
const least = 500 * time.Millisecond

// Sample returns the node's CPU and memory at now. Queue and Behind are the caller's.
func (s *Sampler) Sample(now time.Time) Node {
	if !s.last.at.IsZero() && now.Sub(s.last.at) < least {
		return s.node
	}
	u := s.usage(now)
	if !s.last.at.IsZero() {
		s.cpu(u)
	}
	s.last = u
	s.memory()
	return s.node
}

func (s *Sampler) usage(now time.Time) usage {
	u := usage{at: now, process: s.processSeconds()}
	u.busy, u.total = machineTicks(s.read("proc/stat"))
	group := s.group()
	u.group = number(lineOf(s.read(group+"/cpu.stat"), "usage_usec")) / 1e6
	u.groupAllowed = quota(s.read(group + "/cpu.max"))
	return u
}

func (s *Sampler) cpu(u usage) {
	seconds := u.at.Sub(s.last.at).Seconds()
	cores := float64(runtime.NumCPU())
	if u.groupAllowed > 0 {
		cores = min(cores, u.groupAllowed)
	}
	s.node.ProcessCPU = share(u.process-s.last.process, seconds*cores)
	s.node.CPU = max(s.node.ProcessCPU, share(u.busy-s.last.busy, u.total-s.last.total))
	if u.groupAllowed > 0 {
		s.node.CPU = max(s.node.CPU, share(u.group-s.last.group, seconds*u.groupAllowed))
	}
}

func (s *Sampler) memory() {
	info, group := s.read("proc/meminfo"), s.group()
	total := number(lineOf(info, "MemTotal:"))
	s.node.Memory = 0
	if total > 0 {
		s.node.Memory = share(total-number(lineOf(info, "MemAvailable:")), total)
	}
	if most := number(s.read(group + "/memory.max")); most > 0 {
		s.node.Memory = max(s.node.Memory, share(number(s.read(group+"/memory.current")), most))
	}
	if rss := number(lineOf(s.read("proc/self/status"), "VmRSS:")); rss > 0 {
		s.node.ProcessSize = uint64(rss) * 1024
		return
	}
	s.node.ProcessSize = uint64(metric("/memory/classes/total:bytes"))
}

func (s *Sampler) read(name string) string {
	b, err := os.ReadFile(filepath.Join(s.root, filepath.FromSlash(name)))
	if err != nil {
		return ""
	}
	return string(b)
}

// group returns the folder of the control group that the process is in: version 2, as container engines and systemd make it.
func (s *Sampler) group() string {
	where := lineOf(s.read("proc/self/cgroup"), "0::")
	if own := path.Join("sys/fs/cgroup", where); s.read(own+"/cpu.stat") != "" {
		return own
	}
	return "sys/fs/cgroup" // a container sees its own group as the root
}

// processSeconds returns the CPU time of the process: fields 14 and 15 of its stat, in ticks of 10 ms, behind a name that may hold anything.
func (s *Sampler) processSeconds() float64 {
	stat := s.read("proc/self/stat")
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(f) < 13 {
		return metric("/cpu/classes/total:cpu-seconds") - metric("/cpu/classes/idle:cpu-seconds")
	}
	return (number(f[11]) + number(f[12])) / 100
}

// machineTicks reads the first line of /proc/stat: user nice system idle iowait irq softirq steal. What waits for a disk is not busy.
func machineTicks(stat string) (busy, total float64) {
	f := strings.Fields(lineOf(stat, "cpu "))
	for i, x := range f[:min(len(f), 8)] {
		v := number(x)
		total += v
		if i != 3 && i != 4 {
			busy += v
		}
	}
	return busy, total
}

// quota reads cpu.max, "200000 100000" or "max 100000", in cores; 0 is no limit.
func quota(text string) float64 {
	f := strings.Fields(text)
	if len(f) != 2 || number(f[1]) <= 0 {
		return 0
	}
	return number(f[0]) / number(f[1])
}

// lineOf returns what stands behind prefix in the line that begins with it.
func lineOf(text, prefix string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// number reads the number that text begins with, 0 when it is none: "max", nothing at all.
func number(text string) float64 {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return v
}

func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(max(part/whole, 0), 1)
}

func metric(name string) float64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	switch s[0].Value.Kind() {
	case metrics.KindFloat64:
		return s[0].Value.Float64()
	case metrics.KindUint64:
		return float64(s[0].Value.Uint64())
	}
	return 0
}
