package opcua

import (
	"context"
	"time"

	"millrace/opcua/ua"
)

// HistoryRange says which values of the past to read [OPC 10000-11 6.4.3].
type HistoryRange struct {
	Nodes []ua.NodeId
	// From and To bound the source timestamps, From included; To before From asks for the newest first. One of them may be zero: then MaxValues bounds the rest.
	From, To time.Time
	// MaxValues of one node in one answer; 0 leaves it to the server. It bounds nothing where both times are given: what is left is fetched.
	MaxValues uint32
	// Bounds asks for the values at the limits, or beside them, too.
	Bounds bool
}

// HistoryRead reads raw values of the past and calls f with each, in the order of time for each node: i is its number in h.Nodes, v is good until f returns. What a server does not give at once is
// fetched. statuses has what the server said of each node. An error of f ends it and is returned; the other error, an *Error, is that of the first request that failed as a whole.
func (c *Client) HistoryRead(ctx context.Context, h HistoryRange, f func(i int, v *ua.DataValue) error) (statuses []ua.StatusCode, err error) {
	w := &clientHistory{h: &h, lim: c.cfg.Limits, statuses: make([]ua.StatusCode, len(h.Nodes)), each: f}
	w.nodes = make([]historyNode, len(h.Nodes))
	for i := range w.nodes {
		w.nodes[i].i = i
	}
	for round := 0; len(w.nodes) > 0 && round < mostContinued; round++ {
		w.more = nil
		if bad := c.split(ctx, ServiceHistoryRead, len(w.nodes), w); err == nil {
			err = bad
		}
		w.nodes = w.more
		if w.stop != nil || c.Err() != nil || ctx.Err() != nil || h.From.IsZero() || h.To.IsZero() {
			break
		}
	}
	if len(w.nodes) > 0 && c.Err() == nil {
		w.release = true
		_ = c.split(unending{}, ServiceHistoryRead, len(w.nodes), w) // they end with the session otherwise
	}
	if w.stop != nil {
		err = w.stop
	}
	return w.statuses, err
}

// historyNode is a node with where to go on.
type historyNode struct {
	i     int
	point []byte
}

// clientHistory is one round of HistoryRead.
type clientHistory struct {
	h        *HistoryRange
	lim      ua.Limits
	nodes    []historyNode
	more     []historyNode // of which there is more
	release  bool
	statuses []ua.StatusCode
	each     func(i int, v *ua.DataValue) error
	value    ua.DataValue
	stop     error // of each
}

func (w *clientHistory) appendTo(b []byte, from, to int) []byte {
	details := ua.ReadRawModifiedDetails{StartTime: dateTime(w.h.From), EndTime: dateTime(w.h.To), NumValuesPerNode: w.h.MaxValues, ReturnBounds: w.h.Bounds}
	b = ua.AppendWrapped(b, &details)
	b = ua.AppendInt32(b, int32(ua.TimestampsToReturnBoth))
	b = ua.AppendBoolean(b, w.release)
	b = ua.AppendInt32(b, int32(to-from))
	for _, n := range w.nodes[from:to] {
		id := ua.HistoryReadValueId{NodeId: w.h.Nodes[n.i], ContinuationPoint: n.point}
		b = id.AppendTo(b)
	}
	return b
}

// dateTime returns t for the wire; a time that is not given is null.
func dateTime(t time.Time) ua.DateTime {
	if t.IsZero() {
		return 0
	}
	return ua.DateTimeOf(t)
}

func (w *clientHistory) decode(d *ua.Decoder, from, to int) (int, error) {
	if w.release {
		return 0, nil
	}
	if n := d.Count(8); n != to-from && !d.Bad() {
		return 0, &CountError{Asked: to - from, Got: n}
	}
	all := make([]ua.HistoryReadResult, to-from)
	for k := range all {
		all[k].DecodeFrom(d)
	}
	if err := d.Err(); err != nil {
		return 0, err
	}
	for k := range all {
		w.result(w.nodes[from+k].i, &all[k])
	}
	return 0, nil
}

// result takes what came for node i.
func (w *clientHistory) result(i int, r *ua.HistoryReadResult) {
	w.statuses[i] = r.StatusCode
	if r.HistoryData.Is(&ua.HistoryData{}) {
		d := ua.NewDecoder(r.HistoryData.Body, w.lim)
		for n := d.Count(1); n > 0 && w.stop == nil; n-- {
			d.DataValueInto(&w.value)
			if d.Bad() {
				break
			}
			w.stop = w.each(i, &w.value)
		}
		if d.Bad() {
			w.statuses[i] = d.Status()
		}
	}
	if len(r.ContinuationPoint) > 0 {
		w.more = append(w.more, historyNode{i: i, point: r.ContinuationPoint})
	}
}

func (w *clientHistory) fail(from, to int, e *Error) {
	for _, n := range w.nodes[from:to] {
		w.statuses[n.i] = e.Status
	}
}
