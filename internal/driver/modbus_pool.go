package driver

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"millrace/modbus"
)

// poolLook is how often a pool at least looks for connections that ended, to make them anew: not more often than a heartbeat usually comes, since a
// device that takes fewer connections than it is given refuses the rest each time.
const poolLook = 15 * time.Second

// modbusPool is the connections of a session that has several, or a heartbeat. Its goroutine makes them, one after the other, keeps them warm and
// makes those anew that ended; a Read only takes what is there. Without any the session has ended, and when it is made anew is the endpoint's to
// say, with its back-off and its turn to dial.
type modbusPool struct {
	pool     *modbus.Pool
	size     int
	window   int
	disorder uint64 // replies out of their order, connections that ended within a Read
	stop     context.CancelFunc
	ended    chan struct{}
	lines    []line         // of the Read that runs
	watched  *modbus.Client // whose socket is looked at, until it ends
	socket   tcpProbe
}

// line is a connection with its share of a Read.
type line struct {
	client   *modbus.Client
	calls    []modbus.Call
	overtook uint64 // before
}

// openPool makes the first connection and starts the goroutine that makes the others.
func openPool(ctx context.Context, o *modbusOptions, cfg modbus.Config, size int) (*modbusPool, error) {
	return growPool(ctx, o, cfg, size, nil)
}

// growPool is openPool with a first connection that is there already, when it is not nil.
func growPool(ctx context.Context, o *modbusOptions, cfg modbus.Config, size int, there *modbus.Client) (*modbusPool, error) {
	heartbeat := o.heartbeat
	if heartbeat == 0 {
		heartbeat = -1
	}
	host := o.host
	first := func(ctx context.Context) (*modbus.Client, error) {
		if c := there; c != nil {
			there = nil // the goroutine of the pool, which dials too, begins behind it
			return c, nil
		}
		return modbus.Dial(ctx, host, cfg)
	}
	pool, err := modbus.NewPool(o.host, modbus.PoolConfig{
		Client: cfg, Warm: size, Slots: size, Idle: poolLook, Redial: poolLook, Heartbeat: heartbeat, Beat: o.beat, Dial: first,
	})
	if err != nil {
		return nil, err
	}
	c, err := pool.Get(ctx)
	if err != nil {
		return nil, err
	}
	pool.Put(c)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &modbusPool{pool: pool, size: size, window: cfg.Window, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = pool.Run(run) // it ends with run
	}()
	return p, nil
}

// grow has the pool keep size connections.
func (p *modbusPool) grow(size int) {
	if size > p.size {
		p.size = size
		p.pool.Grow(size)
	}
}

// close ends all connections. No Read runs.
func (p *modbusPool) close() {
	p.stop()
	<-p.ended
}

// once makes calls over one connection, and never again.
func (p *modbusPool) once(ctx context.Context, calls []modbus.Call) error {
	c, err := p.pool.Borrow(ctx)
	if err != nil {
		return err
	}
	defer p.pool.Put(c)
	c.SetWindow(p.window)
	return c.Do(ctx, calls)
}

// read spreads calls over the connections that are there. What one of them left when it ended is asked for once more over another.
func (p *modbusPool) read(ctx context.Context, calls []modbus.Call) error {
	if len(calls) == 0 {
		return nil
	}
	if err := p.borrow(ctx, calls); err != nil {
		for i := range calls {
			calls[i].Err = err
		}
		return err
	}
	var wg sync.WaitGroup
	for i := range p.lines[1:] {
		wg.Go(func() { p.lines[1+i].run(ctx) })
	}
	p.lines[0].run(ctx)
	wg.Wait()
	p.putBack()
	for i := range calls {
		if errors.Is(calls[i].Err, net.ErrClosed) && ctx.Err() == nil {
			if err := p.once(ctx, calls[i:i+1]); err != nil {
				return err
			}
		}
	}
	for i := range calls {
		if err := calls[i].Err; err != nil && exceptionOf(err) == 0 {
			return err
		}
	}
	return nil
}

// borrow gives each idle connection an equal share of calls, one at least.
func (p *modbusPool) borrow(ctx context.Context, calls []modbus.Call) error {
	c, err := p.pool.Borrow(ctx)
	if err != nil {
		return err
	}
	p.lines = p.lines[:0]
	for ; c != nil; c = p.pool.TryBorrow() {
		c.SetWindow(p.window)
		p.lines = append(p.lines, line{client: c, overtook: c.Stats().Overtook})
		if len(p.lines) == min(p.size, len(calls)) {
			break
		}
	}
	p.watch(p.lines[0].client)
	n := len(p.lines)
	for i := range p.lines {
		p.lines[i].calls = calls[i*len(calls)/n : (i+1)*len(calls)/n]
	}
	return nil
}

// watch has c's socket looked at when none is that stands.
func (p *modbusPool) watch(c *modbus.Client) {
	if p.watched == nil || p.watched.Err() != nil {
		p.watched, p.socket = c, newTCPProbe(c)
	}
}

// run makes the calls of l. What came of them is in them.
func (l *line) run(ctx context.Context) { _ = l.client.Do(ctx, l.calls) }

// putBack ends the loan, and counts what was not as it should be.
func (p *modbusPool) putBack() {
	for i := range p.lines {
		l := &p.lines[i]
		p.disorder += l.client.Stats().Overtook - l.overtook
		if l.client.Err() != nil {
			p.disorder++
		}
		p.pool.Put(l.client)
		*l = line{}
	}
}
