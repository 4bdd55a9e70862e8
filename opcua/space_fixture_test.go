package opcua

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// bareSpace is a Space with the part of namespace 0 that everything stands on, and namespace 1.
func bareSpace(t testing.TB) *Space {
	t.Helper()
	s := newSpace(SpaceConfig{ApplicationURI: "urn:test"})
	put := func(class ua.NodeClass, id, parent, kind uint32, name string) {
		n := Node{Id: stdId(id), Class: class, BrowseName: ua.QualifiedName{Name: name}, InverseName: ua.LocalizedText{Text: "inverse of " + name}}
		if class == ua.NodeClassObject {
			n.TypeDefinition = stdId(ns0.FolderType)
		}
		p := ua.NodeId{}
		if parent != 0 {
			p = stdId(parent)
		}
		s.insert(p, stdId(kind), &n)
	}
	for _, r := range []struct {
		id, parent uint32
		name       string
	}{
		{ns0.References, 0, "References"}, {32, ns0.References, "NonHierarchicalReferences"}, {ns0.HierarchicalReferences, ns0.References, "HierarchicalReferences"},
		{34, ns0.HierarchicalReferences, "HasChild"}, {ns0.Organizes, ns0.HierarchicalReferences, "Organizes"}, {44, 34, "Aggregates"}, {ns0.HasSubtype, 34, "HasSubtype"},
		{ns0.HasProperty, 44, "HasProperty"}, {ns0.HasComponent, 44, "HasComponent"}, {49, ns0.HasComponent, "HasOrderedComponent"},
		{ns0.HasTypeDefinition, 32, "HasTypeDefinition"}, {ns0.HasEncoding, 32, "HasEncoding"},
	} {
		put(ua.NodeClassReferenceType, r.id, r.parent, ns0.HasSubtype, r.name)
	}
	for _, r := range []struct {
		id, parent uint32
		name       string
	}{
		{ns0.BaseDataType, 0, "BaseDataType"}, {1, ns0.BaseDataType, "Boolean"}, {12, ns0.BaseDataType, "String"}, {15, ns0.BaseDataType, "ByteString"}, {30, 15, "Image"},
		{ns0.Number, ns0.BaseDataType, "Number"}, {ns0.Integer, ns0.Number, "Integer"}, {ns0.UInteger, ns0.Number, "UInteger"}, {3, ns0.UInteger, "Byte"}, {6, ns0.Integer, "Int32"}, {7, ns0.UInteger, "UInt32"},
		{11, ns0.Number, "Double"}, {ns0.Structure, ns0.BaseDataType, "Structure"}, {ns0.Enumeration, ns0.BaseDataType, "Enumeration"}, {884, ns0.Structure, "Range"}, {ns0.Argument, ns0.Structure, "Argument"},
	} {
		put(ua.NodeClassDataType, r.id, r.parent, ns0.HasSubtype, r.name)
	}
	put(ua.NodeClassObjectType, ns0.BaseObjectType, 0, 0, "BaseObjectType")
	put(ua.NodeClassObjectType, ns0.FolderType, ns0.BaseObjectType, ns0.HasSubtype, "FolderType")
	put(ua.NodeClassVariableType, ns0.BaseDataVariableType, 0, 0, "BaseDataVariableType")
	put(ua.NodeClassVariableType, ns0.PropertyType, 0, 0, "PropertyType")
	put(ua.NodeClassObject, ns0.RootFolder, 0, 0, "Root")
	put(ua.NodeClassObject, ns0.ObjectsFolder, ns0.RootFolder, ns0.Organizes, "Objects")
	put(ua.NodeClassObject, ns0.Server, ns0.ObjectsFolder, ns0.Organizes, "Server")
	put(ua.NodeClassObject, 886, 884, ns0.HasEncoding, "Default Binary")
	return s
}

// desk is a server's services on nodes, and a session that uses them.
type desk struct {
	t      testing.TB
	server *Server
	call   *call
}

func deskFor(t testing.TB, s *Space) *desk {
	x := &session{caller: &Caller{Roles: RoleRead | RoleWrite}}
	return &desk{t, &Server{space: s}, &call{session: x, received: time.Unix(1e9, 0)}}
}

type service func(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode)

// request returns a decoder that stands behind the header of m.
func request(t testing.TB, m ua.Message) *ua.Decoder {
	t.Helper()
	d := ua.NewDecoder(m.AppendTo(nil), ua.Limits{})
	d.Alias = true
	var h ua.RequestHeader
	if h.DecodeFrom(&d); d.Bad() {
		t.Fatal(d.Err())
	}
	return &d
}

// ask has a service answer m, and decodes the response.
func ask[R any, P interface {
	*R
	ua.Message
}](k *desk, f service, m ua.Message) (R, ua.StatusCode) {
	k.t.Helper()
	var r R
	var h ua.ResponseHeader
	out, status := f(k.t.Context(), k.call, request(k.t, m), h.AppendTo(nil))
	if status != ua.Good {
		return r, status
	}
	d := ua.NewDecoder(out, ua.Limits{})
	P(&r).DecodeFrom(&d)
	if err := d.Done(); err != nil {
		k.t.Fatalf("response to %T: %v", m, err)
	}
	return r, ua.Good
}

// memory is a ValueStore that is also a NodeStore: text ids v0 ... vN below a folder, Double, and a method.
type memory struct {
	mu       sync.Mutex
	values   []ua.DataValue
	batches  int
	watchers map[uint64][]Watcher
	stamps   bool
}

func newMemory(n int) *memory {
	m := &memory{values: make([]ua.DataValue, n), watchers: map[uint64][]Watcher{}}
	for i := range m.values {
		m.values[i] = ua.DataValue{Value: ua.Double(float64(i)), SourceTimestamp: ua.DateTime(1e17 + int64(i))}
	}
	return m
}

func (m *memory) ReadValues(_ context.Context, keys []uint64, values []ua.DataValue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches++
	for i, k := range keys {
		if k < uint64(len(m.values)) {
			values[i] = m.values[k]
		} else {
			values[i].Status = ua.BadNodeIdUnknown
		}
	}
}

func (m *memory) WriteValues(_ context.Context, _ *Caller, writes []ValueWrite) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches++
	for i := range writes {
		m.values[writes[i].Key] = writes[i].Value
	}
}

func (m *memory) WritesStamps() (status, timestamps bool) { return m.stamps, m.stamps }

func (m *memory) FindText(text []byte) (uint64, bool) { return m.find(string(text)) }

func (m *memory) Find(id ua.NodeId) (uint64, bool) {
	if id.Type != ua.IdString {
		return 0, false
	}
	return m.find(id.Text)
}

// keys of nodes that are no variables
const (
	memoryFolder = 1 << 40
	memoryMethod = 1<<40 + 1
)

func (m *memory) find(text string) (uint64, bool) {
	switch text {
	case "folder":
		return memoryFolder, true
	case "method":
		return memoryMethod, true
	}
	if len(text) < 2 || text[0] != 'v' {
		return 0, false
	}
	n := uint64(0)
	for _, c := range []byte(text[1:]) {
		n = n*10 + uint64(c-'0')
	}
	return n, n < uint64(len(m.values))
}

const memoryNamespace = 2

func (m *memory) Node(key uint64, n *Node) bool {
	switch {
	case key == memoryFolder:
		*n = Node{Id: ua.StringId(memoryNamespace, "folder"), Class: ua.NodeClassObject, BrowseName: ua.QualifiedName{NamespaceIndex: 2, Name: "Memory"}, TypeDefinition: stdId(ns0.FolderType)}
	case key == memoryMethod:
		*n = Node{Id: ua.StringId(memoryNamespace, "method"), Class: ua.NodeClassMethod, BrowseName: ua.QualifiedName{NamespaceIndex: 2, Name: "Method"}}
	case key < uint64(len(m.values)):
		name := fmt.Sprintf("v%d", key)
		*n = Node{Id: ua.StringId(memoryNamespace, name), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{NamespaceIndex: 2, Name: name},
			TypeDefinition: stdId(ns0.BaseDataVariableType), DataType: stdId(11), ValueRank: -1, AccessLevel: AccessCurrentRead | AccessCurrentWrite}
	default:
		return false
	}
	return true
}

func (m *memory) References(key uint64, from int, refs []Reference) []Reference {
	local := func(id ua.NodeId) ua.ExpandedNodeId { return ua.ExpandedNodeId{NodeId: id} }
	var all []Reference
	switch {
	case key == memoryFolder:
		all = append(all, Reference{Type: stdId(ns0.HasTypeDefinition), Target: local(stdId(ns0.FolderType))})
		for i := range m.values {
			all = append(all, Reference{Type: stdId(ns0.HasComponent), Target: local(ua.StringId(memoryNamespace, fmt.Sprintf("v%d", i)))})
		}
		all = append(all, Reference{Type: stdId(ns0.HasComponent), Target: local(ua.StringId(memoryNamespace, "method"))})
		all = append(all, Reference{Type: stdId(ns0.Organizes), Target: ua.ExpandedNodeId{NodeId: ua.NumericId(1, 5), ServerIndex: 1}})
	default:
		all = append(all, Reference{Type: stdId(ns0.HasComponent), Target: local(ua.StringId(memoryNamespace, "folder")), Inverse: true})
	}
	all = all[min(from, len(all)):]
	return append(refs, all[:min(len(all), cap(refs)-len(refs))]...)
}

func (m *memory) Call(_ context.Context, key uint64, c *MethodCall) ua.StatusCode {
	c.Outputs = append(c.Outputs, ua.String(c.Caller.User))
	return ua.Good
}

func (m *memory) Watch(key uint64, w Watcher) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers[key] = append(m.watchers[key], w)
	return true
}

func (m *memory) Unwatch(key uint64, w Watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watchers, key)
}

// mounted returns a bare Space with a memory of n values as namespace 2, its folder below Objects.
func mounted(t testing.TB, n int) (*Space, *memory) {
	t.Helper()
	s, m := bareSpace(t), newMemory(n)
	ns, err := s.Mount("urn:memory", m)
	if err != nil || ns != memoryNamespace {
		t.Fatal(ns, err)
	}
	if err := s.AddReference(stdId(ns0.ObjectsFolder), stdId(ns0.Organizes), ua.StringId(ns, "folder")); err != nil {
		t.Fatal(err)
	}
	return s, m
}
