package write

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"millrace/internal/device"
	"millrace/internal/journal/faultfs"
	"millrace/internal/resilience"
	"millrace/internal/tag"
	"millrace/internal/write/audit"
)

// plc is a device with a register for each tag, which only writes change, and a driver that loses much of what is said to it and by it.
type plc struct {
	mu      sync.Mutex
	rand    *rand.Rand
	regs    map[tag.ID]uint64
	arrived map[uint64]int // how often each value was executed
	faults  float64        // share of requests with one
	late    sync.WaitGroup
}

// fate is what happens to a request.
type fate uint8

const (
	fine       fate = iota
	lost            // it does not arrive
	unanswered      // it is executed, and the answer does not arrive
	belated         // it is executed when nobody waits any more
	reset           // the connection ends before it arrives
	cut             // it is executed, and the connection ends
	refused         // the device refuses it
	fates
)

func (p *plc) fate() fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rand.Float64() >= p.faults {
		return fine
	}
	return fate(p.rand.IntN(int(fates)))
}

func (p *plc) set(id tag.ID, v uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.regs[id] = v
	p.arrived[v]++
}

func (p *plc) get(id tag.ID) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.regs[id]
}

type plcPlan struct{ tags []device.TagSpec }

func (p *plcPlan) Tags() []device.TagSpec     { return p.tags }
func (p *plcPlan) Requests() []device.Request { return make([]device.Request, min(len(p.tags), 1)) }

func (*plc) Endpoint(a device.Addr) string { return a.Host }
func (*plc) Compile(_ device.Addr, tags []device.TagSpec, _ device.Limits) (device.Plan, error) {
	return &plcPlan{tags}, nil
}
func (p *plc) Open(_ context.Context, _ device.Addr, _ device.Limits, o device.Observer) (device.Session, error) {
	if p.fate() == reset {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return &plcSession{plc: p, observer: o}, nil
}

type plcSession struct {
	plc      *plc
	observer device.Observer
	ended    bool
}

func (s *plcSession) Limits() device.Limits { return device.Limits{} }
func (s *plcSession) Close() error          { s.ended = true; return nil }

var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// silence is a request that is not answered.
func (s *plcSession) silence(ctx context.Context) error {
	wait := s.observer.Timeout()
	pause(ctx, wait)
	s.observer.TimedOut(wait)
	return os.ErrDeadlineExceeded
}

func (s *plcSession) Read(ctx context.Context, p device.Plan, into *tag.Batch) error {
	if s.ended {
		return errReset
	}
	f := s.plc.fate()
	pause(ctx, time.Duration(1+s.plc.roll(20))*time.Millisecond)
	switch f {
	case lost, unanswered, belated:
		return s.silence(ctx)
	case reset, cut:
		s.ended = true
		return errReset
	case fine, refused, fates:
	}
	for _, t := range p.Tags() {
		into.Append(t.ID, 0, tag.Good, tag.Uint64, s.plc.get(t.ID))
	}
	s.observer.Replied(time.Millisecond)
	pause(ctx, time.Duration(s.plc.roll(5))*time.Millisecond) // on its way back
	return nil
}

func (p *plc) roll(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.IntN(n)
}

func (s *plcSession) Write(ctx context.Context, _ device.Plan, w []device.Write, r []device.Result) error {
	if s.ended {
		r[0].Err = errReset
		return errReset
	}
	id, v, f := w[0].Tag.ID, w[0].Value.Bits, s.plc.fate()
	pause(ctx, time.Duration(1+s.plc.roll(20))*time.Millisecond)
	switch f {
	case refused:
		r[0].Err = errors.New("exception 4")
		return nil
	case reset:
		s.ended = true
		r[0] = device.Result{Err: errReset, MayHaveHappened: true}
		return errReset
	case cut:
		s.plc.set(id, v)
		s.ended = true
		r[0] = device.Result{Err: errReset, MayHaveHappened: true}
		return errReset
	case belated:
		s.plc.late.Add(1)
		time.AfterFunc(time.Duration(500+s.plc.roll(3000))*time.Millisecond, func() {
			s.plc.set(id, v)
			s.plc.late.Done()
		})
		fallthrough
	case lost, unanswered:
		if f == unanswered {
			s.plc.set(id, v)
		}
		err := s.silence(ctx)
		r[0] = device.Result{Err: err, MayHaveHappened: true}
		return err
	case fine, fates:
	}
	s.plc.set(id, v)
	s.observer.Replied(time.Millisecond)
	return nil
}

// register is what a tag is to whoever looks at the gateway: a value that writes replace.
func register() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, output any) (bool, any) {
			if v, ok := input.(uint64); ok {
				return true, v
			}
			return state == output, state
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprint(input, " ", output) },
	}
}

// history gathers the operations on each tag, in the order in which they began and ended.
type history struct {
	clock atomic.Int64
	mu    sync.Mutex
	ops   map[tag.ID][]porcupine.Operation
}

func (h *history) now() int64 { return h.clock.Add(1) }

func (h *history) add(id tag.ID, op porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[id] = append(h.ops[id], op)
}

const never = 1 << 62

// written notes a write. One that is unknown may take effect at any time from its begin on, or never, which is the same as at the very end.
func (h *history) written(id tag.ID, client int, v uint64, call int64, end End) {
	op := porcupine.Operation{ClientId: client, Input: v, Call: call, Return: h.now()}
	switch end {
	case Refused, Failed:
		return
	case Unknown:
		op.Return = never
	case Confirmed, Differs, Pending:
	}
	h.add(id, op)
}

// Writers and readers of a gateway whose device loses, delays and doubles: what is shown as good is always a value that the register had, in an order that the ends of the writes allow. And no
// value arrives twice.
func TestNoWrongOrStaleValueIsShownAsGood(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { historyOf(t, seed, []float64{0, 0.05, 0.2, 0.4}[seed%4]) })
		})
	}
}

func historyOf(t *testing.T, seed uint64, faults float64) {
	p := &plc{rand: rand.New(rand.NewPCG(seed, 1)), regs: map[tag.ID]uint64{}, arrived: map[uint64]int{}, faults: faults}
	rt, err := device.New(device.Config{Drivers: map[string]device.Driver{"plc": p}, Output: nowhere{}, Ledger: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	const tags = 3
	spec := device.Spec{Name: "press", Number: 1, Driver: "plc", Profile: resilience.LAN(), Addr: device.Addr{Scheme: "plc", Host: "plc"}, Groups: []device.Group{{Name: "g", Interval: 300 * time.Millisecond}}}
	for id := range tag.ID(tags) {
		spec.Groups[0].Tags = append(spec.Groups[0].Tags, device.TagSpec{ID: id + 1, Name: fmt.Sprintf("press/t%d", id), Address: "x", Writable: true})
	}
	if _, err := rt.Apply([]device.Spec{spec}); err != nil {
		t.Fatal(err)
	}
	log, _, err := audit.Open(audit.Config{Dir: auditDir, FS: faultfs.New()})
	if err != nil {
		t.Fatal(err)
	}
	path, err := New(Config{Plant: rt, Audit: log})
	if err != nil {
		t.Fatal(err)
	}
	r := Default()
	r.PerMinute, r.Within = 0, 100*time.Millisecond
	ack := r
	ack.Verify = Ack
	var targets []*Target
	for i := range tags {
		of := &r
		if i == 2 {
			of = &ack
		}
		targets = append(targets, &Target{Device: "press", Spec: &spec.Groups[0].Tags[i], Kind: tag.Uint64, Rule: of})
	}
	path.Set(targets)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rt.Run(ctx) }()
	h := &history{ops: map[tag.ID][]porcupine.Operation{}}
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for w := range 4 {
		writers.Go(func() { h.writer(path, seed, w) })
		readers.Go(func() {
			for !done.Load() {
				h.reader(rt, 100+w, tag.ID(1+w%tags))
				time.Sleep(time.Duration(7+w) * time.Millisecond)
			}
		})
	}
	writers.Wait()
	time.Sleep(2 * time.Second)
	done.Store(true)
	readers.Wait()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	p.late.Wait()
	h.judge(t, seed, faults)
	for v, n := range p.arrived {
		if n > 1 {
			t.Errorf("seed %d: value %d arrived %d times", seed, v, n)
		}
	}
}

func (h *history) writer(path *Path, seed uint64, w int) {
	rnd := rand.New(rand.NewPCG(seed, uint64(10+w)))
	for i := range 40 {
		id := tag.ID(1 + rnd.IntN(3))
		v := uint64(w+1)*1000 + uint64(i)
		call := h.now()
		out := path.Submit(context.Background(), Order{Tag: fmt.Sprintf("press/t%d", id-1), Value: tag.Value{Kind: tag.Uint64, Bits: v}, Caller: shift})
		h.written(id, w, v, call, out.End)
		time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond)
	}
}

func (h *history) reader(rt *device.Runtime, client int, id tag.ID) {
	call := h.now()
	l := rt.Last([]tag.ID{id}, nil)[0]
	if l.Quality.IsGood() {
		h.add(id, porcupine.Operation{ClientId: client, Output: l.Value.Bits, Call: call, Return: h.now()})
	}
}

// judge asks whether the history of each tag is one of a register.
func (h *history) judge(t *testing.T, seed uint64, faults float64) {
	all := 0
	for id, ops := range h.ops {
		reads, writes := 0, 0
		for _, op := range ops {
			if op.Input == nil {
				reads++
			} else {
				writes++
			}
		}
		if all += writes; reads < 50 {
			t.Errorf("seed %d: tag %d has only %d reads and %d writes", seed, id, reads, writes)
		}
		if res := porcupine.CheckOperationsTimeout(register(), ops, 20*time.Second); res != porcupine.Ok {
			t.Errorf("seed %d, %g faults: the history of tag %d is that of no register: %v", seed, faults, id, res)
		}
	}
	if all < 10 {
		t.Errorf("seed %d: only %d writes", seed, all)
	}
}

// The judge sees a value that is shown after it was replaced, and one that was never written.
func TestJudgeSeesStaleValues(t *testing.T) {
	write := func(v uint64, call, ret int64) porcupine.Operation {
		return porcupine.Operation{ClientId: 1, Input: v, Call: call, Return: ret}
	}
	read := func(v uint64, at int64) porcupine.Operation {
		return porcupine.Operation{ClientId: 2, Output: v, Call: at, Return: at + 1}
	}
	for name, c := range map[string]struct {
		ops  []porcupine.Operation
		good bool
	}{
		"good":               {[]porcupine.Operation{write(1, 1, 4), read(0, 2), read(1, 6)}, true},
		"stale":              {[]porcupine.Operation{write(1, 1, 4), read(0, 6)}, false},
		"back again":         {[]porcupine.Operation{write(1, 1, 9), read(1, 2), read(0, 5)}, false},
		"never written":      {[]porcupine.Operation{write(1, 1, 4), read(7, 6)}, false},
		"unknown, seen late": {[]porcupine.Operation{write(1, 1, never), read(0, 6), read(1, 8)}, true},
		"unknown, unseen":    {[]porcupine.Operation{write(1, 1, never), read(0, 6), read(0, 8)}, true},
		"unknown, undone":    {[]porcupine.Operation{write(1, 1, never), read(1, 6), read(0, 8)}, false},
	} {
		if got := porcupine.CheckOperations(register(), c.ops); got != c.good {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// nowhere is an Output and a Ledger.
type nowhere struct{}

func (nowhere) Offer(_ *tag.Batch, done func(error)) bool {
	if done != nil {
		done(nil)
	}
	return true
}
func (nowhere) Offered(int, int)    {}
func (nowhere) Dropped(string, int) {}
