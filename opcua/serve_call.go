package opcua

import (
	"context"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// minCallMethod is the shortest CallMethodRequest: two NodeIds of 2, null array of arguments 4.
const minCallMethod = 8

// serveCall answers a Call [OPC 10000-4 5.11.2]: one method after the other, so that a client has no more of them under way than one a session. ctx ends with the
// request's TimeoutHint, with Cancel, and with the session and the connection; methods that are not begun by then are not called.
func (s *Server) serveCall(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	n := d.Count(minCallMethod)
	if status := operations(d, n, s.space.limits.Call); status != ua.Good {
		return out, status
	}
	list := make([]ua.CallMethodRequest, n)
	for i := range list {
		list[i].DecodeFrom(d)
	}
	if _, status := endOfRequest(d, nil); status != ua.Good {
		return out, status // nothing has been called
	}
	ctx, cancel := c.context(ctx)
	defer cancel()
	room := c.room(out)
	out = ua.AppendInt32(out, int32(n))
	for i := range list {
		r := ua.CallMethodResult{}
		if ctx.Err() != nil {
			r.StatusCode = endedBy(ctx)
		} else {
			r = s.callMethod(ctx, c, &list[i])
		}
		if out = r.AppendTo(out); len(out) > room {
			return out, ua.BadResponseTooLarge
		}
	}
	return appendNoDiagnostics(out), ua.Good
}

// callMethod calls one method.
func (s *Server) callMethod(ctx context.Context, c *call, r *ua.CallMethodRequest) ua.CallMethodResult {
	method, status := s.space.methodOf(&c.session.aliases, r.ObjectId, r.MethodId)
	if status != ua.Good {
		return ua.CallMethodResult{StatusCode: status}
	}
	var n Node
	if !s.space.describe(method, &n) {
		return ua.CallMethodResult{StatusCode: ua.BadMethodInvalid}
	}
	if status := callable(&n, c.asks()); status != ua.Good {
		return ua.CallMethodResult{StatusCode: status}
	}
	results, status := s.space.checkArguments(n.Inputs, r.InputArguments)
	if status != ua.Good {
		return ua.CallMethodResult{StatusCode: status, InputArgumentResults: results}
	}
	m := MethodCall{Caller: c.asks(), Object: r.ObjectId, Method: n.Id, Inputs: r.InputArguments, InputResults: results, call: c}
	c.unlocked(func() { status = n.Call(ctx, &m) })
	if ctx.Err() != nil && status.IsBad() {
		status = endedBy(ctx)
	}
	if status.IsBad() {
		m.Outputs = nil
	}
	if status != ua.BadInvalidArgument {
		m.InputResults = nil // of arguments nothing is said but what is wrong with them [OPC 10000-4 5.12.2.2]
	}
	return ua.CallMethodResult{StatusCode: status, InputArgumentResults: m.InputResults, OutputArguments: m.Outputs}
}

// callable says whether c may call a method.
func callable(n *Node, c *Caller) ua.StatusCode {
	_, write := rolesOf(n)
	switch {
	case n.Call == nil:
		return ua.BadNotExecutable
	case c.Roles&write == 0:
		return ua.BadUserAccessDenied
	}
	return ua.Good
}

// methodOf finds the method that is meant: a component of the object, or one of the object's type, in whose place the object may have its own of the same name.
func (s *Space) methodOf(aliases *nodeAliases, object, method ua.NodeId) (nodeRef, ua.StatusCode) {
	on, ok := s.resolve(aliases, object)
	if !ok {
		return nodeRef{}, ua.BadNodeIdUnknown
	}
	wanted, ok := s.resolve(aliases, method)
	var n Node
	if !ok || !s.describe(wanted, &n) || n.Class != ua.NodeClassMethod {
		return nodeRef{}, ua.BadMethodInvalid
	}
	if s.componentOf(wanted, on) {
		return wanted, ua.Good
	}
	for t := s.typeOf(on); t != nil; t = t.target(ns0.HasSubtype, true) {
		if !s.componentOf(wanted, nodeRef{node: t}) {
			continue
		}
		if own, ok := s.methodNamed(on, n.BrowseName); ok {
			return own, ua.Good
		}
		return wanted, ua.Good
	}
	return nodeRef{}, ua.BadMethodInvalid
}

// componentOf says whether a method is a component of a node. It looks from the method, which is part of few.
func (s *Space) componentOf(method, of nodeRef) bool {
	c := s.cursor(method, browseSpec{direction: ua.BrowseDirectionInverse, kind: s.index.find(stdId(ns0.HasComponent)), subtypes: true})
	var hit browseHit
	for c.next(&hit) {
		if !hit.external && hit.ref == of {
			return true
		}
	}
	return false
}

// typeOf returns the type of an object; an ObjectType is its own.
func (s *Space) typeOf(on nodeRef) *node {
	var n Node
	if !s.describe(on, &n) {
		return nil
	}
	if n.Class == ua.NodeClassObjectType {
		return on.node
	}
	return s.index.find(n.TypeDefinition)
}

// methodNamed returns the method of a node with this name.
func (s *Space) methodNamed(of nodeRef, name ua.QualifiedName) (nodeRef, bool) {
	c := s.cursor(of, browseSpec{
		direction: ua.BrowseDirectionForward, kind: s.index.find(stdId(ns0.HasComponent)), subtypes: true, classes: uint32(ua.NodeClassMethod),
	})
	var hit browseHit
	for c.next(&hit) {
		if !hit.external && hit.name == name {
			return hit.ref, true
		}
	}
	return nodeRef{}, false
}

// checkArguments compares arguments with those that a method declares, and returns one Good an argument when all fit.
func (s *Space) checkArguments(want []ua.Argument, have []ua.Variant) ([]ua.StatusCode, ua.StatusCode) {
	switch {
	case len(have) < len(want):
		return nil, ua.BadArgumentsMissing
	case len(have) > len(want):
		return nil, ua.BadTooManyArguments
	case len(have) == 0:
		return nil, ua.Good
	}
	results, status := make([]ua.StatusCode, len(have)), ua.Good
	for i := range have {
		n := Node{DataType: want[i].DataType, ValueRank: want[i].ValueRank, ArrayDimensions: want[i].ArrayDimensions}
		if results[i] = s.checkType(&n, &have[i], false); results[i] != ua.Good {
			status = ua.BadInvalidArgument
		}
	}
	return results, status
}
