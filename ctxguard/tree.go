package ctxguard

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// Node is contexts of one sort in a tree: those that one line has made below the same Node, or those of one kind that no Guard knows.
type Node struct {
	Name      string  `json:"name"` // scope and creating line, or "cancel", "timer", "after"
	Count     int     `json:"count"`
	Overdue   int     `json:"overdue,omitempty"`
	OldestSec float64 `json:"oldestSec,omitempty"`
	Below     []*Node `json:"below,omitempty"`
	Cut       bool    `json:"cut,omitempty"` // there are more below than were looked at

	below map[string]*Node
}

// mostInTree bounds how many contexts a tree looks at, so that one of a million does not stop the program.
const mostInTree = 50_000

// Tree returns the contexts that are alive as they hang on each other. For each watched root there is a Node with everything below it, found by a
// census, whoever made it. Behind them come the contexts that g looks after, below the nearest one that g looks after too.
func (g *Guard) Tree() []*Node {
	if g == nil {
		return nil
	}
	c, now := g.core, g.now()
	byAddress, tracked := map[uintptr]*entry{}, &Node{Name: "tracked"}
	c.live(now, func(e *entry) {
		byAddress[e.address] = e
		tracked.place(e, now)
	})
	c.mu.Lock()
	roots := c.roots
	c.mu.Unlock()
	var out []*Node
	for _, r := range roots {
		n := &Node{Name: "root " + r.name, Count: 1}
		w := walk{c: c, known: byAddress, now: now, left: mostInTree}
		w.down(n, r.ctx)
		out = append(out, n.sorted())
	}
	return append(out, tracked.sorted())
}

// place puts e at its place below n.
func (n *Node) place(e *entry, now int64) {
	n.path(e).add(e, now)
	n.Count++
}

// path returns the Node for e, below those of its ancestors.
func (n *Node) path(e *entry) *Node {
	up := n
	if e.above != nil {
		up = n.path(e.above)
	}
	return up.child(e.name())
}

func (n *Node) child(name string) *Node {
	x := n.below[name]
	if x == nil {
		if n.below == nil {
			n.below = map[string]*Node{}
		}
		x = &Node{Name: name}
		n.below[name] = x
		n.Below = append(n.Below, x)
	}
	return x
}

func (n *Node) add(e *entry, now int64) {
	n.Count++
	n.OldestSec = max(n.OldestSec, e.age(now).Seconds())
	if e.state.Load()&stateOverdue != 0 {
		n.Overdue++
	}
}

// name is the scope and the creating line.
func (e *entry) name() string {
	f := framesOf(e.stack())
	if len(f) == 0 {
		return e.scope.Name
	}
	return strings.TrimSpace(e.scope.Name + " " + topFrame(f).String())
}

func (n *Node) sorted() *Node {
	for _, x := range n.Below {
		x.sorted()
	}
	slices.SortFunc(n.Below, func(a, b *Node) int { return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name)) })
	return n
}

// walk goes down from a root.
type walk struct {
	c     *core
	known map[uintptr]*entry
	now   int64
	left  int
}

func (w *walk) down(n *Node, ctx context.Context) {
	_ = w.c.census.each(ctx, func(child any) bool { // without a census there is nothing below
		if w.left == 0 {
			n.Cut = true
			return false
		}
		w.left--
		x := w.visit(n, child)
		if below, ok := child.(context.Context); ok {
			w.down(x, below)
		}
		return true
	})
}

// visit counts child below n, by the name that its Guard knows or else by its kind.
func (w *walk) visit(n *Node, child any) *Node {
	if e := w.known[addressIn(child)]; e != nil {
		x := n.child(e.name())
		x.add(e, w.now)
		return x
	}
	x := n.child(kindOf(child))
	x.Count++
	return x
}

// addressIn is addressOf for what a census shows.
func addressIn(child any) uintptr {
	type face struct{ typ, data uintptr }
	return (*face)(unsafe.Pointer(&child)).data
}

// write prints n and what is below it.
func (n *Node) write(w *strings.Builder, indent string) {
	w.WriteString(indent)
	w.WriteString(plural(n.Count, n.Name))
	if n.Overdue > 0 {
		w.WriteString(", " + plural(n.Overdue, "overdue"))
	}
	if n.OldestSec > 0 {
		w.WriteString(", oldest " + seconds(n.OldestSec).String())
	}
	if n.Cut {
		w.WriteString(", and more")
	}
	w.WriteByte('\n')
	for _, x := range n.Below {
		x.write(w, indent+"  ")
	}
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}
