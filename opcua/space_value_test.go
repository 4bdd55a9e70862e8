package opcua

import (
	"context"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

type notes []ua.Variant

func (n *notes) Changed(v *ua.DataValue) { *n = append(*n, v.Value) }

func TestWatchTellsOfEveryValue(t *testing.T) {
	s, m := mounted(t, 2)
	zoo(t, s)
	k := deskFor(t, s)
	ref, _ := s.resolve(nil, ua.StringId(1, "variable"))
	var a, b notes
	if !s.watch(ref, &a) || !s.watch(ref, &b) {
		t.Fatal("a value that the Space keeps is told of")
	}
	if err := s.SetValue(ref.id(), ua.DataValue{Value: ua.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	s.unwatch(ref, &b)
	if got := write(k, writeOf(ref.id(), ua.DoubleArray([]float64{2})))[0]; got != ua.Good {
		t.Fatal(got)
	}
	s.unwatch(ref, &a)
	s.unwatch(ref, &a)
	if err := s.SetValue(ref.id(), ua.DataValue{Value: ua.Int32(3)}); err != nil {
		t.Fatal(err)
	}
	if len(a) != 2 || !a[0].Equal(ua.Int32(1)) || !a[1].Equal(ua.DoubleArray([]float64{2})) || len(b) != 1 {
		t.Errorf("%v, %v", a, b)
	}
	if len(s.watching.of) != 0 {
		t.Errorf("%d are still watched", len(s.watching.of))
	}
	live, _ := s.resolve(nil, ua.StringId(1, "live"))
	object, _ := s.resolve(nil, ua.StringId(1, "object"))
	if s.watch(live, &a) || s.watch(object, &a) {
		t.Error("nobody can tell of a value that is made at each read, or of an object")
	}
	far, _ := s.resolve(nil, ua.StringId(memoryNamespace, "v1"))
	if !s.watch(far, &a) || len(m.watchers[1]) != 1 {
		t.Error("a store that pushes is asked to")
	}
	s.unwatch(far, &a)
	if len(m.watchers[1]) != 0 {
		t.Error("and not to any more")
	}
}

// Who watches a variable that is removed is told so, and can still stop watching.
func TestWatchEndsWithTheNode(t *testing.T) {
	s := bareSpace(t)
	m := variables(t, s, 1)
	zoo(t, s)
	var told statuses
	var refs []nodeRef
	for _, name := range []string{"variable", "v0"} {
		ref, _ := s.resolve(nil, ua.StringId(1, name))
		if !s.watch(ref, &told) {
			t.Fatal(name)
		}
		refs = append(refs, ref)
	}
	s.Remove(ua.StringId(1, "variable"), ua.StringId(1, "v0"))
	if len(told) != 1 || told[0] != ua.BadNodeIdUnknown {
		t.Errorf("told of %v", told)
	}
	for _, ref := range refs {
		s.unwatch(ref, &told)
	}
	if len(s.watching.of) != 0 || len(m.watchers) != 0 {
		t.Errorf("%d and %d are still watched", len(s.watching.of), len(m.watchers))
	}
}

type statuses []ua.StatusCode

func (l *statuses) Changed(v *ua.DataValue) { *l = append(*l, v.Status) }

func TestRolesOfANodeCanChange(t *testing.T) {
	s := bareSpace(t)
	zoo(t, s)
	k := deskFor(t, s)
	id := ua.StringId(1, "variable")
	if err := s.SetRoles(id, RoleAdmin, RoleAdmin); err != nil {
		t.Fatal(err)
	}
	if got := readItemOf(k, id, ua.AttributeValue, "", ua.QualifiedName{}); got.Status != ua.BadUserAccessDenied {
		t.Error(got.Status)
	}
	if got := write(k, writeOf(id, ua.DoubleArray(nil))); got[0] != ua.BadUserAccessDenied {
		t.Error(got)
	}
	if s.SetRoles(ua.StringId(1, "nobody"), 0, 0) == nil {
		t.Error("roles of nobody")
	}
}

func TestValuesChangePlaces(t *testing.T) {
	s := bareSpace(t)
	zoo(t, s)
	id := ua.StringId(1, "variable")
	m := newMemory(3)
	value := func(want ua.Variant) {
		t.Helper()
		var v ua.DataValue
		if !s.Value(t.Context(), id, &v) || !v.Value.Equal(want) {
			t.Errorf("%v, want %v", v.Value, want)
		}
	}
	if err := s.SetLive(id, func(_ context.Context, v *ua.DataValue) { v.Value = ua.Int32(8) }); err != nil {
		t.Fatal(err)
	}
	value(ua.Int32(8))
	if err := s.SetStore(id, m, 2, AccessCurrentRead|AccessCurrentWrite); err != nil {
		t.Fatal(err)
	}
	value(ua.Double(2))
	for _, err := range []error{
		s.SetLive(ua.StringId(1, "nobody"), nil), s.SetLive(ua.StringId(1, "object"), nil), s.SetMethod(id, nil), s.SetValue(id, ua.DataValue{}),
		s.SetValue(ua.StringId(1, "nobody"), ua.DataValue{}),
	} {
		if err == nil {
			t.Error("no error")
		}
	}
}

func TestMonitorChecks(t *testing.T) {
	s, _ := mounted(t, 1)
	zoo(t, s)
	binary := ua.QualifiedName{Name: "Default Binary"}
	for i, c := range []struct {
		id        ua.NodeId
		attribute uint32
		parts     string
		encoding  ua.QualifiedName
		roles     Roles
		want      ua.StatusCode
	}{
		{ua.StringId(1, "variable"), ua.AttributeValue, "1:2", ua.QualifiedName{}, RoleRead, ua.Good},
		{ua.StringId(1, "variable"), ua.AttributeValue, "2:1", ua.QualifiedName{}, RoleRead, ua.BadIndexRangeInvalid},
		{ua.StringId(1, "variable"), ua.AttributeValue, "", binary, RoleRead, ua.BadDataEncodingInvalid},
		{ua.StringId(1, "structure"), ua.AttributeValue, "", binary, RoleRead, ua.Good},
		{ua.StringId(1, "variable"), 99, "", ua.QualifiedName{}, RoleRead, ua.BadAttributeIdInvalid},
		{ua.StringId(1, "variable"), ua.AttributeDisplayName, "", ua.QualifiedName{}, RoleRead, ua.Good},
		{ua.StringId(1, "object"), ua.AttributeValue, "", ua.QualifiedName{}, RoleRead, ua.BadAttributeIdInvalid},
		{ua.StringId(1, "object"), ua.AttributeDataType, "", ua.QualifiedName{}, RoleRead, ua.BadAttributeIdInvalid},
		{ua.StringId(1, "hidden"), ua.AttributeValue, "", ua.QualifiedName{}, RoleRead, ua.BadNotReadable},
		{ua.StringId(1, "secret"), ua.AttributeValue, "", ua.QualifiedName{}, RoleRead, ua.BadUserAccessDenied},
		{ua.StringId(1, "secret"), ua.AttributeValue, "", ua.QualifiedName{}, RoleAdmin, ua.Good},
		{ua.StringId(memoryNamespace, "v0"), ua.AttributeValue, "", ua.QualifiedName{}, RoleRead, ua.Good},
		{ua.StringId(memoryNamespace, "v0"), ua.AttributeValue, "", ua.QualifiedName{}, 0, ua.BadUserAccessDenied},
	} {
		ref, _ := s.resolve(nil, c.id)
		if _, got := s.checkMonitor(&Caller{Roles: c.roles}, ref, c.attribute, c.parts, c.encoding); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
}

func TestEURange(t *testing.T) {
	s := bareSpace(t)
	zoo(t, s)
	ref, _ := s.resolve(nil, ua.StringId(1, "variable"))
	if _, _, ok := s.euRange(t.Context(), ref); ok {
		t.Error("there is none yet")
	}
	err := s.Add(ref.id(), stdId(ns0.HasProperty), Node{
		Id: ua.StringId(1, "range"), Class: ua.NodeClassVariable, BrowseName: named(0, "EURange"), DataType: stdId(884), Value: ua.DataValue{Value: ua.StructureValue(&ua.Range{Low: -5, High: 20})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if low, high, ok := s.euRange(t.Context(), ref); low != -5 || high != 20 || !ok {
		t.Error(low, high, ok)
	}
}
