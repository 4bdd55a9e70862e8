package opcua

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"millrace/opcua/nodeset"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// Space is the nodes that a Server shows [OPC 10000-3]: the standard's (namespace 0), those of imported node sets, those that the host adds, and those that
// NodeStores of the host have. It can be changed while clients browse and read.
//
//	id ──► index ──► node ──► body: attributes, and where the value is (held here, a function, a ValueStore)
//	  │                └────► references, both halves of each
//	  └──► mount of the namespace ──► NodeStore.Find
//
// All methods may be called from any goroutine.
type Space struct {
	limits OperationLimits
	index  nodeIndex
	mounts atomic.Pointer[[]*spaceMount] // by namespace, nil where there is none

	edit       sync.Mutex // held by who changes nodes, references or namespaces; guards companions
	namespaces atomic.Pointer[[]string]
	companions []*nodeset.Set // read from files, whose data types the next file may use

	version  atomic.Uint64                // of the bodies of nodes: another one when one that was there has changed or gone
	sessions atomic.Pointer[sessionNodes] // of the server; nil without one
	watching watchers
	scratch  sync.Pool // *spaceScratch
}

// SpaceConfig is what a Space is made with. The zero value is a good default.
type SpaceConfig struct {
	ApplicationURI string // of namespace 1; default urn:millrace
	Limits         OperationLimits
}

// OperationLimits is how much a client may ask for in one request [OPC 10000-5 6.3.11]. They can be read below ServerCapabilities. Zero fields are
// the defaults.
type OperationLimits struct {
	Read, Write, Browse, RegisterNodes, TranslateBrowsePaths, MonitoredItems int // nodes or items a request; default 10,000
	Call, HistoryRead                                                        int // default 1,000

	References         int // of one node in one answer to Browse; default 10,000
	ContinuationPoints int // a session, of Browse and of HistoryRead each; default 100
	PathElements       int // of one browse path; default 100
	PathWork           int // references looked at for one request with browse paths; default 1,000,000
	BrowseWork         int // references looked at for one Browse or BrowseNext; the rest waits for a BrowseNext; default 10,000,000
	RegisteredNodes    int // a session; more are served under their own ids; default 100,000
	HistoryValues      int // of one node in one answer; default 10,000
}

func (l OperationLimits) withDefaults() OperationLimits {
	for _, f := range []*int{&l.Read, &l.Write, &l.Browse, &l.RegisterNodes, &l.TranslateBrowsePaths, &l.MonitoredItems, &l.References, &l.HistoryValues} {
		orDefault(f, 10_000)
	}
	for _, f := range []*int{&l.Call, &l.HistoryRead} {
		orDefault(f, 1000)
	}
	orDefault(&l.ContinuationPoints, 100)
	orDefault(&l.PathElements, 100)
	orDefault(&l.PathWork, 1_000_000)
	orDefault(&l.BrowseWork, 10_000_000)
	orDefault(&l.RegisteredNodes, 100_000)
	return l
}

func orDefault(f *int, v int) {
	if *f <= 0 {
		*f = v
	}
}

// maxNamespaces leaves out the last index, under which registered nodes have their short ids.
const maxNamespaces = aliasNamespace

// spaceMount is a namespace that a NodeStore of the host has.
type spaceMount struct {
	namespace uint16
	store     NodeStore
	finder    TextFinder // nil when store is none
}

// NewSpace returns a Space with the nodes of namespace 0.
func NewSpace(cfg SpaceConfig) (*Space, error) {
	if cfg.ApplicationURI == "" {
		cfg.ApplicationURI = "urn:millrace"
	}
	s := newSpace(cfg)
	set, err := nodeset.NS0()
	if err != nil {
		return nil, fmt.Errorf("opcua: nodes of namespace 0: %w", err)
	}
	if err := s.Import(set); err != nil {
		return nil, err
	}
	s.leaveOut()
	s.fillServer()
	s.publishNamespaces()
	s.publishLimits()
	if err := s.serveMethods(); err != nil {
		return nil, err
	}
	return s, nil
}

// newSpace returns a Space without nodes.
func newSpace(cfg SpaceConfig) *Space {
	s := &Space{limits: cfg.Limits.withDefaults()}
	s.index.init()
	s.watching.init()
	s.scratch.New = func() any { return new(spaceScratch) }
	s.namespaces.Store(&[]string{"http://opcfoundation.org/UA/", cfg.ApplicationURI})
	s.mounts.Store(&[]*spaceMount{nil, nil})
	s.version.Store(1) // 0 is none
	return s
}

// Namespaces returns the URIs of all namespaces in the order of their indexes.
func (s *Space) Namespaces() []string { return append([]string(nil), *s.namespaces.Load()...) }

// Namespace returns the index of a namespace.
func (s *Space) Namespace(uri string) (uint16, bool) {
	for i, have := range *s.namespaces.Load() {
		if have == uri {
			return uint16(i), true
		}
	}
	return 0, false
}

// AddNamespace returns the index of a namespace, a new one when it is not there yet.
func (s *Space) AddNamespace(uri string) (uint16, error) {
	s.edit.Lock()
	defer s.edit.Unlock()
	return s.addNamespace(uri)
}

func (s *Space) addNamespace(uri string) (uint16, error) {
	if i, ok := s.Namespace(uri); ok {
		return i, nil
	}
	have := *s.namespaces.Load()
	if uri == "" || len(have) >= maxNamespaces {
		return 0, fmt.Errorf("opcua: namespace %q: %w", uri, ua.BadNotSupported)
	}
	list := append(have[:len(have):len(have)], uri)
	mounts := append(append([]*spaceMount(nil), *s.mounts.Load()...), nil)
	s.mounts.Store(&mounts)
	s.namespaces.Store(&list)
	s.publishNamespaces()
	return uint16(len(have)), nil
}

// Mount has store serve the nodes of a namespace, which must be new or without a NodeStore yet. Where its nodes hang in the tree is said by AddReference, from
// ObjectsFolder for instance.
func (s *Space) Mount(uri string, store NodeStore) (uint16, error) {
	s.edit.Lock()
	defer s.edit.Unlock()
	ns, err := s.addNamespace(uri)
	if err != nil {
		return 0, err
	}
	mounts := append([]*spaceMount(nil), *s.mounts.Load()...)
	if ns == 0 || mounts[ns] != nil {
		return 0, fmt.Errorf("opcua: namespace %q has its nodes elsewhere: %w", uri, ua.BadInvalidState)
	}
	finder, _ := store.(TextFinder)
	mounts[ns] = &spaceMount{ns, store, finder}
	s.mounts.Store(&mounts)
	return ns, nil
}

// publishNamespaces puts the URIs where clients read them.
func (s *Space) publishNamespaces() {
	s.hold(ns0.Server_NamespaceArray, ua.StringArray(s.Namespaces()))
}

func (s *Space) publishLimits() {
	l := &s.limits
	for _, f := range []struct {
		id uint32
		n  int
	}{
		{ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead, l.Read}, {ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite, l.Write}, {ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerMethodCall, l.Call}, {ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse, l.Browse},
		{ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerRegisterNodes, l.RegisterNodes}, {ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds, l.TranslateBrowsePaths}, {ns0.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall, l.MonitoredItems},
		{ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData, l.HistoryRead},
	} {
		s.hold(f.id, ua.UInt32(uint32(f.n)))
	}
	s.hold(ns0.Server_ServerCapabilities_MaxBrowseContinuationPoints, ua.UInt16(uint16(min(l.ContinuationPoints, 1<<16-1))))
	s.hold(ns0.Server_ServerCapabilities_MaxHistoryContinuationPoints, ua.UInt16(uint16(min(l.ContinuationPoints, 1<<16-1))))
}

// hold sets the value of a variable of namespace 0, if it is there.
func (s *Space) hold(id uint32, v ua.Variant) {
	if n := s.index.find(stdId(id)); n != nil {
		s.set(n, ua.DataValue{Value: v})
	}
}

// mount returns the NodeStore of a namespace, or nil.
func (s *Space) mount(ns uint16) *spaceMount {
	if ns == 0 {
		return nil
	}
	if m := *s.mounts.Load(); int(ns) < len(m) {
		return m[ns]
	}
	return nil
}

// resolve looks a node up: a registered one of the session whose aliases these are, one of a NodeStore, one of the Space, or of a session that may be seen. aliases is nil for the
// server itself, which sees all.
func (s *Space) resolve(aliases *nodeAliases, id ua.NodeId) (nodeRef, bool) {
	if id.Namespace == aliasNamespace {
		return aliases.find(&s.index, id)
	}
	if m := s.mount(id.Namespace); m != nil {
		if key, ok := m.store.Find(id); ok {
			return nodeRef{mount: m, key: key}, true
		}
	}
	if n := s.index.find(id); n != nil && n.body.Load() != nil {
		return nodeRef{node: n}, true
	}
	return s.ofSessions(aliases, id)
}

// ofSessions looks a node up among those of the server's sessions.
func (s *Space) ofSessions(aliases *nodeAliases, id ua.NodeId) (nodeRef, bool) {
	if n := s.sessions.Load(); n != nil && id.Namespace == sessionNamespace {
		return n.resolve(aliases, id)
	}
	return nodeRef{}, false
}

// Value reads the value of a variable as a client would, without the check of access. False: there is no such node.
func (s *Space) Value(ctx context.Context, id ua.NodeId, v *ua.DataValue) bool {
	ref, ok := s.resolve(nil, id)
	if !ok {
		return false
	}
	*v = ua.DataValue{}
	s.readAttribute(ctx, everyRole, ref, ua.AttributeValue, v)
	return true
}

// isSubtype says whether t is of or one of its subtypes. Types of NodeStores are not followed.
func (s *Space) isSubtype(t, of ua.NodeId) bool {
	if t == of {
		return true
	}
	n, base := s.index.find(t), s.index.find(of)
	return n != nil && base != nil && n.isA(base)
}
