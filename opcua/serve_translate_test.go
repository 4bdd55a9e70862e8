package opcua

import (
	"slices"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// pathOf is a path over hierarchical references by names, those of namespace 1 and 2 with their prefix.
func pathOf(from ua.NodeId, names ...ua.QualifiedName) ua.BrowsePath {
	p := ua.BrowsePath{StartingNode: from}
	for _, n := range names {
		p.RelativePath.Elements = append(p.RelativePath.Elements, ua.RelativePathElement{
			ReferenceTypeId: stdId(ns0.HierarchicalReferences), IncludeSubtypes: true, TargetName: n,
		})
	}
	return p
}

func named(ns uint16, name string) ua.QualifiedName {
	return ua.QualifiedName{NamespaceIndex: ns, Name: name}
}

func translate(k *desk, p ua.BrowsePath) ua.BrowsePathResult {
	k.t.Helper()
	r, status := ask[ua.TranslateBrowsePathsToNodeIdsResponse](k, k.server.serveTranslateBrowsePaths, &ua.TranslateBrowsePathsToNodeIdsRequest{BrowsePaths: []ua.BrowsePath{p}})
	if status != ua.Good || len(r.Results) != 1 {
		k.t.Fatal(status)
	}
	return r.Results[0]
}

func TestTranslateBrowsePaths(t *testing.T) {
	s, _ := mounted(t, 3)
	variables(t, s, 3)
	k := deskFor(t, s)
	root, objects := stdId(ns0.RootFolder), stdId(ns0.ObjectsFolder)
	inverse := pathOf(ua.StringId(memoryNamespace, "v1"), named(2, "Memory"))
	inverse.RelativePath.Elements[0].IsInverse = true
	exact := pathOf(root, named(0, "Objects"))
	exact.RelativePath.Elements[0].ReferenceTypeId, exact.RelativePath.Elements[0].IncludeSubtypes = stdId(ns0.Organizes), false
	tooExact := pathOf(root, named(0, "Objects"))
	tooExact.RelativePath.Elements[0].IncludeSubtypes = false
	anyKind := pathOf(objects, named(0, "FolderType"))
	anyKind.RelativePath.Elements[0].ReferenceTypeId = ua.NodeId{}
	notAType := pathOf(root, named(0, "Objects"))
	notAType.RelativePath.Elements[0].ReferenceTypeId = objects
	for name, c := range map[string]struct {
		path   ua.BrowsePath
		status ua.StatusCode
		want   []string
	}{
		"down":              {pathOf(root, named(0, "Objects"), named(1, "v2")), ua.Good, []string{"ns=1;s=v2"}},
		"into a store":      {pathOf(root, named(0, "Objects"), named(2, "Memory"), named(2, "v2")), ua.Good, []string{"ns=2;s=v2"}},
		"up from a store":   {inverse, ua.Good, []string{"ns=2;s=folder"}},
		"exact kind":        {exact, ua.Good, []string{"i=85"}},
		"abstract kind":     {tooExact, ua.BadNoMatch, nil},
		"any kind":          {anyKind, ua.Good, []string{"i=61"}},
		"last without name": {pathOf(root, named(0, "Objects"), ua.QualifiedName{}), ua.Good, []string{"i=2253", "ns=1;s=v0", "ns=1;s=v1", "ns=1;s=v2", "ns=2;s=folder"}},
		"first without":     {pathOf(root, ua.QualifiedName{}, named(1, "v2")), ua.BadBrowseNameInvalid, nil},
		"wrong namespace":   {pathOf(root, named(1, "Objects")), ua.BadNoMatch, nil},
		"no such node":      {pathOf(ua.StringId(1, "nobody"), named(1, "Objects")), ua.BadNodeIdUnknown, nil},
		"no elements":       {pathOf(root), ua.BadNothingToDo, nil},
		"no such kind":      {notAType, ua.BadReferenceTypeIdInvalid, nil},
		"elsewhere, last":   {pathOf(ua.StringId(2, "folder"), named(1, "x")), ua.BadNoMatch, nil},
		"everything":        {pathOf(ua.StringId(2, "folder"), ua.QualifiedName{}), ua.Good, []string{"ns=2;s=method", "ns=2;s=v0", "ns=2;s=v1", "ns=2;s=v2", "svr=1;ns=1;i=5"}},
		"elsewhere":         {pathOf(ua.StringId(2, "folder"), named(1, "x"), named(1, "y")), ua.UncertainReferenceOutOfServer, []string{"svr=1;ns=1;i=5 left from 1"}},
	} {
		r := translate(k, c.path)
		var got []string
		for _, x := range r.Targets {
			text := x.TargetId.String()
			if x.RemainingPathIndex != wholePath {
				text += " left from " + string(rune('0'+x.RemainingPathIndex))
			}
			got = append(got, text)
		}
		slices.Sort(got)
		if r.StatusCode != c.status || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v %q, want %v %q", name, r.StatusCode, got, c.status, c.want)
		}
	}
}

// A path that goes back and forth visits each node once an element, however many ways lead there, and cannot be longer than the limit.
func TestTranslateIsBounded(t *testing.T) {
	s := bareSpace(t)
	variables(t, s, 900)
	k := deskFor(t, s)
	var back ua.BrowsePath
	back.StartingNode = stdId(ns0.ObjectsFolder)
	for i := range 99 {
		back.RelativePath.Elements = append(back.RelativePath.Elements, ua.RelativePathElement{
			ReferenceTypeId: stdId(ns0.Organizes), IsInverse: i%2 == 1, TargetName: named(0, "Objects"),
		})
	}
	// Objects has one v0, which every even element names.
	for i := 0; i < 99; i += 2 {
		back.RelativePath.Elements[i].TargetName = named(1, "v0")
	}
	if r := translate(k, back); r.StatusCode != ua.Good || len(r.Targets) != 1 {
		t.Errorf("back and forth: %v, %d targets", r.StatusCode, len(r.Targets))
	}
	s.limits.PathWork = 10_000
	if r := translate(k, back); r.StatusCode != ua.BadQueryTooComplex {
		t.Errorf("beyond the work that is allowed: %v", r.StatusCode)
	}
	back.RelativePath.Elements = append(back.RelativePath.Elements, back.RelativePath.Elements[:2]...)
	if r := translate(k, back); r.StatusCode != ua.BadQueryTooComplex {
		t.Errorf("101 elements: %v", r.StatusCode)
	}
	s.limits.PathWork = 1_000_000
	variablesMore(t, s, 200)
	if r := translate(k, pathOf(stdId(ns0.ObjectsFolder), ua.QualifiedName{})); r.StatusCode != ua.BadTooManyMatches {
		t.Errorf("1101 targets: %v", r.StatusCode)
	}
}

func variablesMore(t *testing.T, s *Space, n int) {
	t.Helper()
	for i := range n {
		if err := s.Add(stdId(ns0.ObjectsFolder), stdId(ns0.Organizes), Node{Id: ua.NumericId(1, uint32(i+1)), Class: ua.NodeClassObject, BrowseName: named(1, "more")}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRegisterNodes(t *testing.T) {
	s, _ := mounted(t, 3)
	variables(t, s, 3)
	s.limits.RegisteredNodes = 3
	k := deskFor(t, s)
	ids := []ua.NodeId{ua.StringId(1, "v1"), ua.StringId(1, "nobody"), ua.StringId(2, "v2"), stdId(ns0.Server), ua.StringId(1, "v0")}
	r, status := ask[ua.RegisterNodesResponse](k, k.server.serveRegisterNodes, &ua.RegisterNodesRequest{NodesToRegister: ids})
	if status != ua.Good {
		t.Fatal(status)
	}
	got := r.RegisteredNodeIds
	if got[1] != ids[1] || got[4] != ids[4] {
		t.Errorf("unknown, and one too many: %v", got)
	}
	short := []ua.NodeId{got[0], got[2]}
	read, _ := ask[ua.ReadResponse](k, k.server.serveRead, readOf(ua.TimestampsToReturnNeither, short...))
	for i, want := range []float64{1, 2} {
		if f, _ := read.Results[i].Value.Float64(); f != want || short[i].Namespace != aliasNamespace {
			t.Errorf("%v: %+v", short[i], read.Results[i])
		}
	}
	s.Remove(ids[0])
	if _, status := ask[ua.UnregisterNodesResponse](k, k.server.serveUnregisterNodes, &ua.UnregisterNodesRequest{NodesToUnregister: []ua.NodeId{got[2], ids[4], got[2]}}); status != ua.Good {
		t.Fatal(status)
	}
	again, _ := ask[ua.RegisterNodesResponse](k, k.server.serveRegisterNodes, &ua.RegisterNodesRequest{NodesToRegister: ids[4:]})
	if again.RegisteredNodeIds[0] == got[2] || again.RegisteredNodeIds[0] == ids[4] {
		t.Errorf("a place is used again under %v", again.RegisteredNodeIds[0])
	}
	read, _ = ask[ua.ReadResponse](k, k.server.serveRead, readOf(ua.TimestampsToReturnNeither, got[0], got[2]))
	for i, x := range read.Results {
		if x.Status != ua.BadNodeIdUnknown {
			t.Errorf("removed, unregistered: %d %v", i, x.Status)
		}
	}
	if err := s.Add(ua.NodeId{}, ua.NodeId{}, Node{Id: ids[0], Class: ua.NodeClassVariable, BrowseName: named(1, "v1"), Value: ua.DataValue{Value: ua.Int32(9)}}); err != nil {
		t.Fatal(err)
	}
	if read, _ = ask[ua.ReadResponse](k, k.server.serveRead, readOf(ua.TimestampsToReturnNeither, got[0])); !read.Results[0].Value.Equal(ua.Int32(9)) {
		t.Errorf("added again: %+v", read.Results[0])
	}
	if _, status := ask[ua.RegisterNodesResponse](k, k.server.serveRegisterNodes, &ua.RegisterNodesRequest{}); status != ua.BadNothingToDo {
		t.Error(status)
	}
}
