package faultfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
)

const (
	errIO   = syscall.EIO
	errFull = syscall.ENOSPC
)

// After returns the disk as it is found after a power cut, or a kill, at this moment. f itself must not be used any more.
// survive is None, All, Torn or Some: it says what becomes of what was not synced.
func (f *FS) After(survive func(*Survivor)) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
	return f.after(survive)
}

// Snapshot returns what After(None) would, and leaves f as it is.
func (f *FS) Snapshot() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.after(None)
}

func (f *FS) after(survive func(*Survivor)) *FS {
	s := &Survivor{names: f.durable, changes: f.changes, nodes: f.nodes()}
	survive(s)
	g := New()
	fresh := map[*node]*node{}
	for name, d := range s.names {
		if fresh[d] == nil {
			fresh[d] = &node{data: append([]byte(nil), d.disk...), disk: append([]byte(nil), d.disk...), broken: d.broken}
		}
		g.names[name], g.durable[name] = fresh[d], fresh[d]
	}
	return g
}

// nodes returns every file that has a name, now or after a power cut, in an order that does not change between runs.
func (f *FS) nodes() []*node {
	var ds []*node
	seen := map[*node]bool{}
	for _, m := range []map[string]*node{f.durable, f.names} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if d := m[name]; !seen[d] {
				seen[d] = true
				ds = append(ds, d)
			}
		}
	}
	return ds
}

// Survivor is the disk in the moment of a power cut.
type Survivor struct {
	names   map[string]*node
	changes []func(map[string]*node)
	nodes   []*node
}

// None keeps only what was synced.
func None(*Survivor) {}

// All keeps everything, as the death of the process alone does.
func All(s *Survivor) {
	for _, c := range s.changes {
		c(s.names)
	}
	for _, d := range s.nodes {
		for _, w := range d.dirty {
			d.disk = w.apply(d.disk)
		}
	}
}

// Torn keeps the names, and of what was written and not synced the first n bytes of each file.
func Torn(n int) func(*Survivor) {
	return func(s *Survivor) {
		for _, c := range s.changes {
			c(s.names)
		}
		for _, d := range s.nodes {
			left := n
			for _, w := range d.dirty {
				w.p = w.p[:min(left, len(w.p))]
				left -= len(w.p)
				d.disk = w.apply(d.disk)
			}
		}
	}
}

const sector = 512

// Some keeps some of the unsynced sectors and the first few of the unsynced changes of names, chosen by r: a disk writes in the
// order it likes.
func Some(r *rand.Rand) func(*Survivor) {
	return func(s *Survivor) {
		for _, c := range s.changes[:r.IntN(len(s.changes)+1)] {
			c(s.names)
		}
		for _, d := range s.nodes {
			for _, w := range d.dirty {
				d.disk = w.some(r, d.disk)
			}
		}
	}
}

func (w write) some(r *rand.Rand, p []byte) []byte {
	if w.trunc {
		return w.apply(p)
	}
	for len(w.p) > 0 {
		n := min(sector-int(w.at%sector), len(w.p))
		if r.IntN(2) == 0 {
			p = write{at: w.at, p: w.p[:n]}.apply(p)
		}
		w.at, w.p = w.at+int64(n), w.p[n:]
	}
	return p
}
