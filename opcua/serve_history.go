package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// minHistoryReadValueId is the shortest HistoryReadValueId: NodeId 2, null IndexRange 4, null DataEncoding 6, null continuation point 4.
const minHistoryReadValueId = 16

// serveHistoryRead answers a HistoryRead of raw values [OPC 10000-4 5.10.3, OPC 10000-11 6.4.3]. Processed and modified values and events are not
// offered.
func (s *Server) serveHistoryRead(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	h := historyReader{space: s.space, call: c, session: c.session, now: c.now()}
	list, status := h.decode(d)
	if status != ua.Good {
		return out, status
	}
	ctx, cancel := c.context(ctx)
	defer cancel()
	room := c.room(out)
	out = ua.AppendInt32(out, int32(len(list)))
	for i := range list {
		if out = h.appendResult(ctx, out, &list[i]); len(out) > room {
			return out, ua.BadResponseTooLarge
		}
	}
	return appendNoDiagnostics(out), ua.Good
}

// decode reads the request, all of it.
func (h *historyReader) decode(d *ua.Decoder) ([]ua.HistoryReadValueId, ua.StatusCode) {
	details := d.ExtensionObject()
	h.stamps, h.release = ua.TimestampsToReturn(d.I32()), d.Bool()
	n := d.Count(minHistoryReadValueId)
	if status := operations(d, n, h.space.limits.HistoryRead); status != ua.Good {
		return nil, status
	}
	switch {
	case h.stamps < ua.TimestampsToReturnSource || h.stamps > ua.TimestampsToReturnBoth:
		return nil, ua.BadTimestampsToReturnInvalid
	case !details.Is(&h.raw):
		return nil, ua.BadHistoryOperationUnsupported
	case details.Decode(&h.raw, ua.Limits{}) != nil:
		return nil, ua.BadDecodingError
	}
	if status := rawStatus(&h.raw); status != ua.Good {
		return nil, status
	}
	list := make([]ua.HistoryReadValueId, n)
	for i := range list {
		list[i].DecodeFrom(d)
	}
	_, status := endOfRequest(d, nil)
	return list, status
}

// rawStatus says what is wrong with a question for raw values: two of start, end and number must be given.
func rawStatus(raw *ua.ReadRawModifiedDetails) ua.StatusCode {
	given := 0
	for _, has := range []bool{raw.StartTime != 0, raw.EndTime != 0, raw.NumValuesPerNode != 0} {
		if has {
			given++
		}
	}
	switch {
	case raw.IsReadModified:
		return ua.BadHistoryOperationUnsupported
	case given < 2:
		return ua.BadInvalidTimestampArgument
	}
	return ua.Good
}

// historyReader reads one node of a HistoryRead after the other.
type historyReader struct {
	space   *Space
	call    *call
	session *session
	raw     ua.ReadRawModifiedDetails
	stamps  ua.TimestampsToReturn
	release bool // continuation points are given back, and nothing is read
	now     ua.DateTime
}

// appendResult appends the HistoryReadResult of one node.
func (h *historyReader) appendResult(ctx context.Context, out []byte, what *ua.HistoryReadValueId) []byte {
	var r ua.HistoryReadResult
	switch {
	case h.release:
		if h.session.browse.takeHistory(what.ContinuationPoint) == nil && len(what.ContinuationPoint) > 0 {
			r.StatusCode = ua.BadContinuationPointInvalid
		}
	case len(what.ContinuationPoint) > 0:
		p := h.session.browse.takeHistory(what.ContinuationPoint)
		if p == nil {
			r.StatusCode = ua.BadContinuationPointInvalid
			break
		}
		h.read(ctx, p, &r)
	default:
		var p *historyPoint
		if p, r.StatusCode = h.begin(what); r.StatusCode == ua.Good {
			h.read(ctx, p, &r)
		}
	}
	return r.AppendTo(out)
}

// begin says where the history of a node is, and what is asked of it.
func (h *historyReader) begin(what *ua.HistoryReadValueId) (*historyPoint, ua.StatusCode) {
	ref, ok := h.space.resolve(&h.session.aliases, what.NodeId)
	var n Node
	if !ok || !h.space.describe(ref, &n) {
		return nil, ua.BadNodeIdUnknown
	}
	store, key := ref.source()
	historian, _ := store.(Historian)
	read, _ := rolesOf(&n)
	switch {
	case n.Class != ua.NodeClassVariable || historian == nil || levelOf(&n)&AccessHistoryRead == 0:
		return nil, ua.BadHistoryOperationUnsupported
	case h.call.asks().Roles&read == 0:
		return nil, ua.BadUserAccessDenied
	case what.IndexRange != "":
		return nil, ua.BadIndexRangeNoData
	case what.DataEncoding.Name != "" && what.DataEncoding != (ua.QualifiedName{Name: "Default Binary"}):
		return nil, ua.BadDataEncodingUnsupported
	}
	return &historyPoint{historian, HistoryQuery{
		Key: key, Start: h.raw.StartTime, End: h.raw.EndTime, Max: int(h.raw.NumValuesPerNode), Bounds: h.raw.ReturnBounds,
	}}, ua.Good
}

// read reads the next values of p into r, and keeps p when there are more.
func (h *historyReader) read(ctx context.Context, p *historyPoint, r *ua.HistoryReadResult) {
	most := h.space.limits.HistoryValues
	if p.query.Max > 0 && p.query.Max < most {
		most = p.query.Max
	}
	q := p.query
	q.Max = most
	var values []ua.DataValue
	var next []byte
	var status ua.StatusCode
	h.call.unlocked(func() { values, next, status = p.historian.ReadHistory(ctx, &q, nil) })
	if ctx.Err() != nil && status.IsBad() {
		status = endedBy(ctx)
	}
	r.StatusCode = status
	if status.IsBad() {
		return
	}
	for i := range values {
		stampFor(&values[i], h.stamps, h.now)
	}
	r.HistoryData = ua.Wrap(&ua.HistoryData{DataValues: values})
	if len(values) == 0 && status == ua.Good {
		r.StatusCode = ua.GoodNoData
	}
	if next == nil {
		return
	}
	p.query.Next = next
	id, ok := h.session.browse.keepHistory(p, h.space.limits.ContinuationPoints)
	if !ok {
		*r = ua.HistoryReadResult{StatusCode: ua.BadNoContinuationPoints}
		return
	}
	text := pointId(id)
	r.ContinuationPoint = text[:]
}
