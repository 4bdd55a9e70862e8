package driver

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// opcuaNode is a tag that is read.
type opcuaNode struct {
	id       tag.ID
	point    opcuaPoint
	every    bool    // the tag wants every value, not only those that differ
	deadband float64 // that the server is asked for, in raw units or percent; 0 none
}

// opcuaPlan is immutable. Namespaces by URI and browse paths in it become node ids on a session, which knows what they are there.
type opcuaPlan struct {
	opts  opcuaOptions
	lim   device.Limits
	tags  []device.TagSpec
	nodes []opcuaNode // in service
	out   []tag.ID    // out of service
	most  int         // nodes of one request
}

// Tags returns the tags in the order given to Compile, without those that it refused.
func (p *opcuaPlan) Tags() []device.TagSpec { return p.tags }

// Pace returns how many requests are in flight at once.
func (p *opcuaPlan) Pace() device.Pace {
	w := p.opts.inFlight()
	return device.Pace{Window: w, MaxWindow: w, Connections: 1}
}

// polls says whether the values are asked for rather than sent. A server that is asked for less at once is not subscribed at: that takes requests of all nodes, and then
// answers of any length.
func (p *opcuaPlan) polls() bool { return p.opts.mode == opcuaPoll || p.lim.MaxTags > 0 }

// Bytes of messages without security. What has no length that is known before is reckoned with as many bytes as a Double has.
const (
	opcuaChunk    = 12 + 4 + 8                        // message, security and sequence header
	opcuaHeader   = 4 + 2 + 4 + 16 + 8 + 4*4 + 3      // encoding id, RequestHeader with a token of 16 bytes
	opcuaAnswer   = 4 + 8 + 4 + 4 + 1 + 4 + 3 + 4 + 4 // encoding id, ResponseHeader, count of results and of diagnostics
	opcuaValue    = 1 + 1 + 8                         // mask, type, source timestamp
	opcuaNotice   = 4                                 // client handle
	opcuaUnknown  = 8
	opcuaSettings = 4 + 4 + 6 // attribute, range, encoding of a node to read
)

// Requests describes what a cycle costs: reads, or with subscriptions the messages in which the server sends every value once.
func (p *opcuaPlan) Requests() []device.Request {
	var out []device.Request
	for from := 0; from < len(p.nodes); from += p.most {
		part := p.nodes[from:min(from+p.most, len(p.nodes))]
		r := device.Request{Op: "read", From: uint32(from + 1), To: uint32(from + len(part)), Tags: len(part)}
		r.BytesOut, r.BytesIn = opcuaChunk+opcuaHeader, opcuaChunk+opcuaAnswer
		if !p.polls() {
			r.Op, r.BytesOut = "publish", r.BytesOut+12
		} else {
			r.BytesOut += 16
		}
		for i := range part {
			out, in := part[i].bytes(p.polls())
			r.BytesOut, r.BytesIn = r.BytesOut+out, r.BytesIn+in
		}
		out = append(out, r)
	}
	return out
}

// bytes returns how much a node adds to a request and its answer.
func (n *opcuaNode) bytes(polled bool) (out, in int) {
	width := n.point.kind().Width()
	if width == 0 || n.point.typ == ua.TypeNull {
		width = opcuaUnknown
	}
	if !polled {
		return 0, opcuaNotice + opcuaValue + width
	}
	return len(ua.AppendNodeId(nil, n.point.node)) + opcuaSettings + len(n.point.index), opcuaValue + width
}

// Compile plans the reads of tags, or their subscription. Nothing of the server is known yet: what it does not have shows in the quality of its tag.
func (d OPCUA) Compile(a device.Addr, tags []device.TagSpec, lim device.Limits) (device.Plan, error) {
	o, err := d.parseOptions(a)
	if err == nil {
		err = checkOneConnection(lim)
	}
	if err != nil {
		return nil, err
	}
	p := &opcuaPlan{opts: o, lim: lim, tags: tags, most: o.nodes(lim), nodes: make([]opcuaNode, 0, len(tags))}
	var errs []error
	for i := range tags {
		err := p.add(&tags[i])
		switch {
		case err != nil && len(errs) == 0:
			p.tags = slices.Clone(tags[:i]) // from here on it is not tags any more
			fallthrough
		case err != nil:
			errs = append(errs, &device.TagError{Tag: tags[i].Name, Address: tags[i].Address, Err: err})
		case len(errs) > 0:
			p.tags = append(p.tags, tags[i])
		}
	}
	return p, errors.Join(errs...)
}

func (p *opcuaPlan) add(t *device.TagSpec) error {
	point, err := parseOPCUA(t.Address)
	if err != nil {
		return err
	}
	if t.Writable && !canWriteAttribute(point.attr) {
		return &WriteError{point.String(), "the attribute " + opcuaAttributes[point.attr] + " is the server's"}
	}
	if t.OutOfService {
		p.out = append(p.out, t.ID)
		return nil
	}
	terms := t.Terms()
	p.nodes = append(p.nodes, opcuaNode{id: t.ID, point: point, every: terms.Deadband.Every, deadband: p.deadbandOf(&terms)})
	return nil
}

// canWriteAttribute says whether servers let attributes of that kind be written.
func canWriteAttribute(attr uint32) bool {
	switch attr {
	case ua.AttributeValue, ua.AttributeDisplayName, ua.AttributeDescription:
		return true
	}
	return false
}

// deadbandOf returns the deadband that the server is asked for. A tag's own is in engineering units; one in percent of a range is held back here, since what the
// server takes percent of is the range that it has itself.
func (p *opcuaPlan) deadbandOf(t *device.Terms) float64 {
	d := p.opts.deadband
	switch {
	case t.Deadband.Every:
		return 0
	case !d.tags:
		return d.value
	case t.Scale != 0:
		return t.Deadband.Abs / math.Abs(t.Scale)
	}
	return t.Deadband.Abs
}

// sameNodes says whether p and q ask for the same in the same way, so that what a session has of one serves the other.
func (p *opcuaPlan) sameNodes(q *opcuaPlan) bool {
	return p.opts == q.opts && p.lim.MaxTags == q.lim.MaxTags && slices.Equal(p.nodes, q.nodes)
}

// overlaps says whether a tag of one is in the other: then one has taken the place of the other.
func (p *opcuaPlan) overlaps(q *opcuaPlan) bool {
	has := func(p *opcuaPlan, id tag.ID) bool {
		return slices.ContainsFunc(p.tags, func(t device.TagSpec) bool { return t.ID == id })
	}
	return len(p.tags) > 0 && len(q.tags) > 0 && (has(p, q.tags[0].ID) || has(q, p.tags[0].ID))
}

// OPCUAPlanError is a plan of another driver.
type OPCUAPlanError struct{ Plan device.Plan }

func (e *OPCUAPlanError) Error() string { return fmt.Sprintf("opcua: a plan of type %T", e.Plan) }
