package opcua

import (
	"context"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// checkMonitor says whether an attribute of a node can be monitored by c, and returns the part of the value that is meant.
func (s *Space) checkMonitor(c *Caller, ref nodeRef, attribute uint32, parts string, encoding ua.QualifiedName) (ua.NumericRange, ua.StatusCode) {
	it := readItem{ref: ref, attribute: attribute, encoding: encoding}
	if it.refine(parts); it.status != ua.Good {
		return ua.NumericRange{}, it.status
	}
	if attribute != ua.AttributeValue {
		var v ua.DataValue
		s.describeAttribute(c.Roles, ref, attribute, &v)
		return it.parts, v.Status
	}
	var n Node
	if !s.describe(ref, &n) {
		return ua.NumericRange{}, ua.BadNodeIdUnknown
	}
	read, _ := rolesOf(&n)
	switch {
	case n.Class != ua.NodeClassVariable:
		return ua.NumericRange{}, ua.BadAttributeIdInvalid
	case levelOf(&n)&AccessCurrentRead == 0:
		return ua.NumericRange{}, ua.BadNotReadable
	case c.Roles&read == 0:
		return ua.NumericRange{}, ua.BadUserAccessDenied
	}
	return it.parts, s.checkEncoding(&n, encoding)
}

// checkEncoding says whether the value of a variable can be had in an encoding, as far as its data type says.
func (s *Space) checkEncoding(n *Node, encoding ua.QualifiedName) ua.StatusCode {
	if encoding.Name == "" {
		return ua.Good
	}
	t, abstract := s.builtIn(n.DataType)
	if abstract {
		t = ua.TypeExtensionObject
	}
	return encodingStatus(encoding, ua.AttributeValue, t)
}

// euRange returns the EURange of a variable [OPC 10000-8 5.3.2.3]; false when it has none.
func (s *Space) euRange(ctx context.Context, ref nodeRef) (low, high float64, ok bool) {
	c := s.cursor(ref, browseSpec{direction: ua.BrowseDirectionForward, kind: s.index.find(stdId(ns0.HasProperty)), subtypes: true})
	var hit browseHit
	for c.next(&hit) {
		if hit.external || hit.name != (ua.QualifiedName{Name: "EURange"}) {
			continue
		}
		var v ua.DataValue
		s.readAttribute(ctx, everyRole, hit.ref, ua.AttributeValue, &v)
		x, _ := v.Value.ExtensionObject()
		var r ua.Range
		if x.Decode(&r, ua.Limits{}) == nil && r.Low <= r.High {
			return r.Low, r.High, true
		}
	}
	return 0, 0, false
}
