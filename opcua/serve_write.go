package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// minWriteValue is the shortest WriteValue: NodeId 2, AttributeId 4, null IndexRange 4, empty DataValue 1.
const minWriteValue = 11

// serveWrite answers a Write [OPC 10000-4 5.10.4]. Values that go to one ValueStore and follow each other reach it in one call. What has not reached one by the time that
// ctx ends, as that of a method does, is not written.
func (s *Server) serveWrite(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	n := d.Count(minWriteValue)
	if status := operations(d, n, s.space.limits.Write); status != ua.Good {
		return out, status
	}
	w := spaceWriter{space: s.space, call: c, results: make([]ua.StatusCode, n)}
	list := make([]ua.WriteValue, n)
	for i := range list {
		list[i].DecodeFrom(d)
	}
	if _, status := endOfRequest(d, nil); status != ua.Good {
		return out, status // nothing has been written
	}
	ctx, cancel := c.context(ctx)
	defer cancel()
	for i := range list {
		w.add(ctx, i, &c.session.aliases, &list[i])
	}
	w.flush(ctx)
	return appendStatuses(out, w.results), ua.Good
}

// spaceWriter takes one write after the other, and gives those that go to the same store to it together.
type spaceWriter struct {
	space   *Space
	call    *call
	results []ua.StatusCode

	store  ValueStore // of the writes that wait
	writes []ValueWrite
	places []int // their results
}

// add takes the write whose result is results[i].
func (w *spaceWriter) add(ctx context.Context, i int, aliases *nodeAliases, v *ua.WriteValue) {
	ref, ok := w.space.resolve(aliases, v.NodeId)
	if !ok {
		w.results[i] = ua.BadNodeIdUnknown
		return
	}
	if v.AttributeId != ua.AttributeValue {
		w.results[i] = w.space.attributeWritable(ref, v.AttributeId)
		return
	}
	n, status := w.space.writable(w.call.asks().Roles, ref)
	if status != ua.Good {
		w.results[i] = status
		return
	}
	write := ValueWrite{Value: v.Value}
	if v.IndexRange != "" {
		parts, err := ua.ParseNumericRange(v.IndexRange)
		if err != nil {
			w.results[i] = ua.BadIndexRangeInvalid
			return
		}
		write.Range = parts
	}
	w.value(ctx, i, ref, n, write)
}

// value takes a write of a value that may be written.
func (w *spaceWriter) value(ctx context.Context, i int, ref nodeRef, n *Node, write ValueWrite) {
	store, key := ref.source()
	if w.results[i] = w.space.checkWrite(store, n, &write.Value, len(write.Range) > 0); w.results[i] != ua.Good {
		return
	}
	if store == nil {
		w.flush(ctx)
		w.results[i] = w.space.writeHeld(ref, &write)
		return
	}
	if store != w.store {
		w.flush(ctx)
		w.store = store
	}
	write.Key = key
	w.writes, w.places = append(w.writes, write), append(w.places, i)
}

// flush gives the store what waits for it.
func (w *spaceWriter) flush(ctx context.Context) {
	if len(w.writes) == 0 {
		return
	}
	if ctx.Err() == nil {
		w.call.unlocked(func() { w.store.WriteValues(ctx, w.call.asks(), w.writes) })
	} else {
		for i := range w.writes {
			w.writes[i].Status = endedBy(ctx)
		}
	}
	for i := range w.writes {
		w.results[w.places[i]] = w.writes[i].Status
	}
	clear(w.writes)
	w.writes, w.places = w.writes[:0], w.places[:0]
}
