package s7

import (
	"errors"
	"flag"
	"math/rand/v2"
	"testing"
)

// planSets is how many random sets of items are packed; the full run takes a million.
var planSets = flag.Int("plansets", 100_000, "random item sets for the planner")

var planPDUs = [...]int{112, 240, 480, 960}

// randomItem is one of what tags are made of: bits, single values, structs, texts, long arrays, counters and timers.
func randomItem(rng *rand.Rand) Item {
	db, at := uint16(1+rng.IntN(5)), uint32(rng.IntN(60_000))
	size := [...]TransportSize{SizeByte, SizeChar, SizeWord, SizeInt, SizeDWord, SizeDInt, SizeReal, SizeLReal}[rng.IntN(8)]
	typed := func(n uint16) Item {
		return Item{Syntax: SyntaxAny, Size: size, Count: n, DB: db, Area: AreaDB, Address: at << addressShift}
	}
	switch rng.IntN(12) {
	case 0, 1:
		return Bit(AreaMarkers, 0, at, uint8(rng.IntN(8)))
	case 2, 3, 4, 5:
		return typed(1)
	case 6, 7:
		return Bytes(AreaDB, db, at, uint16(1+rng.IntN(40)))
	case 8:
		return Bytes(AreaDB, db, at, uint16(1+rng.IntN(254)))
	case 9:
		return typed(uint16(1 + rng.IntN(20)))
	case 10:
		if rng.IntN(2) == 0 {
			return Counters(at, uint16(1+rng.IntN(30)))
		}
		return Timers(at, uint16(1+rng.IntN(300)))
	}
	return typed(uint16(1 + rng.IntN(150)))
}

// twenty counts the requests of the usual packer: in order, at most 20 items, within the same budgets.
func twenty(items []Item, pdu int) int {
	requests, full := 0, true
	var cost ReadCost
	for i := range items {
		for off := 0; off < items[i].Len(); {
			piece := pieceOf(&items[i], off, MaxReadData(pdu))
			off += piece.Len()
			if next := cost.With(piece.Len()); !full && next.Items <= 20 && next.Fits(pdu) {
				cost = next
				continue
			}
			requests, cost, full = requests+1, ReadCost{}.With(piece.Len()), false
		}
	}
	return requests
}

// planCheck packs random sets and holds each plan to what it promises.
type planCheck struct {
	t       *testing.T
	rng     *rand.Rand
	items   []Item
	covered []byte
	frame   []byte
	data    []DataItem
	zeros   []byte
}

func TestPlansKeepTheirPromises(t *testing.T) {
	seed := rand.Uint64()
	sets := *planSets
	if testing.Short() || underRace {
		sets /= 10
	}
	t.Logf("seed %d, %d sets", seed, sets)
	k := &planCheck{t: t, rng: rand.New(rand.NewPCG(seed, 0)), zeros: make([]byte, 1000)}
	ours, theirs := 0, 0
	for range sets {
		pdu := planPDUs[k.rng.IntN(len(planPDUs))]
		k.items = k.items[:0]
		for range 1 + k.rng.IntN(1+k.rng.IntN(60)) {
			k.items = append(k.items, randomItem(k.rng))
		}
		plan, err := PlanRead(k.items, PackLimits{PDU: pdu})
		if err != nil {
			t.Fatalf("PDU %d: %v", pdu, err)
		}
		k.budgets(plan, pdu)
		k.coverage(plan)
		n := twenty(k.items, pdu)
		if len(plan.requests) > n {
			t.Fatalf("PDU %d: %d requests where a packer of 20 items in order has %d: %v", pdu, len(plan.requests), n, k.items)
		}
		ours, theirs = ours+len(plan.requests), theirs+n
	}
	t.Logf("%d requests where a packer of 20 items in order has %d", ours, theirs)
	if ours >= theirs {
		t.Errorf("%d requests, no fewer than %d", ours, theirs)
	}
}

// budgets encodes every request and the answer to it.
func (k *planCheck) budgets(plan *ReadPlan, pdu int) {
	k.t.Helper()
	for i, r := range plan.Requests() {
		items := plan.items[plan.requests[i].from:plan.requests[i].to]
		k.frame = (&ReadRequest{Items: items}).AppendTo(k.frame[:0], 1)
		out := len(k.frame)
		k.data = k.data[:0]
		for n := range items {
			k.data = append(k.data, DataItem{Code: ReturnOK, Size: items[n].Size.Data(), Data: k.zeros[:items[n].Len()]})
		}
		k.frame = (&ReadResponse{Items: k.data}).AppendTo(k.frame[:0], 1)
		if in := len(k.frame); out > pdu || in > pdu || out != r.Out || in != r.In || len(items) != r.Items {
			k.t.Fatalf("PDU %d: a request of %d bytes and an answer of %d; the plan says %+v", pdu, out, in, r)
		}
	}
}

// coverage marks the bytes that each piece asks for: all of every item, none twice, each at its address.
func (k *planCheck) coverage(plan *ReadPlan) {
	k.t.Helper()
	bases, total := make([]int, len(k.items)), 0
	for i := range k.items {
		bases[i] = total
		total += k.items[i].Len()
	}
	if cap(k.covered) < total {
		k.covered = make([]byte, total)
	}
	k.covered = k.covered[:total]
	clear(k.covered)
	for i, at := range plan.places {
		whole, piece := &k.items[at.v], &plan.items[i]
		k.sameItem(whole, piece, int(at.off))
		for n := range piece.Len() {
			k.covered[bases[at.v]+int(at.off)+n]++
		}
	}
	for _, n := range k.covered {
		if n != 1 {
			k.t.Fatalf("a byte is asked for %d times: %v", n, k.items)
		}
	}
}

func (k *planCheck) sameItem(whole, piece *Item, off int) {
	k.t.Helper()
	from, _ := whole.Range()
	at, n := piece.Range()
	if piece.Check() != ReturnOK || at != from+off || off+n > whole.Len() || off%whole.Size.Bytes() != 0 ||
		piece.Size != whole.Size || piece.DB != whole.DB || piece.Area != whole.Area || piece.Bit() != whole.Bit() && !whole.Area.Numbered() {
		k.t.Fatalf("piece %v at byte %d of %v", piece, off, whole)
	}
}

func TestPlanCutsBetweenElements(t *testing.T) {
	for _, x := range []struct {
		item Item
		pdu  int
		want []string
	}{
		{Bytes(AreaDB, 1, 10, 500), 240, []string{"DB1.10 BYTE*222", "DB1.232 BYTE*222", "DB1.454 BYTE*56"}},
		{Item{Syntax: SyntaxAny, Size: SizeReal, Count: 60, DB: 1, Area: AreaDB, Address: 10 << 3}, 240, []string{"DB1.10 REAL*55", "DB1.230 REAL*5"}},
		{Timers(3, 120), 240, []string{"T3 TIMER*111", "T114 TIMER*9"}},
		{Counters(0, 100), 112, []string{"C0 COUNTER*47", "C47 COUNTER*47", "C94 COUNTER*6"}},
		{Item{Syntax: SyntaxAny, Size: SizeIECTimer, Count: 40, Area: AreaIECTimer200, Address: 7}, 112, []string{"T7 TIMER*18", "T25 TIMER*18", "T43 TIMER*4"}},
		{Bit(AreaMarkers, 0, 5, 3), 112, []string{"M5.3 BIT*1"}},
	} {
		p, err := PlanRead([]Item{x.item}, PackLimits{PDU: x.pdu})
		if err != nil || len(p.items) != len(x.want) {
			t.Errorf("%v: %v, %v", &x.item, p, err)
			continue
		}
		for i, want := range x.want {
			if got := p.items[p.requests[i].from].String(); got != want {
				t.Errorf("%v: piece %d is %s, want %s", &x.item, i, got, want)
			}
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for what, it := range map[string]Item{
		"no elements":       Bytes(AreaDB, 1, 0, 0),
		"eight bits":        {Syntax: SyntaxAny, Size: SizeBit, Count: 8, DB: 1, Area: AreaDB},
		"byte at a bit":     {Syntax: SyntaxAny, Size: SizeByte, Count: 1, DB: 1, Area: AreaDB, Address: 3},
		"unknown size":      {Syntax: SyntaxAny, Size: 99, Count: 1, DB: 1, Area: AreaDB},
		"unknown area":      {Syntax: SyntaxAny, Size: SizeByte, Count: 1, Area: 99},
		"bytes of counters": {Syntax: SyntaxAny, Size: SizeByte, Count: 1, Area: AreaCounter},
		"symbolic":          {Syntax: 0xB2},
		"past the end":      Bytes(AreaDB, 1, maxByte-8, 10),
		"address too long":  {Syntax: SyntaxAny, Size: SizeByte, Count: 1, DB: 1, Area: AreaDB, Address: 1 << 24},
		"counters past end": Counters(maxAddress, 2),
	} {
		_, err := PlanRead([]Item{Bytes(AreaDB, 1, 0, 4), it}, PackLimits{PDU: 240})
		var e *Error
		var arg *ArgumentError
		if !errors.As(err, &e) || !errors.As(err, &arg) || e.Item.Area != it.Area || e.Sent || e.Retryable() {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, lim := range []PackLimits{{}, {PDU: 111}, {PDU: 65536}, {PDU: 240, MaxItems: -1}} {
		if _, err := PlanRead(nil, lim); err == nil {
			t.Errorf("limits %+v are taken", lim)
		}
	}
	if p, err := PlanRead([]Item{Bytes(AreaDB, 1, maxByte, 1), Counters(maxAddress, 1)}, PackLimits{PDU: 112}); err != nil || len(p.requests) != 1 {
		t.Errorf("the last addresses: %v", err)
	}
}

func TestPlanKeepsToMaxItems(t *testing.T) {
	items := make([]Item, 100)
	for i := range items {
		items[i] = Bytes(AreaDB, 1, uint32(10*i), 2)
	}
	for _, x := range []struct{ most, want int }{{0, 2}, {20, 5}, {1, 100}, {79, 2}, {999, 2}} {
		p, err := PlanRead(items, PackLimits{PDU: 960, MaxItems: x.most})
		if err != nil || len(p.requests) != x.want {
			t.Errorf("at most %d items: %d requests, %v", x.most, len(p.requests), err)
		}
	}
}

// Best fit saves requests where the order is bad: long ones alternate with pairs that fill them up.
func TestPlanFindsWhatFits(t *testing.T) {
	var items []Item
	for i := range 10 {
		items = append(items, Bytes(AreaDB, 1, uint32(1000*i), 150), Bytes(AreaDB, 2, uint32(1000*i), 100), Bytes(AreaDB, 3, uint32(1000*i), 68))
	}
	p, err := PlanRead(items, PackLimits{PDU: 240})
	if err != nil || len(p.requests) != 15 || twenty(items, 240) != 20 {
		t.Errorf("%d requests, in order %d, %v", len(p.requests), twenty(items, 240), err)
	}
}

func BenchmarkPlanRead(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	items := make([]Item, 10_000)
	for i := range items {
		items[i] = randomItem(rng)
	}
	for b.Loop() {
		if _, err := PlanRead(items, PackLimits{PDU: 480}); err != nil {
			b.Fatal(err)
		}
	}
}
