package write

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/internal/write/audit"
)

// Plant is the devices. *device.Runtime is one.
type Plant interface {
	WriteIf(ctx context.Context, device string, w []device.Write, res []device.Result, check func() error) error
	Wish(ctx context.Context, device string, w device.Write, newest func() bool, check func() error) (device.Result, error)
	ReadBack(ctx context.Context, device string, tags []tag.ID) error
	Doubt(ctx context.Context, device string, tags []tag.ID) error
	Last(ids []tag.ID, dst []device.Last) []device.Last
}

// Auditor keeps records. *audit.Log is one.
type Auditor interface {
	Append(r *audit.Record) error // returns when it is durable
	SyncHead() error
}

// Config of a Path.
type Config struct {
	Plant  Plant
	Audit  Auditor
	Memory *Memory       // what the audit log has of before; nil is nothing
	Keep   time.Duration // how long an idempotency key is remembered: default 24 h
	AtOnce int           // writes under way at once, those that wait for their tag included, and desired ones of one device: default 256
	// RoleOf says what somebody who asked for a write may by now; false is nothing, for he is not known any more. It is asked when the write is approved. Nil is that it is as it was.
	RoleOf func(c Caller) (Role, bool)
	// OnEnd hears of each write that ended. It returns at once.
	OnEnd func(Outcome)
}

// maxKept is how many writes are remembered, whatever Keep says.
const maxKept = 100_000

// Path takes orders. Its methods are safe for concurrent use.
//
// An order is carried out by the goroutine that brings it. Locks: Path.mu, held for moments; a tag's turn, which is a channel, held while a value of that tag is written and verified.
type Path struct {
	cfg     Config
	targets atomic.Pointer[map[string]*Target]
	stats   counters

	mu      sync.Mutex // guards what follows
	idle    sync.Cond  // running is 0
	running int
	repeats int                                // of keys, that wait for an order under way; none of them runs
	wishing map[*entry]context.CancelCauseFunc // desired values: they may wait for long, and are none of the AtOnce
	wishes  map[string]int                     // wishing by device
	closed  bool
	tags    map[string]*tagState
	kept    map[string]*entry // by user and idempotency key
	byID    map[uint64]*entry
	age     []*entry // those in kept or byID, the oldest first
}

// tagState is what is known of a tag over the writes of it.
type tagState struct {
	turn   chan struct{} // of size 1: who is in it writes
	newest atomic.Pointer[entry]
	last   atomic.Pointer[Outcome] // that ended
	bucket bucket                  // under Path.mu
}

// entry is one order and what became of it.
type entry struct {
	order  Order
	digest string
	began  time.Time
	first  uint64 // Seq of its first audit record, 0 before
	done   chan struct{}
	asked  chan struct{} // closed, and nil, when it is pending; under Path.mu

	// Under Path.mu.
	out     Outcome
	quality string // of out.Old, when it is not good
	pending bool
	settled bool // of a desired value: nothing waits any more, it was written or will not be
	ended   bool
}

// New returns a Path without targets.
func New(c Config) (*Path, error) {
	if c.Plant == nil || c.Audit == nil {
		return nil, errors.New("write: a path needs devices and an audit log")
	}
	if c.Keep == 0 {
		c.Keep = 24 * time.Hour
	}
	if c.AtOnce == 0 {
		c.AtOnce = 256
	}
	p := &Path{cfg: c, tags: map[string]*tagState{}, kept: map[string]*entry{}, byID: map[uint64]*entry{},
		wishing: map[*entry]context.CancelCauseFunc{}, wishes: map[string]int{}}
	p.idle.L = &p.mu
	p.targets.Store(&map[string]*Target{})
	if c.Memory == nil {
		return p, nil
	}
	return p, p.remember(c.Memory)
}

// Set makes targets what may be written from now on.
func (p *Path) Set(targets []*Target) {
	m := make(map[string]*Target, len(targets))
	for _, t := range targets {
		m[t.Spec.Name] = t
	}
	p.targets.Store(&m)
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, s := range p.tags {
		if m[name] == nil && len(s.turn) == 0 {
			delete(p.tags, name)
		}
	}
}

// Target returns the tag of that name, when it may be written.
func (p *Path) Target(name string) (*Target, bool) {
	t := (*p.targets.Load())[name]
	return t, t != nil
}

// Submit carries an order out, and returns how it ended. One that has to be approved returns at once, Pending. Two orders of a user with one key are one: the second waits for the end of the
// first. The end of ctx ends that waiting and nothing else: what has been asked for goes its way.
func (p *Path) Submit(ctx context.Context, o Order) Outcome {
	e := &entry{order: o, digest: o.digest(), began: time.Now(), done: make(chan struct{}), asked: make(chan struct{})}
	e.out = Outcome{Tag: o.Tag, New: o.Value, By: o.Caller.User, Via: o.Caller.Via, Why: o.Why, Asked: e.began}
	before, why := p.enter(e)
	switch {
	case before != nil:
		return p.again(ctx, before)
	case why != nil:
		return p.refuseUnheard(e, why)
	}
	defer p.leave()
	if p.usedOtherwise(e) {
		return p.refuse(e, &refusal{KeyTaken, "the idempotency key was used for another write"})
	}
	t, why := p.admit(&o)
	if t != nil {
		p.state(t) // refusals of it are remembered too
	}
	switch {
	case why != nil:
		return p.refuse(e, why)
	case t.Rule.Approve:
		return p.ask(e, t)
	}
	return p.execute(context.WithoutCancel(ctx), e, t)
}

// enter counts e as under way, under its key when that is free. One whose key is that of the same order is no other one: that is returned, and nothing is counted, however many are under way.
func (p *Path) enter(e *entry) (before *entry, why *refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := e.order.Key != ""
	before = p.kept[keyOf(&e.order)]
	switch same := key && before != nil && before.digest == e.digest; {
	case same && !before.ended && !before.pending && p.repeats >= p.cfg.AtOnce:
		return nil, &refusal{TooMany, "as many repetitions as may be wait for a write under way"}
	case same:
		return before, nil
	}
	if why := p.run(); why != nil {
		return nil, why
	}
	if key && before == nil {
		p.kept[keyOf(&e.order)] = e
	}
	return nil, nil
}

// run counts what is under way. The caller holds mu.
func (p *Path) run() *refusal {
	switch {
	case p.closed:
		return stopping()
	case p.running-len(p.wishing) >= p.cfg.AtOnce:
		return &refusal{TooMany, "as many writes as may be are under way"}
	}
	p.running++
	return nil
}

func (p *Path) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running--; p.running == 0 {
		p.idle.Broadcast()
	}
}

func stopping() *refusal { return &refusal{Stopping, "the gateway is stopping"} }

// aside has e, a desired value of a device, not count among the writes at once, and returns ctx, which Close ends too. back undoes that.
func (p *Path) aside(ctx context.Context, e *entry, device string) (waiting context.Context, back func(), why *refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ctx, nil, stopping()
	case p.wishes[device] >= p.cfg.AtOnce:
		return ctx, nil, &refusal{TooMany, "as many values as may be are wished for of the device"}
	}
	waiting, cancel := context.WithCancelCause(ctx)
	p.wishing[e] = cancel
	p.wishes[device]++
	return waiting, func() { p.back(e, device) }, nil
}

func (p *Path) back(e *entry, device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wishing[e](nil)
	delete(p.wishing, e)
	if p.wishes[device]--; p.wishes[device] == 0 {
		delete(p.wishes, device)
	}
}

func keyOf(o *Order) string { return o.Caller.User + "\x00" + o.Key }

// usedOtherwise says whether the key of e is that of another order.
func (p *Path) usedOtherwise(e *entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return e.order.Key != "" && p.kept[keyOf(&e.order)] != e
}

// again answers an order whose key was there before.
func (p *Path) again(ctx context.Context, before *entry) Outcome {
	if pending, asked := p.isPending(before); !pending {
		p.repeating(1)
		select {
		case <-before.done:
		case <-asked:
		case <-ctx.Done():
		}
		p.repeating(-1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := before.out
	out.Repeated = true
	if !before.ended && !before.pending {
		out.End, out.Reason = Unknown, "it is still under way"
	}
	return out
}

func (p *Path) repeating(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.repeats += n
}

// isPending says whether e waits to be approved. asked is closed when it begins to, nil when it has.
func (p *Path) isPending(e *entry) (pending bool, asked <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return e.pending, e.asked
}

// admit checks what can be checked of an order without doing anything.
func (p *Path) admit(o *Order) (*Target, *refusal) {
	t, ok := p.Target(o.Tag)
	if !ok {
		return nil, &refusal{NoTag, "there is no such tag, or it is not writable"}
	}
	if !o.Caller.Role.Has(t.Rule.Role) {
		return nil, &refusal{NoRole, "it takes the role " + t.Rule.Role.String()}
	}
	return t, t.accepts(o.Value)
}

// accepts says what is against v as a value of t, whoever writes it.
func (t *Target) accepts(v tag.Value) *refusal {
	if v.Kind == tag.Null {
		return &refusal{BadValue, "there is no value"}
	}
	raw, err := t.raw(v, tag.Null)
	if err != nil {
		return refusedValue(err)
	}
	sent := raw.Elems()
	for it := v.Elems(); it.Next() && sent.Next(); {
		if err := t.ranged(it.Value, sent.Value); err != nil {
			return refusedBy(OutOfRange, err)
		}
	}
	if err := t.ranged(v, raw); err != nil {
		return refusedBy(OutOfRange, err)
	}
	if t.Check == nil {
		return nil
	}
	if err := t.Check(raw); err != nil {
		return refusedBy(OutOfRange, err)
	}
	return nil
}

// ranged says whether v is between the limits, and what the device has when it is sent raw for it: the nearest whole number may be past them.
func (t *Target) ranged(v, raw tag.Value) error {
	f, ok := v.Float()
	if !ok || v.Kind == tag.Bool {
		return nil
	}
	if err := t.within(f); err != nil {
		return err
	}
	shown := t.nearest(v, raw)
	f, _ = shown.Float()
	if err := t.within(f); err != nil {
		return fmt.Errorf("%v would be %v in the device: %w", v, shown, err)
	}
	return nil
}

func refusedValue(err error) *refusal {
	var te *TypeError
	if errors.As(err, &te) && te.Range {
		return refusedBy(OutOfRange, err)
	}
	return refusedBy(BadValue, err)
}

// state returns the state of a tag.
func (p *Path) state(t *Target) *tagState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.tags[t.Spec.Name]
	if s == nil {
		s = &tagState{turn: make(chan struct{}, 1), bucket: newBucket(t.Rule)}
		p.tags[t.Spec.Name] = s
	}
	return s
}

// take takes a turn of the tag's rate.
func (p *Path) take(s *tagState, r *Rule) *refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := s.bucket.take(time.Now(), r)
	if wait == 0 {
		return nil
	}
	return &refusal{TooMany, fmt.Sprintf("the tag is written too often, %d times a minute at most and %d at once: it may be again in %v", r.PerMinute, r.Burst, wait)}
}

// bucket is a token bucket: of so many a minute, and so many at once.
type bucket struct {
	tokens float64
	at     time.Time
}

func newBucket(r *Rule) bucket { return bucket{tokens: float64(r.Burst), at: time.Now()} }

// take takes a token, or returns how long it is until there is one, in whole seconds.
func (b *bucket) take(now time.Time, r *Rule) time.Duration {
	if r.PerMinute == 0 {
		return 0
	}
	b.tokens = min(float64(r.Burst), b.tokens+now.Sub(b.at).Minutes()*float64(r.PerMinute))
	b.at = now
	if b.tokens < 1 {
		return time.Duration(math.Ceil((1-b.tokens)*60/float64(r.PerMinute))) * time.Second
	}
	b.tokens--
	return 0
}

// Run looks after what time brings, until ctx ends: orders that nobody approves, keys that are old, the head of the audit log.
func (p *Path) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.expire(now)
			p.forget(now)
			if p.cfg.Audit.SyncHead() != nil {
				p.stats.auditErrors.Add(1)
			}
		}
	}
}

// Close takes no more orders, refuses desired values that have not left, waits for what is under way, and refuses what waits to be approved: a restart does not bring them back.
func (p *Path) Close() {
	p.mu.Lock()
	p.closed = true
	for _, cancel := range p.wishing {
		cancel(stopping())
	}
	for p.running > 0 {
		p.idle.Wait()
	}
	p.mu.Unlock()
	for _, e := range p.waiting() {
		if p.withdraw(e) {
			p.reject(e, Caller{}, &refusal{NotApproved, "the gateway stopped before somebody approved it"})
		}
	}
}
