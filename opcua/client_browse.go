package opcua

import (
	"cmp"
	"context"
	"errors"

	"millrace/opcua/ua"
)

const (
	// mostContinued bounds the BrowseNext requests for one node: a server that continues for ever is not believed.
	mostContinued = 10_000
	// defaultWalkNodes and defaultWalkDepth bound a walk that does not say.
	defaultWalkNodes, defaultWalkDepth = 1 << 20, 64
)

// References that a walk follows, with all their subtypes.
const hierarchicalReferences = 33

// Forward returns what to ask for to get all hierarchical references of a node to those below it, with everything that is said of them.
func Forward(node ua.NodeId) ua.BrowseDescription {
	return ua.BrowseDescription{NodeId: node, BrowseDirection: ua.BrowseDirectionForward, ReferenceTypeId: ua.NumericId(0, hierarchicalReferences), IncludeSubtypes: true, ResultMask: 0x3F}
}

// Browse asks for the references of nodes and calls f with each of them: i is the number of the node in nodes. What a server does not give at once is fetched by BrowseNext. statuses has what
// the server said of each node. An error of f ends it and is returned; the other error, an *Error, is that of the first request that failed as a whole.
func (c *Client) Browse(ctx context.Context, nodes []ua.BrowseDescription, f func(i int, r *ua.ReferenceDescription) error) (statuses []ua.StatusCode, err error) {
	w := &clientBrowse{nodes: nodes, statuses: make([]ua.StatusCode, len(nodes)), each: f}
	err = c.split(ctx, ServiceBrowse, len(nodes), w)
	err = c.browseNext(ctx, w, err)
	for _, i := range w.later { // one by one: a server that is out of continuation points has given those before back
		if w.stop != nil || c.Err() != nil || ctx.Err() != nil {
			break
		}
		one := &clientBrowse{nodes: nodes[i : i+1], statuses: w.statuses[i : i+1], each: func(_ int, r *ua.ReferenceDescription) error { return f(i, r) }}
		bad := c.split(ctx, ServiceBrowse, 1, one)
		err = c.browseNext(ctx, one, cmp.Or(err, bad))
		w.stop = one.stop
	}
	return w.statuses, cmp.Or(w.stop, err)
}

// browseNext fetches what the server has kept back. It returns err, or the first error of its own.
func (c *Client) browseNext(ctx context.Context, w *clientBrowse, err error) error {
	for round := 0; len(w.points) > 0; round++ {
		points, of := w.points, w.of
		w.points, w.of = nil, nil
		if w.stop != nil || round >= mostContinued || ctx.Err() != nil || c.Err() != nil {
			c.releasePoints(points)
			for _, i := range of {
				w.statuses[i] = ua.BadNoContinuationPoints
			}
			break
		}
		bad := c.split(ctx, ServiceBrowseNext, len(points), &clientBrowseNext{clientBrowse: w, from: points, node: of})
		err = cmp.Or(err, bad)
	}
	return err
}

// releasePoints gives continuation points back, whose references nobody wants any more. Servers have few.
func (c *Client) releasePoints(points [][]byte) {
	if c.Err() != nil {
		return
	}
	var got ua.BrowseNextResponse
	_ = c.conn.do(unending{}, &ua.BrowseNextRequest{ReleaseContinuationPoints: true, ContinuationPoints: points}, &got, len(points)) // they end with the session otherwise
}

// clientBrowse is one call of Browse.
type clientBrowse struct {
	nodes    []ua.BrowseDescription
	statuses []ua.StatusCode
	each     func(i int, r *ua.ReferenceDescription) error
	stop     error // of each

	later  []int    // for which the server had no continuation point left
	points [][]byte // to go on from
	of     []int    // of which node
}

func (w *clientBrowse) appendTo(b []byte, from, to int) []byte {
	b = (&ua.ViewDescription{}).AppendTo(b)
	b = ua.AppendUInt32(b, 0) // as many references as the server likes
	b = ua.AppendInt32(b, int32(to-from))
	for i := from; i < to; i++ {
		b = w.nodes[i].AppendTo(b)
	}
	return b
}

func (w *clientBrowse) decode(d *ua.Decoder, from, to int) (int, error) {
	return w.results(d, to-from, func(k int) int { return from + k })
}

// results takes n of them, the k-th of node(k). All are decoded before one is told: what is told cannot be taken back.
func (w *clientBrowse) results(d *ua.Decoder, n int, node func(k int) int) (int, error) {
	if got := d.Count(12); got != n && !d.Bad() {
		return 0, &CountError{Asked: n, Got: got}
	}
	all := make([]ua.BrowseResult, n)
	for k := range all {
		all[k].DecodeFrom(d)
	}
	if err := d.Err(); err != nil {
		return 0, err
	}
	for k := range all {
		w.result(node(k), &all[k])
	}
	return 0, nil
}

// result takes what came for node i.
func (w *clientBrowse) result(i int, r *ua.BrowseResult) {
	w.statuses[i] = r.StatusCode
	if r.StatusCode == ua.BadNoContinuationPoints && len(w.nodes) > 1 {
		w.later = append(w.later, i)
		return
	}
	for k := range r.References {
		if w.stop == nil {
			w.stop = w.each(i, &r.References[k])
		}
	}
	if len(r.ContinuationPoint) > 0 {
		w.points, w.of = append(w.points, r.ContinuationPoint), append(w.of, i)
	}
}

func (w *clientBrowse) fail(from, to int, e *Error) { failStatuses(w.statuses[from:to], e) }

// clientBrowseNext is one round of BrowseNext.
type clientBrowseNext struct {
	*clientBrowse
	from [][]byte
	node []int
}

func (w *clientBrowseNext) appendTo(b []byte, from, to int) []byte {
	b = append(b, 0) // go on, do not release
	b = ua.AppendInt32(b, int32(to-from))
	for _, p := range w.from[from:to] {
		b = ua.AppendByteString(b, p)
	}
	return b
}

func (w *clientBrowseNext) decode(d *ua.Decoder, from, to int) (int, error) {
	return w.results(d, to-from, func(k int) int { return w.node[from+k] })
}

func (w *clientBrowseNext) fail(from, to int, e *Error) {
	for _, i := range w.node[from:to] {
		w.statuses[i] = e.Status
	}
}

// WalkOptions bound a walk.
type WalkOptions struct {
	MaxNodes int // nodes told at most; default 1 Mi
	MaxDepth int // references from the root; default 64
	// References are the type of those that are followed, with its subtypes; default HierarchicalReferences.
	References  ua.NodeId
	NodeClasses uint32 // bits of ua.NodeClass; 0 all
}

// Found is one node that a walk came to.
type Found struct {
	Node      ua.NodeId // by this session's namespace indexes
	Parent    ua.NodeId
	Depth     int // 1 for what the root refers to
	Reference *ua.ReferenceDescription
}

// ErrSkip is what a function gives Walk in answer to a node below which it wants nothing.
var ErrSkip = errors.New("opcua: skip what is below")

// ErrWalkTooLong is returned by a walk that came to the end of WalkOptions.MaxNodes.
var ErrWalkTooLong = errors.New("opcua: more nodes than the walk may visit")

// Walk follows the hierarchical references from a node downwards, breadth first, and calls f with each node that it comes to, once, however many ways lead there. An error of f ends it; ErrSkip
// leaves out what is below the node. Nodes of other servers are not told.
func (c *Client) Walk(ctx context.Context, root ua.NodeId, o WalkOptions, f func(Found) error) error {
	w := &walk{client: c, options: o, each: f, seen: map[ua.NodeId]bool{root: true}, level: []ua.NodeId{root}}
	if w.options.MaxNodes <= 0 {
		w.options.MaxNodes = defaultWalkNodes
	}
	if w.options.MaxDepth <= 0 {
		w.options.MaxDepth = defaultWalkDepth
	}
	for depth := 1; len(w.level) > 0 && depth <= w.options.MaxDepth; depth++ {
		if err := w.down(ctx, depth); err != nil {
			return err
		}
	}
	return nil
}

// walk is one call of Walk.
type walk struct {
	client  *Client
	options WalkOptions
	each    func(Found) error
	seen    map[ua.NodeId]bool // the root and what was told
	level   []ua.NodeId        // whose references are asked for now
	next    []ua.NodeId        // and then
}

// down asks for the references of a level, a request's worth at a time.
func (w *walk) down(ctx context.Context, depth int) error {
	for from := 0; from < len(w.level); {
		to := min(len(w.level), from+w.client.limits.operations(ServiceBrowse))
		nodes := w.level[from:to]
		ask := make([]ua.BrowseDescription, len(nodes))
		for i := range nodes {
			ask[i] = Forward(nodes[i])
			ask[i].NodeClassMask = w.options.NodeClasses
			if !w.options.References.IsNull() {
				ask[i].ReferenceTypeId = w.options.References
			}
		}
		_, err := w.client.Browse(ctx, ask, func(i int, r *ua.ReferenceDescription) error {
			return w.found(Found{Parent: nodes[i], Depth: depth, Reference: r})
		})
		if err != nil {
			return err
		}
		from = to
	}
	w.level, w.next = w.next, nil
	return nil
}

// found tells of a node that was not told before.
func (w *walk) found(n Found) (err error) {
	n.Node, err = w.client.Resolve(n.Reference.NodeId)
	if err != nil || w.seen[n.Node] {
		return nil // on another server, in a namespace that this one does not have, or known
	}
	if len(w.seen) > w.options.MaxNodes {
		return ErrWalkTooLong
	}
	w.seen[n.Node] = true
	switch err := w.each(n); {
	case errors.Is(err, ErrSkip):
		return nil
	case err != nil:
		return err
	}
	w.next = append(w.next, n.Node)
	return nil
}
