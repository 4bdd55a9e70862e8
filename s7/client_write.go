package s7

import (
	"context"

	"millrace/internal/inflight"
)

// Write writes variables in their order, one request after the other, as many variables in one as fit: each then has the PLC's Code, or its Err. Nothing is ever sent again,
// but what the PLC refused as a whole with 0x8500 or 0x8104, of which it did nothing: that is sent in parts. A variable that is longer than a PDU goes in pieces, which the PLC
// takes at different moments; behind a piece that it refuses no other one of that variable is sent.
//
// The error is as that of Read. When the *Error of a variable says MayHaveHappened, the PLC may have done it.
func (c *Client) Write(ctx context.Context, vars []Var) error {
	if err := checkItems(FuncWrite, vars); err != nil || len(vars) == 0 {
		return err
	}
	t, r := c.begin()
	defer c.end(t, r)
	r.load(FuncWrite, vars)
	for i := range vars {
		r.cut(&vars[i].Item, i, MaxWriteData(c.pdu))
	}
	r.expect(r.own, r.ownPlace)
	err := c.write(ctx, t, r)
	r.settle()
	if err == nil {
		return nil
	}
	return transportError(vars)
}

// cut appends the pieces of item number v to r's own.
func (r *run) cut(it *Item, v, most int) {
	for off := 0; off < it.Len(); {
		piece := pieceOf(it, off, most)
		r.own, r.ownPlace = append(r.own, piece), append(r.ownPlace, place{v: int32(v), off: int32(off)})
		off += piece.Len()
	}
}

// write sends r's pieces in order. When the transport fails, it says so of all that are left.
func (c *Client) write(ctx context.Context, t *inflight.Turn, r *run) error {
	lim := c.Limits()
	for at := 0; at < len(r.items); {
		s := r.nextWrite(at, lim)
		if at = s.to; s.len() == 0 {
			at++ // of a variable that failed already
			continue
		}
		err := c.again(ctx, t, r, s)
		if r.toSearch(s) {
			if err == nil {
				err = c.narrow(ctx, t, r, s)
			} else {
				r.forget(s)
			}
		}
		if err != nil {
			r.abandon(err)
			return err
		}
	}
	return nil
}

// nextWrite returns the pieces from at on that go into one request: none when the variable of the first one has failed.
func (r *run) nextWrite(at int, lim PackLimits) span {
	s := span{at, at}
	var cost WriteCost
	for ; s.to < len(r.items) && s.len() < lim.MaxItems && !r.spoiled(s.to); s.to++ {
		next := cost.With(r.items[s.to].Len())
		if s.len() > 0 && !next.Fits(lim.PDU) {
			break
		}
		cost = next
	}
	return s
}

// spoiled reports whether the piece before i is one of the same variable and did not go well.
func (r *run) spoiled(i int) bool {
	if r.places[i].off == 0 {
		return false
	}
	return r.fates[i-1].code != ReturnOK
}
