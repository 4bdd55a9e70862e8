package opcua

import (
	"fmt"
	"slices"
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// components returns what a node is made of, as this client sees it.
func (p *peer) components(id ua.NodeId) []ua.ReferenceDescription {
	p.t.Helper()
	what := ua.BrowseDescription{NodeId: id, ReferenceTypeId: stdId(ns0.HasComponent), IncludeSubtypes: true, ResultMask: 0x3F}
	var r ua.BrowseResponse
	if err := p.ask(&ua.BrowseRequest{NodesToBrowse: []ua.BrowseDescription{what}}, &r); err != nil || r.Results[0].StatusCode != ua.Good {
		p.t.Fatalf("browse %v: %v %v", id, err, r.Results)
	}
	return r.Results[0].References
}

// objects returns the sessions' objects.
func (p *peer) objects() (ids []ua.NodeId) {
	p.t.Helper()
	for _, r := range p.components(stdId(sessionSummary)) {
		if r.NodeClass != ua.NodeClassObject {
			continue
		}
		if r.BrowseName != named(1, "test") || r.TypeDefinition.NodeId != stdId(ns0.SessionDiagnosticsObjectType) {
			p.t.Errorf("%+v", r)
		}
		ids = append(ids, r.NodeId.NodeId)
	}
	return ids
}

// value reads the value of any node.
func (p *peer) value(id ua.NodeId) ua.DataValue {
	p.t.Helper()
	var r ua.ReadResponse
	req := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnSource, NodesToRead: []ua.ReadValueId{{NodeId: id, AttributeId: ua.AttributeValue}}}
	if err := p.ask(req, &r); err != nil {
		p.t.Fatal(err)
	}
	return r.Results[0]
}

// A session's object is what its type says: every component is there, is of the data type that the type has, and has such a value.
func TestSessionObjects(t *testing.T) {
	cfg := secured(t)
	cfg.AnonymousRoles = RoleRead | RoleAdmin
	s := serveUA(t, cfg)
	p := s.session(plain)
	s.session(sealed)
	wantStatus(t, "subscribe", p.ask(&ua.CreateSubscriptionRequest{RequestedPublishingInterval: 1e6, RequestedLifetimeCount: 30, RequestedMaxKeepAliveCount: 10}, &ua.CreateSubscriptionResponse{}), ua.Good)
	all := s.sessions.all()
	ids := p.objects()
	if !slices.Equal(ids, []ua.NodeId{all[0].id, all[1].id}) {
		t.Fatalf("%v are the objects of %v and %v", ids, all[0].id, all[1].id)
	}
	seen := 0
	var compare func(id, kind ua.NodeId)
	compare = func(id, kind ua.NodeId) {
		parts := p.components(id)
		for _, want := range p.components(kind) {
			i := slices.IndexFunc(parts, func(r ua.ReferenceDescription) bool { return r.IsForward && r.BrowseName == want.BrowseName })
			if !want.IsForward || want.NodeClass != ua.NodeClassVariable || kind == stdId(ns0.SubscriptionDiagnosticsArrayType) {
				continue
			}
			if i < 0 || parts[i].TypeDefinition != want.TypeDefinition {
				t.Errorf("%v has %s as %+v", id, want.BrowseName.Name, parts[max(i, 0)])
				continue
			}
			seen++
			s.wantLike(t, parts[i].NodeId.NodeId, want.NodeId.NodeId, p.value(parts[i].NodeId.NodeId))
			compare(parts[i].NodeId.NodeId, parts[i].TypeDefinition.NodeId)
		}
	}
	compare(ids[0], stdId(ns0.SessionDiagnosticsObjectType))
	if seen != len(sessionParts)-1 {
		t.Errorf("%d variables of %d", seen, len(sessionParts)-1)
	}
	if subs, _ := ua.ArrayOf[ua.ExtensionObject](p.value(sessionPartId(all[0].number, partSubscriptions)).Value); len(subs) != 1 {
		t.Errorf("%d subscriptions", len(subs))
	}
}

// wantLike holds a variable to the one of its type.
func (s *servingUA) wantLike(t *testing.T, id, kind ua.NodeId, v ua.DataValue) {
	t.Helper()
	var have, want Node
	for at, n := range map[ua.NodeId]*Node{id: &have, kind: &want} {
		if ref, ok := s.space.resolve(nil, at); !ok || !s.space.describe(ref, n) {
			t.Fatal(at)
		}
	}
	builtIn, _ := s.space.builtIn(want.DataType)
	if have.DataType != want.DataType || have.ValueRank != want.ValueRank || v.Status != ua.Good || v.SourceTimestamp == 0 || v.Value.Type() != builtIn || v.Value.IsArray() != (want.ValueRank == 1) {
		t.Errorf("%s: %v, rank %d, is %v where the type has %v, rank %d", have.BrowseName.Name, have.DataType, have.ValueRank, v.Value, want.DataType, want.ValueRank)
	}
}

// Who is no admin sees the object of his own session, and of others there is nothing, whatever service he asks. With its session an object goes.
func TestSessionObjectsOfOthers(t *testing.T) {
	cfg := secured(t)
	cfg.Users, cfg.UserTokens = rolesByName{"": RoleRead, "boss": RoleRead | RoleAdmin}, TokenAnonymous|TokenPassword
	s := serveUA(t, cfg)
	p, boss := s.session(plain), s.session(sealed)
	wantStatus(t, "as boss", boss.activate(boss.password("boss", "x")), ua.Good)
	all := s.sessions.all()
	own, other := all[0], all[1]
	if ids := p.objects(); !slices.Equal(ids, []ua.NodeId{own.id}) {
		t.Errorf("a reader sees %v", ids)
	}
	if ids := boss.objects(); len(ids) != 2 {
		t.Errorf("an admin sees %v", ids)
	}
	for part := range sessionParts {
		want := ua.Good
		if part == partSession {
			want = ua.BadAttributeIdInvalid
		}
		mine, his := sessionPartId(own.number, part), sessionPartId(other.number, part)
		if a, b, c := p.value(mine).Status, p.value(his).Status, boss.value(mine).Status; a != want || b != ua.BadNodeIdUnknown || c != want {
			t.Errorf("%v: own %v, another's %v, an admin's %v", mine, a, b, c)
		}
		var r ua.RegisterNodesResponse
		if err := p.ask(&ua.RegisterNodesRequest{NodesToRegister: []ua.NodeId{his}}, &r); err != nil || r.RegisteredNodeIds[0] != his {
			t.Errorf("another's %v was registered as %v, %v", his, r.RegisteredNodeIds, err)
		}
	}
	var w ua.WriteResponse
	write := ua.WriteValue{NodeId: sessionPartId(own.number, partGeneral), AttributeId: ua.AttributeValue, Value: ua.DataValue{Value: ua.Int32(1)}}
	if err := p.ask(&ua.WriteRequest{NodesToWrite: []ua.WriteValue{write}}, &w); err != nil || w.Results[0] != ua.BadNotWritable && w.Results[0] != ua.BadUserAccessDenied {
		t.Errorf("%v %v", err, w.Results)
	}
	path := pathOf(stdId(ns0.Server), named(0, "ServerDiagnostics"), named(0, "SessionsDiagnosticsSummary"), named(1, "test"), named(0, "SessionSecurityDiagnostics"), named(0, "ClientUserIdOfSession"))
	var tr ua.TranslateBrowsePathsToNodeIdsResponse
	if err := p.ask(&ua.TranslateBrowsePathsToNodeIdsRequest{BrowsePaths: []ua.BrowsePath{path}}, &tr); err != nil || len(tr.Results[0].Targets) != 1 {
		t.Errorf("%v, %+v", err, tr.Results)
	}
	wantStatus(t, "close", p.call(&ua.CloseSessionRequest{}, &ua.CloseSessionResponse{}), ua.Good)
	if ids := boss.objects(); !slices.Equal(ids, []ua.NodeId{other.id}) || boss.value(sessionPartId(own.number, partGeneral)).Status != ua.BadNodeIdUnknown {
		t.Errorf("%v after the end of %v", ids, own.id)
	}
}

func TestSessionPartIds(t *testing.T) {
	for part := range sessionParts {
		if part == partSession {
			continue
		}
		if number, got := sessionPartOf(sessionPartId(7, part).Text); number != 7 || got != part {
			t.Errorf("part %d is %d of %d", part, got, number)
		}
	}
	for _, text := range []string{"", "7", "7.", "07.SessionDiagnostics", "+7.SessionDiagnostics", "7.SessionDiagnostics.", "7.SessionDiagnostics.Nothing", "7.SessionId", "-1.SessionDiagnostics", "4294967296.SessionDiagnostics", ".SessionDiagnostics"} {
		if number, part := sessionPartOf(text); part >= 0 {
			t.Errorf("%q is part %d of %d", text, part, number)
		}
	}
}

// Sessions are found by their numbers, also when those begin anew.
func TestSessionNumbers(t *testing.T) {
	for _, next := range []uint32{0, 1<<32 - 4} {
		t.Run(fmt.Sprint(next), func(t *testing.T) {
			p := newSessions(100)
			p.next = next
			c := &serverConn{}
			var list []*session
			for range 10 {
				x := &session{token: newSessionToken()}
				if _, status := p.add(x, c, 100); status != ua.Good {
					t.Fatal(status)
				}
				list = append(list, x)
			}
			for _, i := range []int{0, 4, 8} { // what is behind moves
				p.remove(list[i])
			}
			for i, x := range list {
				if got := p.numbered(x.number); (got == x) != (i%4 != 0) || got != nil && got != x {
					t.Errorf("session %d, number %d: %v", i, x.number, got)
				}
			}
			if p.numbered(5) != nil || p.numbered(0) != nil {
				t.Error("a session that nobody made")
			}
			if got := p.numbers(5, 10); !slices.Equal(got, []uint32{list[7].number, list[9].number}) {
				t.Errorf("the last are %v", got)
			}
		})
	}
}
