package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// minReadValueId is the shortest ReadValueId: NodeId 2, AttributeId 4, null IndexRange 4, null DataEncoding 2+4.
const minReadValueId = 16

// serveRead answers a Read [OPC 10000-4 5.10.2]. Requests and values are never put together: an id is looked up as it lies in the request, and a value is encoded where it
// goes.
func (s *Server) serveRead(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	age, stamps, n := d.F64(), ua.TimestampsToReturn(d.I32()), d.Count(minReadValueId)
	switch {
	case d.Bad():
		return out, d.Status()
	case n == 0:
		return out, ua.BadNothingToDo
	case n > s.space.limits.Read:
		return out, ua.BadTooManyOperations
	case stamps < ua.TimestampsToReturnSource || stamps > ua.TimestampsToReturnNeither:
		return out, ua.BadTimestampsToReturnInvalid
	case !(age >= 0): // NaN too
		return out, ua.BadMaxAgeInvalid
	}
	x := s.space.borrow()
	defer s.space.giveBack(x)
	room := c.room(out)
	out = ua.AppendInt32(out, int32(n))
	for n > 0 {
		k := min(n, spaceBatch)
		items, values := x.room(k)
		if s.space.decodeReads(d, &c.session.aliases, items); d.Bad() {
			return out, d.Status()
		}
		s.space.read(ctx, c.session.caller.Roles, items, values, x.keys)
		if out = appendReads(out, items, values, stamps, c.now()); len(out) > room {
			return out, ua.BadResponseTooLarge
		}
		n -= k
	}
	return endOfRequest(d, appendNoDiagnostics(out))
}

// appendReads appends what was read, in the shape that was asked for.
func appendReads(out []byte, items []readItem, values []ua.DataValue, stamps ua.TimestampsToReturn, now ua.DateTime) []byte {
	for i := range values {
		v := &values[i]
		if items[i].special {
			items[i].shape(v)
		}
		if items[i].attribute != ua.AttributeValue {
			v.SourceTimestamp = 0 // only values have one [OPC 10000-4 7.11.3]
		}
		stampFor(v, stamps, now)
		out = v.AppendTo(out)
	}
	return out
}

// decodeReads reads len(items) ReadValueIds and looks their nodes up. d is in Alias mode.
func (s *Space) decodeReads(d *ua.Decoder, aliases *nodeAliases, items []readItem) {
	find := nodeFinder{space: s, aliases: aliases}
	defer find.end()
	for i := range items {
		it := &items[i]
		*it = readItem{}
		if !find.next(d, &it.ref) {
			it.status = ua.BadNodeIdUnknown
		}
		it.attribute = d.U32()
		parts := d.String()
		it.encoding = d.QualifiedName()
		it.refine(parts)
	}
}

// refine looks at what is wrong with an item before it is read.
func (it *readItem) refine(parts string) {
	it.special = parts != "" || it.encoding.Name != ""
	switch {
	case it.status != ua.Good:
	case it.attribute < ua.AttributeNodeId || it.attribute > ua.AttributeAccessLevelEx:
		it.status = ua.BadAttributeIdInvalid
	case it.encoding.Name != "" && it.attribute != ua.AttributeValue:
		it.status = ua.BadDataEncodingInvalid
	case parts != "":
		var err error
		if it.parts, err = ua.ParseNumericRange(parts); err != nil {
			it.status = ua.BadIndexRangeInvalid
		}
	}
}

// nodeFinder looks up one id of a request after the other. It holds the lock of the index over those that are there, so that it is taken once for all of them, and not while a
// NodeStore is asked. end must be called.
type nodeFinder struct {
	space   *Space
	aliases *nodeAliases
	locked  bool
}

func (f *nodeFinder) lock() {
	if !f.locked {
		f.space.index.mu.RLock()
		f.locked = true
	}
}

func (f *nodeFinder) end() {
	if f.locked {
		f.space.index.mu.RUnlock()
		f.locked = false
	}
}

// Forms of a NodeId [OPC 10000-6 5.2.2.9].
const (
	formTwoByte = iota
	formFourByte
	formNumeric
	formString
	formGuid
	formOpaque
)

// next reads a NodeId and looks it up. A text is looked up as it lies in the request, without being made a string of its own.
func (f *nodeFinder) next(d *ua.Decoder, ref *nodeRef) bool {
	switch d.U8() {
	case formTwoByte:
		return f.find(ua.NumericId(0, uint32(d.U8())), ref)
	case formFourByte:
		ns := uint16(d.U8())
		return f.find(ua.NumericId(ns, uint32(d.U16())), ref)
	case formNumeric:
		ns := d.U16()
		return f.find(ua.NumericId(ns, d.U32()), ref)
	case formString:
		ns := d.U16()
		return f.findText(ns, d.Bytes(), ref)
	case formGuid:
		ns := d.U16()
		return f.find(ua.GuidId(ns, d.Guid()), ref)
	case formOpaque:
		ns := d.U16()
		return f.find(ua.OpaqueId(ns, d.Bytes()), ref)
	}
	d.Fail(ua.BadDecodingError, "a NodeId of an unknown form")
	return false
}

func (f *nodeFinder) findText(ns uint16, text []byte, ref *nodeRef) bool {
	if m := f.space.mount(ns); m != nil {
		f.end()
		return f.findFar(m, text, ref)
	}
	f.lock()
	if x := &f.space.index; int(ns) < len(x.text) {
		ref.node = x.text[ns][string(text)]
	}
	return ref.node != nil && ref.node.body.Load() != nil || ns == sessionNamespace && f.findSession(ua.StringId(ns, string(text)), ref)
}

// findSession looks among the nodes of the server's sessions for what is nowhere else.
func (f *nodeFinder) findSession(id ua.NodeId, ref *nodeRef) bool {
	f.end()
	r, ok := f.space.ofSessions(f.aliases, id)
	*ref = r
	return ok
}

// findFar looks a text up in a NodeStore, or among the nodes that the Space adds to it.
func (f *nodeFinder) findFar(m *spaceMount, text []byte, ref *nodeRef) bool {
	if m.finder != nil {
		key, ok := m.finder.FindText(text)
		*ref = nodeRef{mount: m, key: key}
		return ok
	}
	r, ok := f.space.resolve(nil, ua.StringId(m.namespace, string(text)))
	*ref = r
	return ok
}

// find looks up an id that is no text, or one of a NodeStore that wants a NodeId.
func (f *nodeFinder) find(id ua.NodeId, ref *nodeRef) bool {
	if id.Namespace == aliasNamespace || f.space.mount(id.Namespace) != nil {
		f.end()
		r, ok := f.space.resolve(f.aliases, id)
		*ref = r
		return ok
	}
	f.lock()
	ref.node = f.space.index.get(&id)
	return ref.node != nil && ref.node.body.Load() != nil || id.Namespace == sessionNamespace && f.findSession(id, ref)
}
