package s7

import (
	"context"

	"millrace/internal/inflight"
)

// fallbackItems is what PLCs take that do not take as many items as their PDU has room for.
const fallbackItems = 20

// probes is how many single variables are asked for before a PLC that took no request at all is believed to take none.
const probes = 3

// searchable reports whether a refusal of several items may be the fault of one of them, or of their number.
func searchable(code ErrorCode) bool { return code == ErrFrame || code == ErrServiceUnknown }

// accept remembers the longest request that was not refused as a whole, and reports the refused ones.
func (c *Client) accept(r *run) {
	if !r.failed && len(r.spans) == 1 { // the usual one, quickly
		c.accepts(r.spans[0].len())
		return
	}
	for _, s := range r.spans {
		switch f := &r.fates[s.from]; {
		case f.refused != 0:
			if tell := c.cfg.Hooks.Refused; tell != nil {
				tell(r.function, f.refused, s.len())
			}
		case f.told:
			c.accepts(s.len())
		}
	}
}

func (c *Client) accepts(items int) {
	for n := c.accepted.Load(); int(n) < items; n = c.accepted.Load() {
		if c.accepted.CompareAndSwap(n, int32(items)) {
			return
		}
	}
}

// search asks again, in parts, for what was refused as a whole; not when err, the transport's, has ended the sending already. It returns that or its own.
func (c *Client) search(ctx context.Context, t *inflight.Turn, r *run, err error) error {
	var refused []span
	var code ErrorCode // of one of them
	some := false      // something was not refused
	for _, s := range r.spans {
		f := r.fates[s.from]
		some = some || f.refused == 0
		if r.toSearch(s) {
			refused, code = append(refused, s), f.refused
			r.forget(s)
		}
	}
	if err == nil && len(refused) > 0 && !some {
		var all bool
		if all, err = c.refusesAll(ctx, t, r, refused); all {
			for _, s := range refused {
				r.mark(s, fate{refused: code})
			}
			return nil
		}
	}
	for i := 0; i < len(refused) && err == nil; i++ {
		err = c.narrow(ctx, t, r, refused[i])
	}
	if err != nil {
		r.abandon(err)
	}
	return err
}

// toSearch reports whether s was refused and may come through in parts.
func (r *run) toSearch(s span) bool { return s.len() > 1 && searchable(r.fates[s.from].refused) }

// refusesAll asks for single variables of refused. When each of them is refused as well, all are taken for refused: a PLC without PUT/GET would else be asked for every
// variable by itself, in every read.
func (c *Client) refusesAll(ctx context.Context, t *inflight.Turn, r *run, refused []span) (all bool, err error) {
	first, last := refused[0], refused[len(refused)-1]
	for _, at := range [probes]int{first.from, first.from + first.len()/2, last.to - 1} {
		if err := c.again(ctx, t, r, span{at, at + 1}); err != nil || r.fates[at].refused == 0 {
			return false, err
		}
	}
	return true, nil
}

// again sends one request of r's pieces.
func (c *Client) again(ctx context.Context, t *inflight.Turn, r *run, s span) error {
	r.spans = append(r.spans[:0], s)
	err := c.flight.Run(ctx, t)
	c.accept(r)
	return err
}

// narrow asks for s, which was refused, in parts, until each part was taken or is a single variable. When all were taken in the end, their number was the fault.
func (c *Client) narrow(ctx context.Context, t *inflight.Turn, r *run, s span) error {
	most, err := c.halves(ctx, t, r, s)
	if err != nil {
		return err
	}
	for i := s.from; i < s.to; i++ {
		if r.fates[i].refused != 0 {
			return nil
		}
	}
	c.learn(s.len(), most)
	return nil
}

// halves does the asking of narrow and returns the items of the longest part that was taken.
func (c *Client) halves(ctx context.Context, t *inflight.Turn, r *run, s span) (most int, err error) {
	r.forget(s)
	size := (s.len() + 1) / 2
	if s.len() > fallbackItems {
		size = min(fallbackItems, c.Limits().MaxItems)
	}
	for _, part := range appendParts(nil, s, size) {
		if err := c.again(ctx, t, r, part); err != nil {
			return most, err
		}
		n := part.len()
		if r.fates[part.from].refused != 0 {
			n = 0
			if r.toSearch(part) {
				if n, err = c.halves(ctx, t, r, part); err != nil {
					return most, err
				}
			}
		}
		most = max(most, n)
	}
	return most, nil
}

// fewestItems bounds what is learned: a PLC that refuses less refuses for another reason, as the length of the answer.
const fewestItems = 8

// learn lowers the limit of items: refused of them were too many, taken were not. What was taken before tells that the number was not the fault.
func (c *Client) learn(refused, taken int) {
	taken = max(taken, int(c.accepted.Load()))
	if taken >= refused || taken < fewestItems || taken >= c.Limits().MaxItems {
		return
	}
	c.maxItems.Store(int32(taken))
	if f := c.cfg.Hooks.Learned; f != nil {
		f(taken)
	}
}
