package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// spaceBatch is how many values are asked of a ValueStore at once.
const spaceBatch = 1024

// everyRole is the server itself, which may read and write whatever can be.
const everyRole Roles = 0xFF

// lookers may browse, and read attributes that are no values.
const lookers = RoleRead | RoleAdmin

// spaceScratch is what a request with many nodes works in. It is kept for the next one.
type spaceScratch struct {
	items  []readItem
	keys   []uint64
	values []ua.DataValue
}

// readItem is one attribute of one node that is to be read.
type readItem struct {
	ref       nodeRef
	attribute uint32
	status    ua.StatusCode // why it is not read
	special   bool          // there is an index range or a data encoding
	parts     ua.NumericRange
	encoding  ua.QualifiedName
}

// borrow returns a scratch, which giveBack takes again with nothing in it that would be kept alive.
func (s *Space) borrow() *spaceScratch { return s.scratch.Get().(*spaceScratch) }

func (s *Space) giveBack(x *spaceScratch) {
	clear(x.items)
	clear(x.values)
	s.scratch.Put(x)
}

// room returns items and values for n reads, n <= spaceBatch, the values as zeros.
func (x *spaceScratch) room(n int) ([]readItem, []ua.DataValue) {
	if cap(x.items) < n {
		x.items, x.values, x.keys = make([]readItem, n), make([]ua.DataValue, n), make([]uint64, 0, n)
		return x.items, x.values
	}
	clear(x.values)
	x.items, x.values = x.items[:n], x.values[:n]
	return x.items, x.values
}

// source returns where the value of a variable is when a ValueStore has it.
func (r *nodeRef) source() (ValueStore, uint64) {
	if r.mount != nil {
		return r.mount.store, r.key
	}
	if v := r.variable(); v != nil && v.store != nil {
		return v.store, v.key
	}
	return nil, 0
}

// read reads items into values, the values of one ValueStore that follow each other with one call. who is everyRole for the server itself.
func (s *Space) read(ctx context.Context, who Roles, items []readItem, values []ua.DataValue, keys []uint64) {
	for i := 0; i < len(items); {
		store, key := s.batchable(who, &items[i])
		if store == nil {
			s.readItem(ctx, who, &items[i], &values[i])
			i++
			continue
		}
		keys = append(keys[:0], key)
		j := i + 1
		for ; j < len(items); j++ {
			next, key := s.batchable(who, &items[j])
			if next != store {
				break
			}
			keys = append(keys, key)
		}
		store.ReadValues(ctx, keys, values[i:j])
		i = j
	}
}

// batchable returns the store that an item is read from, or nil when it is not, or refused.
func (s *Space) batchable(who Roles, it *readItem) (ValueStore, uint64) {
	if it.attribute != ua.AttributeValue || it.status != ua.Good {
		return nil, 0
	}
	if it.ref.mount == nil {
		b := it.ref.node.body.Load()
		if b == nil || b.variable == nil || b.variable.store == nil || b.readable(who) != ua.Good {
			return nil, 0
		}
		return b.variable.store, b.variable.key
	}
	if who&RoleRead == 0 {
		return nil, 0
	}
	return it.ref.mount.store, it.ref.key
}

// readItem reads an item that is no part of a batch.
func (s *Space) readItem(ctx context.Context, who Roles, it *readItem, v *ua.DataValue) {
	if it.status != ua.Good {
		v.Status = it.status
		return
	}
	s.readAttribute(ctx, who, it.ref, it.attribute, v)
}

// readable says whether who may read the value of b.
func (b *nodeBody) readable(who Roles) ua.StatusCode {
	switch {
	case b.class != ua.NodeClassVariable:
		return ua.BadAttributeIdInvalid
	case b.variable.level&AccessCurrentRead == 0:
		return ua.BadNotReadable
	case who&b.readRoles == 0:
		return ua.BadUserAccessDenied
	}
	return ua.Good
}

// readAttribute reads one attribute of a node into v, which comes as zeros. What is wrong is in v.Status. who is everyRole for the server itself.
func (s *Space) readAttribute(ctx context.Context, who Roles, ref nodeRef, attribute uint32, v *ua.DataValue) {
	switch {
	case attribute != ua.AttributeValue:
		s.describeAttribute(who, ref, attribute, v)
	case ref.mount != nil:
		if who&RoleRead == 0 {
			v.Status = ua.BadUserAccessDenied
			return
		}
		key := [1]uint64{ref.key}
		value := [1]ua.DataValue{}
		ref.mount.store.ReadValues(ctx, key[:], value[:])
		*v = value[0]
	default:
		ref.node.readValue(ctx, who, v)
	}
}

// readValue reads the value of a node of the Space.
func (n *node) readValue(ctx context.Context, who Roles, v *ua.DataValue) {
	b := n.body.Load()
	if b == nil {
		v.Status = ua.BadNodeIdUnknown
		return
	}
	if b.class == ua.NodeClassVariableType && !b.variable.held.value.Load().Value.IsNull() {
		*v = *b.variable.held.value.Load()
		return
	}
	if v.Status = b.readable(who); v.Status != ua.Good {
		return
	}
	switch x := b.variable; {
	case x.store != nil:
		key := [1]uint64{x.key}
		value := [1]ua.DataValue{}
		x.store.ReadValues(ctx, key[:], value[:])
		*v = value[0]
	case x.live != nil:
		x.live(ctx, v)
		stampSource(v)
	default:
		*v = *x.held.value.Load()
	}
}

// shape applies index range and data encoding of an item to what was read.
func (it *readItem) shape(v *ua.DataValue) {
	if v.Status.IsBad() {
		return
	}
	if status := encodingStatus(it.encoding, it.attribute, v.Value.Type()); status != ua.Good {
		*v = ua.DataValue{Status: status}
		return
	}
	if len(it.parts) == 0 {
		return
	}
	part, status := v.Value.ApplyRange(it.parts)
	if status != ua.Good {
		*v = ua.DataValue{Status: status}
		return
	}
	v.Value = part
}

// encodingStatus says whether a value of type t can be had in an encoding. There is one of structures, and none of anything else [OPC 10000-4 7.29].
func encodingStatus(e ua.QualifiedName, attribute uint32, t ua.TypeId) ua.StatusCode {
	switch {
	case e.Name == "":
		return ua.Good
	case attribute != ua.AttributeValue || t != ua.TypeExtensionObject:
		return ua.BadDataEncodingInvalid
	case e.NamespaceIndex == 0 && e.Name == "Default Binary":
		return ua.Good
	case e.NamespaceIndex == 0 && (e.Name == "Default XML" || e.Name == "Default JSON"):
		return ua.BadDataEncodingUnsupported
	}
	return ua.BadDataEncodingInvalid
}

// stampFor makes v have those timestamps that were asked for: a server time of now when it has none, and never one that was not asked for.
func stampFor(v *ua.DataValue, t ua.TimestampsToReturn, now ua.DateTime) {
	if t == ua.TimestampsToReturnServer || t == ua.TimestampsToReturnNeither {
		v.SourceTimestamp, v.SourcePicoseconds = 0, 0
		v.Has &^= ua.HasSourceTimestamp | ua.HasSourcePicoseconds
	}
	switch {
	case t == ua.TimestampsToReturnSource || t == ua.TimestampsToReturnNeither:
		v.ServerTimestamp, v.ServerPicoseconds = 0, 0
		v.Has &^= ua.HasServerTimestamp | ua.HasServerPicoseconds
	case v.ServerTimestamp == 0:
		v.ServerTimestamp = now
	}
}
