package opcua

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// adder is a Space with an object s=machine of a type s=type, both with a method Add(Int32, Int32); the machine has one more of its own.
func adder(t testing.TB) *Space {
	t.Helper()
	s, _ := mounted(t, 1)
	args := []ua.Argument{{Name: "a", DataType: stdId(6), ValueRank: -1}, {Name: "b", DataType: stdId(6), ValueRank: -1}}
	sum := []ua.Argument{{Name: "sum", DataType: stdId(6), ValueRank: -1}}
	add := func(by int64) MethodFunc {
		return func(_ context.Context, m *MethodCall) ua.StatusCode {
			a, _ := m.Inputs[0].Int64()
			b, _ := m.Inputs[1].Int64()
			if b < 0 {
				m.InputResults[1] = ua.BadOutOfRange
				return ua.BadInvalidArgument
			}
			m.Outputs = append(m.Outputs, ua.Int32(int32(a+b+by)))
			return ua.Good
		}
	}
	method := func(id, name string, f MethodFunc, roles Roles) Node {
		return Node{Id: ua.StringId(1, id), Class: ua.NodeClassMethod, BrowseName: named(1, name), Call: f, Inputs: args, Outputs: sum, WriteRoles: roles}
	}
	for _, c := range []struct {
		parent ua.NodeId
		kind   uint32
		nodes  []Node
	}{
		{stdId(ns0.BaseObjectType), ns0.HasSubtype, []Node{{Id: ua.StringId(1, "type"), Class: ua.NodeClassObjectType, BrowseName: named(1, "Type")}}},
		{ua.StringId(1, "type"), ns0.HasSubtype, []Node{{Id: ua.StringId(1, "subtype"), Class: ua.NodeClassObjectType, BrowseName: named(1, "Subtype")}}},
		{stdId(ns0.ObjectsFolder), ns0.HasComponent, []Node{
			{Id: ua.StringId(1, "machine"), Class: ua.NodeClassObject, BrowseName: named(1, "Machine"), TypeDefinition: ua.StringId(1, "subtype")},
			{Id: ua.StringId(1, "other"), Class: ua.NodeClassObject, BrowseName: named(1, "Other"), TypeDefinition: ua.StringId(1, "subtype")},
		}},
		{ua.StringId(1, "type"), ns0.HasComponent, []Node{method("type.add", "Add", add(1000), 0)}},
		{ua.StringId(1, "machine"), ns0.HasComponent, []Node{method("machine.add", "Add", add(0), 0), method("idle", "Idle", nil, 0), method("admin", "Admin", add(0), RoleAdmin)}},
	} {
		if err := s.Add(c.parent, stdId(c.kind), c.nodes...); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func call1(k *desk, object, method ua.NodeId, args ...ua.Variant) ua.CallMethodResult {
	k.t.Helper()
	r, status := ask[ua.CallResponse](k, k.server.serveCall, &ua.CallRequest{MethodsToCall: []ua.CallMethodRequest{{ObjectId: object, MethodId: method, InputArguments: args}}})
	if status != ua.Good {
		k.t.Fatal(status)
	}
	return r.Results[0]
}

func TestCall(t *testing.T) {
	k := deskFor(t, adder(t))
	k.call.session.caller = &Caller{Roles: RoleRead | RoleWrite, User: "anna"}
	one, two, bad := ua.Int32(1), ua.Int32(2), ua.StatusCode(0)
	id := func(s string) ua.NodeId { return ua.StringId(1, s) }
	for i, c := range []struct {
		object, method ua.NodeId
		args           []ua.Variant
		want           ua.StatusCode
		inputs         []ua.StatusCode
		out            ua.Variant
	}{
		{id("machine"), id("machine.add"), []ua.Variant{one, two}, ua.Good, nil, ua.Int32(3)},
		{id("machine"), id("type.add"), []ua.Variant{one, two}, ua.Good, nil, ua.Int32(3)}, // the machine's own
		{id("other"), id("type.add"), []ua.Variant{one, two}, ua.Good, nil, ua.Int32(1003)},
		{id("type"), id("type.add"), []ua.Variant{one, two}, ua.Good, nil, ua.Int32(1003)},
		{id("other"), id("machine.add"), []ua.Variant{one, two}, ua.BadMethodInvalid, nil, ua.Variant{}},
		{id("nobody"), id("machine.add"), nil, ua.BadNodeIdUnknown, nil, ua.Variant{}},
		{id("machine"), id("nobody"), nil, ua.BadMethodInvalid, nil, ua.Variant{}},
		{id("machine"), id("type"), nil, ua.BadMethodInvalid, nil, ua.Variant{}},
		{id("machine"), id("idle"), []ua.Variant{one, two}, ua.BadNotExecutable, nil, ua.Variant{}},
		{id("machine"), id("admin"), []ua.Variant{one, two}, ua.BadUserAccessDenied, nil, ua.Variant{}},
		{id("machine"), id("machine.add"), []ua.Variant{one}, ua.BadArgumentsMissing, nil, ua.Variant{}},
		{id("machine"), id("machine.add"), []ua.Variant{one, two, one}, ua.BadTooManyArguments, nil, ua.Variant{}},
		{id("machine"), id("machine.add"), []ua.Variant{one, ua.String("2")}, ua.BadInvalidArgument, []ua.StatusCode{bad, ua.BadTypeMismatch}, ua.Variant{}},
		{id("machine"), id("machine.add"), []ua.Variant{one, ua.Int32(-2)}, ua.BadInvalidArgument, []ua.StatusCode{bad, ua.BadOutOfRange}, ua.Variant{}},
		{ua.StringId(2, "folder"), ua.StringId(2, "method"), nil, ua.Good, nil, ua.String("anna")},
		{ua.StringId(2, "folder"), id("machine.add"), []ua.Variant{one, two}, ua.BadMethodInvalid, nil, ua.Variant{}},
	} {
		r := call1(k, c.object, c.method, c.args...)
		var out ua.Variant
		if len(r.OutputArguments) > 0 {
			out = r.OutputArguments[0]
		}
		if r.StatusCode != c.want || !slices.Equal(r.InputArgumentResults, c.inputs) || !out.Equal(c.out) {
			t.Errorf("%d: %v on %v: %v %v %v, want %v %v %v", i, c.method, c.object, r.StatusCode, r.InputArgumentResults, out, c.want, c.inputs, c.out)
		}
	}
	k.server.space.limits.Call = 1
	two2 := []ua.CallMethodRequest{{}, {}}
	for want, r := range map[ua.StatusCode]*ua.CallRequest{ua.BadNothingToDo: {}, ua.BadTooManyOperations: {MethodsToCall: two2}} {
		if _, status := ask[ua.CallResponse](k, k.server.serveCall, r); status != want {
			t.Errorf("%v, want %v", status, want)
		}
	}
}

func TestMethodsDescribeTheirArguments(t *testing.T) {
	k := deskFor(t, adder(t))
	r := translate(k, pathOf(ua.StringId(1, "machine"), named(1, "Add"), named(0, "InputArguments")))
	if r.StatusCode != ua.Good {
		t.Fatal(r.StatusCode)
	}
	v := readItemOf(k, r.Targets[0].TargetId.NodeId, ua.AttributeValue, "", ua.QualifiedName{})
	list, _ := ua.ArrayOf[ua.ExtensionObject](v.Value)
	var a ua.Argument
	if len(list) != 2 || list[1].Decode(&a, ua.Limits{}) != nil || a.Name != "b" {
		t.Errorf("%+v", v)
	}
}

// A method that waits gets a context that ends with the request, and those behind it in the request are not begun.
func TestCallEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := deskFor(t, adder(t))
		calls := 0
		wait := func(ctx context.Context, m *MethodCall) ua.StatusCode {
			calls++
			<-ctx.Done()
			return ua.BadInternalError
		}
		node := Node{Id: ua.StringId(1, "wait"), Class: ua.NodeClassMethod, BrowseName: named(1, "wait"), Call: wait}
		if err := k.server.space.Add(ua.StringId(1, "machine"), stdId(ns0.HasComponent), node); err != nil {
			t.Fatal(err)
		}
		k.call.deadline = time.Now().Add(time.Second)
		one := ua.CallMethodRequest{ObjectId: ua.StringId(1, "machine"), MethodId: ua.StringId(1, "wait")}
		r, _ := ask[ua.CallResponse](k, k.server.serveCall, &ua.CallRequest{MethodsToCall: []ua.CallMethodRequest{one, one}})
		for i, x := range r.Results {
			if x.StatusCode != ua.BadTimeout || calls != 1 {
				t.Errorf("%d: %v after %d calls", i, x.StatusCode, calls)
			}
		}
	})
}

// The methods of the Server object are there, and whoever may read may call them.
func TestServerMethods(t *testing.T) {
	s, err := NewSpace(SpaceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	k := deskFor(t, s)
	k.call.server = k.server
	k.call.session.caller = &Caller{Roles: RoleRead}
	for id, want := range map[uint32]ua.StatusCode{ns0.Server_GetMonitoredItems: ua.BadArgumentsMissing, ns0.Server_ResendData: ua.BadArgumentsMissing} {
		if r := call1(k, stdId(ns0.Server), stdId(id)); r.StatusCode != want {
			t.Errorf("i=%d: %v", id, r.StatusCode)
		}
		if v := readItemOf(k, stdId(id), ua.AttributeUserExecutable, "", ua.QualifiedName{}); !v.Value.Equal(ua.Bool(true)) {
			t.Errorf("i=%d: executable %v", id, v.Value)
		}
	}
	for id, want := range map[uint32]ua.Variant{
		ns0.Server_NamespaceArray:                                     ua.StringArray([]string{"http://opcfoundation.org/UA/", "urn:millrace"}),
		ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead: ua.UInt32(10_000), ns0.Server_ServerCapabilities_MaxBrowseContinuationPoints: ua.UInt16(100),
	} {
		if v := readItemOf(k, stdId(id), ua.AttributeValue, "", ua.QualifiedName{}); !v.Value.Equal(want) {
			t.Errorf("i=%d: %v, want %v", id, v.Value, want)
		}
	}
}
