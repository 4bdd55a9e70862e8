package ctxtest

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Probe knows what a function has opened. The zero value is ready; any goroutine may use it.
type Probe struct {
	mu   sync.Mutex
	open []*opened
}

type opened struct{ what, where string }

// openError says what is still open.
type openError struct{ things []string }

func (e *openError) Error() string {
	return "after the cancel the function returned and left open: " + strings.Join(e.things, "; ")
}

// checkedLater is the error of an f whose probe is to be looked at when all has settled: what a cancel sets in motion may end after f.
type checkedLater struct {
	err   error
	check func() error
}

func (e *checkedLater) Error() string { return fmt.Sprint(e.err) }
func (e *checkedLater) Unwrap() error { return e.err }

// Open notes that something was opened by whoever is at the call of the caller, and returns how to note its end. Calling that twice is fine.
func (p *Probe) Open(what string) (closed func()) {
	x := &opened{what, userLine()}
	p.mu.Lock()
	p.open = append(p.open, x)
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open = slices.DeleteFunc(p.open, func(y *opened) bool { return x == y })
	}
}

// err is nil when everything was closed.
func (p *Probe) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) == 0 {
		return nil
	}
	e := &openError{}
	for _, x := range p.open {
		e.things = append(e.things, x.what+", opened by "+x.where)
	}
	return e
}

// ReadCloser is r, with p's eye on its Close.
func (p *Probe) ReadCloser(r io.ReadCloser, what string) io.ReadCloser {
	return &closer{ReadCloser: r, closed: p.Open(what)}
}

type closer struct {
	io.ReadCloser
	closed func()
}

// Close implements io.Closer.
func (c *closer) Close() error {
	c.closed()
	return c.ReadCloser.Close()
}

// Conn is c, with p's eye on its Close.
func (p *Probe) Conn(c net.Conn, what string) net.Conn { return &conn{Conn: c, closed: p.Open(what)} }

type conn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// userLine is the innermost call that is not the standard library's or this package's.
func userLine() string {
	var pcs [32]uintptr
	root := goRoot()
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if f.Function != "" && !inGo(root, f.File) && !ours(f.Function) {
			return fmt.Sprintf("%s (%s:%d)", f.Function, short(f.File), f.Line)
		}
		if !more {
			return "the test"
		}
	}
}
