package opcua

import (
	"slices"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

const showAll = 63

func browseOf(most uint32, ids ...ua.NodeId) *ua.BrowseRequest {
	r := &ua.BrowseRequest{RequestedMaxReferencesPerNode: most}
	for _, id := range ids {
		r.NodesToBrowse = append(r.NodesToBrowse, ua.BrowseDescription{
			NodeId: id, ReferenceTypeId: stdId(ns0.HierarchicalReferences), IncludeSubtypes: true, ResultMask: showAll,
		})
	}
	return r
}

func browseOne(k *desk, b ua.BrowseDescription) ua.BrowseResult {
	k.t.Helper()
	r, status := ask[ua.BrowseResponse](k, k.server.serveBrowse, &ua.BrowseRequest{NodesToBrowse: []ua.BrowseDescription{b}})
	if status != ua.Good || len(r.Results) != 1 {
		k.t.Fatalf("browse %v: %v", b.NodeId, status)
	}
	return r.Results[0]
}

func names(list []ua.ReferenceDescription) []string {
	var out []string
	for i := range list {
		out = append(out, list[i].BrowseName.String())
	}
	slices.Sort(out)
	return out
}

func TestBrowseFilters(t *testing.T) {
	s, _ := mounted(t, 2)
	variables(t, s, 1)
	k := deskFor(t, s)
	objects, memory := stdId(ns0.ObjectsFolder), ua.StringId(memoryNamespace, "folder")
	for name, c := range map[string]struct {
		b    ua.BrowseDescription
		want []string
	}{
		"everything":       {ua.BrowseDescription{NodeId: objects, BrowseDirection: ua.BrowseDirectionBoth}, []string{"1:v0", "2:Memory", "FolderType", "Root", "Server"}},
		"forward":          {ua.BrowseDescription{NodeId: objects}, []string{"1:v0", "2:Memory", "FolderType", "Server"}},
		"inverse":          {ua.BrowseDescription{NodeId: objects, BrowseDirection: ua.BrowseDirectionInverse}, []string{"Root"}},
		"abstract kind":    {ua.BrowseDescription{NodeId: objects, ReferenceTypeId: stdId(ns0.HierarchicalReferences)}, nil},
		"with subtypes":    {ua.BrowseDescription{NodeId: objects, ReferenceTypeId: stdId(ns0.HierarchicalReferences), IncludeSubtypes: true}, []string{"1:v0", "2:Memory", "Server"}},
		"exact kind":       {ua.BrowseDescription{NodeId: objects, ReferenceTypeId: stdId(ns0.Organizes)}, []string{"1:v0", "2:Memory", "Server"}},
		"other kind":       {ua.BrowseDescription{NodeId: objects, ReferenceTypeId: stdId(ns0.HasComponent)}, nil},
		"class":            {ua.BrowseDescription{NodeId: objects, NodeClassMask: uint32(ua.NodeClassVariable)}, []string{"1:v0"}},
		"type":             {ua.BrowseDescription{NodeId: objects, NodeClassMask: uint32(ua.NodeClassObjectType)}, []string{"FolderType"}},
		"store, all":       {ua.BrowseDescription{NodeId: memory, BrowseDirection: ua.BrowseDirectionBoth}, []string{"", "2:Method", "2:v0", "2:v1", "FolderType", "Objects"}},
		"store, forward":   {ua.BrowseDescription{NodeId: memory}, []string{"", "2:Method", "2:v0", "2:v1", "FolderType"}},
		"store, methods":   {ua.BrowseDescription{NodeId: memory, NodeClassMask: uint32(ua.NodeClassMethod)}, []string{"2:Method"}},
		"store, inverse":   {ua.BrowseDescription{NodeId: ua.StringId(2, "v1"), BrowseDirection: ua.BrowseDirectionInverse}, []string{"2:Memory"}},
		"store, organizes": {ua.BrowseDescription{NodeId: memory, ReferenceTypeId: stdId(ns0.Organizes)}, []string{""}},
	} {
		c.b.ResultMask = showAll
		r := browseOne(k, c.b)
		if got := names(r.References); r.StatusCode != ua.Good || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v %q, want %q", name, r.StatusCode, got, c.want)
		}
	}
}

func TestBrowseAnswersWhatIsAskedFor(t *testing.T) {
	s := bareSpace(t)
	variables(t, s, 1)
	k := deskFor(t, s)
	v := ua.StringId(1, "v0")
	full := ua.ReferenceDescription{
		ReferenceTypeId: stdId(ns0.Organizes), IsForward: true, NodeId: ua.ExpandedNodeId{NodeId: v}, NodeClass: ua.NodeClassVariable, BrowseName: ua.QualifiedName{NamespaceIndex: 1, Name: "v0"},
		DisplayName: ua.LocalizedText{Text: "v0"}, TypeDefinition: ua.ExpandedNodeId{NodeId: stdId(ns0.BaseDataVariableType)},
	}
	for mask := range uint32(64) {
		want := ua.ReferenceDescription{NodeId: full.NodeId}
		if mask&1 != 0 {
			want.ReferenceTypeId = full.ReferenceTypeId
		}
		if mask&2 != 0 {
			want.IsForward = true
		}
		if mask&4 != 0 {
			want.NodeClass = full.NodeClass
		}
		if mask&8 != 0 {
			want.BrowseName = full.BrowseName
		}
		if mask&16 != 0 {
			want.DisplayName = full.DisplayName
		}
		if mask&32 != 0 {
			want.TypeDefinition = full.TypeDefinition
		}
		r := browseOne(k, ua.BrowseDescription{NodeId: stdId(ns0.ObjectsFolder), NodeClassMask: uint32(ua.NodeClassVariable), ResultMask: mask})
		if len(r.References) != 1 || r.References[0] != want {
			t.Errorf("mask %06b: %+v, want %+v", mask, r.References, want)
		}
	}
}

func TestBrowseStatus(t *testing.T) {
	s := bareSpace(t)
	k := deskFor(t, s)
	root := stdId(ns0.RootFolder)
	for want, b := range map[ua.StatusCode]ua.BrowseDescription{
		ua.BadNodeIdUnknown:          {NodeId: ua.StringId(1, "nobody")},
		ua.BadReferenceTypeIdInvalid: {NodeId: root, ReferenceTypeId: root},
		ua.BadBrowseDirectionInvalid: {NodeId: root, BrowseDirection: 3},
		ua.Good:                      {NodeId: root},
	} {
		if r := browseOne(k, b); r.StatusCode != want {
			t.Errorf("%v, want %v", r.StatusCode, want)
		}
	}
	s.limits.Browse = 2
	for want, r := range map[ua.StatusCode]*ua.BrowseRequest{
		ua.BadNothingToDo:       {},
		ua.BadTooManyOperations: browseOf(0, root, root, root),
		ua.BadViewIdUnknown:     {View: ua.ViewDescription{ViewId: root, Timestamp: 1, ViewVersion: 1}, NodesToBrowse: browseOf(0, root).NodesToBrowse},
		ua.Good:                 browseOf(0, root, root),
	} {
		if _, status := ask[ua.BrowseResponse](k, k.server.serveBrowse, r); status != want {
			t.Errorf("%v, want %v", status, want)
		}
	}
}

func TestLookingNeedsARole(t *testing.T) {
	s := bareSpace(t)
	k := deskFor(t, s)
	for roles, want := range map[Roles]ua.StatusCode{0: ua.BadUserAccessDenied, RoleWrite: ua.BadUserAccessDenied, RoleRead: ua.Good, RoleAdmin: ua.Good} {
		k.call.session.caller = &Caller{Roles: roles}
		if _, got := ask[ua.BrowseResponse](k, k.server.serveBrowse, browseOf(0, stdId(ns0.RootFolder))); got != want {
			t.Errorf("browse with roles %b: %v, want %v", roles, got, want)
		}
		path := &ua.TranslateBrowsePathsToNodeIdsRequest{BrowsePaths: []ua.BrowsePath{pathOf(stdId(ns0.RootFolder), named(0, "Objects"))}}
		if _, got := ask[ua.TranslateBrowsePathsToNodeIdsResponse](k, k.server.serveTranslateBrowsePaths, path); got != want {
			t.Errorf("translate with roles %b: %v, want %v", roles, got, want)
		}
		if got := readItemOf(k, stdId(ns0.RootFolder), ua.AttributeDisplayName, "", ua.QualifiedName{}); got.Status != want {
			t.Errorf("read with roles %b: %v, want %v", roles, got.Status, want)
		}
	}
}

func TestBrowseInAView(t *testing.T) {
	s, _ := mounted(t, 1)
	k := deskFor(t, s)
	view := ua.StringId(1, "view")
	if err := s.Add(ua.NodeId{}, ua.NodeId{}, Node{Id: view, Class: ua.NodeClassView, BrowseName: ua.QualifiedName{NamespaceIndex: 1, Name: "View"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.AddReference(view, stdId(ns0.Organizes), ua.StringId(memoryNamespace, "folder")); err != nil {
		t.Fatal(err)
	}
	r, _ := ask[ua.BrowseResponse](k, k.server.serveBrowse, &ua.BrowseRequest{
		View: ua.ViewDescription{ViewId: view},
		NodesToBrowse: []ua.BrowseDescription{
			{NodeId: ua.StringId(memoryNamespace, "folder"), BrowseDirection: ua.BrowseDirectionBoth, ResultMask: showAll}, {NodeId: stdId(ns0.ObjectsFolder)},
		},
	})
	if got := names(r.Results[0].References); !slices.Equal(got, []string{"1:View", "2:Method", "2:v0"}) {
		t.Errorf("in the view: %q", got)
	}
	if r.Results[1].StatusCode != ua.BadNodeNotInView {
		t.Errorf("outside: %v", r.Results[1].StatusCode)
	}
	for want, v := range map[ua.StatusCode]ua.ViewDescription{
		ua.BadViewVersionInvalid:   {ViewId: view, ViewVersion: 1},
		ua.BadViewTimestampInvalid: {ViewId: view, Timestamp: 1},
	} {
		old := &ua.BrowseRequest{View: v, NodesToBrowse: []ua.BrowseDescription{{NodeId: view}}}
		if _, status := ask[ua.BrowseResponse](k, k.server.serveBrowse, old); status != want {
			t.Errorf("an older view: %v, want %v", status, want)
		}
	}
}

// all follows continuation points to the end.
func all(k *desk, r ua.BrowseResult) (list []ua.ReferenceDescription, pages int) {
	k.t.Helper()
	for pages = 1; ; pages++ {
		if r.StatusCode != ua.Good {
			k.t.Fatal(r.StatusCode)
		}
		list = append(list, r.References...)
		if r.ContinuationPoint == nil {
			return list, pages
		}
		next, status := ask[ua.BrowseNextResponse](k, k.server.serveBrowseNext, &ua.BrowseNextRequest{ContinuationPoints: [][]byte{r.ContinuationPoint}})
		if status != ua.Good {
			k.t.Fatal(status)
		}
		r = next.Results[0]
	}
}

func TestBrowseNextGivesEveryReferenceOnce(t *testing.T) {
	s, _ := mounted(t, 200)
	variables(t, s, 200)
	k := deskFor(t, s)
	for _, id := range []ua.NodeId{stdId(ns0.ObjectsFolder), ua.StringId(memoryNamespace, "folder")} {
		whole := browseOf(0, id)
		r, _ := ask[ua.BrowseResponse](k, k.server.serveBrowse, whole)
		want := names(r.Results[0].References)
		for _, most := range []uint32{1, 7, 64, 101, 201, 202, 203, 500} {
			r, _ := ask[ua.BrowseResponse](k, k.server.serveBrowse, browseOf(most, id))
			list, pages := all(k, r.Results[0])
			if !slices.Equal(names(list), want) || pages != (len(want)+int(most)-1)/int(most) {
				t.Errorf("%v by %d: %d references on %d pages, want %d", id, most, len(list), pages, len(want))
			}
		}
		if n := len(k.call.session.browse.browse); n != 0 {
			t.Errorf("%d continuation points are left over", n)
		}
	}
}

func TestContinuationPointsAreBoundedAndReleased(t *testing.T) {
	s := bareSpace(t)
	variables(t, s, 10)
	s.limits.ContinuationPoints = 5
	k := deskFor(t, s)
	objects := stdId(ns0.ObjectsFolder)
	r, _ := ask[ua.BrowseResponse](k, k.server.serveBrowse, browseOf(1, objects, objects, objects, objects, objects, objects))
	var points [][]byte
	for i, x := range r.Results {
		if want := map[bool]ua.StatusCode{true: ua.Good, false: ua.BadNoContinuationPoints}[i < 5]; x.StatusCode != want {
			t.Errorf("%d: %v, want %v", i, x.StatusCode, want)
		}
		if x.ContinuationPoint != nil {
			points = append(points, x.ContinuationPoint)
		}
	}
	release := &ua.BrowseNextRequest{ReleaseContinuationPoints: true, ContinuationPoints: append(points, []byte("x"), nil)}
	next, _ := ask[ua.BrowseNextResponse](k, k.server.serveBrowseNext, release)
	for i, x := range next.Results {
		if want := map[bool]ua.StatusCode{true: ua.Good, false: ua.BadContinuationPointInvalid}[i < 5]; x.StatusCode != want || x.References != nil {
			t.Errorf("release %d: %+v, want %v", i, x, want)
		}
	}
	next, _ = ask[ua.BrowseNextResponse](k, k.server.serveBrowseNext, &ua.BrowseNextRequest{ContinuationPoints: points[:1]})
	if next.Results[0].StatusCode != ua.BadContinuationPointInvalid {
		t.Errorf("a released point: %v", next.Results[0].StatusCode)
	}
}

func TestBrowseLeavesWhatDoesNotFitForBrowseNext(t *testing.T) {
	s := bareSpace(t)
	variables(t, s, 1000)
	k := deskFor(t, s)
	k.call.session.maxResponse = 8192
	r, _ := ask[ua.BrowseResponse](k, k.server.serveBrowse, browseOf(0, stdId(ns0.ObjectsFolder)))
	if n := len(r.Results[0].References); n == 0 || n > 250 {
		t.Fatalf("%d references in 8 KiB", n)
	}
	list, _ := all(k, r.Results[0])
	if len(list) != 1001 {
		t.Errorf("%d references in all", len(list))
	}
}

// A request that would have millions of references looked at, and shows none of them, gets its answers piece by piece.
func TestBrowseWorkIsBounded(t *testing.T) {
	s := bareSpace(t)
	variables(t, s, 100)
	s.limits.BrowseWork = 250
	k := deskFor(t, s)
	b := ua.BrowseDescription{NodeId: stdId(ns0.ObjectsFolder), NodeClassMask: uint32(ua.NodeClassMethod)}
	r, _ := ask[ua.BrowseResponse](k, k.server.serveBrowse, &ua.BrowseRequest{NodesToBrowse: []ua.BrowseDescription{b, b, b, b, b}})
	for i, x := range r.Results {
		if x.StatusCode != ua.Good || len(x.References) != 0 || (x.ContinuationPoint != nil) != (i >= 3) {
			t.Errorf("%d: %+v", i, x)
		}
		if list, pages := all(k, x); len(list) != 0 || (pages == 2) != (i >= 3) {
			t.Errorf("%d: %d references on %d pages", i, len(list), pages)
		}
	}
	r, _ = ask[ua.BrowseResponse](k, k.server.serveBrowse, browseOf(0, stdId(ns0.ObjectsFolder), stdId(ns0.ObjectsFolder), stdId(ns0.ObjectsFolder)))
	for i, x := range r.Results {
		if list, _ := all(k, x); len(list) != 101 {
			t.Errorf("%d: %d references", i, len(list))
		}
	}
}

func TestBrowseNextGoesOnWhereNodesGo(t *testing.T) {
	s := bareSpace(t)
	variables(t, s, 10)
	k := deskFor(t, s)
	r, _ := ask[ua.BrowseResponse](k, k.server.serveBrowse, browseOf(3, stdId(ns0.ObjectsFolder)))
	s.Remove(ua.StringId(1, "v2"), ua.StringId(1, "v5"), ua.StringId(1, "v9"))
	if err := s.Add(stdId(ns0.ObjectsFolder), stdId(ns0.Organizes), Node{Id: ua.StringId(1, "new"), Class: ua.NodeClassObject, BrowseName: ua.QualifiedName{Name: "new"}}); err != nil {
		t.Fatal(err)
	}
	list, _ := all(k, r.Results[0])
	want := []string{"1:v0", "1:v1", "1:v2", "1:v3", "1:v4", "1:v6", "1:v7", "1:v8", "Server"}
	if got := names(list); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func BenchmarkBrowse(b *testing.B) {
	s := bareSpace(b)
	variables(b, s, 1000)
	k := deskFor(b, s)
	d := request(b, browseOf(0, stdId(ns0.ObjectsFolder)))
	out := make([]byte, 0, 1<<18)
	b.ReportAllocs()
	for b.Loop() {
		again := *d
		if _, status := k.server.serveBrowse(b.Context(), k.call, &again, out); status != ua.Good {
			b.Fatal(status)
		}
	}
}
