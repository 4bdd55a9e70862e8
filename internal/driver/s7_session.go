package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/s7"
)

// s7Client is what a session needs of an *s7.Client.
type s7Client interface {
	ReadPlan(ctx context.Context, p *s7.ReadPlan, vars []s7.Var) error
	Read(ctx context.Context, vars []s7.Var) error
	Write(ctx context.Context, vars []s7.Var) error
	PDU() int
	Window() int
	Close() error
}

// s7Session is one connection. Its memory grows to what the largest plan needs and stays.
type s7Session struct {
	client s7Client
	obs    device.Observer
	socket tcpProbe

	vars   []s7.Var
	memory []byte // the bytes of all ranges of a Read
	left   []int  // by long tag: pieces that have not come; 0 when its row is written
	dec    s7Decoder
	search s7Search

	revivals revivals[*s7Plan]
	fitted   struct{ plan, now *s7Plan } // a plan for a longer PDU than was granted, and the same for this one
}

// Open connects to a's endpoint. What the PLC granted is in the session's Limits.
func (d S7) Open(ctx context.Context, a device.Addr, lim device.Limits, o device.Observer) (device.Session, error) {
	opts, err := parseS7Options(a)
	if err != nil {
		return nil, err
	}
	cfg := opts.config(lim)
	t := dialTimesOf(o, opts.dialTimeout)
	cfg.DialTimeout, cfg.ConnectTimeout, cfg.HandshakeTimeout = t.all, t.connect, t.handshake
	cfg.Hooks = s7.Hooks{
		Timeout: o.Timeout, Replied: o.Replied, Served: o.Served, TimedOut: o.TimedOut, Late: o.Late, Foreign: o.Foreign,
		Learned: func(maxItems int) { o.Learned(device.Limits{MaxItems: maxItems}) },
	}
	cfg.Turns = d.turns
	c, err := s7.Dial(ctx, opts.host, cfg)
	if err != nil {
		return nil, explain(err)
	}
	return &s7Session{client: c, obs: o, socket: newTCPProbe(c)}, nil
}

// Limits returns the length of a PDU and the jobs in flight that the PLC granted.
func (s *s7Session) Limits() device.Limits {
	return device.Limits{PDU: s.client.PDU(), Window: s.client.Window()}
}

// TCPInfo is of the connection.
func (s *s7Session) TCPInfo() (device.TCPInfo, bool) { return s.socket.read() }

// Close ends the connection with a DR. The error is a timeout when the PLC has not heard of it.
func (s *s7Session) Close() error { return endOf(s.client) }

// S7PlanError is a plan of another driver.
type S7PlanError struct{ Plan device.Plan }

func (e *S7PlanError) Error() string { return fmt.Sprintf("s7: a plan of type %T", e.Plan) }

// Read sends p's requests, as many at once as the PLC granted, and decodes the answers into rows. A range that the PLC refuses is asked for again in parts, so that one
// bad tag costs one tag; the holes that this shows go to Observer.Learned.
func (s *s7Session) Read(ctx context.Context, p device.Plan, into *tag.Batch) error {
	plan, ok := p.(*s7Plan)
	if !ok {
		return &S7PlanError{p}
	}
	plan = s.fit(plan)
	rev := s.revivalOf(plan)
	if rev != nil {
		plan = rev.now
	}
	s.begin(plan, into)
	probe := s.hold(plan, rev)
	var err error
	if plan.pack != nil {
		err = s.client.ReadPlan(ctx, plan.pack, s.vars)
	}
	for i := range plan.ranges {
		s.settle(plan, s7Part{r: i, hi: len(plan.ranges[i].cells), parent: -1}, &s.vars[i])
	}
	if err == nil {
		err = s.findHoles(ctx, plan)
	}
	if err == nil && probe >= 0 {
		err = s.probe(ctx, rev, probe)
	}
	if rev != nil {
		rev.relearn(s.search.learned)
	}
	s.dec.into = nil
	return err
}

// fit returns p, or the same for the PDU of this connection when that is shorter: the device has another plan from its next turn on.
func (s *s7Session) fit(p *s7Plan) *s7Plan {
	if p.lim.PDU <= s.client.PDU() {
		return p
	}
	if s.fitted.plan != p {
		lim := p.lim
		lim.PDU = s.client.PDU()
		now, err := s7BaseOf(lim).plan(p.tags)
		if err != nil {
			return p // every tag was planned before, and a shorter PDU only makes more pieces
		}
		s.fitted.plan, s.fitted.now = p, now
	}
	return s.fitted.now
}

// begin makes s ready for one Read.
func (s *s7Session) begin(plan *s7Plan, into *tag.Batch) {
	s.dec.into, s.dec.ts = into, time.Now().UnixNano()
	for _, id := range plan.out {
		into.Append(id, s.dec.ts, tag.BadOutOfService, tag.Null, 0)
	}
	s.search.reset()
	if cap(s.memory) < plan.bytes {
		s.memory = make([]byte, plan.bytes)
	}
	s.memory = s.memory[:plan.bytes]
	s.left = s.left[:0]
	for i := range plan.long {
		s.left = append(s.left, plan.long[i].pieces)
	}
	if cap(s.vars) < len(plan.ranges) {
		s.vars = make([]s7.Var, len(plan.ranges))
	}
	s.vars = s.vars[:len(plan.ranges)]
	for i := range plan.ranges {
		r := &plan.ranges[i]
		s.vars[i] = s7.Var{Item: r.item, Data: s.memory[r.off:r.off:r.end()]}
	}
}

// end returns where the bytes of r end among those of all ranges.
func (r *s7Range) end() int { return r.off + r.item.Len() }

// settle turns what came of the variable of a part into rows, or leaves a refused one to be searched.
func (s *s7Session) settle(plan *s7Plan, pt s7Part, v *s7.Var) {
	r := &plan.ranges[pt.r]
	switch {
	case answered(v) && v.Err == nil:
		s.search.trusted = true
		s.dec.ts = v.At.UnixNano()
		s.came(plan, r, pt)
		s.search.came(plan, pt)
	case answered(v):
		s.refused(plan, pt, v)
	}
}

// answered says whether the PLC said something of v. Where it did not, the error of the whole Read says why.
func answered(v *s7.Var) bool {
	if v.Err == nil {
		return !v.At.IsZero() // before there is anything to allocate
	}
	var e *s7.Error
	return errors.As(v.Err, &e) && e.Err == nil
}

// came decodes the cells of a part, whose bytes are in s.memory. The last piece of a long tag brings its row.
func (s *s7Session) came(plan *s7Plan, r *s7Range, pt s7Part) {
	if r.long < 0 {
		s.dec.cells(r.cells[pt.lo:pt.hi], s.memory)
		return
	}
	if s.left[r.long] == 0 {
		return // an earlier piece was refused, and the row says so
	}
	if s.left[r.long]--; s.left[r.long] == 0 {
		l := &plan.long[r.long]
		s.dec.cell(&l.s7Cell, s.memory[l.off:l.off+l.bytes])
	}
}

// refused takes a part that the PLC does not give: a hole may be in it, or it is what the PLC says of all its tags.
func (s *s7Session) refused(plan *s7Plan, pt s7Part, v *s7.Var) {
	r := &plan.ranges[pt.r]
	why := refusalOf(v)
	s.obs.Refused(pt.span(r), explain(v.Err))
	if why.isHole() && r.long < 0 && !samePlace(r.cells[pt.lo:pt.hi]) {
		s.search.refused(pt, why)
		return
	}
	if why.isHole() {
		s.search.hole(pt.span(r))
		if db, missing := dbOf(r, why); missing {
			s.search.absent = append(s.search.absent, db)
		}
	}
	s.dec.ts = v.At.UnixNano()
	s.deny(plan, pt, why.quality())
}

// deny appends the rows of a part that the PLC does not give.
func (s *s7Session) deny(plan *s7Plan, pt s7Part, q tag.Quality) {
	r := &plan.ranges[pt.r]
	for i := pt.lo; i < pt.hi; i++ {
		s.dec.into.Append(r.cells[i].id, s.dec.ts, q, tag.Null, 0)
	}
	if r.long < 0 || s.left[r.long] == 0 {
		return
	}
	s.left[r.long] = 0
	s.dec.into.Append(plan.long[r.long].id, s.dec.ts, q, tag.Null, 0)
}

// s7Refusal is why a variable was refused: by itself, or with its whole request.
type s7Refusal struct {
	code s7.ReturnCode
	all  s7.ErrorCode
}

// refusalOf returns why the PLC does not give v, the zero value when it does or said nothing of it.
func refusalOf(v *s7.Var) s7Refusal {
	var e *s7.Error
	if errors.As(v.Err, &e) {
		return s7Refusal{code: e.Code, all: e.Refused}
	}
	return s7Refusal{}
}

// isHole says whether there may be nothing at the address.
func (r s7Refusal) isHole() bool { return r.code == s7.ReturnAddress || r.code == s7.ReturnNoObject }

// quality says what a refusal means for the tags asked for. Every PLC knows how to read variables: "not implemented" is that it is switched off.
func (r s7Refusal) quality() tag.Quality {
	switch {
	case r.all == s7.ErrServiceUnknown, r.all == s7.ErrProtected, r.all>>8 == 0x87:
		return tag.BadUserAccessDenied
	case r.all>>8 == 0x83:
		return tag.BadResourceUnavailable
	case r.all == s7.ErrFrame:
		return tag.BadCommunicationError
	}
	switch r.code {
	case s7.ReturnHardware:
		return tag.BadDeviceFailure
	case s7.ReturnAccess:
		return tag.BadNotReadable
	case s7.ReturnAddress:
		return tag.BadOutOfRange
	case s7.ReturnTypeUnsupported, s7.ReturnTypeMismatch:
		return tag.BadTypeMismatch
	case s7.ReturnBusy:
		return tag.BadResourceUnavailable
	case s7.ReturnNoObject:
		return tag.BadNodeIDUnknown
	}
	return tag.Bad
}

// samePlace says whether all cells are of the same bytes, as the bits of a byte are: then parts tell no more.
func samePlace(cells []s7Cell) bool {
	for i := range cells {
		if cells[i].off != cells[0].off || cells[i].bytes != cells[0].bytes {
			return false
		}
	}
	return true
}
