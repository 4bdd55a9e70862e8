package opcua

import (
	"fmt"
	"io"

	"millrace/opcua/nodeset"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// Import adds the nodes of a set, of a companion specification for instance, under the indexes that their namespaces have here. Models that it builds on must be
// there. All of it is added, or nothing. Values come from the set; methods are not executable until SetMethod.
func (s *Space) Import(set *nodeset.Set) error {
	s.edit.Lock()
	defer s.edit.Unlock()
	for _, m := range set.Models {
		for _, r := range m.Required {
			if _, ok := s.Namespace(r.Uri); !ok {
				return fmt.Errorf("opcua: import of %s: it needs %s, which is not there: %w", m.Uri, r.Uri, ua.BadNotFound)
			}
		}
	}
	known := len(*s.namespaces.Load())
	x := importer{space: s, set: set, spaces: make([]uint16, len(set.Namespaces))}
	for i, uri := range set.Namespaces {
		ns, err := s.addNamespace(uri)
		if err != nil {
			return err
		}
		x.spaces[i] = ns
	}
	if err := x.check(); err != nil {
		s.dropNamespaces(known)
		return err
	}
	x.insert()
	return nil
}

// ImportXML is Import of a NodeSet2 file [OPC 10000-6 F], as companion specifications come in. Those that it builds on must have come the same way before.
func (s *Space) ImportXML(r io.Reader) error {
	base, err := nodeset.NS0()
	if err != nil {
		return fmt.Errorf("opcua: nodes of namespace 0: %w", err)
	}
	s.edit.Lock()
	bases := append([]*nodeset.Set{base}, s.companions...)
	s.edit.Unlock()
	set, err := nodeset.ReadXML(r, nodeset.Options{Namespaces: s.Namespaces(), Base: bases})
	if err != nil {
		return fmt.Errorf("opcua: import: %w", err)
	}
	if err := s.Import(set); err != nil {
		return err
	}
	s.edit.Lock()
	defer s.edit.Unlock()
	s.companions = append(s.companions, set)
	return nil
}

// dropNamespaces undoes what was added behind the first n namespaces: nobody has seen a node of theirs.
func (s *Space) dropNamespaces(n int) {
	list, mounts := (*s.namespaces.Load())[:n:n], (*s.mounts.Load())[:n:n]
	s.namespaces.Store(&list)
	s.mounts.Store(&mounts)
	s.publishNamespaces()
}

// importer brings the nodes of a set into a Space.
type importer struct {
	space  *Space
	set    *nodeset.Set
	spaces []uint16 // index here of each namespace of the set
}

// check says what keeps a node from being added.
func (x *importer) check() error {
	for i := range x.set.Nodes {
		n := &x.set.Nodes[i]
		id := x.id(n.Id)
		have := x.space.index.find(id)
		status := ua.Good
		switch {
		case id.IsNull() || x.space.mount(id.Namespace) != nil:
			status = ua.BadNodeIdRejected
		case have != nil && have.body.Load() != nil:
			status = ua.BadNodeIdExists
		case n.BrowseName.Name == "":
			status = ua.BadBrowseNameInvalid
		}
		if status != ua.Good {
			return fmt.Errorf("opcua: import of %v: %w", id, status)
		}
	}
	return nil
}

func (x *importer) insert() {
	for i := range x.set.Nodes {
		n := &x.set.Nodes[i]
		own := x.space.obtain(x.id(n.Id))
		own.body.Store(x.body(n))
		for _, r := range n.References {
			kind, other := x.space.obtain(x.id(r.Type)), x.space.obtain(x.id(r.Target))
			if r.Forward {
				x.space.link(own, kind, other)
			} else {
				x.space.link(other, kind, own)
			}
		}
	}
}

// body turns a node of the set into one of ours. What namespace 0 has for servers with more than this one can do is not claimed: events, and variables that clients
// write.
func (x *importer) body(n *nodeset.Node) *nodeBody {
	own := Node{
		Class: n.Class, BrowseName: x.name(n.BrowseName), DisplayName: n.DisplayName, Description: n.Description, InverseName: n.InverseName,
		EventNotifier: n.EventNotifier, IsAbstract: n.IsAbstract, Symmetric: n.Symmetric, ContainsNoLoops: n.ContainsNoLoops, Historizing: n.Historizing,
		DataType: x.id(n.DataType), ValueRank: n.ValueRank, ArrayDimensions: n.ArrayDimensions, AccessLevel: AccessLevel(n.AccessLevel),
		MinimumSamplingInterval: n.MinimumSamplingInterval, Definition: x.definition(n),
	}
	if n.Id.Namespace == 0 {
		own.EventNotifier = 0
		own.AccessLevel, own.Historizing = AccessCurrentRead, false
		own.WriteRoles = RoleRead | RoleWrite // of methods: those that are served change nothing but the caller's own
	}
	if n.Class == ua.NodeClassVariable || n.Class == ua.NodeClassVariableType {
		own.Value.Value = x.value(n.Value)
	}
	return bodyOf(&own)
}

// definition wraps what a set says of a data type.
func (x *importer) definition(n *nodeset.Node) ua.ExtensionObject {
	switch {
	case n.Structure != nil:
		d := *n.Structure
		d.DefaultEncodingId, d.BaseDataType = x.id(d.DefaultEncodingId), x.id(d.BaseDataType)
		d.Fields = append([]ua.StructureField(nil), d.Fields...)
		for i := range d.Fields {
			d.Fields[i].DataType = x.id(d.Fields[i].DataType)
		}
		return ua.Wrap(&d)
	case n.Enum != nil:
		return ua.Wrap(n.Enum)
	}
	return ua.ExtensionObject{}
}

// space returns the index here of a namespace of the set. One that the set does not name is none of ours either.
func (x *importer) namespace(ns uint16) uint16 {
	if int(ns) < len(x.spaces) {
		return x.spaces[ns]
	}
	return aliasNamespace
}

func (x *importer) id(id ua.NodeId) ua.NodeId {
	id.Namespace = x.namespace(id.Namespace)
	return id
}

func (x *importer) name(q ua.QualifiedName) ua.QualifiedName {
	q.NamespaceIndex = x.namespace(q.NamespaceIndex)
	return q
}

// value maps the namespaces in a value: those of ids and names, and of the types that arguments of methods have. Structures of other kinds are taken as they
// are.
func (x *importer) value(v ua.Variant) ua.Variant {
	if v.IsArray() {
		return x.values(v)
	}
	if id, ok := v.NodeId(); ok {
		return ua.NodeIdValue(x.id(id))
	}
	if q, ok := v.QualifiedName(); ok {
		return ua.QualifiedNameValue(x.name(q))
	}
	if o, ok := v.ExtensionObject(); ok {
		return ua.ExtensionObjectValue(x.object(o))
	}
	return v
}

// values is value of an array.
func (x *importer) values(v ua.Variant) ua.Variant {
	if list, ok := ua.ArrayOf[ua.NodeId](v); ok {
		return ua.NodeIdArray(mapped(list, x.id))
	}
	if list, ok := ua.ArrayOf[ua.QualifiedName](v); ok {
		return ua.QualifiedNameArray(mapped(list, x.name))
	}
	if list, ok := ua.ArrayOf[ua.ExtensionObject](v); ok {
		return ua.ExtensionObjectArray(mapped(list, x.object))
	}
	return v
}

func mapped[T any](list []T, f func(T) T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

func (x *importer) object(o ua.ExtensionObject) ua.ExtensionObject {
	var a ua.Argument
	if o.Decode(&a, ua.Limits{}) == nil {
		a.DataType = x.id(a.DataType)
		return ua.Wrap(&a)
	}
	o.TypeId = x.id(o.TypeId)
	return o
}

// leaveOut removes from namespace 0 what the Server object may have, and what nobody here would answer.
func (s *Space) leaveOut() {
	s.Remove(
		stdId(ns0.ServerConfiguration), stdId(ns0.PublishSubscribe), stdId(ns0.Server_ServerCapabilities_RoleSet),
		stdId(ns0.Server_SetSubscriptionDurable), stdId(ns0.Server_RequestServerStateChange),
	)
}
