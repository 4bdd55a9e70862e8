package driver

import (
	"context"
	"errors"
	"fmt"

	"millrace/internal/device"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// Write writes all items in order, each once. The type is the address's, else that of the node, which is asked for once a session.
func (s *opcuaSession) Write(ctx context.Context, p device.Plan, w []device.Write, r []device.Result) error {
	if _, ok := p.(*opcuaPlan); !ok {
		return &OPCUAPlanError{p}
	}
	clear(r)
	if err := s.client.Err(); err != nil {
		for i := range r {
			r[i].Err = fmt.Errorf("not sent: %w", err)
		}
		return explain(err)
	}
	j := opcuaWriting{points: make([]opcuaPoint, len(w)), nodes: make([]ua.NodeId, len(w)), results: r}
	for i := range w {
		j.parse(i, &w[i].Tag)
	}
	err := s.locate(ctx, &j)
	if err == nil {
		err = s.learnTypes(ctx, &j)
	}
	if err != nil {
		j.unsent(err)
		return explain(err)
	}
	j.encode(w, s.types)
	if len(j.values) == 0 {
		return nil
	}
	status := make([]ua.StatusCode, len(j.values))
	err = s.client.Write(ctx, j.values, status)
	var e *opcua.Error
	errors.As(err, &e)
	for k, i := range j.whose {
		j.written(i, status[k], err, e)
	}
	if e != nil && e.Answered && s.client.Err() == nil {
		return nil // each item has what the server said of all
	}
	return explain(err)
}

// opcuaWriting is one Write.
type opcuaWriting struct {
	points  []opcuaPoint
	nodes   []ua.NodeId // by item; null where it is not known, or the item is wrong
	results []device.Result
	values  []ua.WriteValue
	whose   []int // item of each value
}

func (j *opcuaWriting) parse(i int, t *device.TagSpec) {
	p, err := parseOPCUA(t.Address)
	if err == nil && !canWriteAttribute(p.attr) {
		err = &WriteError{p.String(), "the attribute " + opcuaAttributes[p.attr] + " is the server's"}
	}
	if err != nil {
		j.results[i].Err = &device.TagError{Tag: t.Name, Address: t.Address, Err: err}
		return
	}
	j.points[i] = p
}

// refuse says of all items of a node why it is not written.
func (j *opcuaWriting) refuse(id ua.NodeId, why ua.StatusCode) {
	for i := range j.nodes {
		if j.nodes[i] == id && j.results[i].Err == nil {
			j.results[i].Err = &NodeRefusedError{j.points[i].String(), why}
		}
	}
}

// unsent says of all items that nothing was sent.
func (j *opcuaWriting) unsent(err error) {
	for i := range j.results {
		if j.results[i].Err == nil {
			j.results[i].Err = fmt.Errorf("not sent: %w", err)
		}
	}
}

// locate finds the nodes of the items. The error is that of the connection.
func (s *opcuaSession) locate(ctx context.Context, j *opcuaWriting) error {
	var paths []ua.BrowsePath
	var whose []int
	for i := range j.points {
		p := &j.points[i]
		if j.results[i].Err != nil {
			continue
		}
		known := true
		if p.path == "" {
			j.nodes[i], known = s.nodeOf(p)
		} else if path, ok := s.browsePath(p.path); ok {
			paths, whose = append(paths, path), append(whose, i)
		} else {
			known = false
		}
		if !known {
			j.results[i].Err = &NodeRefusedError{p.String(), ua.BadNodeIdUnknown}
		}
	}
	if len(paths) == 0 {
		return nil
	}
	found, err := s.translate(ctx, paths)
	if err != nil {
		return err
	}
	for k, i := range whose {
		if j.nodes[i] = found[k]; found[k].IsNull() {
			j.results[i].Err = &NodeRefusedError{j.points[i].String(), ua.BadNodeIdUnknown}
		}
	}
	return nil
}

// learnTypes asks for the types of nodes that are not known yet. The error is that of the connection.
func (s *opcuaSession) learnTypes(ctx context.Context, j *opcuaWriting) error {
	var ask []ua.ReadValueId
	var nodes []ua.NodeId
	for i := range j.points {
		p := &j.points[i]
		if j.results[i].Err != nil || p.typ != ua.TypeNull || p.attr != ua.AttributeValue {
			continue
		}
		id := j.nodes[i]
		if _, known := s.types[id]; known {
			continue
		}
		nodes = append(nodes, id)
		for _, attr := range [...]uint32{ua.AttributeDataType, ua.AttributeValueRank, ua.AttributeValue} {
			ask = append(ask, ua.ReadValueId{NodeId: id, AttributeId: attr})
		}
	}
	if len(ask) == 0 {
		return nil
	}
	got := make([]ua.DataValue, len(ask))
	err := s.client.ReadEach(ctx, opcua.NewReadPlan(ask, opcua.ReadOptions{}), func(i int, v *ua.DataValue) { got[i] = *v })
	if err != nil {
		return err
	}
	for k, id := range nodes {
		if got[3*k].Status.Code() == ua.BadNodeIdUnknown {
			j.refuse(id, ua.BadNodeIdUnknown)
			continue
		}
		t, err := s.typeOf(ctx, got[3*k:3*k+3])
		if err != nil {
			return err
		}
		if t.typ != ua.TypeNull {
			s.types[id] = t
		}
	}
	return nil
}

// maxSupertypes is how far up a type is followed to a built-in one.
const maxSupertypes = 16

// typeOf returns what a node takes, by its DataType, its ValueRank and its value as it is. TypeNull: that cannot be said. The error is that of the connection.
func (s *opcuaSession) typeOf(ctx context.Context, attrs []ua.DataValue) (opcuaWriteType, error) {
	now := attrs[2].Value
	t := opcuaWriteType{array: now.IsArray(), dims: now.Dims()}
	if rank, ok := attrs[1].Value.Int64(); ok && rank >= -1 {
		t.array, t.rank = rank >= 0, int(rank)
	}
	if t.rank < 2 {
		t.rank = len(t.dims)
	}
	typ, _ := attrs[0].Value.NodeId()
	for range maxSupertypes {
		if b, ok := builtin(typ); ok {
			t.typ = b
			return t, nil
		}
		if abstract(typ) {
			break
		}
		up, err := s.supertype(ctx, typ)
		if err != nil {
			return t, err
		}
		typ = up
	}
	t.typ = now.Type()
	return t, nil
}

// builtin returns the built-in type whose DataType node is id, or that an enumeration is written as.
func builtin(id ua.NodeId) (ua.TypeId, bool) {
	switch {
	case id.Namespace != 0 || id.Type != ua.IdNumeric:
		return 0, false
	case id.Numeric == ns0.Enumeration:
		return ua.TypeInt32, true
	case id.Numeric >= uint32(ua.TypeBoolean) && id.Numeric <= uint32(ua.TypeLocalizedText):
		return ua.TypeId(id.Numeric), true
	}
	return 0, false
}

// abstract says whether a type has values of several built-in types: then the one that the node has now counts.
func abstract(id ua.NodeId) bool {
	if id.IsNull() {
		return true
	}
	return id.Namespace == 0 && id.Type == ua.IdNumeric &&
		(id.Numeric == ns0.BaseDataType || id.Numeric == ns0.Number || id.Numeric == ns0.Integer || id.Numeric == ns0.UInteger || id.Numeric == ns0.Structure)
}

// supertype returns the type that id is a subtype of, null when nobody says. The error is that of the connection.
func (s *opcuaSession) supertype(ctx context.Context, id ua.NodeId) (up ua.NodeId, err error) {
	ask := []ua.BrowseDescription{{NodeId: id, BrowseDirection: ua.BrowseDirectionInverse, ReferenceTypeId: ua.NumericId(0, ns0.HasSubtype), IncludeSubtypes: true}}
	_, err = s.client.Browse(ctx, ask, func(_ int, r *ua.ReferenceDescription) error {
		if r.NodeId.IsLocal() {
			up = r.NodeId.NodeId
		}
		return nil
	})
	var e *opcua.Error
	if errors.As(err, &e) && e.Answered && s.client.Err() == nil {
		err = nil
	}
	return up, err
}

// encode makes the values that are sent.
func (j *opcuaWriting) encode(w []device.Write, types map[ua.NodeId]opcuaWriteType) {
	for i := range w {
		if j.results[i].Err != nil {
			continue
		}
		p := &j.points[i]
		t := p.writeType()
		if p.typ == ua.TypeNull {
			t = types[j.nodes[i]]
		}
		if p.attr != ua.AttributeValue {
			t = opcuaWriteType{typ: ua.TypeLocalizedText}
		}
		if t.typ == ua.TypeNull {
			j.results[i].Err = &WriteError{p.String(), "the server does not say of which type it is; say it behind the address, as in ;Int16"}
			continue
		}
		v, err := p.encode(w[i].Value, t)
		if err != nil {
			j.results[i].Err = err
			continue
		}
		j.values = append(j.values, ua.WriteValue{NodeId: j.nodes[i], AttributeId: p.attr, IndexRange: p.index, Value: ua.DataValue{Value: v, Has: ua.HasValue}})
		j.whose = append(j.whose, i)
	}
}

// written says what became of an item.
func (j *opcuaWriting) written(i int, status ua.StatusCode, err error, e *opcua.Error) {
	r := &j.results[i]
	if !status.IsBad() {
		return
	}
	r.Err = &NodeRefusedError{j.points[i].String(), status}
	if err == nil || e != nil && status.Code() != e.Status.Code() {
		return
	}
	r.Err = fmt.Errorf("%s: %w", j.points[i].String(), err)
	switch {
	case e != nil:
		r.MayHaveHappened = e.MayHaveHappened()
	default:
		r.MayHaveHappened = true
	}
	if e != nil && !e.Sent {
		r.Err = fmt.Errorf("not sent: %w", err)
	}
}
