package driver

import (
	"cmp"
	"slices"

	"millrace/s7"
)

// s7RoundTrip is what a request costs in bytes besides those of its PDUs, until that was measured: twice the headers of TPKT, COTP, Ethernet, IPv4 and TCP (122), and the time that
// a PLC takes for a job, reckoned as 200. A DB has no holes inside, so that a gap that is read over costs its bytes and no search: unlike with Modbus the
// round trip counts.
const s7RoundTrip = 2*(s7Wire+54) + 200

// Gaps in bytes that a merge may read over. Up to 4 it is never dearer, since that is what the answer has for a variable of its own; up to 16 it is not while
// requests run out of room before answers do, 12 bytes a variable. Above, a gap pays when it saves a request, up to what that is worth.
var s7Gaps = [...]int{4, 16, 64}

// s7Run is wants that one range reads: wants[lo:hi], addresses at to, but not including, end.
type s7Run struct {
	lo, hi  int
	at, end int
}

// s7Choice is a way to merge the wants, and what it costs.
type s7Choice struct {
	runs []s7Run
	pack *s7.ReadPlan
	cost int
}

// merge makes ranges of all wants, in the way that costs least of those worth trying.
func (c *s7Compiler) merge() error {
	slices.SortStableFunc(c.wants, compareWants)
	var best *s7Choice
	ways := c.ways()
	for i, runs := range ways {
		if slices.ContainsFunc(ways[:i], func(w []s7Run) bool { return slices.Equal(w, runs) }) {
			continue // as of tags side by side, which all gaps merge alike: to pack them is what takes time and room
		}
		choice, err := c.choose(runs)
		if err != nil {
			return err
		}
		if best == nil || choice.cost < best.cost {
			best = choice
		}
	}
	c.lay(best.runs)
	if len(c.plan.ranges) > 0 {
		c.plan.pack = best.pack
	}
	return nil
}

// ways returns the ways to merge that are worth trying. A gap that is configured leaves few. What a plain packer would do is among them: merged ranges are longer, and
// that can leave room unused that single tags would fill.
func (c *s7Compiler) ways() [][]s7Run {
	if c.lim.MaxTags > 0 {
		return [][]s7Run{c.runs(alone, false)}
	}
	if c.lim.Gap != 0 {
		gap := max(0, c.lim.Gap)
		return [][]s7Run{c.runs(gap, false), c.runs(gap, true)}
	}
	single := c.runs(alone, false)
	asGiven := slices.Clone(single)
	slices.SortFunc(asGiven, func(a, b s7Run) int {
		return cmp.Or(cmp.Compare(c.wants[a.lo].tag, c.wants[b.lo].tag), cmp.Compare(a.at, b.at))
	})
	ways := [][]s7Run{single, asGiven}
	for _, gap := range append(s7Gaps[:], 16+c.roundTrip()) {
		ways = append(ways, c.runs(gap, false), c.runs(gap, true))
	}
	return ways
}

// alone stands for no merging: only what lies wholly in the range before it is read by that.
const alone = -1

// runs merges neighbours with at most gap bytes between them. With fill a run ends where a request is full, so that long runs leave no room unused.
func (c *s7Compiler) runs(gap int, fill bool) []s7Run {
	var out []s7Run
	var before, now s7.ReadCost // of the request: without the last run, and with it
	for i := range c.wants {
		w := &c.wants[i]
		if n := len(out) - 1; n >= 0 && c.joins(&out[n], w, gap) {
			grown := before.With((max(out[n].end, w.end()) - out[n].at) * w.unit())
			if !fill || c.fits(grown) {
				out[n].hi, out[n].end, now = i+1, max(out[n].end, w.end()), grown
				continue
			}
		}
		before = now
		if now = before.With(w.n * w.unit()); !c.fits(now) {
			before = s7.ReadCost{}
			now = before.With(w.n * w.unit())
		}
		out = append(out, s7Run{lo: i, hi: i + 1, at: w.at, end: w.end()})
	}
	return out
}

func (c *s7Compiler) fits(cost s7.ReadCost) bool {
	return cost.Fits(c.lim.PDU) && (c.lim.MaxItems == 0 || cost.Items <= c.lim.MaxItems)
}

// joins says whether w may be read by the range of run.
func (c *s7Compiler) joins(run *s7Run, w *s7Want, gap int) bool {
	first := &c.wants[run.lo]
	switch between := w.at - run.end; {
	case !w.sameArea(first), w.long >= 0, first.long >= 0:
		return false
	case w.end() <= run.end:
		return true
	case (w.end()-run.at)*w.unit() > c.item:
		return false
	case between <= 0:
		return gap != alone
	default:
		return between*w.unit() <= gap && !c.inHole(w, run.end, w.at)
	}
}

// choose packs runs and reckons what that costs.
func (c *s7Compiler) choose(runs []s7Run) (*s7Choice, error) {
	items := make([]s7.Item, len(runs))
	for i, r := range runs {
		items[i] = c.wants[r.lo].item(r.at, r.end)
	}
	pack, err := s7.PlanRead(items, s7.PackLimits{PDU: c.lim.PDU, MaxItems: c.lim.MaxItems})
	if err != nil {
		return nil, err
	}
	choice := &s7Choice{runs: runs, pack: pack}
	for _, r := range pack.Requests() {
		choice.cost += r.Out + r.In + c.roundTrip()
	}
	return choice, nil
}

// roundTrip is what a request costs in bytes besides those of its PDUs.
func (c *s7Compiler) roundTrip() int { return cmp.Or(c.lim.RequestWorth, s7RoundTrip) }

// RequestWorth returns what a request costs in bytes besides its PDUs.
func (S7) RequestWorth() int { return s7RoundTrip }

// lay makes the ranges of the plan, in the order in which choose gave them to be packed.
func (c *s7Compiler) lay(runs []s7Run) {
	p := c.plan
	cells := make([]s7Cell, 0, len(c.wants)) // one backing array for all ranges
	p.ranges = make([]s7Range, 0, len(runs))
	for _, r := range runs {
		first := &c.wants[r.lo]
		laid := s7Range{item: first.item(r.at, r.end), span: first.span(r.at, r.end), off: p.bytes, long: first.long}
		if first.long >= 0 {
			laid.off = int(first.cell.off)
			p.ranges = append(p.ranges, laid)
			continue
		}
		start := len(cells)
		for _, w := range c.wants[r.lo:r.hi] {
			w.cell.off = int32(p.bytes + (w.at-r.at)*w.unit())
			cells = append(cells, w.cell)
		}
		laid.cells = cells[start:len(cells):len(cells)]
		p.ranges = append(p.ranges, laid)
		p.bytes += (r.end - r.at) * first.unit()
	}
}
