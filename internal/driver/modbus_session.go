package driver

import (
	"context"
	"fmt"
	"io"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

// modbusSession is one connection, or a pool of them. Its memory grows to what the largest plan needs and stays.
type modbusSession struct {
	client  *modbus.Client // nil with a pool
	pool    *modbusPool
	obs     device.Observer
	window  int // that is set
	turns   *modbus.Turns
	learner windowLearner
	socket  tcpProbe // of client

	calls []modbus.Call
	dec   decoder
	long  assembly
	split bisection

	revivals revivals[*modbusPlan]
	noMask   map[uint8]bool // units that do not know function 16
}

// UnitError says that the gateway in front of a unit did not reach it. The connection is in order, so that it counts as the unit's timeout.
type UnitError struct {
	Unit uint8
	Err  error // a *modbus.Error
}

func (e *UnitError) Error() string {
	return fmt.Sprintf("unit %d is not reached by its gateway: %v", e.Unit, e.Err)
}

// Unwrap returns the exception.
func (e *UnitError) Unwrap() error { return e.Err }

// Timeout is true: nothing is known of the unit but that it did not answer.
func (e *UnitError) Timeout() bool { return true }

// Temporary is true; net.Error wants it.
func (e *UnitError) Temporary() bool { return true }

// PlanError is a plan of another driver.
type PlanError struct{ Plan device.Plan }

func (e *PlanError) Error() string { return fmt.Sprintf("modbus: a plan of type %T", e.Plan) }

// Open connects to a's endpoint.
func (m Modbus) Open(ctx context.Context, a device.Addr, lim device.Limits, o device.Observer) (device.Session, error) {
	opts, err := parseModbusOptions(a)
	if err != nil {
		return nil, err
	}
	s, cfg, err := newModbusSession(&opts, lim, o)
	if err != nil {
		return nil, err
	}
	s.turns, cfg.Turns = m.turns, m.turns
	if lim.Connections > 1 || opts.heartbeat > 0 {
		s.pool, err = openPool(ctx, &opts, cfg, max(1, lim.Connections))
	} else {
		s.client, err = modbus.Dial(ctx, opts.host, cfg)
	}
	if err != nil {
		return nil, err
	}
	if s.client != nil {
		s.socket = newTCPProbe(s.client)
	}
	s.learner.open(opts.limit(lim), time.Now(), 2*o.Timeout())
	return s, nil
}

// newModbusSession returns a session without its connection, and what that is to be made with.
func newModbusSession(opts *modbusOptions, lim device.Limits, o device.Observer) (*modbusSession, modbus.Config, error) {
	cfg, err := opts.config(lim)
	if err != nil {
		return nil, cfg, err
	}
	s := &modbusSession{obs: o, window: cfg.Window}
	s.complete(&cfg, opts)
	return s, cfg, nil
}

// complete puts into cfg what a client of s needs beyond the options.
func (s *modbusSession) complete(cfg *modbus.Config, opts *modbusOptions) {
	o := s.obs
	t := dialTimesOf(o, opts.dialTimeout)
	cfg.DialTimeout, cfg.ConnectTimeout, cfg.HandshakeTimeout = t.all, t.connect, t.handshake
	cfg.Hooks = modbus.Hooks{Timeout: o.Timeout, Replied: o.Replied, Served: o.Served, TimedOut: o.TimedOut, Late: s.late, Foreign: o.Foreign}
}

// Grow makes a pool of the one connection that there is, or has the pool keep more.
func (s *modbusSession) Grow(ctx context.Context, a device.Addr, lim device.Limits) error {
	if s.pool != nil {
		s.pool.grow(lim.Connections)
		return nil
	}
	opts, err := parseModbusOptions(a)
	if err != nil {
		return err
	}
	cfg, err := opts.config(lim)
	if err != nil {
		return err
	}
	s.complete(&cfg, &opts)
	cfg.Window, cfg.Turns = s.window, s.turns
	if s.pool, err = growPool(ctx, &opts, cfg, lim.Connections, s.client); err != nil {
		return err
	}
	s.client, s.socket = nil, tcpProbe{}
	return nil
}

func (s *modbusSession) late(by time.Duration) {
	s.learner.noise.Add(1)
	s.obs.Late(by)
}

// config turns the options into a client's.
func (o *modbusOptions) config(lim device.Limits) (modbus.Config, error) {
	secure, err := o.tlsConfig()
	if err != nil {
		return modbus.Config{}, err
	}
	cfg := modbus.Config{Window: max(1, o.limit(lim).Window), NoEcho: o.noEcho, DialTimeout: o.dialTimeout, TLS: secure}
	if o.rtu {
		cfg.Framing = modbus.FramingRTU
	}
	return cfg, nil
}

// Limits returns nothing: Modbus does not negotiate.
func (s *modbusSession) Limits() device.Limits { return device.Limits{} }

// TCPInfo is of the connection; of a pool it is that of one of those that the last Read used.
func (s *modbusSession) TCPInfo() (device.TCPInfo, bool) {
	if s.pool != nil {
		return s.pool.socket.read()
	}
	return s.socket.read()
}

// Close ends all connections. The error is a timeout when the device has not heard of it; of a pool that is not known.
func (s *modbusSession) Close() error {
	if s.pool != nil {
		s.pool.close()
		return nil
	}
	return endOf(s.client)
}

// endOf closes a client and returns what is known of it, a timeout when the device has not confirmed the end.
func endOf(c io.Closer) error {
	err := c.Close()
	if u, ok := c.(interface{ Unconfirmed() error }); ok && err == nil {
		err = u.Unconfirmed()
	}
	return err
}

// send makes calls that only read.
func (s *modbusSession) send(ctx context.Context, calls []modbus.Call) error {
	if s.pool != nil {
		return s.pool.read(ctx, calls)
	}
	return s.client.Do(ctx, calls)
}

// Read sends p's requests, as many at once as the window allows, and decodes the replies into rows. A request that the device refuses for its
// addresses or length is asked again in halves, so that one bad tag costs one tag; what that teaches goes to Observer.Learned.
func (s *modbusSession) Read(ctx context.Context, p device.Plan, into *tag.Batch) error {
	plan, ok := p.(*modbusPlan)
	if !ok {
		return &PlanError{p}
	}
	rev := s.revivalOf(plan)
	if rev != nil {
		plan = rev.now
	}
	s.begin(plan, into)
	for i := range plan.reqs {
		r := &plan.reqs[i]
		s.ask(r.unit, r.area, r.from, r.count)
	}
	probe := s.hold(plan, rev)
	err := s.exchange(ctx, plan)
	for i := range plan.reqs {
		err = firstOf(err, s.settle(plan, part{req: i, hi: len(plan.reqs[i].cells), parent: -1}, &s.calls[i]))
	}
	if probe >= 0 {
		err = firstOf(err, s.probed(rev, probe, &s.calls[len(plan.reqs)]))
	}
	if err == nil {
		err = s.bisect(ctx, plan)
	}
	if rev != nil {
		rev.relearn(s.split.learned.Holes)
	}
	s.dec.into = nil
	return s.hint(err)
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// begin makes s ready for one Read.
func (s *modbusSession) begin(plan *modbusPlan, into *tag.Batch) {
	s.dec.into, s.dec.ts = into, time.Now().UnixNano()
	for _, id := range plan.out {
		into.Append(id, s.dec.ts, tag.BadOutOfService, tag.Null, 0)
	}
	s.long.reset(plan)
	s.split.reset()
	s.calls = s.calls[:0]
}

// ask adds a request to the calls.
func (s *modbusSession) ask(unit uint8, a modbusArea, from, count uint16) {
	n := len(s.calls)
	if n == cap(s.calls) {
		s.calls = append(s.calls, modbus.Call{})
	}
	s.calls = s.calls[:n+1]
	c := &s.calls[n]
	*c = modbus.Call{Unit: unit, Function: readFunction(a), Address: from, Quantity: count, Data: c.Data[:0]}
}

func readFunction(a modbusArea) modbus.Function {
	switch a {
	case areaCoil:
		return modbus.FuncReadCoils
	case areaDiscrete:
		return modbus.FuncReadDiscreteInputs
	case areaInput:
		return modbus.FuncReadInput
	}
	return modbus.FuncReadHolding
}

// settle turns what came of the call for a part into rows, or leaves a refused one for bisect. The error is that the unit was not reached.
func (s *modbusSession) settle(plan *modbusPlan, pt part, call *modbus.Call) error {
	r := &plan.reqs[pt.req]
	cells := r.cells[pt.lo:pt.hi]
	if call.Err == nil {
		s.dec.ts = call.At.UnixNano()
		s.dec.cells(plan, &s.long, r.area, cells, call.Data, call.Address-r.from)
		s.split.succeeded(plan, pt, int(call.Quantity))
		return nil
	}
	switch code := exceptionOf(call.Err); code {
	case modbus.IllegalDataAddress, modbus.IllegalDataValue:
		if !sameAddresses(cells) {
			s.obs.Refused(r.sub(int(call.Address-r.from), int(call.Quantity)), call.Err)
			s.split.refused(pt, int(call.Quantity), code)
			return nil
		}
		s.split.single(plan, pt, code)
	}
	return s.settleRefusal(plan, r, cells, call)
}

// settleRefusal turns an exception into rows of cells. The error is that the unit was not reached.
func (s *modbusSession) settleRefusal(plan *modbusPlan, r *planRequest, cells []cell, call *modbus.Call) error {
	code := exceptionOf(call.Err)
	switch code {
	case 0:
		return nil // Do's error says it
	case modbus.GatewayPathUnavailable, modbus.GatewayTargetFailed:
		return &UnitError{Unit: r.unit, Err: call.Err}
	}
	s.obs.Refused(r.sub(int(call.Address-r.from), int(call.Quantity)), call.Err)
	s.dec.ts = call.At.UnixNano()
	for i := range cells {
		s.dec.refuse(plan, &s.long, &cells[i], exceptionQuality(code))
	}
	return nil
}

// sameAddresses says whether all cells are of the same addresses, as the bits of a register are: then halves tell no more.
func sameAddresses(cells []cell) bool {
	for i := range cells {
		if cells[i].off != cells[0].off || cells[i].n != cells[0].n {
			return false
		}
	}
	return true
}

// sub returns n of r's addresses, from the one off places behind its first, as Limits knows them.
func (r *planRequest) sub(off, n int) device.Span {
	from := r.span.From + uint32(off)
	return device.Span{Area: r.span.Area, From: from, To: from + uint32(n) - 1}
}

// exceptionQuality says what an exception means for the tags asked for.
func exceptionQuality(e modbus.ExceptionCode) tag.Quality {
	switch e {
	case modbus.IllegalFunction:
		return tag.BadNotSupported
	case modbus.IllegalDataAddress:
		return tag.BadNodeIDUnknown
	case modbus.IllegalDataValue:
		return tag.BadOutOfRange
	case modbus.ServerDeviceFailure, modbus.MemoryParityError:
		return tag.BadDeviceFailure
	case modbus.Acknowledge, modbus.ServerDeviceBusy:
		return tag.BadResourceUnavailable
	}
	return tag.Bad
}
