//go:build millracedebug

package s7

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"
)

// heldLong is for how long a message is out until its holder is named.
const heldLong = time.Minute

// holders knows where each message that is out was taken.
type holders[T any] struct {
	mu  sync.Mutex
	out map[*T]holder
}

type holder struct {
	since time.Time
	stack []uintptr
}

func (h *holders[T]) took(m *T) {
	stack := make([]uintptr, 16)
	const self = 3 // Callers, took, get
	stack = stack[:runtime.Callers(self, stack)]
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.out == nil {
		h.out = make(map[*T]holder)
	}
	h.out[m] = holder{time.Now(), stack}
}

func (h *holders[T]) gave(m *T) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.out, m)
}

func (h *holders[T]) held() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.out {
		if d := time.Since(o.since); d >= heldLong {
			all = append(all, fmt.Sprintf("for %v, taken in %s", d.Round(time.Second), o.where()))
		}
	}
	return all
}

func (o *holder) where() string {
	var b strings.Builder
	for frames := runtime.CallersFrames(o.stack); ; {
		f, more := frames.Next()
		fmt.Fprintf(&b, "%s (%s:%d) ", f.Function, f.File, f.Line)
		if !more {
			return strings.TrimSpace(b.String())
		}
	}
}
