package opcua

import (
	"fmt"
	"strconv"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// Add adds nodes, each as the target of a reference from parent, or without a parent when that is null; then their own References say where they hang. All of
// them are added, or none: a wrong one is an error that unwraps to its ua.StatusCode. Namespaces must be known, and types of references must be there; other targets
// of references may follow later. The Space keeps what nodes refer to.
func (s *Space) Add(parent, reference ua.NodeId, nodes ...Node) error {
	s.edit.Lock()
	defer s.edit.Unlock()
	if err := s.checkParent(parent, reference); err != nil {
		return err
	}
	seen := make(map[ua.NodeId]bool, len(nodes))
	for i := range nodes {
		status := s.checkNew(&nodes[i])
		if seen[nodes[i].Id] {
			status = ua.BadNodeIdExists
		}
		if status != ua.Good {
			return fmt.Errorf("opcua: add %v: %w", nodes[i].Id, status)
		}
		seen[nodes[i].Id] = true
	}
	for i := range nodes {
		s.insert(parent, reference, &nodes[i])
	}
	return nil
}

func (s *Space) checkParent(parent, reference ua.NodeId) error {
	if parent.IsNull() {
		return nil
	}
	if _, ok := s.resolve(nil, parent); !ok {
		return fmt.Errorf("opcua: add below %v: %w", parent, ua.BadParentNodeIdInvalid)
	}
	if !s.isReferenceType(reference) {
		return fmt.Errorf("opcua: add below %v by %v: %w", parent, reference, ua.BadReferenceTypeIdInvalid)
	}
	return nil
}

func (s *Space) isReferenceType(id ua.NodeId) bool {
	n := s.index.find(id)
	if n == nil {
		return false
	}
	b := n.body.Load()
	return b != nil && b.class == ua.NodeClassReferenceType
}

// checkNew says why n cannot be added.
func (s *Space) checkNew(n *Node) ua.StatusCode {
	if n.Id.IsNull() || int(n.Id.Namespace) >= len(*s.namespaces.Load()) || s.mount(n.Id.Namespace) != nil {
		return ua.BadNodeIdRejected
	}
	if have := s.index.find(n.Id); have != nil && have.body.Load() != nil {
		return ua.BadNodeIdExists
	}
	if n.BrowseName.Name == "" || int(n.BrowseName.NamespaceIndex) >= len(*s.namespaces.Load()) {
		return ua.BadBrowseNameInvalid
	}
	if c := n.Class; c == 0 || c&(c-1) != 0 || c > ua.NodeClassView {
		return ua.BadNodeClassInvalid
	}
	for i := range n.References {
		if !s.isReferenceType(n.References[i].Type) {
			return ua.BadReferenceTypeIdInvalid
		}
	}
	return ua.Good
}

// insert adds n, which was checked.
func (s *Space) insert(parent, reference ua.NodeId, n *Node) {
	own := s.obtain(n.Id)
	own.body.Store(bodyOf(n))
	if t := typeDefinition(n, reference); !t.IsNull() {
		s.link(own, s.obtain(stdId(ns0.HasTypeDefinition)), s.obtain(t))
	}
	for i := range n.References {
		s.linkReference(own, &n.References[i])
	}
	if n.Class == ua.NodeClassMethod {
		s.insertArguments(n.Id, "InputArguments", n.Inputs)
		s.insertArguments(n.Id, "OutputArguments", n.Outputs)
	}
	if !parent.IsNull() {
		s.link(s.obtain(parent), s.obtain(reference), own)
	}
}

// typeDefinition is that of n, or the one that its class and the reference to it suggest; null for what has none.
func typeDefinition(n *Node, reference ua.NodeId) ua.NodeId {
	if n.Class != ua.NodeClassObject && n.Class != ua.NodeClassVariable {
		return ua.NodeId{}
	}
	if !n.TypeDefinition.IsNull() {
		return n.TypeDefinition
	}
	for i := range n.References {
		if n.References[i].Type == stdId(ns0.HasTypeDefinition) && !n.References[i].Inverse {
			return ua.NodeId{}
		}
	}
	switch {
	case n.Class == ua.NodeClassObject:
		return stdId(ns0.BaseObjectType)
	case reference == stdId(ns0.HasProperty):
		return stdId(ns0.PropertyType)
	}
	return stdId(ns0.BaseDataVariableType)
}

// insertArguments adds the property that describes the arguments of a method, if it has any.
func (s *Space) insertArguments(method ua.NodeId, name string, args []ua.Argument) {
	if len(args) == 0 {
		return
	}
	list := make([]ua.ExtensionObject, len(args))
	for i := range args {
		list[i] = ua.Wrap(&args[i])
	}
	prefix := method.Text
	if method.Type == ua.IdNumeric {
		prefix = strconv.FormatUint(uint64(method.Numeric), 10)
	}
	s.insert(method, stdId(ns0.HasProperty), &Node{
		Id: ua.StringId(method.Namespace, prefix+"."+name), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{Name: name},
		DataType: stdId(ns0.Argument), ValueRank: 1, ArrayDimensions: []uint32{uint32(len(args))},
		Value: ua.DataValue{Value: ua.ExtensionObjectArray(list)},
	})
}

// obtain returns the node of id, one without a body when there was none.
func (s *Space) obtain(id ua.NodeId) *node {
	if n := s.index.find(id); n != nil {
		return n
	}
	n := &node{id: id}
	s.index.put(n)
	return n
}

// oneWay says whether references of this kind are kept at their source alone: at their target, a type or a rule, there would be a list of everything in
// the Space, which nobody browses.
func oneWay(kind *node) bool {
	return kind.is(ns0.HasTypeDefinition) || kind.is(ns0.HasModellingRule)
}

// link makes from refer to to. It answers false when it does already.
func (s *Space) link(from, kind, to *node) bool {
	forward, back := nodeReference{kind, to, false}, nodeReference{kind, from, true}
	if oneWay(kind) {
		if from.holds(forward) {
			return false
		}
		from.add(forward)
		return true
	}
	shorter, half := from, forward
	if len(to.references()) < len(from.references()) {
		shorter, half = to, back
	}
	if shorter.holds(half) {
		return false
	}
	from.add(forward)
	to.add(back)
	return true
}

func (s *Space) linkReference(own *node, r *Reference) {
	kind, other := s.obtain(r.Type), s.obtain(r.Target.NodeId)
	if r.Inverse {
		s.link(other, kind, own)
	} else {
		s.link(own, kind, other)
	}
}

// AddReference makes from refer to to. Either may be a node of a NodeStore, whose own References need not have it then. It is an error when kind is no type of references, or when
// the reference is there.
func (s *Space) AddReference(from, kind, to ua.NodeId) error {
	s.edit.Lock()
	defer s.edit.Unlock()
	if !s.isReferenceType(kind) {
		return fmt.Errorf("opcua: reference %v from %v to %v: %w", kind, from, to, ua.BadReferenceTypeIdInvalid)
	}
	if !s.link(s.obtain(from), s.obtain(kind), s.obtain(to)) {
		return fmt.Errorf("opcua: reference %v from %v to %v: %w", kind, from, to, ua.BadDuplicateReferenceNotAllowed)
	}
	return nil
}

// RemoveReference undoes AddReference, and answers whether there was such a reference.
func (s *Space) RemoveReference(from, kind, to ua.NodeId) bool {
	s.edit.Lock()
	defer s.edit.Unlock()
	f, k, t := s.index.find(from), s.index.find(kind), s.index.find(to)
	if f == nil || k == nil || t == nil {
		return false
	}
	forward, back := nodeReference{k, t, false}, nodeReference{k, f, true}
	dropped := f.drop(func(r nodeReference) bool { return r == forward })
	t.drop(func(r nodeReference) bool { return r == back })
	s.forget(f)
	s.forget(t)
	return dropped != nil
}

// forget takes a node without a body and without references out of the index.
func (s *Space) forget(n *node) {
	if n.body.Load() == nil && len(n.references()) == 0 {
		s.index.remove(&n.id)
	}
}

// Remove removes nodes with all their references, and with everything that they alone are made of: properties and components, and theirs. It returns
// how many nodes that were. Who watches their values is told BadNodeIdUnknown.
func (s *Space) Remove(ids ...ua.NodeId) int {
	list := s.remove(ids)
	for _, n := range list {
		if v := n.was.Load(); v != nil && v.held != nil {
			s.watching.end(v.held)
		}
	}
	return len(list)
}

// remove removes nodes and returns them.
func (s *Space) remove(ids []ua.NodeId) []*node {
	s.edit.Lock()
	defer s.edit.Unlock()
	gone := map[*node]bool{}
	var list []*node
	for _, id := range ids {
		if n := s.index.find(id); n != nil && n.body.Load() != nil && !gone[n] {
			gone[n] = true
			list = append(list, n)
		}
	}
	for i := 0; i < len(list); i++ {
		list = s.parts(list[i], gone, list)
	}
	for _, n := range list {
		n.was.Store(n.body.Swap(nil).variable)
		s.index.remove(&n.id)
	}
	s.version.Add(1)
	s.unlink(list, gone)
	return list
}

// parts appends those parts of n to list that are of nothing which stays.
func (s *Space) parts(n *node, gone map[*node]bool, list []*node) []*node {
	aggregates := s.index.find(stdId(ns0.Aggregates))
	for _, r := range n.references() {
		if r.inverse || gone[r.to] || r.to.body.Load() == nil || !r.kind.isA(aggregates) {
			continue
		}
		if s.belongsTo(r.to, gone) {
			gone[r.to] = true
			list = append(list, r.to)
		}
	}
	return list
}

// belongsTo says whether all parents of n are gone.
func (s *Space) belongsTo(n *node, gone map[*node]bool) bool {
	hierarchical := s.index.find(stdId(ns0.HierarchicalReferences))
	for _, r := range n.references() {
		if r.inverse && !gone[r.to] && r.kind.isA(hierarchical) {
			return false
		}
	}
	return true
}

// unlink drops the references between list, which is the nodes of gone, and all others.
func (s *Space) unlink(list []*node, gone map[*node]bool) {
	peers := map[*node]bool{}
	for _, n := range list {
		for _, r := range n.references() {
			if !gone[r.to] {
				peers[r.to] = true
			}
		}
		n.refs.Store(nil)
	}
	for p := range peers {
		p.drop(func(r nodeReference) bool { return gone[r.to] })
		s.forget(p)
	}
}
