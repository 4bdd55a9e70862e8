package ctxguard

import (
	"context"
	"math"
	"math/bits"
	"runtime"
	"strings"
	"time"
)

// Snapshot is what a process holds at one moment, to be compared with another by Diff. It is JSON for the way from one process to another.
type Snapshot struct {
	TakenAt    time.Time     `json:"takenAt"`
	Goroutines []StackCount  `json:"goroutines"` // by stack, in no order
	Heap       []HeapSite    `json:"heap"`       // objects in use by the stack that allocated them
	Mem        Mem           `json:"mem"`
	Guard      *Summary      `json:"guard,omitempty"` // nil from a nil Guard
	Trace      *TraceSummary `json:"trace,omitempty"` // when it was asked for
	TraceError string        `json:"traceError,omitempty"`
}

// StackCount is the goroutines of one stack.
type StackCount struct {
	Frames []Frame `json:"frames"` // innermost first; those of the runtime that do the waiting are taken off
	State  string  `json:"state"`  // "chan receive", "select", "sleep"; "" for one that runs
	Count  int64   `json:"count"`
}

// HeapSite is the objects in use that one line has allocated. It is a sample, scaled up, unless runtime.MemProfileRate is 1.
type HeapSite struct {
	Frames  []Frame `json:"frames"`
	Objects int64   `json:"objects"`
	Bytes   int64   `json:"bytes"`
	Kind    string  `json:"kind,omitempty"` // "cancelCtx" or "timerCtx" when that is what the objects are
}

// Mem is a part of runtime.MemStats.
type Mem struct {
	Mallocs     uint64        `json:"mallocs"`
	Frees       uint64        `json:"frees"`
	HeapObjects uint64        `json:"heapObjects"`
	HeapBytes   uint64        `json:"heapBytes"`
	StackBytes  uint64        `json:"stackBytes"`
	TotalAlloc  uint64        `json:"totalAlloc"`
	NumGC       uint32        `json:"numGC"`
	PauseTotal  time.Duration `json:"pauseTotal"`
	PauseMax    time.Duration `json:"pauseMax"` // of the last 256 collections
	Goroutines  int           `json:"goroutines"`
}

// SnapshotConfig says what Take does beyond looking.
type SnapshotConfig struct {
	GC    bool          // collect first, twice: the heap profile is that of the last collection but one
	Trace time.Duration // record the scheduler for so long; 0 does not. At most a minute
}

// longestTrace bounds what somebody can ask for.
const longestTrace = time.Minute

// Take looks at all goroutines and at the heap profile. It stops the world for some microseconds for each thousand goroutines. ctx ends a recording early.
func (g *Guard) Take(ctx context.Context, cfg SnapshotConfig) Snapshot {
	var s Snapshot
	if cfg.Trace > 0 {
		t, err := recordTrace(ctx, min(cfg.Trace, longestTrace))
		s.Trace = t
		if err != nil {
			s.TraceError = err.Error()
		}
	}
	if cfg.GC {
		runtime.GC()
		runtime.GC()
	}
	s.TakenAt = time.Now()
	s.Goroutines, s.Heap, s.Mem = goroutines(), heap(), memory()
	if g != nil {
		sum := g.Summary()
		s.Guard = &sum
	}
	return s
}

func memory() Mem {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	out := Mem{
		Mallocs: m.Mallocs, Frees: m.Frees, HeapObjects: m.HeapObjects, HeapBytes: m.HeapAlloc, StackBytes: m.StackInuse, TotalAlloc: m.TotalAlloc,
		NumGC: m.NumGC, PauseTotal: time.Duration(m.PauseTotalNs), Goroutines: runtime.NumGoroutine(),
	}
	for _, p := range m.PauseNs {
		out.PauseMax = max(out.PauseMax, time.Duration(p))
	}
	return out
}

// goroutines counts goroutines by stack.
func goroutines() []StackCount {
	var records []runtime.StackRecord
	for {
		n, ok := runtime.GoroutineProfile(records)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.StackRecord, n+n/8+64) // some start meanwhile
	}
	count := map[[32]uintptr]int64{}
	for i := range records {
		count[records[i].Stack0]++
	}
	out := make([]StackCount, 0, len(count))
	for stack, n := range count {
		out = append(out, stackCount(stack, n))
	}
	return out
}

func stackCount(stack [32]uintptr, n int64) StackCount {
	depth := 0
	for depth < len(stack) && stack[depth] != 0 {
		depth++
	}
	frames := framesOf(stack[:depth])
	s := StackCount{State: stateOf(frames), Count: n}
	for len(frames) > 1 && isWaiting(frames[0].Func) {
		frames = frames[1:]
	}
	s.Frames = frames
	return s
}

// states are functions of the runtime in which a goroutine waits, and what Go's own dumps call that.
var states = map[string]string{
	"runtime.chanrecv": "chan receive", "runtime.chansend": "chan send", "runtime.selectgo": "select", "runtime.block": "select (no cases)",
	"time.Sleep": "sleep", "runtime.netpollblock": "IO wait", "sync.runtime_SemacquireWaitGroup": "sync.WaitGroup.Wait",
	"internal/sync.runtime_SemacquireMutex": "sync.Mutex.Lock", "sync.runtime_SemacquireRWMutexR": "sync.RWMutex.RLock",
	"sync.runtime_SemacquireRWMutex": "sync.RWMutex.Lock", "sync.runtime_notifyListWait": "sync.Cond.Wait",
}

func stateOf(frames []Frame) string {
	for _, f := range frames {
		if s, ok := states[f.Func]; ok {
			return s
		}
	}
	return ""
}

// isWaiting says whether a function is the runtime's machinery of waiting.
func isWaiting(name string) bool {
	return strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "sync.runtime_") || strings.HasPrefix(name, "internal/sync.runtime_") ||
		strings.HasPrefix(name, "internal/poll.runtime_")
}

// heap lists the objects in use by site.
func heap() []HeapSite {
	var records []runtime.MemProfileRecord
	for {
		n, ok := runtime.MemProfile(records, false)
		if ok {
			records = records[:n]
			break
		}
		records = make([]runtime.MemProfileRecord, n+n/8+64)
	}
	out := make([]HeapSite, 0, len(records))
	for i := range records {
		r := &records[i]
		if r.InUseObjects() == 0 {
			continue
		}
		objects, bytes := scaled(r.InUseObjects(), r.InUseBytes(), runtime.MemProfileRate)
		s := HeapSite{Frames: allocator(framesOf(r.Stack())), Objects: objects, Bytes: bytes}
		s.Kind = contextKind(s.Frames, r.InUseBytes()/r.InUseObjects())
		out = append(out, s)
	}
	return out
}

// allocator takes the runtime's way of allocating off a stack.
func allocator(frames []Frame) []Frame {
	for len(frames) > 1 && strings.HasPrefix(frames[0].Func, "runtime.") {
		frames = frames[1:]
	}
	return frames
}

// scaled turns sampled counts into estimates, as pprof does: an object of size b is sampled with the probability 1-exp(-b/rate).
func scaled(objects, bytes int64, rate int) (int64, int64) {
	if rate <= 1 {
		return objects, bytes
	}
	scale := 1 / (1 - math.Exp(-float64(bytes)/float64(objects)/float64(rate)))
	return int64(math.Round(float64(objects) * scale)), int64(math.Round(float64(bytes) * scale))
}

// contextKind says what package context has allocated here, going by the allocating function; what is smaller than a context is a closure of the same.
func contextKind(frames []Frame, size int64) string {
	if len(frames) == 0 || size < bits.UintSize { // eight words
		return ""
	}
	switch frames[0].Func {
	case "context.withCancel", "context.WithCancel", "context.WithCancelCause":
		return "cancelCtx"
	case "context.WithDeadlineCause":
		return "timerCtx"
	}
	return ""
}
