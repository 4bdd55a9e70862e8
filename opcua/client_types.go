package opcua

import (
	"context"
	"fmt"

	"millrace/opcua/ua"
)

// References between a data type, its supertype and its encodings.
const (
	refHasEncoding = 38
	refHasSubtype  = 45

	// mostTypes bounds how many data types are read for those asked for: a server whose types go on for ever is not followed.
	mostTypes = 10_000
)

// TypeError says that a data type cannot be read from the server.
type TypeError struct {
	Id     ua.NodeId // of the data type, or of an encoding
	Status ua.StatusCode
	What   string
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("opcua: data type %v: %s: %v", e.Id, e.What, e.Status)
}

// Unwrap returns the status.
func (e *TypeError) Unwrap() error { return e.Status }

// ReadTypes reads from the server what is needed to decode values of data types that this package does not know, and adds it to types: the definitions of the types themselves, of their fields, and what
// those derive from. An id is that of a data type or, as ExtensionObject.TypeId, that of an encoding. What types has already is not read again. Nobody else may use types meanwhile. The error is a *TypeError of
// the first of ids that the server does not define, or an *Error.
func (c *Client) ReadTypes(ctx context.Context, types *ua.Types, ids ...ua.NodeId) error {
	r := &typeReader{client: c, types: types, seen: map[ua.NodeId]bool{}}
	for _, id := range ids {
		r.want(id)
	}
	for len(r.next) > 0 {
		if len(r.seen) > mostTypes {
			return &TypeError{Id: r.next[0], Status: ua.BadEncodingLimitsExceeded, What: fmt.Sprintf("more than %d types", mostTypes)}
		}
		batch := r.next
		r.next = nil
		if err := r.read(ctx, batch); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if _, simple := types.Builtin(id); !simple && types.OfEncoding(id) == nil {
			return &TypeError{Id: id, Status: ua.BadDataTypeIdUnknown, What: "the server does not define it"}
		}
	}
	return nil
}

// typeReader is one run of ReadTypes.
type typeReader struct {
	client *Client
	types  *ua.Types
	seen   map[ua.NodeId]bool
	next   []ua.NodeId
}

// want has the type read, unless it is known.
func (r *typeReader) want(id ua.NodeId) {
	if _, simple := r.types.Builtin(id); simple || id.IsNull() || r.seen[id] || r.types.OfEncoding(id) != nil {
		return
	}
	r.seen[id] = true
	r.next = append(r.next, id)
}

// typeAttributes are what is read of each node, in this order.
var typeAttributes = [...]uint32{ua.AttributeNodeClass, ua.AttributeBrowseName, ua.AttributeIsAbstract, ua.AttributeDataTypeDefinition}

// read reads nodes that are data types or encodings of some.
func (r *typeReader) read(ctx context.Context, ids []ua.NodeId) error {
	var nodes []ua.ReadValueId
	var browse []ua.BrowseDescription
	for _, id := range ids {
		for _, a := range typeAttributes {
			nodes = append(nodes, ua.ReadValueId{NodeId: id, AttributeId: a})
		}
		for _, ref := range [...]uint32{refHasEncoding, refHasSubtype} {
			browse = append(browse, ua.BrowseDescription{NodeId: id, BrowseDirection: ua.BrowseDirectionBoth, ReferenceTypeId: ua.NumericId(0, ref), ResultMask: 0x3F})
		}
	}
	values := make([]ua.DataValue, len(nodes))
	if err := r.client.Read(ctx, NewReadPlan(nodes, ReadOptions{}), values); err != nil {
		return err
	}
	refs := make([][]ua.ReferenceDescription, len(ids))
	if _, err := r.client.Browse(ctx, browse, func(i int, ref *ua.ReferenceDescription) error {
		refs[i/2] = append(refs[i/2], *ref)
		return nil
	}); err != nil {
		return err
	}
	for i, id := range ids {
		r.node(id, values[i*len(typeAttributes):][:len(typeAttributes)], refs[i])
	}
	return nil
}

// node takes what was read of one.
func (r *typeReader) node(id ua.NodeId, values []ua.DataValue, refs []ua.ReferenceDescription) {
	class, _ := values[0].Value.Int64()
	if ua.NodeClass(class) != ua.NodeClassDataType {
		for i := range refs {
			if of, err := r.client.Resolve(refs[i].NodeId); err == nil && !refs[i].IsForward && refs[i].ReferenceTypeId == ua.NumericId(0, refHasEncoding) {
				r.want(of)
			}
		}
		return
	}
	name, _ := values[1].Value.QualifiedName()
	abstract, _ := values[2].Value.Boolean()
	t := ua.DataType{Id: id, Name: name.Name, Abstract: abstract}
	r.relations(&t, refs)
	r.definition(&t, values[3].Value)
	r.types.Add(t)
	r.want(t.Base)
}

// relations takes the supertype and the encodings.
func (r *typeReader) relations(t *ua.DataType, refs []ua.ReferenceDescription) {
	for i := range refs {
		ref := &refs[i]
		to, err := r.client.Resolve(ref.NodeId)
		switch {
		case err != nil:
		case ref.ReferenceTypeId == ua.NumericId(0, refHasSubtype) && !ref.IsForward:
			t.Base = to
		case ref.ReferenceTypeId == ua.NumericId(0, refHasEncoding) && ref.IsForward && ref.BrowseName.Name == "Default Binary":
			t.Binary = to
		case ref.ReferenceTypeId == ua.NumericId(0, refHasEncoding) && ref.IsForward && ref.BrowseName.Name == "Default XML":
			t.Xml = to
		}
	}
}

// definition takes the fields, and has their types read.
func (r *typeReader) definition(t *ua.DataType, v ua.Variant) {
	x, ok := v.ExtensionObject()
	if !ok {
		return // a simple type, or a server that keeps it to itself
	}
	lim := r.client.cfg.Limits
	var s ua.StructureDefinition
	if x.Decode(&s, lim) == nil {
		t.Structure = &s
		if t.Binary.IsNull() {
			t.Binary = s.DefaultEncodingId
		}
		for i := range s.Fields {
			r.want(s.Fields[i].DataType)
		}
		return
	}
	var e ua.EnumDefinition
	if x.Decode(&e, lim) == nil {
		t.Enum = &e
	}
}
