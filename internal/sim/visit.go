package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// visit is one connection to a device, whatever it speaks: the dice are thrown for each request, and each answer is sent as they fell.
type visit struct {
	f *fleet
	d *device

	// Of the request at hand; they belong to the connection's goroutine.
	now    time.Time
	effect effect

	late sync.WaitGroup // late replies that wait or are being sent
	mu   sync.Mutex
	wait map[*time.Timer]struct{} // of those that wait
}

// line is what a visit needs of a server's connection.
type line interface {
	Burst() int
	Send(b []byte)
	Pause(ctx context.Context, d time.Duration) error
	Write(b []byte) (int, error)
}

// effect is what the faults do to one reply.
type effect struct {
	delay     time.Duration
	late      time.Duration
	trickle   time.Duration
	code      int // in place of the reply
	silence   bool
	reset     bool
	cut       bool
	duplicate bool
	wrongID   bool
	wrongFunc bool
}

func (e *effect) add(f *fault, rng *rand.PCG) {
	switch f.Kind {
	case Latency:
		e.delay += f.Duration
	case Jitter:
		e.delay += time.Duration(rng.Uint64() % uint64(f.Duration))
	case Late:
		e.late = f.Duration
	case Duplicate:
		e.duplicate = true
	case WrongID, WrongRef:
		e.wrongID = true
	case WrongFunction:
		e.wrongFunc = true
	case Cut:
		e.cut = true
	case Reset:
		e.reset = true
	case Silence, Serial:
		e.silence = true
	case Exception, Refusal:
		e.code = f.Count
	case Trickle:
		e.trickle = f.Duration
	}
}

// asked throws the dice for a request that came over c, and returns the code that is to be its answer, 0 for none.
func (v *visit) asked(c line) int {
	v.now = time.Now()
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	v.d.requests++
	v.effect = v.d.effectOf(v.elapsed(), c.Burst())
	return v.effect.code
}

func (v *visit) elapsed() time.Duration { return v.f.elapsed(v.now) }

// answer sends a reply as the faults will have it; hangUp makes the error that ends a connection of the protocol.
func (v *visit) answer(ctx context.Context, c line, reply []byte, hangUp func(reset bool) error) error {
	e := &v.effect
	if e.delay > 0 {
		if err := c.Pause(ctx, e.delay); err != nil {
			return err
		}
	}
	switch {
	case e.silence:
		return nil
	case e.reset:
		return hangUp(true)
	case e.cut:
		c.Send(reply[:len(reply)/2])
		return hangUp(false)
	case e.late > 0:
		v.later(c, e.late, append([]byte(nil), reply...))
		return nil
	case e.trickle > 0:
		return trickle(ctx, c, e.trickle, reply)
	case e.duplicate:
		c.Send(reply)
	}
	c.Send(reply)
	return nil
}

// later sends a reply when it is too late.
func (v *visit) later(c line, d time.Duration, reply []byte) {
	v.late.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.wait == nil {
		v.wait = map[*time.Timer]struct{}{}
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		defer v.late.Done()
		v.mu.Lock()
		delete(v.wait, t)
		v.mu.Unlock()
		_, _ = c.Write(reply) // on a connection that ended it fails, which is as late as can be
	})
	v.wait[t] = struct{}{}
}

// trickle sends a reply byte by byte.
func trickle(ctx context.Context, c line, each time.Duration, reply []byte) error {
	for i := range reply {
		c.Send(reply[i : i+1])
		if err := c.Pause(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

// end stops what waits and waits for what runs.
func (v *visit) end() {
	v.mu.Lock()
	for t := range v.wait {
		if t.Stop() {
			v.late.Done()
		}
	}
	v.mu.Unlock()
	v.late.Wait()
}
