package opcua

import (
	"sync"

	"millrace/opcua/ua"
)

// nodeIndex finds a node by its id. Numbers and texts, which nearly all ids are, have maps of their own: their keys hash faster than a NodeId does.
type nodeIndex struct {
	mu      sync.RWMutex
	numeric map[uint64]*node // namespace<<32 | number
	text    []map[string]*node
	other   map[ua.NodeId]*node
}

func (x *nodeIndex) init() {
	x.numeric = map[uint64]*node{}
	x.other = map[ua.NodeId]*node{}
}

func numericKey(id *ua.NodeId) uint64 { return uint64(id.Namespace)<<32 | uint64(id.Numeric) }

// find returns the node of id, which may be one without a body, or nil.
func (x *nodeIndex) find(id ua.NodeId) *node {
	x.mu.RLock()
	n := x.get(&id)
	x.mu.RUnlock()
	return n
}

// get is find for who holds mu.
func (x *nodeIndex) get(id *ua.NodeId) *node {
	switch id.Type {
	case ua.IdNumeric:
		return x.numeric[numericKey(id)]
	case ua.IdString:
		if int(id.Namespace) < len(x.text) {
			return x.text[id.Namespace][id.Text]
		}
		return nil
	}
	return x.other[*id]
}

// put makes n be found under its id.
func (x *nodeIndex) put(n *node) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch n.id.Type {
	case ua.IdNumeric:
		x.numeric[numericKey(&n.id)] = n
	case ua.IdString:
		for int(n.id.Namespace) >= len(x.text) {
			x.text = append(x.text, map[string]*node{})
		}
		x.text[n.id.Namespace][n.id.Text] = n
	default:
		x.other[n.id] = n
	}
}

// remove forgets the node of id.
func (x *nodeIndex) remove(id *ua.NodeId) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch id.Type {
	case ua.IdNumeric:
		delete(x.numeric, numericKey(id))
	case ua.IdString:
		if int(id.Namespace) < len(x.text) {
			delete(x.text[id.Namespace], id.Text)
		}
	default:
		delete(x.other, *id)
	}
}
