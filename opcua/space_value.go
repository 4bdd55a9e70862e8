package opcua

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"millrace/opcua/ua"
)

// SetValue gives a variable whose value the Space keeps a new one, and tells who watches it. The Space keeps what v refers to; nobody may change it afterwards. A variable
// that had its value elsewhere has it here from now on.
func (s *Space) SetValue(id ua.NodeId, v ua.DataValue) error {
	n := s.index.find(id)
	if n == nil || !s.set(n, v) {
		return fmt.Errorf("opcua: set value of %v: %w", id, ua.BadNodeIdUnknown)
	}
	return nil
}

// SetLive makes f answer the value of a variable from now on, at each read. It is called from many goroutines and must not block.
func (s *Space) SetLive(id ua.NodeId, f func(ctx context.Context, v *ua.DataValue)) error {
	return s.changeVariable(id, func(v *nodeVariable) { v.store, v.live, v.held = nil, f, nil })
}

// SetStore makes a variable have its value in a ValueStore from now on. level says what can be done with it.
func (s *Space) SetStore(id ua.NodeId, store ValueStore, key uint64, level AccessLevel) error {
	return s.changeVariable(id, func(v *nodeVariable) { v.store, v.key, v.live, v.held, v.level = store, key, nil, nil, level })
}

func (s *Space) changeVariable(id ua.NodeId, f func(v *nodeVariable)) error {
	err := s.change(id, func(b *nodeBody) bool {
		if b.variable == nil {
			return false
		}
		v := *b.variable
		f(&v)
		b.variable = &v
		return true
	})
	if err != nil {
		return fmt.Errorf("opcua: change variable %v: %w", id, err)
	}
	return nil
}

// SetRoles says who may read the value of a node, and who may write it or call it as a method; any of these roles will do. Zero is as in Node.
func (s *Space) SetRoles(id ua.NodeId, read, write Roles) error {
	read, write = rolesOf(&Node{ReadRoles: read, WriteRoles: write})
	err := s.change(id, func(b *nodeBody) bool {
		b.readRoles, b.writeRoles = read, write
		return true
	})
	if err != nil {
		return fmt.Errorf("opcua: set roles of %v: %w", id, err)
	}
	return nil
}

// SetMethod makes f do what a method does that is there without anybody to do it, as those of namespace 0 are. Its arguments are those of its properties.
func (s *Space) SetMethod(id ua.NodeId, f MethodFunc) error {
	err := s.change(id, func(b *nodeBody) bool {
		if b.method == nil {
			return false
		}
		n := s.index.find(id)
		b.method = &nodeMethod{call: f, inputs: argumentsOf(n.property("InputArguments")), outputs: argumentsOf(n.property("OutputArguments"))}
		return true
	})
	if err != nil {
		return fmt.Errorf("opcua: set method %v: %w", id, err)
	}
	return nil
}

// change replaces the body of a node by a copy that f has changed.
func (s *Space) change(id ua.NodeId, f func(b *nodeBody) bool) error {
	s.edit.Lock()
	defer s.edit.Unlock()
	n := s.index.find(id)
	if n == nil {
		return ua.BadNodeIdUnknown
	}
	b := n.body.Load()
	if b == nil {
		return ua.BadNodeIdUnknown
	}
	c := *b
	if !f(&c) {
		return ua.BadNodeClassInvalid
	}
	n.body.Store(&c)
	s.version.Add(1)
	return nil
}

// set puts v where n has its value, if the Space keeps it.
func (s *Space) set(n *node, v ua.DataValue) bool {
	b := n.body.Load()
	if b == nil || b.variable == nil || b.variable.held == nil {
		return false
	}
	stampSource(&v)
	h := b.variable.held
	h.set.Lock()
	defer h.set.Unlock()
	h.value.Store(&v)
	s.watching.tell(h, &v)
	return true
}

// watchers is who is told of new values that the Space itself keeps.
type watchers struct {
	mu sync.RWMutex
	of map[*heldValue][]Watcher
}

func (w *watchers) init() { w.of = map[*heldValue][]Watcher{} }

// tell tells who watches h. It holds no lock meanwhile that add or remove takes.
func (w *watchers) tell(h *heldValue, v *ua.DataValue) {
	w.mu.RLock()
	list := w.of[h]
	w.mu.RUnlock()
	for _, x := range list {
		x.Changed(v)
	}
}

func (w *watchers) add(h *heldValue, x Watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.of[h]
	w.of[h] = append(list[:len(list):len(list)], x)
}

func (w *watchers) remove(h *heldValue, x Watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.of[h]
	i := slices.Index(list, x)
	switch {
	case i < 0:
	case len(list) == 1:
		delete(w.of, h)
	default:
		w.of[h] = append(list[:i:i], list[i+1:]...)
	}
}

// end tells who watches h that its node is gone, and forgets them.
func (w *watchers) end(h *heldValue) {
	w.mu.Lock()
	list := w.of[h]
	delete(w.of, h)
	w.mu.Unlock()
	for _, x := range list {
		x.Changed(&ua.DataValue{Status: ua.BadNodeIdUnknown})
	}
}

// watch has w told of every new value of a variable from now on. False: nobody can tell, and the variable is to be sampled.
func (s *Space) watch(ref nodeRef, w Watcher) bool {
	if ref.mount != nil {
		p, ok := ref.mount.store.(ValuePusher)
		return ok && p.Watch(ref.key, w)
	}
	v := ref.variable()
	switch {
	case v == nil:
		return false
	case v.held != nil:
		s.watching.add(v.held, w)
		return true
	}
	p, ok := v.store.(ValuePusher)
	return ok && p.Watch(v.key, w)
}

// unwatch undoes watch. A call of w.Changed may still be under way when it returns.
func (s *Space) unwatch(ref nodeRef, w Watcher) {
	if ref.mount != nil {
		if p, ok := ref.mount.store.(ValuePusher); ok {
			p.Unwatch(ref.key, w)
		}
		return
	}
	v := ref.variable()
	if v == nil {
		v = ref.node.was.Load()
	}
	switch {
	case v == nil:
	case v.held != nil:
		s.watching.remove(v.held, w)
	default:
		if p, ok := v.store.(ValuePusher); ok {
			p.Unwatch(v.key, w)
		}
	}
}

// variable returns what makes a node of the Space a variable, or nil.
func (r nodeRef) variable() *nodeVariable {
	b := r.node.body.Load()
	if b == nil || b.class != ua.NodeClassVariable {
		return nil
	}
	return b.variable
}
