package s7

import (
	"cmp"
	"fmt"
	"slices"
)

// ReadPlan says which items, whole or in pieces, go into which request. It is immutable: any number of goroutines may read by it, on any connection that
// grants its PDU length.
type ReadPlan struct {
	limits   PackLimits
	given    []Item  // as they were given
	items    []Item  // whole ones and pieces, request by request
	places   []place // one for each of items
	requests []span
}

// place says where a piece belongs.
type place struct {
	v   int32 // number of the variable
	off int32 // its first byte in the variable's data
}

// span is from..to of a plan's items.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// PlannedRequest is what one request of a plan takes.
type PlannedRequest struct {
	Items int
	Out   int // bytes of the request's PDU; FrameBytes come on top
	In    int // bytes of the answer's PDU when all of its items are there; likewise
}

// PlanRead packs items into as few requests as it finds: within lim.PDU both ways, as ReadCost reckons, and within lim.MaxItems. An item that is longer than a PDU
// is cut between its elements into pieces. The error is an *Error with an *ArgumentError, for the first item that no request can ask for.
func PlanRead(items []Item, lim PackLimits) (*ReadPlan, error) {
	lim, err := lim.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &packer{limits: lim}
	for i := range items {
		if what := askable(&items[i]); what != "" {
			return nil, argument(FuncRead, &items[i], what)
		}
		p.cut(&items[i], i, MaxReadData(lim.PDU))
	}
	order, bounds := p.pack()
	plan := &ReadPlan{limits: lim, given: slices.Clone(items), items: make([]Item, 0, len(order)), places: make([]place, 0, len(order)), requests: bounds}
	for _, i := range order {
		plan.items, plan.places = append(plan.items, p.items[i]), append(plan.places, p.places[i])
	}
	return plan, nil
}

func (l PackLimits) withDefaults() (PackLimits, error) {
	if l.PDU < MinPDU || l.PDU > MaxTPKT-FrameBytes || l.MaxItems < 0 {
		return l, fmt.Errorf("s7: limits: PDU %d outside %d..%d or items %d negative", l.PDU, MinPDU, MaxTPKT-FrameBytes, l.MaxItems)
	}
	if l.MaxItems == 0 || l.MaxItems > maxItems {
		l.MaxItems = maxItems
	}
	return l, nil
}

// askable says what keeps an item out of requests, or "".
func askable(it *Item) string {
	if code := it.Check(); code != ReturnOK {
		return "an item that no PLC can take: " + code.String()
	}
	last := uint64(it.Byte()) + uint64(it.Len()) - 1
	end := uint64(maxByte)
	if it.Area.Numbered() {
		last, end = uint64(it.Address)+uint64(it.Count)-1, maxAddress
	}
	if last > end || it.Address > maxAddress {
		return fmt.Sprintf("ends beyond the last address, %d", end)
	}
	return ""
}

// Requests returns what each request takes, in the order in which they are sent.
func (p *ReadPlan) Requests() []PlannedRequest {
	out := make([]PlannedRequest, 0, len(p.requests))
	for _, r := range p.requests {
		var cost ReadCost
		for i := r.from; i < r.to; i++ {
			cost = cost.With(p.items[i].Len())
		}
		out = append(out, PlannedRequest{Items: r.len(), Out: cost.Request(), In: cost.Response()})
	}
	return out
}

// Vars appends to into the numbers of the items that request r of Requests reads, whole or a piece of.
func (p *ReadPlan) Vars(into []int, r int) []int {
	for _, at := range p.places[p.requests[r].from:p.requests[r].to] {
		into = append(into, int(at.v))
	}
	return into
}

// packer has the pieces of all items, in their order.
type packer struct {
	limits PackLimits
	items  []Item
	places []place
}

// cut appends the pieces of item number v, each of at most most bytes and of whole elements.
func (p *packer) cut(it *Item, v, most int) {
	for off := 0; off < it.Len(); {
		piece := pieceOf(it, off, most)
		p.items = append(p.items, piece)
		p.places = append(p.places, place{v: int32(v), off: int32(off)})
		off += piece.Len()
	}
}

// pieceOf returns the piece of it that begins at byte off of its data and has at most most bytes.
func pieceOf(it *Item, off, most int) Item {
	size := it.Size.Bytes()
	piece := *it
	piece.Count = uint16(min(it.Len()-off, most) / size)
	if it.Area.Numbered() {
		piece.Address += uint32(off / size)
	} else {
		piece.Address += uint32(off) << addressShift
	}
	return piece
}

// pack returns the pieces' numbers request by request, and the bounds of the requests. Packing them in order is as good as any often enough, and keeps together what is
// together; best fit by falling length is tried when a request may be saved. Either may win.
func (p *packer) pack() (order []int, bounds []span) {
	order = make([]int, len(p.items))
	for i := range order {
		order[i] = i
	}
	bounds = p.inOrder()
	if len(bounds) <= p.least() {
		return order, bounds
	}
	if o, b := p.bestFit(); len(b) < len(bounds) {
		return o, b
	}
	return order, bounds
}

func (p *packer) fits(c ReadCost) bool { return c.Items <= p.limits.MaxItems && c.Fits(p.limits.PDU) }

// inOrder fills one request after the other.
func (p *packer) inOrder() (bounds []span) {
	var cost ReadCost
	for i := range p.items {
		n := p.items[i].Len()
		if next := cost.With(n); i > 0 && p.fits(next) {
			cost = next
			bounds[len(bounds)-1].to++
			continue
		}
		cost = ReadCost{}.With(n)
		bounds = append(bounds, span{i, i + 1})
	}
	return bounds
}

// least returns a number of requests below which no packing gets.
func (p *packer) least() int {
	bytes := 0
	for i := range p.items {
		bytes += dataHeader + p.items[i].Len()
	}
	perRequest := min(p.limits.MaxItems, MaxReadItems(p.limits.PDU))
	room := p.limits.PDU - readResponseHead
	return max((len(p.items)+perRequest-1)/perRequest, (bytes+room-1)/room)
}

// bin is a request that is being filled.
type bin struct {
	cost   ReadCost
	pieces []int
}

// bestFit puts the pieces, the longest first, each where least room is left behind it.
func (p *packer) bestFit() (order []int, bounds []span) {
	order = make([]int, len(p.items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.items[b].Len(), p.items[a].Len()) })
	shortest := 0
	if len(order) > 0 {
		shortest = p.items[order[len(order)-1]].Len()
	}
	var bins []bin
	var open []int // bins with room for the shortest piece
	for _, i := range order {
		n := p.items[i].Len()
		at := p.tightest(bins, open, n)
		if at < 0 {
			at = len(open)
			open, bins = append(open, len(bins)), append(bins, bin{})
		}
		b := &bins[open[at]]
		b.cost, b.pieces = b.cost.With(n), append(b.pieces, i)
		if !p.fits(b.cost.With(shortest)) {
			open = slices.Delete(open, at, at+1)
		}
	}
	order = order[:0]
	for _, b := range bins {
		bounds = append(bounds, span{len(order), len(order) + len(b.pieces)})
		order = append(order, b.pieces...)
	}
	return order, bounds
}

// tightest returns which of the open bins is fullest among those that have room for n bytes more, or -1.
func (p *packer) tightest(bins []bin, open []int, n int) int {
	best, most := -1, -1
	for at, b := range open {
		if next := bins[b].cost.With(n); p.fits(next) && next.Response() > most {
			best, most = at, next.Response()
		}
	}
	return best
}
