package opcua

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

func object(name string) Node {
	return Node{Id: ua.StringId(1, name), Class: ua.NodeClassObject, BrowseName: named(1, name)}
}

func TestAddRefuses(t *testing.T) {
	s, _ := mounted(t, 1)
	objects, organizes := stdId(ns0.ObjectsFolder), stdId(ns0.Organizes)
	if err := s.Add(objects, organizes, object("there")); err != nil {
		t.Fatal(err)
	}
	with := func(f func(n *Node)) Node {
		n := object("new")
		f(&n)
		return n
	}
	for name, c := range map[string]struct {
		parent, kind ua.NodeId
		nodes        []Node
		want         ua.StatusCode
	}{
		"exists":             {objects, organizes, []Node{object("there")}, ua.BadNodeIdExists},
		"twice":              {objects, organizes, []Node{object("new"), object("new")}, ua.BadNodeIdExists},
		"no parent":          {ua.StringId(1, "nobody"), organizes, []Node{object("new")}, ua.BadParentNodeIdInvalid},
		"no kind":            {objects, objects, []Node{object("new")}, ua.BadReferenceTypeIdInvalid},
		"no id":              {objects, organizes, []Node{with(func(n *Node) { n.Id = ua.NodeId{} })}, ua.BadNodeIdRejected},
		"no namespace":       {objects, organizes, []Node{with(func(n *Node) { n.Id.Namespace = 9 })}, ua.BadNodeIdRejected},
		"namespace of store": {objects, organizes, []Node{with(func(n *Node) { n.Id.Namespace = memoryNamespace })}, ua.BadNodeIdRejected},
		"no name":            {objects, organizes, []Node{with(func(n *Node) { n.BrowseName.Name = "" })}, ua.BadBrowseNameInvalid},
		"two classes":        {objects, organizes, []Node{with(func(n *Node) { n.Class = 3 })}, ua.BadNodeClassInvalid},
		"no class":           {objects, organizes, []Node{with(func(n *Node) { n.Class = 0 })}, ua.BadNodeClassInvalid},
		"no such reference":  {objects, organizes, []Node{with(func(n *Node) { n.References = []Reference{{Type: objects}} })}, ua.BadReferenceTypeIdInvalid},
		"second of two":      {objects, organizes, []Node{object("new"), with(func(n *Node) { n.Id.Text, n.Class = "other", 0 })}, ua.BadNodeClassInvalid},
	} {
		if err := s.Add(c.parent, c.kind, c.nodes...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, ok := s.resolve(nil, ua.StringId(1, "new")); ok {
			t.Fatalf("%s: something was added", name)
		}
	}
}

func TestReferencesHaveTwoEnds(t *testing.T) {
	s := bareSpace(t)
	objects, organizes := stdId(ns0.ObjectsFolder), stdId(ns0.Organizes)
	later := object("a")
	later.References = []Reference{{Type: organizes, Target: ua.ExpandedNodeId{NodeId: ua.StringId(1, "b")}}, {Type: organizes, Target: ua.ExpandedNodeId{NodeId: objects}, Inverse: true}}
	if err := s.Add(ua.NodeId{}, ua.NodeId{}, later); err != nil {
		t.Fatal(err)
	}
	k := deskFor(t, s)
	if list, _ := all(k, browseOne(k, ua.BrowseDescription{NodeId: ua.StringId(1, "a"), ReferenceTypeId: organizes})); len(list) != 0 {
		t.Errorf("a target that is not there yet is seen: %v", list)
	}
	if err := s.Add(ua.NodeId{}, ua.NodeId{}, object("b")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from ua.NodeId
		dir  ua.BrowseDirection
		want ua.NodeId
	}{
		{ua.StringId(1, "a"), ua.BrowseDirectionForward, ua.StringId(1, "b")}, {ua.StringId(1, "b"), ua.BrowseDirectionInverse, ua.StringId(1, "a")},
		{ua.StringId(1, "a"), ua.BrowseDirectionInverse, objects},
	} {
		r := browseOne(k, ua.BrowseDescription{NodeId: c.from, ReferenceTypeId: organizes, BrowseDirection: c.dir})
		if len(r.References) != 1 || r.References[0].NodeId.NodeId != c.want {
			t.Errorf("from %v: %v, want %v", c.from, r.References, c.want)
		}
	}
	if err := s.AddReference(ua.StringId(1, "a"), organizes, ua.StringId(1, "b")); !errors.Is(err, ua.BadDuplicateReferenceNotAllowed) {
		t.Error(err)
	}
	if !s.RemoveReference(ua.StringId(1, "a"), organizes, ua.StringId(1, "b")) || s.RemoveReference(ua.StringId(1, "a"), organizes, ua.StringId(1, "b")) {
		t.Error("a reference is removed once")
	}
	if r := browseOne(k, ua.BrowseDescription{NodeId: ua.StringId(1, "b"), BrowseDirection: ua.BrowseDirectionInverse}); len(r.References) != 0 {
		t.Error(r.References)
	}
}

// Removing a machine removes its parts, but not what stands for itself or is part of something that stays. Nothing is left behind.
func TestRemove(t *testing.T) {
	s := bareSpace(t)
	add := func(parent ua.NodeId, kind uint32, n Node) {
		t.Helper()
		if err := s.Add(parent, stdId(kind), n); err != nil {
			t.Fatal(err)
		}
	}
	add(stdId(ns0.ObjectsFolder), ns0.Organizes, object("machine"))
	add(stdId(ns0.ObjectsFolder), ns0.Organizes, object("line"))
	add(ua.StringId(1, "machine"), ns0.HasComponent, object("motor"))
	add(ua.StringId(1, "motor"), ns0.HasProperty, Node{Id: ua.StringId(1, "speed"), Class: ua.NodeClassVariable, BrowseName: named(0, "speed")})
	add(ua.StringId(1, "machine"), ns0.HasComponent, object("shared"))
	add(ua.StringId(1, "machine"), ns0.Organizes, object("guest"))
	if err := s.AddReference(ua.StringId(1, "line"), stdId(ns0.HasComponent), ua.StringId(1, "shared")); err != nil {
		t.Fatal(err)
	}
	speed, _ := s.resolve(nil, ua.StringId(1, "speed"))
	if n := s.Remove(ua.StringId(1, "machine"), ua.StringId(1, "machine"), ua.StringId(1, "nobody")); n != 3 {
		t.Errorf("%d nodes are gone, want 3", n)
	}
	for name, want := range map[string]bool{"machine": false, "motor": false, "speed": false, "shared": true, "guest": true, "line": true} {
		if _, ok := s.resolve(nil, ua.StringId(1, name)); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
	var v ua.DataValue
	if s.readAttribute(t.Context(), everyRole, speed, ua.AttributeValue, &v); v.Status != ua.BadNodeIdUnknown {
		t.Errorf("a node that is gone: %v", v.Status)
	}
	s.Remove(ua.StringId(1, "line"), ua.StringId(1, "guest"))
	if n := len(s.index.text[1]); n != 0 {
		t.Errorf("%d nodes are left over", n)
	}
	for _, r := range s.index.find(stdId(ns0.ObjectsFolder)).references() {
		if r.to.id.Namespace == 1 {
			t.Errorf("Objects still refers to %v", r.to.id)
		}
	}
}

// Nodes come and go while others browse, read, translate and register. Every browse sees each of the nodes that stay exactly once.
func TestChangesWhileOthersLook(t *testing.T) {
	s, _ := mounted(t, 10)
	variables(t, s, 50)
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 2 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			churn(t, s, w, 300)
		}()
	}
	for r := range 2 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			k := deskFor(t, s)
			for {
				select {
				case <-stop:
					return
				default:
				}
				look(k, uint32(3+50*r))
			}
		}()
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if n := len(s.index.text[1]); n != 50 {
		t.Errorf("%d nodes in the end, want 50", n)
	}
}

// churn adds and removes n nodes.
func churn(t *testing.T, s *Space, writer, n int) {
	rnd := rand.New(rand.NewPCG(uint64(writer), 1))
	var have []ua.NodeId
	for i := range n {
		id := ua.StringId(1, fmt.Sprintf("churn %d %d", writer, i))
		err := s.Add(stdId(ns0.ObjectsFolder), stdId(ns0.Organizes), Node{Id: id, Class: ua.NodeClassVariable, BrowseName: named(1, "churn"), Value: ua.DataValue{Value: ua.Int32(1)}})
		if err != nil {
			t.Error(err)
		}
		have = append(have, id)
		if err := s.SetValue(id, ua.DataValue{Value: ua.Int32(2)}); err != nil {
			t.Error(err)
		}
		if rnd.IntN(2) == 0 {
			at := rnd.IntN(len(have))
			if s.Remove(have[at]) != 1 {
				t.Errorf("%v was not there", have[at])
			}
			have = append(have[:at], have[at+1:]...)
		}
	}
	s.Remove(have...)
}

// look browses Objects page by page, and reads and registers what it finds.
func look(k *desk, page uint32) {
	r, status := ask[ua.BrowseResponse](k, k.server.serveBrowse, browseOf(page, stdId(ns0.ObjectsFolder)))
	if status != ua.Good {
		k.t.Error(status)
		return
	}
	list, _ := all(k, r.Results[0])
	stay := 0
	var ids []ua.NodeId
	for i := range list {
		ids = append(ids, list[i].NodeId.NodeId)
		if list[i].BrowseName.Name != "churn" {
			stay++
		}
	}
	if stay != 52 { // v0 to v49, Server, Memory
		k.t.Errorf("%d of 52 nodes that stay", stay)
	}
	_, _ = ask[ua.ReadResponse](k, k.server.serveRead, readOf(ua.TimestampsToReturnBoth, ids...))
	reg, _ := ask[ua.RegisterNodesResponse](k, k.server.serveRegisterNodes, &ua.RegisterNodesRequest{NodesToRegister: ids})
	_, _ = ask[ua.ReadResponse](k, k.server.serveRead, readOf(ua.TimestampsToReturnBoth, reg.RegisteredNodeIds...))
	_, _ = ask[ua.UnregisterNodesResponse](k, k.server.serveUnregisterNodes, &ua.UnregisterNodesRequest{NodesToUnregister: reg.RegisteredNodeIds})
	translate(k, pathOf(stdId(ns0.ObjectsFolder), named(1, "v7")))
}
