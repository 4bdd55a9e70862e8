package opcua

import (
	"context"
	"strconv"
	"strings"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// sessionNodes are the objects of a server's sessions below SessionsDiagnosticsSummary [OPC 10000-5 6.3.4]. None is there until somebody looks: a node is worked out from its
// id or key when it is asked for.
//
//	SessionsDiagnosticsSummary ─► session's object, ns=1;i=NUMBER, which is the SessionId ─┬► SessionDiagnostics, ns=1;s=NUMBER.SessionDiagnostics ─► its fields
//	                                                                                       ├► SessionSecurityDiagnostics ─► its fields
//	                                                                                       └► SubscriptionDiagnosticsArray
//
// It is a NodeStore that shares namespace 1 with the nodes of the Space, whose ids come first. Admins see all sessions, others their own.
type sessionNodes struct {
	server *Server
	mount  *spaceMount
}

const (
	sessionNamespace = 1
	partBits         = 8 // of a key; the session's number is above them
	keySummary       = 0 // the references of SessionsDiagnosticsSummary; no session has the number 0
)

func newSessionNodes(s *Server) *sessionNodes {
	n := &sessionNodes{server: s}
	n.mount = &spaceMount{namespace: sessionNamespace, store: n}
	return n
}

// resolve looks a node up for the session whose aliases these are, or with nil for the server itself.
func (n *sessionNodes) resolve(aliases *nodeAliases, id ua.NodeId) (nodeRef, bool) {
	key, ok := n.Find(id)
	if !ok || !n.shows(aliases, uint32(key>>partBits)) {
		return nodeRef{}, false
	}
	return nodeRef{mount: n.mount, key: key}, true
}

// shows says whether who asks may see a session.
func (n *sessionNodes) shows(aliases *nodeAliases, number uint32) bool {
	if aliases == nil {
		return true
	}
	x := aliases.session
	return x != nil && (x.number == number || x.allows(RoleAdmin))
}

// Find is of NodeStore.
func (n *sessionNodes) Find(id ua.NodeId) (key uint64, ok bool) {
	if id.Namespace != sessionNamespace {
		return 0, false
	}
	number, part := id.Numeric, partSession
	switch id.Type {
	case ua.IdNumeric:
	case ua.IdString:
		if number, part = sessionPartOf(id.Text); part < 0 {
			return 0, false
		}
	default:
		return 0, false
	}
	return uint64(number)<<partBits | uint64(part), n.server.sessions.numbered(number) != nil
}

// sessionPartOf reads the id of a variable; part is negative when it is none.
func sessionPartOf(text string) (number uint32, part int) {
	head, path, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(head, 10, 32)
	if err != nil || head != strconv.FormatUint(n, 10) {
		return 0, -1
	}
	for i := range sessionParts {
		if i != partSession && path == sessionPath(i) {
			return uint32(n), i
		}
	}
	return 0, -1
}

// sessionPath is the names from a session's object to one of its parts.
func sessionPath(part int) string {
	p := &sessionParts[part]
	if p.parent == partSession {
		return p.name
	}
	return sessionParts[p.parent].name + "." + p.name
}

func sessionPartId(number uint32, part int) ua.NodeId {
	if part == partSession {
		return ua.NumericId(sessionNamespace, number)
	}
	return ua.StringId(sessionNamespace, strconv.FormatUint(uint64(number), 10)+"."+sessionPath(part))
}

// Node is of NodeStore.
func (n *sessionNodes) Node(key uint64, to *Node) bool {
	x, part := n.at(key)
	if x == nil {
		return false
	}
	p := &sessionParts[part]
	*to = Node{Id: sessionPartId(x.number, part), TypeDefinition: stdId(p.kind)}
	if part == partSession {
		to.Class, to.BrowseName = ua.NodeClassObject, ua.QualifiedName{NamespaceIndex: sessionNamespace, Name: x.name}
		if x.name == "" {
			to.BrowseName.Name = "session " + strconv.FormatUint(uint64(x.number), 10)
		}
		return true
	}
	to.Class, to.BrowseName.Name = ua.NodeClassVariable, p.name
	to.DataType, to.ValueRank, to.AccessLevel = stdId(p.dataType), p.rank, AccessCurrentRead
	if p.rank == 1 {
		to.ArrayDimensions = []uint32{0}
	}
	return true
}

// at returns the session and the part of a key; nil when there is no such session any more.
func (n *sessionNodes) at(key uint64) (*session, int) {
	part := int(key & (1<<partBits - 1))
	if part >= len(sessionParts) {
		return nil, 0
	}
	return n.server.sessions.numbered(uint32(key >> partBits)), part
}

// References is of NodeStore. Those of the summary are what it has besides the Space's own.
func (n *sessionNodes) References(key uint64, from int, refs []Reference) []Reference {
	if key == keySummary {
		for _, number := range n.server.sessions.numbers(from, cap(refs)-len(refs)) {
			refs = append(refs, component(sessionPartId(number, partSession), false))
		}
		return refs
	}
	x, part := n.at(key)
	if x == nil {
		return refs
	}
	all := []Reference{{Type: stdId(ns0.HasTypeDefinition), Target: ua.ExpandedNodeId{NodeId: stdId(sessionParts[part].kind)}}}
	if part == partSession {
		all = append(all, component(stdId(sessionSummary), true))
	} else {
		all = append(all, component(sessionPartId(x.number, sessionParts[part].parent), true))
	}
	for i := range sessionParts {
		if i != partSession && sessionParts[i].parent == part {
			all = append(all, component(sessionPartId(x.number, i), false))
		}
	}
	all = all[min(from, len(all)):]
	return append(refs, all[:min(len(all), cap(refs)-len(refs))]...)
}

const sessionSummary = ns0.Server_ServerDiagnostics_SessionsDiagnosticsSummary

func component(id ua.NodeId, inverse bool) Reference {
	return Reference{Type: stdId(ns0.HasComponent), Target: ua.ExpandedNodeId{NodeId: id}, Inverse: inverse}
}

// ReadValues is of ValueStore. A session is looked at once for the parts of it that follow each other.
func (n *sessionNodes) ReadValues(_ context.Context, keys []uint64, values []ua.DataValue) {
	var facts *sessionFacts
	now := ua.DateTimeOf(time.Now())
	for i, key := range keys {
		x, part := n.at(key)
		switch {
		case x == nil:
			values[i].Status = ua.BadNodeIdUnknown
			continue
		case part == partSession:
			values[i].Status = ua.BadAttributeIdInvalid
			continue
		case facts == nil || facts.session != x:
			facts = n.server.factsOf(x)
		}
		values[i].Value, values[i].SourceTimestamp = sessionParts[part].value(facts), now
	}
}

// WriteValues is of ValueStore: nothing can be written.
func (n *sessionNodes) WriteValues(_ context.Context, _ *Caller, writes []ValueWrite) {
	for i := range writes {
		writes[i].Status = ua.BadNotWritable
	}
}

// Call is of NodeStore: there are no methods.
func (n *sessionNodes) Call(context.Context, uint64, *MethodCall) ua.StatusCode {
	return ua.BadMethodInvalid
}
