package opcua

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// variables adds n variables s=v0 ... to namespace 1, all in one store, below Objects.
func variables(t testing.TB, s *Space, n int) *memory {
	t.Helper()
	m := newMemory(n)
	nodes := make([]Node, n)
	for i := range nodes {
		name := fmt.Sprintf("v%d", i)
		nodes[i] = Node{
			Id: ua.StringId(1, name), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{NamespaceIndex: 1, Name: name},
			DataType: stdId(11), ValueRank: -1, AccessLevel: AccessCurrentRead | AccessCurrentWrite, Store: m, Key: uint64(i),
		}
	}
	if err := s.Add(stdId(ns0.ObjectsFolder), stdId(ns0.Organizes), nodes...); err != nil {
		t.Fatal(err)
	}
	return m
}

func readOf(stamps ua.TimestampsToReturn, ids ...ua.NodeId) *ua.ReadRequest {
	r := &ua.ReadRequest{TimestampsToReturn: stamps}
	for _, id := range ids {
		r.NodesToRead = append(r.NodesToRead, ua.ReadValueId{NodeId: id, AttributeId: ua.AttributeValue})
	}
	return r
}

func textIds(ns uint16, n int) []ua.NodeId {
	ids := make([]ua.NodeId, n)
	for i := range ids {
		ids[i] = ua.StringId(ns, fmt.Sprintf("v%d", i))
	}
	return ids
}

func TestReadAnswersInOrderAndAsksOnce(t *testing.T) {
	s, far := mounted(t, 1000)
	near := variables(t, s, 1000)
	k := deskFor(t, s)
	for ns, m := range map[uint16]*memory{1: near, memoryNamespace: far} {
		r, status := ask[ua.ReadResponse](k, k.server.serveRead, readOf(ua.TimestampsToReturnBoth, textIds(ns, 1000)...))
		if status != ua.Good || len(r.Results) != 1000 || m.batches != 1 {
			t.Fatalf("namespace %d: %v, %d results in %d batches", ns, status, len(r.Results), m.batches)
		}
		for i := range r.Results {
			v := &r.Results[i]
			if f, ok := v.Value.Float64(); !ok || f != float64(i) || v.SourceTimestamp != ua.DateTime(1e17+int64(i)) || v.ServerTimestamp == 0 || v.Status != ua.Good {
				t.Fatalf("namespace %d, %d: %+v", ns, i, v)
			}
		}
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	s, _ := mounted(t, 1000)
	variables(t, s, 1000)
	k := deskFor(t, s)
	out := make([]byte, 0, 1<<17)
	for _, ns := range []uint16{1, memoryNamespace} {
		for _, n := range []int{1, 1000} {
			d := request(t, readOf(ua.TimestampsToReturnBoth, textIds(ns, n)...))
			got := testing.AllocsPerRun(100, func() {
				again := *d
				if _, status := k.server.serveRead(t.Context(), k.call, &again, out); status != ua.Good {
					t.Fatal(status)
				}
			})
			if got != 0 {
				t.Errorf("namespace %d: a Read of %d allocates %v times", ns, n, got)
			}
		}
	}
}

func BenchmarkRead(b *testing.B) {
	s, _ := mounted(b, 1000)
	variables(b, s, 1000)
	k := deskFor(b, s)
	out := make([]byte, 0, 1<<17)
	for _, bench := range []struct {
		name string
		ns   uint16
		n    int
	}{{"1000 texts", 1, 1000}, {"1000 texts of a NodeStore", memoryNamespace, 1000}, {"one text", 1, 1}} {
		b.Run(bench.name, func(b *testing.B) {
			d := request(b, readOf(ua.TimestampsToReturnBoth, textIds(bench.ns, bench.n)...))
			b.ReportAllocs()
			for b.Loop() {
				again := *d
				if _, status := k.server.serveRead(b.Context(), k.call, &again, out); status != ua.Good {
					b.Fatal(status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bench.n), "ns/value")
		})
	}
}

func readItemOf(k *desk, id ua.NodeId, attribute uint32, parts string, encoding ua.QualifiedName) ua.DataValue {
	k.t.Helper()
	r, status := ask[ua.ReadResponse](k, k.server.serveRead, &ua.ReadRequest{
		TimestampsToReturn: ua.TimestampsToReturnNeither, NodesToRead: []ua.ReadValueId{{NodeId: id, AttributeId: attribute, IndexRange: parts, DataEncoding: encoding}},
	})
	if status != ua.Good {
		k.t.Fatal(status)
	}
	return r.Results[0]
}

// zoo has a node of each class in namespace 1, named by its class.
func zoo(t testing.TB, s *Space) {
	t.Helper()
	n := func(class ua.NodeClass, name string, more Node) Node {
		more.Id, more.Class, more.BrowseName, more.Description = ua.StringId(1, name), class, named(1, name), ua.LocalizedText{Locale: "en", Text: "a " + name}
		return more
	}
	err := s.Add(stdId(ns0.ObjectsFolder), stdId(ns0.HasComponent),
		n(ua.NodeClassObject, "object", Node{EventNotifier: 1}),
		n(ua.NodeClassVariable, "variable", Node{
			DataType: stdId(11), ValueRank: 1, ArrayDimensions: []uint32{5}, AccessLevel: AccessCurrentRead | AccessCurrentWrite, MinimumSamplingInterval: 50, Historizing: true,
			Value: ua.DataValue{Value: ua.DoubleArray([]float64{0, 1, 2, 3, 4})},
		}),
		n(ua.NodeClassMethod, "method", Node{Call: func(context.Context, *MethodCall) ua.StatusCode { return ua.Good }}),
		n(ua.NodeClassMethod, "idle method", Node{}),
		n(ua.NodeClassObjectType, "object type", Node{IsAbstract: true}),
		n(ua.NodeClassVariableType, "variable type", Node{DataType: stdId(12), ValueRank: -1, Value: ua.DataValue{Value: ua.String("default")}}),
		n(ua.NodeClassReferenceType, "reference type", Node{Symmetric: true, InverseName: ua.LocalizedText{Text: "back"}}),
		n(ua.NodeClassDataType, "data type", Node{Definition: ua.Wrap(&ua.EnumDefinition{})}),
		n(ua.NodeClassView, "view", Node{ContainsNoLoops: true, EventNotifier: 2}),
		n(ua.NodeClassVariable, "structure", Node{DataType: stdId(884), ValueRank: -1, Value: ua.DataValue{Value: ua.StructureValue(&ua.Range{Low: 1, High: 2})}}),
		n(ua.NodeClassVariable, "hidden", Node{AccessLevel: AccessHistoryRead}),
		n(ua.NodeClassVariable, "secret", Node{ReadRoles: RoleAdmin, Value: ua.DataValue{Value: ua.Int32(7)}}),
		n(ua.NodeClassVariable, "live", Node{DataType: stdId(11), ValueRank: -1, AccessLevel: AccessCurrentRead | AccessCurrentWrite, Live: func(_ context.Context, v *ua.DataValue) { v.Value = ua.Double(3) }}),
		n(ua.NodeClassVariable, "uncertain", Node{Value: ua.DataValue{Value: ua.Double(1), Status: ua.UncertainLastUsableValue, SourceTimestamp: 5, ServerTimestamp: 6}}),
	)
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadAttributes(t *testing.T) {
	s := bareSpace(t)
	zoo(t, s)
	k := deskFor(t, s)
	invalid := ua.Variant{}
	for name, want := range map[string]map[uint32]ua.Variant{
		"object": {
			ua.AttributeNodeId: ua.NodeIdValue(ua.StringId(1, "object")), ua.AttributeNodeClass: ua.Int32(1), ua.AttributeBrowseName: ua.QualifiedNameValue(named(1, "object")),
			ua.AttributeDisplayName: ua.LocalizedTextValue(ua.LocalizedText{Text: "object"}), ua.AttributeDescription: ua.LocalizedTextValue(ua.LocalizedText{Locale: "en", Text: "a object"}),
			ua.AttributeWriteMask: ua.UInt32(0), ua.AttributeUserWriteMask: ua.UInt32(0), ua.AttributeEventNotifier: ua.Byte(1),
			ua.AttributeValue: invalid, ua.AttributeIsAbstract: invalid, ua.AttributeExecutable: invalid, ua.AttributeAccessLevel: invalid, ua.AttributeContainsNoLoops: invalid,
			ua.AttributeRolePermissions: invalid, 0: invalid, 28: invalid, 1 << 31: invalid,
		},
		"variable": {
			ua.AttributeValue: ua.DoubleArray([]float64{0, 1, 2, 3, 4}), ua.AttributeDataType: ua.NodeIdValue(stdId(11)), ua.AttributeValueRank: ua.Int32(1),
			ua.AttributeArrayDimensions: ua.UInt32Array([]uint32{5}), ua.AttributeAccessLevel: ua.Byte(3), ua.AttributeUserAccessLevel: ua.Byte(3), ua.AttributeAccessLevelEx: ua.UInt32(3),
			ua.AttributeMinimumSamplingInterval: ua.Double(50), ua.AttributeHistorizing: ua.Bool(true), ua.AttributeEventNotifier: invalid, ua.AttributeIsAbstract: invalid,
		},
		"method":         {ua.AttributeExecutable: ua.Bool(true), ua.AttributeUserExecutable: ua.Bool(true), ua.AttributeValue: invalid},
		"idle method":    {ua.AttributeExecutable: ua.Bool(false), ua.AttributeUserExecutable: ua.Bool(false)},
		"object type":    {ua.AttributeIsAbstract: ua.Bool(true), ua.AttributeSymmetric: invalid, ua.AttributeEventNotifier: invalid},
		"variable type":  {ua.AttributeIsAbstract: ua.Bool(false), ua.AttributeValue: ua.String("default"), ua.AttributeDataType: ua.NodeIdValue(stdId(12)), ua.AttributeAccessLevel: invalid},
		"reference type": {ua.AttributeSymmetric: ua.Bool(true), ua.AttributeInverseName: ua.LocalizedTextValue(ua.LocalizedText{Text: "back"}), ua.AttributeDataTypeDefinition: invalid},
		"data type":      {ua.AttributeIsAbstract: ua.Bool(false), ua.AttributeDataTypeDefinition: ua.StructureValue(&ua.EnumDefinition{})},
		"view":           {ua.AttributeContainsNoLoops: ua.Bool(true), ua.AttributeEventNotifier: ua.Byte(2)},
		"live":           {ua.AttributeValue: ua.Double(3)},
	} {
		for attribute, v := range want {
			got := readItemOf(k, ua.StringId(1, name), attribute, "", ua.QualifiedName{})
			status := ua.Good
			if v.IsNull() {
				status = ua.BadAttributeIdInvalid
			}
			if !got.Value.Equal(v) || got.Status != status {
				t.Errorf("%s, attribute %d: %v %v, want %v %v", name, attribute, got.Value, got.Status, v, status)
			}
		}
	}
	k.call.session.caller = &Caller{Roles: RoleRead}
	for name, c := range map[string]struct {
		attribute uint32
		want      ua.Variant
	}{"variable": {ua.AttributeUserAccessLevel, ua.Byte(1)}, "method": {ua.AttributeUserExecutable, ua.Bool(false)}} {
		if got := readItemOf(k, ua.StringId(1, name), c.attribute, "", ua.QualifiedName{}); !got.Value.Equal(c.want) {
			t.Errorf("of %s one who may read sees %v, want %v", name, got.Value, c.want)
		}
	}
}

func TestReadStatus(t *testing.T) {
	s, _ := mounted(t, 1)
	zoo(t, s)
	k := deskFor(t, s)
	binary, xml := ua.QualifiedName{Name: "Default Binary"}, ua.QualifiedName{Name: "Default XML"}
	for _, c := range []struct {
		id       ua.NodeId
		parts    string
		encoding ua.QualifiedName
		want     ua.StatusCode
		value    ua.Variant
	}{
		{ua.StringId(1, "nobody"), "", ua.QualifiedName{}, ua.BadNodeIdUnknown, ua.Variant{}},
		{ua.StringId(memoryNamespace, "nobody"), "", ua.QualifiedName{}, ua.BadNodeIdUnknown, ua.Variant{}},
		{ua.StringId(77, "nobody"), "", ua.QualifiedName{}, ua.BadNodeIdUnknown, ua.Variant{}},
		{ua.NumericId(aliasNamespace, 0), "", ua.QualifiedName{}, ua.BadNodeIdUnknown, ua.Variant{}},
		{ua.StringId(aliasNamespace, "x"), "", ua.QualifiedName{}, ua.BadNodeIdUnknown, ua.Variant{}},
		{ua.GuidId(1, ua.Guid{D1: 1}), "", ua.QualifiedName{}, ua.BadNodeIdUnknown, ua.Variant{}},
		{ua.OpaqueId(1, []byte("x")), "", ua.QualifiedName{}, ua.BadNodeIdUnknown, ua.Variant{}},
		{ua.StringId(1, "hidden"), "", ua.QualifiedName{}, ua.BadNotReadable, ua.Variant{}},
		{ua.StringId(1, "secret"), "", ua.QualifiedName{}, ua.BadUserAccessDenied, ua.Variant{}},
		{ua.StringId(1, "variable"), "1:2", ua.QualifiedName{}, ua.Good, ua.DoubleArray([]float64{1, 2})},
		{ua.StringId(1, "variable"), "2:1", ua.QualifiedName{}, ua.BadIndexRangeInvalid, ua.Variant{}},
		{ua.StringId(1, "variable"), "5", ua.QualifiedName{}, ua.BadIndexRangeNoData, ua.Variant{}},
		{ua.StringId(1, "variable"), "", binary, ua.BadDataEncodingInvalid, ua.Variant{}},
		{ua.StringId(1, "structure"), "", binary, ua.Good, ua.StructureValue(&ua.Range{Low: 1, High: 2})},
		{ua.StringId(1, "structure"), "", xml, ua.BadDataEncodingUnsupported, ua.Variant{}},
		{ua.StringId(1, "structure"), "", named(1, "Default Binary"), ua.BadDataEncodingInvalid, ua.Variant{}},
		{ua.StringId(1, "uncertain"), "", ua.QualifiedName{}, ua.UncertainLastUsableValue, ua.Double(1)},
		{ua.StringId(memoryNamespace, "v0"), "0", ua.QualifiedName{}, ua.BadIndexRangeNoData, ua.Variant{}},
	} {
		if got := readItemOf(k, c.id, ua.AttributeValue, c.parts, c.encoding); got.Status != c.want || !got.Value.Equal(c.value) {
			t.Errorf("%v[%s] %v: %v %v, want %v %v", c.id, c.parts, c.encoding, got.Value, got.Status, c.value, c.want)
		}
	}
	if got := readItemOf(k, ua.StringId(1, "variable"), ua.AttributeDataType, "", binary); got.Status != ua.BadDataEncodingInvalid {
		t.Errorf("data encoding of an attribute: %v", got.Status)
	}
	k.call.session.caller = &Caller{}
	for _, id := range []ua.NodeId{ua.StringId(1, "variable"), ua.StringId(memoryNamespace, "v0")} {
		if got := readItemOf(k, id, ua.AttributeValue, "", ua.QualifiedName{}); got.Status != ua.BadUserAccessDenied {
			t.Errorf("%v, for one who may nothing: %v", id, got.Status)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	s := bareSpace(t)
	variables(t, s, 1)
	s.limits.Read = 2
	k := deskFor(t, s)
	id := ua.StringId(1, "v0")
	aged := func(age float64) *ua.ReadRequest {
		r := readOf(0, id)
		r.MaxAge = age
		return r
	}
	for name, c := range map[string]struct {
		r    *ua.ReadRequest
		want ua.StatusCode
	}{
		"nothing": {readOf(0), ua.BadNothingToDo}, "three": {readOf(0, id, id, id), ua.BadTooManyOperations}, "two": {readOf(0, id, id), ua.Good},
		"stamps 4": {readOf(4, id), ua.BadTimestampsToReturnInvalid}, "stamps -1": {readOf(-1, id), ua.BadTimestampsToReturnInvalid},
		"age -1": {aged(-1), ua.BadMaxAgeInvalid}, "age NaN": {aged(math.NaN()), ua.BadMaxAgeInvalid}, "age Inf": {aged(math.Inf(1)), ua.Good},
	} {
		if _, status := ask[ua.ReadResponse](k, k.server.serveRead, c.r); status != c.want {
			t.Errorf("%s: %v, want %v", name, status, c.want)
		}
	}
	whole := readOf(0, id).AppendTo(nil)
	for n := range whole {
		d := ua.NewDecoder(whole[:n], ua.Limits{})
		d.Alias = true
		var h ua.RequestHeader
		h.DecodeFrom(&d)
		if _, status := k.server.serveRead(t.Context(), k.call, &d, nil); status == ua.Good {
			t.Errorf("cut to %d of %d bytes: Good", n, len(whole))
		}
	}
	d := request(t, readOf(0, id))
	more := append(d.Rest(), 0xFF)
	long := ua.NewDecoder(more, ua.Limits{})
	if _, status := k.server.serveRead(t.Context(), k.call, &long, nil); status != ua.BadDecodingError {
		t.Errorf("a byte too many: %v", status)
	}
}

func TestReadTimestamps(t *testing.T) {
	s := bareSpace(t)
	zoo(t, s)
	k := deskFor(t, s)
	now := ua.DateTimeOf(k.call.received)
	if err := s.SetValue(ua.StringId(1, "variable"), ua.DataValue{Value: ua.Int32(1), SourceTimestamp: 7}); err != nil {
		t.Fatal(err)
	}
	for stamps, want := range map[ua.TimestampsToReturn][2][2]ua.DateTime{
		ua.TimestampsToReturnSource:  {{5, 0}, {7, 0}},
		ua.TimestampsToReturnServer:  {{0, 6}, {0, now}},
		ua.TimestampsToReturnBoth:    {{5, 6}, {7, now}},
		ua.TimestampsToReturnNeither: {{0, 0}, {0, 0}},
	} {
		r, _ := ask[ua.ReadResponse](k, k.server.serveRead, readOf(stamps, ua.StringId(1, "uncertain"), ua.StringId(1, "variable")))
		for i, w := range want {
			if got := [2]ua.DateTime{r.Results[i].SourceTimestamp, r.Results[i].ServerTimestamp}; got != w {
				t.Errorf("%v, %d: %v, want %v", stamps, i, got, w)
			}
		}
	}
}

// A store that hands on what it has decoded says which fields are there; what nobody asked for is not written all the same.
func TestReadWritesNoFieldThatNobodyAskedFor(t *testing.T) {
	s := bareSpace(t)
	m := variables(t, s, 1)
	m.values[0].ServerTimestamp, m.values[0].Has = 5, 0x3f
	k := deskFor(t, s)
	for stamps, want := range map[ua.TimestampsToReturn]ua.DataValueMask{
		ua.TimestampsToReturnSource: 0x17, ua.TimestampsToReturnServer: 0x2b, ua.TimestampsToReturnBoth: 0x3f, ua.TimestampsToReturnNeither: 0x03,
	} {
		r, _ := ask[ua.ReadResponse](k, k.server.serveRead, readOf(stamps, ua.StringId(1, "v0")))
		if got := r.Results[0].Has; got != want {
			t.Errorf("%v: %06b, want %06b", stamps, got, want)
		}
	}
}

func TestReadIsNotLongerThanTheClientTakes(t *testing.T) {
	s := bareSpace(t)
	if err := s.Add(ua.NodeId{}, ua.NodeId{}, Node{Id: ua.StringId(1, "big"), Class: ua.NodeClassVariable, BrowseName: named(1, "big"), Value: ua.DataValue{Value: ua.String(strings.Repeat("x", 1<<16))}}); err != nil {
		t.Fatal(err)
	}
	k := deskFor(t, s)
	ids := make([]ua.NodeId, 4000)
	for i := range ids {
		ids[i] = ua.StringId(1, "big")
	}
	if _, status := ask[ua.ReadResponse](k, k.server.serveRead, readOf(0, ids...)); status != ua.BadResponseTooLarge {
		t.Errorf("250 MiB: %v", status)
	}
	k.call.session.maxResponse = 1 << 17
	if _, status := ask[ua.ReadResponse](k, k.server.serveRead, readOf(0, ids[:2]...)); status != ua.BadResponseTooLarge {
		t.Errorf("two: %v", status)
	}
	if _, status := ask[ua.ReadResponse](k, k.server.serveRead, readOf(0, ids[:1]...)); status != ua.Good {
		t.Errorf("one: %v", status)
	}
}
