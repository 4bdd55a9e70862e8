package modbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"millrace/internal/inflight"
)

// PoolConfig is how a Pool works. The zero value keeps eight connections warm and opens no more.
type PoolConfig struct {
	Client Config // of each connection
	// Warm is how many connections are opened at the start, handshakes done, and kept; default 8, or Slots when that is less.
	Warm int
	// Slots is the budget: never more connections at once, those being dialled included; default Warm.
	Slots int
	// Idle closes a connection beyond the warm ones that nobody has used for so long; default 30 s.
	Idle time.Duration
	// Heartbeat is how long a connection may be silent before Beat is asked over it; default 15 s, negative never.
	Heartbeat time.Duration
	// Beat is the question of the heartbeat, a read; default holding register 0 of unit 1. An exception is an answer. An identification instead:
	// Call{Unit: 1, Function: FuncReadDeviceID, Quantity: uint16(DeviceIDBasic)}. An empty PDU would not be legal Modbus.
	Beat Call
	// Redial is the pause of the warm-up after a dial that failed; default 1 s.
	Redial time.Duration
	// Dial replaces Dial (proxies, tests).
	Dial func(ctx context.Context) (*Client, error)
}

func (c PoolConfig) withDefaults() (PoolConfig, error) {
	if _, err := c.Client.withDefaults(); err != nil {
		return c, err
	}
	if c.Warm == 0 {
		c.Warm = 8
		if c.Slots > 0 {
			c.Warm = min(c.Warm, c.Slots)
		}
	}
	if c.Slots == 0 {
		c.Slots = c.Warm
	}
	if c.Warm < 0 || c.Slots < c.Warm {
		return c, fmt.Errorf("modbus: pool of %d warm connections in %d slots", c.Warm, c.Slots)
	}
	c.Idle = cmp.Or(c.Idle, 30*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.Redial = cmp.Or(c.Redial, time.Second)
	if c.Idle < 0 || c.Redial < 0 {
		return c, errors.New("modbus: pool with a negative duration")
	}
	if c.Beat.Function == 0 {
		c.Beat = Call{Unit: 1, Function: FuncReadHolding, Quantity: 1}
	}
	if what := c.Beat.check(); what != "" || c.Beat.Function.Writes() {
		return c, fmt.Errorf("modbus: pool: %v is no heartbeat: it must be a valid read %s", c.Beat.Function, what)
	}
	return c, nil
}

// Pool lends connections to one device. Any number of goroutines may use it. Run keeps it warm.
type Pool struct {
	cfg  PoolConfig
	room chan struct{} // 1: something came free; who takes it passes it on while there is more
	grew chan struct{} // 1: more connections are to be kept warm
	news chan struct{} // 1: for Borrow, which has no use for a free slot: one came back, or ended

	mu     sync.Mutex // guards what follows, and Warm and Slots of cfg
	idle   []resting  // the one used last at the end
	open   int        // idle, lent, being dialled or asked
	closed bool
	stats  PoolStats
}

// resting is a connection that nobody uses.
type resting struct {
	client *Client
	used   time.Time // when it was last given back
	heard  time.Time // when it last answered: then, or at a heartbeat
}

// PoolStats counts what a Pool did.
type PoolStats struct {
	Dialled     uint64
	DialFailed  uint64
	Beats       uint64
	BeatsFailed uint64 // the connection was closed
	IdleClosed  uint64

	Open int // now: idle, lent, and being dialled
	Idle int // now
}

// NewPool makes a pool of connections to addr; nothing is dialled before Run or Get.
func NewPool(addr string, cfg PoolConfig) (*Pool, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context) (*Client, error) { return Dial(ctx, addr, cfg.Client) }
	}
	return &Pool{cfg: cfg, room: make(chan struct{}, 1), grew: make(chan struct{}, 1), news: make(chan struct{}, 1)}, nil
}

// Run warms the pool up, one connection after the other, sends heartbeats and closes what is idle, until ctx ends. Then it closes the idle
// connections; lent ones are closed when they are put back. It returns the cause of ctx's end. A pool runs once.
func (p *Pool) Run(ctx context.Context) error {
	defer p.shut()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return inflight.EndOf(ctx)
		case <-timer.C:
		case <-p.grew:
		}
		timer.Reset(p.maintain(ctx))
	}
}

// Grow has n connections kept warm from now on, and as many slots at least; Run dials what is missing. A pool that has as many, or is closed, stays as it is.
func (p *Pool) Grow(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n <= p.cfg.Warm || p.closed {
		return
	}
	p.cfg.Warm, p.cfg.Slots = n, max(n, p.cfg.Slots)
	p.passOn()
	select {
	case p.grew <- struct{}{}:
	default:
	}
}

// size returns how many connections are kept warm, and how many there may be.
func (p *Pool) size() (warm, slots int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Warm, p.cfg.Slots
}

// Get lends a connection that is open: the idle one used last, else a new one within the budget, else the next that comes free. Give it back
// with Put, whatever became of it.
func (p *Pool) Get(ctx context.Context) (*Client, error) {
	for {
		c, dial, err := p.take()
		switch {
		case err != nil:
			return nil, err
		case c != nil:
			return c, nil
		case dial:
			return p.dial(ctx)
		}
		select {
		case <-p.room:
		case <-ctx.Done():
			_, slots := p.size()
			return nil, fmt.Errorf("modbus: pool: all %d slots are taken: %w", slots, inflight.EndOf(ctx))
		}
	}
}

// Borrow lends an idle connection and never dials: for a caller that leaves that to Run. While all are lent, asked or being dialled it waits; without
// any the error unwraps to net.ErrClosed. Give it back with Put.
func (p *Pool) Borrow(ctx context.Context) (*Client, error) {
	for {
		c, none := p.borrow()
		switch {
		case c != nil:
			return c, nil
		case none:
			return nil, fmt.Errorf("modbus: pool: there is no connection: %w", net.ErrClosed)
		}
		select {
		case <-p.news:
		case <-ctx.Done():
			return nil, fmt.Errorf("modbus: pool: no connection is idle: %w", context.Cause(ctx))
		}
	}
}

// TryBorrow is Borrow without waiting: nil when no connection is idle.
func (p *Pool) TryBorrow() *Client {
	c, _ := p.borrow()
	return c
}

// borrow returns an idle connection, or says whether there is none that may become idle.
func (p *Pool) borrow() (c *Client, none bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c = p.pop()
	p.passOn()
	none = p.open == 0
	if len(p.idle) > 0 || none {
		p.tell() // others that wait
	}
	return c, none
}

// tell wakes one of those who wait in Borrow. The caller holds mu.
func (p *Pool) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// Put takes a connection of Get or Borrow back. One that has ended frees its slot.
func (p *Pool) Put(c *Client) {
	now := time.Now()
	p.giveBack(resting{client: c, used: now, heard: now})
}

// Do lends a connection for one Client.Do.
func (p *Pool) Do(ctx context.Context, calls []Call) error {
	c, err := p.Get(ctx)
	if err != nil {
		return err
	}
	defer p.Put(c)
	return c.Do(ctx, calls)
}

// Stats returns the counts so far.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Open, s.Idle = p.open, len(p.idle)
	return s
}

// take returns an idle connection, or the right to dial one, or neither: then wait for room.
func (p *Pool) take() (c *Client, dial bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.passOn()
	if p.closed {
		return nil, false, fmt.Errorf("modbus: pool: %w", net.ErrClosed)
	}
	if c := p.pop(); c != nil {
		return c, false, nil
	}
	if p.open < p.cfg.Slots {
		p.open++
		return nil, true, nil
	}
	return nil, false, nil
}

// pop takes the connection used last out of the idle ones, nil when there is none that is open. The caller holds mu.
func (p *Pool) pop() *Client {
	for n := len(p.idle); n > 0; n = len(p.idle) {
		c := p.idle[n-1].client
		p.idle = p.idle[:n-1]
		if c.Err() == nil {
			return c
		}
		p.open-- // its reader has closed it, or is about to
	}
	return nil
}

// passOn wakes one who waits when there is something to be had. The caller holds mu.
func (p *Pool) passOn() {
	if len(p.idle) == 0 && p.open >= p.cfg.Slots && !p.closed {
		return
	}
	select {
	case p.room <- struct{}{}:
	default:
	}
}

// dial opens a connection in the slot that the caller took.
func (p *Pool) dial(ctx context.Context) (*Client, error) {
	c, err := p.cfg.Dial(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.stats.DialFailed++
		p.open--
		p.passOn()
		p.tell()
		return nil, err
	}
	p.stats.Dialled++
	return c, nil
}

// giveBack makes r idle, or closes it when it has ended or the pool has.
func (p *Pool) giveBack(r resting) {
	p.mu.Lock()
	keep := !p.closed && r.client.Err() == nil
	if keep {
		p.idle = append(p.idle, r)
	} else {
		p.open--
	}
	p.passOn()
	p.tell()
	p.mu.Unlock()
	if !keep {
		_ = r.client.Close()
	}
}

// shut ends the pool.
func (p *Pool) shut() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.open -= len(idle)
	p.passOn()
	p.tell()
	p.mu.Unlock()
	var all sync.WaitGroup
	for _, r := range idle {
		all.Go(func() { _ = r.client.Close() }) // at once: a device that is gone has each of them wait
	}
	all.Wait()
}

// maintain does what is due and returns how long nothing will be.
func (p *Pool) maintain(ctx context.Context) time.Duration {
	p.closeWorn(time.Now())
	warmed := p.warm(ctx)
	for ctx.Err() == nil { // before one is taken out: that has to be put back
		r, ok := p.silent(time.Now())
		if !ok {
			break
		}
		p.beat(ctx, r)
	}
	next := p.nextDue(time.Now())
	if !warmed {
		next = min(next, p.cfg.Redial)
	}
	return next
}

// closeWorn closes idle connections that have ended, and those beyond the warm ones that were idle too long.
func (p *Pool) closeWorn(now time.Time) {
	p.mu.Lock()
	var worn []resting
	p.idle = slices.DeleteFunc(p.idle, func(r resting) bool {
		ended, idle := r.client.Err() != nil, p.open > p.cfg.Warm && now.Sub(r.used) >= p.cfg.Idle
		if !ended && !idle {
			return false
		}
		if !ended {
			p.stats.IdleClosed++
		}
		p.open--
		worn = append(worn, r)
		return true
	})
	p.passOn()
	p.mu.Unlock()
	for _, r := range worn {
		_ = r.client.Close()
	}
}

// warm dials until Warm connections are open. It reports false when a dial failed, or the device ended what it had accepted: one that takes
// fewer connections is not stormed.
func (p *Pool) warm(ctx context.Context) bool {
	size, _ := p.size()
	for range size {
		p.mu.Lock()
		enough := p.open >= p.cfg.Warm
		if !enough {
			p.open++
		}
		p.mu.Unlock()
		if enough {
			return true
		}
		c, err := p.dial(ctx)
		if err != nil {
			return false // counted; Redial tries again
		}
		p.Put(c)
		if c.Err() != nil {
			return false
		}
	}
	return true
}

// silent takes out an idle connection whose heartbeat is due.
func (p *Pool) silent(now time.Time) (resting, bool) {
	if p.cfg.Heartbeat < 0 {
		return resting{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.idle, func(r resting) bool { return now.Sub(r.heard) >= p.cfg.Heartbeat })
	if i < 0 {
		return resting{}, false
	}
	r := p.idle[i]
	p.idle = slices.Delete(p.idle, i, i+1)
	return r, true
}

// beat asks over r and puts it back. Whatever is not an answer ends it.
func (p *Pool) beat(ctx context.Context, r resting) {
	err := r.client.Do(ctx, []Call{p.cfg.Beat})
	p.mu.Lock()
	p.stats.Beats++
	if err != nil {
		p.stats.BeatsFailed++
	}
	p.mu.Unlock()
	if err != nil {
		_ = r.client.Close()
	}
	r.heard = time.Now()
	p.giveBack(r)
}

// nextDue returns the time until the next heartbeat or idle end.
func (p *Pool) nextDue(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.cfg.Idle
	if p.cfg.Heartbeat > 0 {
		next = min(next, p.cfg.Heartbeat)
	}
	for _, r := range p.idle {
		if p.cfg.Heartbeat > 0 {
			next = min(next, r.heard.Add(p.cfg.Heartbeat).Sub(now))
		}
		if p.open > p.cfg.Warm {
			next = min(next, r.used.Add(p.cfg.Idle).Sub(now))
		}
	}
	return max(next, time.Millisecond)
}
