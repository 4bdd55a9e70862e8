package opcua

import (
	"runtime"
	"testing"
	"time"

	"millrace/opcua/nodeset"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// A server starts with all of namespace 0 in less than 15 MB. How long that takes is logged, not asserted.
func TestNamespace0IsSmall(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	s, err := NewSpace(SpaceConfig{})
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 10
	t.Logf("%d nodes in %v, %d kB allocated", len(s.index.numeric), took, allocated)
	if !underRace && allocated > 15_000 {
		t.Errorf("%d kB allocated", allocated)
	}
}

// wholeNS0 is namespace 0 with nothing left out.
func wholeNS0(t testing.TB) (*Space, *nodeset.Set) {
	t.Helper()
	set, err := nodeset.NS0()
	if err != nil {
		t.Fatal(err)
	}
	s := newSpace(SpaceConfig{})
	if err := s.Import(set); err != nil {
		t.Fatal(err)
	}
	return s, set
}

// reach browses from a node over all references of a direction, page by page, and returns what it found.
func reach(k *desk, from ua.NodeId, kind uint32, dir ua.BrowseDirection) map[ua.NodeId]bool {
	k.t.Helper()
	seen := map[ua.NodeId]bool{from: true}
	for open := []ua.NodeId{from}; len(open) > 0; {
		var list []ua.BrowseDescription
		for len(open) > 0 && len(list) < 50 {
			list = append(list, ua.BrowseDescription{NodeId: open[0], BrowseDirection: dir, ReferenceTypeId: stdId(kind), IncludeSubtypes: true})
			open = open[1:]
		}
		r, status := ask[ua.BrowseResponse](k, k.server.serveBrowse, &ua.BrowseRequest{RequestedMaxReferencesPerNode: 40, NodesToBrowse: list})
		if status != ua.Good {
			k.t.Fatal(status)
		}
		for _, x := range r.Results {
			refs, _ := all(k, x)
			for i := range refs {
				if id := refs[i].NodeId.NodeId; !seen[id] {
					seen[id] = true
					open = append(open, id)
				}
			}
		}
	}
	return seen
}

// parents returns for each node of a set those that lead to it by references of a kind or its subtypes, as the set itself has them, from either end.
func parents(set *nodeset.Set, kind ua.NodeId) map[ua.NodeId][]ua.NodeId {
	kinds := map[ua.NodeId]bool{kind: true}
	edges := func(f func(from, kind, to ua.NodeId)) {
		for i := range set.Nodes {
			n := &set.Nodes[i]
			for _, r := range n.References {
				if r.Forward {
					f(n.Id, r.Type, r.Target)
				} else {
					f(r.Target, r.Type, n.Id)
				}
			}
		}
	}
	for range 10 { // levels of types of references
		edges(func(from, kind, to ua.NodeId) {
			if kind == stdId(ns0.HasSubtype) && kinds[from] {
				kinds[to] = true
			}
		})
	}
	up := map[ua.NodeId][]ua.NodeId{}
	edges(func(from, kind, to ua.NodeId) {
		if kinds[kind] {
			up[to] = append(up[to], from)
		}
	})
	return up
}

// Every node of namespace 0 from which a path leads up to Root is found by Browse on the way down, and no other.
func TestBrowseReachesAllOfNamespace0(t *testing.T) {
	s, set := wholeNS0(t)
	k := deskFor(t, s)
	for _, kind := range []uint32{ns0.HierarchicalReferences, ns0.References} {
		down := reach(k, stdId(ns0.RootFolder), kind, ua.BrowseDirectionForward)
		up := parents(set, stdId(kind))
		var leads func(id ua.NodeId, seen map[ua.NodeId]bool) bool
		leads = func(id ua.NodeId, seen map[ua.NodeId]bool) bool {
			if id == stdId(ns0.RootFolder) {
				return true
			}
			seen[id] = true
			for _, p := range up[id] {
				if !seen[p] && leads(p, seen) {
					return true
				}
			}
			return false
		}
		for i := range set.Nodes {
			id := set.Nodes[i].Id
			if want := leads(id, map[ua.NodeId]bool{}); down[id] != want {
				t.Errorf("%v %s by kind %d: found %v, want %v", id, set.Nodes[i].BrowseName, kind, down[id], want)
			}
		}
		t.Logf("kind %d: %d of %d nodes", kind, len(down), len(set.Nodes))
	}
}

func TestTranslateInNamespace0(t *testing.T) {
	s, _ := wholeNS0(t)
	k := deskFor(t, s)
	root, server := stdId(ns0.RootFolder), stdId(ns0.Server)
	for _, c := range []struct {
		from ua.NodeId
		path []string
		want uint32
	}{
		{root, []string{"Objects", "Server", "ServerStatus", "CurrentTime"}, ns0.Server_ServerStatus_CurrentTime},
		{server, []string{"ServerCapabilities", "OperationLimits", "MaxNodesPerRead"}, ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead},
		{server, []string{"GetMonitoredItems", "InputArguments"}, ns0.Server_GetMonitoredItems_InputArguments},
		{root, []string{"Types", "DataTypes", "BaseDataType", "Number", "Double"}, 11},
		{root, []string{"Types", "ReferenceTypes", "References", "HierarchicalReferences", "Organizes"}, ns0.Organizes},
		{stdId(ns0.BaseDataType), []string{"Enumeration", "ServerState"}, ns0.ServerState},
	} {
		var path []ua.QualifiedName
		for _, n := range c.path {
			path = append(path, named(0, n))
		}
		r := translate(k, pathOf(c.from, path...))
		if r.StatusCode != ua.Good || len(r.Targets) != 1 || r.Targets[0].TargetId.NodeId != stdId(c.want) {
			t.Errorf("%v: %v %v, want i=%d", c.path, r.StatusCode, r.Targets, c.want)
		}
	}
}

// No variable of the Server object is null, but for structures that nobody has made: those are Server's, which sets them.
func TestServerObjectHasValues(t *testing.T) {
	s, err := NewSpace(SpaceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	k := deskFor(t, s)
	n := 0
	for id := range reach(k, stdId(ns0.Server), ns0.Aggregates, ua.BrowseDirectionForward) {
		ref, _ := s.resolve(nil, id)
		v := ref.variable()
		if v == nil {
			continue
		}
		n++
		got := readItemOf(k, id, ua.AttributeValue, "", ua.QualifiedName{})
		kind, abstract := s.builtIn(v.dataType)
		if got.Status != ua.Good || got.Value.IsNull() && kind != ua.TypeExtensionObject || !got.Value.IsNull() && !abstract && !rankFits(v.rank, &got.Value) {
			t.Errorf("%v, type %v, rank %d: %v %v", id, kind, v.rank, got.Value, got.Status)
		}
	}
	if n < 100 {
		t.Errorf("only %d variables", n)
	}
	for id, want := range map[uint32]ua.Variant{
		ns0.Server_ServerRedundancy_RedundancySupport:                           ua.Int32(0),
		ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerNodeManagement: ua.UInt32(0),
		ns0.Server_ServerCapabilities_SoftwareCertificates:                      ua.ExtensionObjectArray([]ua.ExtensionObject{}),
	} {
		if got := readItemOf(k, stdId(id), ua.AttributeValue, "", ua.QualifiedName{}); !got.Value.Equal(want) {
			t.Errorf("i=%d: %v, want %v", id, got.Value, want)
		}
	}
}
