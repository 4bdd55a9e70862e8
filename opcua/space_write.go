package opcua

import "millrace/opcua/ua"

// writable says whether who may write values to a node, and gives what makes it a variable.
func (s *Space) writable(who Roles, ref nodeRef) (*Node, ua.StatusCode) {
	n := new(Node)
	if !s.describe(ref, n) {
		return nil, ua.BadNodeIdUnknown
	}
	_, write := rolesOf(n)
	switch {
	case n.Class != ua.NodeClassVariable:
		return nil, ua.BadAttributeIdInvalid
	case n.AccessLevel&AccessCurrentWrite == 0:
		return nil, ua.BadNotWritable
	case who&write == 0:
		return nil, ua.BadUserAccessDenied
	}
	return n, ua.Good
}

// checkWrite says whether v can be the value of n, as far as the Space knows: status and timestamps that nobody would keep, type and rank. It may change
// v to what the type of n means.
func (s *Space) checkWrite(store ValueStore, n *Node, v *ua.DataValue, part bool) ua.StatusCode {
	var status, stamps bool
	if store == nil {
		status, stamps = true, true
	} else if w, ok := store.(StampWriter); ok {
		status, stamps = w.WritesStamps()
	}
	if v.Status != ua.Good && !status || (v.SourceTimestamp != 0 || v.ServerTimestamp != 0) && !stamps {
		return ua.BadWriteNotSupported
	}
	return s.checkType(n, &v.Value, part)
}

// writeHeld writes the value of a node that the Space keeps itself.
func (s *Space) writeHeld(ref nodeRef, w *ValueWrite) ua.StatusCode {
	x := ref.variable()
	if x == nil || x.held == nil {
		return ua.BadNotWritable // its value is made at each read
	}
	v := w.Value
	v.Value = cloneVariant(v.Value)
	stampSource(&v)
	v.ServerTimestamp, v.ServerPicoseconds, v.Has = 0, 0, 0
	h := x.held
	h.set.Lock()
	defer h.set.Unlock()
	if len(w.Range) > 0 {
		whole, status := h.value.Load().Value.Splice(w.Range, v.Value)
		if status != ua.Good {
			return status
		}
		v.Value = whole
	}
	h.value.Store(&v)
	s.watching.tell(h, &v)
	return ua.Good
}

// attributeWritable says why an attribute that is no value is not written: none can be.
func (s *Space) attributeWritable(ref nodeRef, attribute uint32) ua.StatusCode {
	var v ua.DataValue
	if s.describeAttribute(everyRole, ref, attribute, &v); v.Status != ua.Good {
		return v.Status
	}
	return ua.BadNotWritable
}

// cloneVariant returns v with nothing in it that points into a request.
func cloneVariant(v ua.Variant) ua.Variant {
	if t := v.Type(); !v.IsArray() && (t <= ua.TypeDouble || t == ua.TypeDateTime || t == ua.TypeStatusCode) {
		return v
	}
	d := ua.NewDecoder(v.AppendTo(nil), ua.Limits{})
	return d.Variant()
}
