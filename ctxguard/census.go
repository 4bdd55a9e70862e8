package ctxguard

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"
	"unsafe"
)

// ErrNoCensus says that package context is not built as a census expects it, or that a context has no children to count.
var ErrNoCensus = errors.New("ctxguard: no census of this context")

// census counts the children of contexts, whoever made them. It reads fields of package context that are not exported, under their own lock.
// What it needs is tried out on contexts of its own when a Guard is made; when that fails the census is off and everything else works.
//
// The road to a cancelCtx is an open one: package context asks a parent for it by Value with a key of its own, and a parent of ours hears the key.
type census struct {
	key      any
	mu       uintptr // offsets in the cancelCtx
	children uintptr
	in       reflect.Type // cancelCtx
	list     reflect.Type // of children
	works    bool
}

// Kinds counts contexts by what they are.
type Kinds struct {
	Cancel int `json:"cancel"` // WithCancel, and WithTimeout under an earlier deadline
	Timer  int `json:"timer"`  // WithTimeout, WithDeadline
	After  int `json:"after"`  // context.AfterFunc
	Other  int `json:"other"`
}

// Total is all of them.
func (k Kinds) Total() int { return k.Cancel + k.Timer + k.After + k.Other }

// Census counts the children that hang on root now: contexts made from it, directly or through values, by anybody, that are neither cancelled nor
// over. Children of children count for their own parent. The error is ErrNoCensus; a root that never ends, or is over, has no children.
func (g *Guard) Census(root context.Context) (Kinds, error) {
	if g == nil {
		return Kinds{}, ErrNoCensus
	}
	var k Kinds
	err := g.census.each(root, func(child any) bool {
		k.count(child)
		return true
	})
	return k, err
}

// CensusWorks says whether a census can be taken with this version of Go.
func (g *Guard) CensusWorks() bool { return g != nil && g.census.works }

func (k *Kinds) count(child any) {
	switch kindOf(child) {
	case "cancel":
		k.Cancel++
	case "timer":
		k.Timer++
	case "after":
		k.After++
	default:
		k.Other++
	}
}

func kindOf(child any) string {
	switch reflect.TypeOf(child).String() {
	case "*context.cancelCtx":
		return "cancel"
	case "*context.timerCtx":
		return "timer"
	case "*context.afterFuncCtx":
		return "after"
	}
	return "other"
}

// newCensus learns the key, finds the fields and tries itself out.
func newCensus() (c census) {
	defer func() {
		if recover() != nil { // of reflect, because a type is not what it was
			c.works = false
		}
	}()
	root, cancel := context.WithCancel(&spy{heard: func(key any) { c.key = key }})
	defer cancel()
	if !c.find(root) {
		return c
	}
	c.works = true
	c.works = c.tryOut(root)
	return c
}

// find learns where the fields are.
func (c *census) find(root context.Context) bool {
	if c.key == nil {
		return false
	}
	v := reflect.ValueOf(root.Value(c.key))
	if v.Kind() != reflect.Pointer || v.Elem().Type().String() != "context.cancelCtx" {
		return false
	}
	c.in = v.Elem().Type()
	mu, ok := c.in.FieldByName("mu")
	children, ok2 := c.in.FieldByName("children")
	if !ok || !ok2 || mu.Type != reflect.TypeFor[sync.Mutex]() || children.Type.Kind() != reflect.Map || children.Type.Key().Kind() != reflect.Interface {
		return false
	}
	c.mu, c.children, c.list = mu.Offset, children.Offset, children.Type
	return true
}

// tryOut makes children of every kind and wants to see them, and to see them go.
func (c *census) tryOut(root context.Context) bool {
	_, cancel := context.WithCancel(root)
	_, timeout := context.WithTimeout(context.WithValue(root, entryKey{}, nil), time.Hour)
	stop := context.AfterFunc(root, func() {})
	see := func() (k Kinds) {
		if c.each(root, func(child any) bool { k.count(child); return true }) != nil {
			k.Other = -1
		}
		return k
	}
	before := see()
	cancel()
	timeout()
	stop()
	return before == Kinds{Cancel: 1, Timer: 1, After: 1} && see() == Kinds{}
}

// each calls visit for each child of root until it says no. The children are listed under the lock of root; visit runs without it.
func (c *census) each(root context.Context, visit func(child any) bool) error {
	var all []any
	err := c.look(root, func(children reflect.Value) {
		all = make([]any, 0, children.Len())
		for it := children.MapRange(); it.Next(); {
			all = append(all, it.Key().Elem().Interface())
		}
	})
	for _, child := range all {
		if !visit(child) {
			break
		}
	}
	return err
}

// size is the number of children of root, without a list of them.
func (c *census) size(root context.Context) (n int, err error) {
	err = c.look(root, func(children reflect.Value) { n = children.Len() })
	return n, err
}

// look shows the map of children to see, under its lock.
func (c *census) look(root context.Context, see func(children reflect.Value)) error {
	if !c.works {
		return ErrNoCensus
	}
	v := reflect.ValueOf(root.Value(c.key))
	if !v.IsValid() || v.Type() != reflect.PointerTo(c.in) {
		return ErrNoCensus
	}
	mu := (*sync.Mutex)(unsafe.Add(v.UnsafePointer(), c.mu))
	mu.Lock()
	defer mu.Unlock()
	see(reflect.NewAt(c.list, unsafe.Add(v.UnsafePointer(), c.children)).Elem())
	return nil
}

// spy is a parent that hears with which key package context asks for a cancelCtx. It never ends. With AfterFunc no goroutine waits for it.
type spy struct {
	heard func(key any)
	done  chan struct{}
}

func (s *spy) Deadline() (time.Time, bool) { return time.Time{}, false }
func (s *spy) Err() error                  { return nil }

func (s *spy) Done() <-chan struct{} {
	if s.done == nil {
		s.done = make(chan struct{})
	}
	return s.done
}

func (s *spy) Value(key any) any {
	if _, ours := key.(entryKey); !ours && s.heard != nil {
		s.heard(key)
	}
	return nil
}

// AfterFunc never calls f.
func (s *spy) AfterFunc(func()) func() bool { return func() bool { return true } }

// addressOf is where the cancelCtx of a context lies, to compare and not to follow. A timerCtx begins with its cancelCtx, and both are what package
// context keeps as a child.
func addressOf(ctx context.Context) uintptr {
	type face struct{ typ, data uintptr }
	return (*face)(unsafe.Pointer(&ctx)).data
}
