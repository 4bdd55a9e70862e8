package s7

import (
	"context"
	"fmt"
	"slices"

	"millrace/internal/inflight"
)

// Read reads variables with up to the window in flight: each then has its Data appended, or its Err. Those that do not go into one request are packed by PlanRead; who
// reads the same ones again and again plans once and calls ReadPlan.
//
// The error is nil when the PLC answered for all of them, with values or with refusals. Else it is the first *Error, in the order of vars, that is the transport's: a time-out,
// the end of the connection, or of ctx. That stops the sending: what is behind it has an Err that says that it was not sent. An item that no request can ask for is an
// error before anything is sent.
//
// A request that the PLC refuses as a whole with 0x8500 or 0x8104 is asked again in parts, down to single variables, so that one bad variable costs no other one.
//
// In steady state, with room in every Data, what goes into one request is read without allocating; but for a context that can be cancelled and is another one than
// the time before. vars are the caller's and not kept.
func (c *Client) Read(ctx context.Context, vars []Var) error {
	lim := c.Limits()
	if err := checkItems(FuncRead, vars); err != nil || len(vars) == 0 {
		return err
	}
	if !fitOne(vars, lim) {
		items := make([]Item, len(vars))
		for i := range vars {
			items[i] = vars[i].Item
		}
		p, err := PlanRead(items, lim)
		if err != nil {
			return err
		}
		return c.ReadPlan(ctx, p, vars)
	}
	t, r := c.begin()
	defer c.end(t, r)
	r.load(FuncRead, vars)
	for i := range vars {
		r.own, r.ownPlace = append(r.own, vars[i].Item), append(r.ownPlace, place{v: int32(i)})
	}
	r.expect(r.own, r.ownPlace)
	r.spans = append(r.spans, span{0, len(vars)})
	return c.read(ctx, t, r)
}

// checkItems refuses what cannot be put on the wire, and says so in the variable too.
func checkItems(f Function, vars []Var) (err error) {
	for i := range vars {
		v := &vars[i]
		v.reset()
		what := askable(&v.Item)
		if what == "" && f == FuncWrite && len(v.Data) != v.Item.Len() {
			what = fmt.Sprintf("%d bytes to write, want %d", len(v.Data), v.Item.Len())
		}
		if what == "" {
			continue
		}
		v.Err = argument(f, &v.Item, what)
		if err == nil {
			err = v.Err
		}
	}
	return err
}

// fitOne reports whether all of vars go into one request.
func fitOne(vars []Var, lim PackLimits) bool {
	if len(vars) > lim.MaxItems {
		return false
	}
	var cost ReadCost
	for i := range vars {
		cost = cost.With(vars[i].Item.Len())
	}
	return cost.Fits(lim.PDU)
}

// ReadPlan reads what p was made of, as Read does. vars are as many as its items and in their order; their Item is set. The plan's PDU is at most the granted one.
func (c *Client) ReadPlan(ctx context.Context, p *ReadPlan, vars []Var) error {
	if what := c.suits(p, vars); what != "" {
		return &Error{Function: FuncRead, Err: &ArgumentError{What: what}}
	}
	if len(vars) == 0 {
		return nil
	}
	t, r := c.begin()
	defer c.end(t, r)
	r.load(FuncRead, vars)
	for i := range vars {
		vars[i].reset()
		vars[i].Item = p.given[i]
	}
	r.expect(p.items, p.places)
	most := c.Limits().MaxItems
	for _, s := range p.requests {
		r.spans = appendParts(r.spans, s, most)
	}
	return c.read(ctx, t, r)
}

// suits says why p cannot be read here, or "".
func (c *Client) suits(p *ReadPlan, vars []Var) string {
	switch {
	case len(vars) != len(p.given):
		return fmt.Sprintf("%d variables for a plan of %d", len(vars), len(p.given))
	case p.limits.PDU > c.pdu:
		return fmt.Sprintf("a plan for a PDU of %d bytes, and %d are granted", p.limits.PDU, c.pdu)
	}
	return ""
}

// appendParts appends s in parts of at most most items.
func appendParts(to []span, s span, most int) []span {
	for ; s.len() > most; s.from += most {
		to = append(to, span{s.from, s.from + most})
	}
	return append(to, s)
}

// begin lends a turn and its run.
func (c *Client) begin() (*inflight.Turn, *run) {
	t := c.flight.Begin()
	r := t.Work.(*run)
	r.client = c
	return t, r
}

func (c *Client) end(t *inflight.Turn, r *run) {
	r.unload()
	r.client = nil
	c.flight.End(t)
}

// read sends the requests of r, which is loaded, and those that refusals lead to.
func (c *Client) read(ctx context.Context, t *inflight.Turn, r *run) error {
	r.bases = slices.Grow(r.bases[:0], len(r.vars))[:len(r.vars)]
	for i := range r.vars {
		v := &r.vars[i]
		r.bases[i] = len(v.Data)
		v.Data = slices.Grow(v.Data, v.Item.Len())[:len(v.Data)+v.Item.Len()]
	}
	err := c.flight.Run(ctx, t)
	c.accept(r)
	if r.failed {
		err = c.search(ctx, t, r, err)
	}
	r.settle()
	if err == nil {
		return nil
	}
	return transportError(r.vars)
}
