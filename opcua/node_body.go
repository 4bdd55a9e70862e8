package opcua

import (
	"context"
	"sync"
	"sync/atomic"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// node is an id of the Space: what is there, and what it refers to. Readers take no lock for either: bodies and lists of references are never changed once they can
// be seen, but replaced.
type node struct {
	id   ua.NodeId
	body atomic.Pointer[nodeBody] // nil: a target of references that is not here, or not yet, or not any more
	refs atomic.Pointer[nodeRefs]
	was  atomic.Pointer[nodeVariable] // what a node that is gone had as a variable, for those who still watch it
}

// nodeRefs is the list of a node's references. Whoever holds one may read it for as long as he likes; the Space appends behind its end.
type nodeRefs struct{ list []nodeReference }

// nodeReference is half of a reference: the other half is in the list of to.
type nodeReference struct {
	kind    *node
	to      *node
	inverse bool
}

// nodeBody is the attributes of a node.
type nodeBody struct {
	class         ua.NodeClass
	eventNotifier uint8
	isAbstract    bool
	symmetric     bool
	noLoops       bool
	readRoles     Roles
	writeRoles    Roles
	browseName    ua.QualifiedName
	displayName   ua.LocalizedText
	description   ua.LocalizedText
	variable      *nodeVariable // of Variables and VariableTypes
	method        *nodeMethod   // of Methods
	typ           *nodeType     // of ReferenceTypes and DataTypes
}

// nodeVariable is what Variables and VariableTypes have beyond other nodes. The value is one of store, live and held.
type nodeVariable struct {
	dataType    ua.NodeId
	rank        int32
	level       AccessLevel
	historizing bool
	sampling    float64
	dims        []uint32
	key         uint64
	store       ValueStore
	live        func(ctx context.Context, v *ua.DataValue)
	held        *heldValue
}

// heldValue is a value that the Space keeps itself.
type heldValue struct {
	set   sync.Mutex // held while a new value is put in and told to the watchers, so that they see values in their order
	value atomic.Pointer[ua.DataValue]
}

type nodeMethod struct {
	call            MethodFunc
	inputs, outputs []ua.Argument
}

type nodeType struct {
	inverseName ua.LocalizedText
	definition  ua.ExtensionObject
}

// nodeRef is a node that was looked up: one of the Space, or one of a NodeStore. It is comparable, and stays valid when the node goes.
type nodeRef struct {
	node  *node
	mount *spaceMount // of a node that a NodeStore has
	key   uint64
}

// references returns the list of n as it is now.
func (n *node) references() []nodeReference {
	if l := n.refs.Load(); l != nil {
		return l.list
	}
	return nil
}

// target returns the first node that n refers to by kind, an id of namespace 0.
func (n *node) target(kind uint32, inverse bool) *node {
	for _, r := range n.references() {
		if r.inverse == inverse && r.kind.is(kind) {
			return r.to
		}
	}
	return nil
}

// is says whether n has the numeric id of namespace 0.
func (n *node) is(id uint32) bool {
	return n.id.Namespace == 0 && n.id.Type == ua.IdNumeric && n.id.Numeric == id
}

// property returns the property of n with this name of namespace 0.
func (n *node) property(name string) *node {
	for _, r := range n.references() {
		if r.inverse || !r.kind.is(ns0.HasProperty) {
			continue
		}
		if b := r.to.body.Load(); b != nil && b.browseName.NamespaceIndex == 0 && b.browseName.Name == name {
			return r.to
		}
	}
	return nil
}

// typeChain bounds the walk up a tree of types: they are a few levels deep, and a set that was imported may have a loop.
const typeChain = 64

// isA says whether n is base or one of its subtypes.
func (n *node) isA(base *node) bool {
	for range typeChain {
		if n == nil || n == base {
			return n != nil
		}
		n = n.target(ns0.HasSubtype, true)
	}
	return false
}

// id returns the id of the node; that of a node of a NodeStore is asked for there, and is null when it is gone.
func (r nodeRef) id() ua.NodeId {
	if r.mount == nil {
		return r.node.id
	}
	var n Node
	if !r.mount.store.Node(r.key, &n) {
		return ua.NodeId{}
	}
	return n.Id
}

// holds says whether a reference is there.
func (n *node) holds(r nodeReference) bool {
	for _, have := range n.references() {
		if have == r {
			return true
		}
	}
	return false
}

// add appends references. Only the Space calls it, one goroutine at a time.
func (n *node) add(refs ...nodeReference) {
	n.refs.Store(&nodeRefs{append(n.references(), refs...)})
}

// drop removes the references for which gone answers true, and returns them.
func (n *node) drop(gone func(r nodeReference) bool) []nodeReference {
	var kept, dropped []nodeReference
	for _, r := range n.references() {
		if gone(r) {
			dropped = append(dropped, r)
		} else {
			kept = append(kept, r)
		}
	}
	if dropped != nil {
		n.refs.Store(&nodeRefs{kept})
	}
	return dropped
}
