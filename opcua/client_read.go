package opcua

import (
	"context"
	"time"

	"millrace/opcua/ua"
)

// attributeValue is the id of the Value attribute [OPC 10000-6 A.1].
const attributeValue = 13

// ReadOptions say how nodes are read. The zero value asks for fresh values with their source timestamps.
type ReadOptions struct {
	MaxAge     time.Duration // how old a value may be; 0 is fresh from the source, where the server can
	Timestamps ua.TimestampsToReturn
	Most       int // nodes of one request; 0 is as many as the server takes
}

// ReadPlan is nodes to read, encoded once. It is immutable: any number of goroutines may read it, with any client for whose server its namespace indexes hold.
type ReadPlan struct {
	options ReadOptions
	bytes   []byte   // the encoded ReadValueIds, one behind the other
	ends    []uint32 // where each ends in bytes
}

// NewReadPlan makes a plan of nodes, in their order. An AttributeId of 0 is that of the value.
func NewReadPlan(nodes []ua.ReadValueId, o ReadOptions) *ReadPlan {
	p := &ReadPlan{options: o, ends: make([]uint32, len(nodes))}
	for i := range nodes {
		n := nodes[i]
		if n.AttributeId == 0 {
			n.AttributeId = attributeValue
		}
		p.bytes = n.AppendTo(p.bytes)
		p.ends[i] = uint32(len(p.bytes))
	}
	return p
}

// Len returns how many nodes there are.
func (p *ReadPlan) Len() int { return len(p.ends) }

// appendTo appends what is behind the header of a request for nodes from to to-1.
func (p *ReadPlan) appendTo(b []byte, from, to int) []byte {
	b = ua.AppendDouble(b, float64(p.options.MaxAge)/float64(time.Millisecond))
	b = ua.AppendInt32(b, int32(p.options.Timestamps))
	b = ua.AppendInt32(b, int32(to-from))
	start := uint32(0)
	if from > 0 {
		start = p.ends[from-1]
	}
	return append(b, p.bytes[start:p.ends[to-1]]...)
}

// Read reads the nodes of a plan, node i into into[i], which has room for all of them. A node that the server does not give has its status there; so has one of a request that
// was not answered, BadTimeout for one. The error, an *Error, is that of the first request that failed as a whole: the others were read nevertheless, unless the connection
// ended. Strings are copies that the values of a request share: who keeps a few of them for long clones them. Numbers do not allocate.
func (c *Client) Read(ctx context.Context, p *ReadPlan, into []ua.DataValue) error {
	if len(into) < p.Len() {
		return &Error{Service: ServiceRead, Status: ua.BadInvalidArgument, Operations: p.Len(), Err: &ArgumentError{What: "no room for the results"}}
	}
	r := c.beginBatch(ServiceRead)
	r.read = clientRead{plan: p, into: into}
	err := r.run(ctx, p.Len(), &r.read)
	c.endBatch(r)
	return err
}

// ReadEach reads the nodes of a plan and calls f with each, in the calling goroutine: once for every node, those of a request in their order, with what Read would put into its
// place. v is good until f returns.
func (c *Client) ReadEach(ctx context.Context, p *ReadPlan, f func(i int, v *ua.DataValue)) error {
	r := c.beginBatch(ServiceRead)
	r.read = clientRead{plan: p, each: f}
	err := r.run(ctx, p.Len(), &r.read)
	c.endBatch(r)
	return err
}

// ReadValues reads the values of nodes.
func (c *Client) ReadValues(ctx context.Context, nodes ...ua.NodeId) ([]ua.DataValue, error) {
	ids := make([]ua.ReadValueId, len(nodes))
	for i := range nodes {
		ids[i].NodeId = nodes[i]
	}
	into := make([]ua.DataValue, len(nodes))
	return into, c.Read(ctx, NewReadPlan(ids, ReadOptions{}), into)
}

// clientRead is one run of a plan.
type clientRead struct {
	plan  *ReadPlan
	into  []ua.DataValue
	each  func(i int, v *ua.DataValue)
	value ua.DataValue // each's
}

// most returns how many nodes a request may have, of a server that takes n.
func (w *clientRead) most(n int) int {
	if w.plan != nil && w.plan.options.Most > 0 {
		return min(n, w.plan.options.Most)
	}
	return n
}

func (w *clientRead) appendTo(b []byte, from, to int) []byte { return w.plan.appendTo(b, from, to) }

func (w *clientRead) decode(d *ua.Decoder, from, to int) (done int, err error) {
	if n := d.Count(1); n != to-from && !d.Bad() {
		return 0, &CountError{Asked: to - from, Got: n}
	}
	if w.into != nil {
		for i := from; i < to; i++ {
			d.DataValueInto(&w.into[i])
		}
		return 0, d.Err()
	}
	for i := from; i < to; i++ {
		d.DataValueInto(&w.value)
		if d.Bad() {
			return i - from, d.Err()
		}
		w.each(i, &w.value)
	}
	return 0, nil
}

// fail gives nodes a status in place of a value.
func (w *clientRead) fail(from, to int, e *Error) {
	for i := from; i < to; i++ {
		v := &w.value
		if w.into != nil {
			v = &w.into[i]
		}
		*v = ua.DataValue{Status: e.Status, Has: ua.HasStatus}
		if w.each != nil {
			w.each(i, v)
		}
	}
}
