package ctxguard

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

const (
	mostGoroutines = 100_000
	longestPause   = 50 * time.Millisecond
)

// LeakProfileError says why Go's leak profile was not taken.
type LeakProfileError struct {
	Reason string
	Later  bool // it may be taken at another time
}

func (e *LeakProfileError) Error() string { return "ctxguard: no leak profile: " + e.Reason }

// Retryable says whether another try may go better.
func (e *LeakProfileError) Retryable() bool { return e.Later }

// leakProfiler takes Go's leak profile, with care: it stops the world for longer the more goroutines there are, and for seconds when they hang on each other in a
// long chain.
type leakProfiler struct {
	one    sync.Mutex // one at a time
	paused time.Duration

	// What tests replace.
	take  func(*bytes.Buffer, int) error // nil when this binary has no such profile
	count func() int
	pause func(since uint32) time.Duration
}

func newLeakProfiler() *leakProfiler {
	l := &leakProfiler{count: runtime.NumGoroutine, pause: longestPauseSince}
	if p := pprof.Lookup("goroutineleak"); p != nil {
		l.take = func(b *bytes.Buffer, debug int) error { return p.WriteTo(b, debug) }
	}
	return l
}

// LeakProfile returns Go's own goroutineleak profile: the goroutines that nothing alive can wake. It does not see those that wait for a context below a
// long-lived root, which is what the rest of this package is for. debug is that of runtime/pprof. The error is a *LeakProfileError when
// the profile is not built in (Go 1.26 needs GOEXPERIMENT=goroutineleakprofile), one is being taken, there are more than 100,000 goroutines, or
// the last one has stopped the world for more than 50 ms.
func (g *Guard) LeakProfile(debug int) ([]byte, error) {
	if g == nil {
		return nil, &LeakProfileError{Reason: "the guard is off"}
	}
	return g.leaks.profile(debug)
}

func (l *leakProfiler) profile(debug int) ([]byte, error) {
	if l.take == nil {
		return nil, &LeakProfileError{Reason: "this binary has none; build it with GOEXPERIMENT=goroutineleakprofile, or with Go 1.27"}
	}
	if !l.one.TryLock() {
		return nil, &LeakProfileError{Reason: "another one is being taken", Later: true}
	}
	defer l.one.Unlock()
	if n := l.count(); n > mostGoroutines {
		return nil, &LeakProfileError{Reason: fmt.Sprintf("%d goroutines are too many; up to %d it stops the world for some ten milliseconds", n, mostGoroutines), Later: true}
	}
	if l.paused > longestPause {
		return nil, &LeakProfileError{Reason: fmt.Sprintf("the last one stopped the world for %v", l.paused)}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var b bytes.Buffer
	err := l.take(&b, debug)
	l.paused = l.pause(m.NumGC)
	return b.Bytes(), err
}

// longestPauseSince is the longest pause of the collections behind number since.
func longestPauseSince(since uint32) time.Duration {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	longest := uint64(0)
	for n := max(since+1, m.NumGC-min(m.NumGC, 255)); n <= m.NumGC; n++ {
		longest = max(longest, m.PauseNs[(n+255)%256])
	}
	return time.Duration(longest)
}

func (g *Guard) serveLeakProfile(w http.ResponseWriter, r *http.Request) {
	debug, _ := strconv.Atoi(r.FormValue("debug")) // 0 is pprof's own form
	b, err := g.LeakProfile(debug)
	var refused *LeakProfileError
	switch {
	case errors.As(err, &refused) && refused.Later:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case errors.As(err, &refused):
		http.Error(w, err.Error(), http.StatusNotImplemented)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		if debug == 0 {
			w.Header().Set("Content-Type", "application/octet-stream")
		} else {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		_, _ = w.Write(b) // the client is gone
	}
}
