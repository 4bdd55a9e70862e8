package device

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/tag"
)

// Write does what onWrite says; without it the register takes the value.
func (s *fakeSession) Write(ctx context.Context, _ Plan, w []Write, r []Result) error {
	p := s.plc
	p.mu.Lock()
	broken, m, latency, on := s.number <= p.broken, p.mode, p.latency, p.onWrite
	p.mu.Unlock()
	lost := &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	for i := range w {
		if broken {
			r[i].Err = lost
			continue
		}
		p.change(func(p *plc) { p.written = append(p.written, w[i].Value.Bits) })
		if m == silent || m == blackHole {
			wait := s.observer.Timeout()
			if err := sleep(ctx, wait); err != nil {
				r[i] = Result{Err: err, MayHaveHappened: true}
				return err
			}
			s.observer.TimedOut(wait)
			r[i] = Result{Err: os.ErrDeadlineExceeded, MayHaveHappened: true}
			return os.ErrDeadlineExceeded
		}
		if err := sleep(ctx, latency); err != nil {
			r[i] = Result{Err: err, MayHaveHappened: true}
			return err
		}
		if on != nil {
			var err error
			if r[i], err = on(w[i]); err != nil {
				return err
			}
		}
		p.hold(w[i].Tag.ID, w[i].Value.Bits, r[i].Err == nil)
	}
	if broken {
		return lost
	}
	return nil
}

// hold has a register take a value.
func (p *plc) hold(id tag.ID, bits uint64, ok bool) {
	if !ok {
		return
	}
	p.change(func(p *plc) {
		if p.registers == nil {
			p.registers = map[tag.ID]uint64{}
		}
		p.registers[id] = bits
	})
}

func float(f float32) tag.Value {
	return tag.Value{Kind: tag.Float32, Bits: uint64(math.Float32bits(f))}
}

// put writes one value to the first tag of device n.
func (b *bench) put(ctx context.Context, n uint32, f float32) (Result, error) {
	s := b.spec(n, time.Second, 3)
	res := make([]Result, 1)
	err := b.Write(ctx, s.Name, []Write{{Tag: s.Groups[0].Tags[0], Value: float(f)}}, res)
	return res[0], err
}

func (b *bench) name(n uint32) string { return b.spec(n, time.Second, 1).Name }

// writing runs device 1 until it is read.
func writing(t *testing.T, f func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 3))
		b.run()
		time.Sleep(1500 * time.Millisecond)
		f(b)
		b.quit()
	})
}

// A write is done before the next read, and a read-back shows it at once, whatever the interval.
func TestWriteAndReadBack(t *testing.T) {
	writing(t, func(b *bench) {
		r, err := b.put(b.t.Context(), 1, 7)
		if err != nil || r.Err != nil || r.MayHaveHappened {
			t.Errorf("%+v, %v", r, err)
		}
		if v := b.last(100).Value.String(); v != "1" {
			t.Errorf("before the read-back it is %s", v)
		}
		if err := b.ReadBack(b.t.Context(), b.name(1), []tag.ID{100}); err != nil {
			t.Error(err)
		}
		if l := b.last(100); l.Value.String() != "7" || !l.Quality.IsGood() {
			t.Errorf("after it %v", l)
		}
		if got := b.plc(1).left(); len(got) != 1 {
			t.Errorf("%d writes left", len(got))
		}
	})
}

// Writes overtake reads that wait, in their own order, but not for ever.
func TestWritesGoBeforeReadsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		var order []string
		s := b.spec(1, time.Second, 1)
		for i, name := range []string{"b", "c", "d"} {
			g := Group{Name: name, Interval: time.Second, Tags: []TagSpec{{ID: tag.ID(200 + i), Name: s.Name + "/" + name, Address: "x"}}}
			s.Groups = append(s.Groups, g)
		}
		b.plc(1).latency = 150 * time.Millisecond
		b.plc(1).onRead = func(Observer) { b.plc(1).change(func(*plc) { order = append(order, "r") }) }
		b.plc(1).onWrite = func(Write) (Result, error) {
			b.plc(1).change(func(*plc) { order = append(order, "w") })
			return Result{}, nil
		}
		b.apply(s)
		b.run()
		time.Sleep(3 * time.Second)
		b.plc(1).change(func(*plc) { order = nil })
		done := make(chan error)
		for i := range 20 {
			go func() {
				_, err := b.put(b.t.Context(), 1, float32(i))
				done <- err
			}()
		}
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		var text string
		b.plc(1).change(func(*plc) { text = strings.TrimLeft(strings.Join(order, ""), "r") })
		if !strings.HasPrefix(text, "wwwwwwwwr") || strings.Contains(text, "wwwwwwwww") || strings.Count(text, "w") != 20 {
			t.Errorf("the order was %s", text)
		}
		b.quit()
	})
}

// What is refused was not sent, and says why.
func TestWriteIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, want string
		before     func(b *bench)
	}{
		{"down", "it is down: it refuses the connection", func(b *bench) {
			b.plc(1).set(refuses)
			time.Sleep(5 * time.Second)
		}},
		{"out of service", "out of service: repair", func(b *bench) {
			_ = b.SetOutOfService(b.name(1), true, "repair")
			time.Sleep(time.Second)
		}},
		{"tag out of service", "a tag of it is out of service", func(b *bench) {
			_ = b.SetOutOfService(b.name(1)+"/t0", true, "repair")
			time.Sleep(time.Second)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			writing(t, func(b *bench) {
				c.before(b)
				r, err := b.put(b.t.Context(), 1, 7)
				var ns *NotSentError
				if !errors.As(err, &ns) || !errors.As(r.Err, &ns) || r.MayHaveHappened || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%+v, %v", r, err)
				}
				if len(b.plc(1).left()) != 0 {
					t.Error("it left all the same")
				}
			})
		})
	}
	writing(t, func(b *bench) {
		var u *UnknownError
		if err := b.Write(b.t.Context(), "nobody", make([]Write, 1), make([]Result, 1)); !errors.As(err, &u) {
			t.Errorf("%v", err)
		}
		if err := b.Write(b.t.Context(), b.name(1), []Write{{Tag: TagSpec{ID: 999}}}, make([]Result, 1)); err == nil {
			t.Error("a tag of nobody was written")
		}
	})
}

// More than the queue holds is refused at once, the others are done.
func TestWriteQueueIsBounded(t *testing.T) {
	writing(t, func(b *bench) {
		b.plc(1).change(func(p *plc) { p.latency = 100 * time.Millisecond })
		full, sent := 0, 0
		done := make(chan error)
		for i := range maxErrands + 10 {
			go func() {
				_, err := b.put(b.t.Context(), 1, float32(i))
				done <- err
			}()
		}
		for range maxErrands + 10 {
			switch err := <-done; {
			case err == nil:
				sent++
			case strings.Contains(err.Error(), "64 writes wait"):
				full++
			default:
				t.Error(err)
			}
		}
		if full < 9 || sent+full != maxErrands+10 || len(b.plc(1).left()) != sent {
			t.Errorf("%d refused, %d done, %d left", full, sent, len(b.plc(1).left()))
		}
	})
}

// The end of the caller's context takes back what waits, and nothing that is on its way.
func TestWriteAndTheEndOfItsContext(t *testing.T) {
	writing(t, func(b *bench) {
		b.plc(1).change(func(p *plc) { p.latency = 150 * time.Millisecond })
		first := make(chan error)
		go func() {
			ctx, cancel := context.WithTimeout(b.t.Context(), 50*time.Millisecond)
			defer cancel()
			r, err := b.put(ctx, 1, 5) // on its way when ctx ends
			if r.Err != nil {
				err = r.Err
			}
			first <- err
		}()
		time.Sleep(10 * time.Millisecond)
		ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Millisecond)
		defer cancel()
		r, err := b.put(ctx, 1, 6)
		if !errors.Is(err, context.DeadlineExceeded) || r.Err == nil || r.MayHaveHappened {
			t.Errorf("waiting: %+v, %v", r, err)
		}
		if err := <-first; err != nil {
			t.Errorf("on its way: %v", err)
		}
		time.Sleep(time.Second)
		if got := b.plc(1).left(); !slices.Equal(got, []uint64{float(5).Bits}) {
			t.Errorf("%d left", len(got))
		}
	})
}

// A write that times out may have happened, is not repeated, and makes the device suspect; one on a dead connection was not sent.
func TestWriteFaults(t *testing.T) {
	writing(t, func(b *bench) {
		b.plc(1).set(silent)
		r, err := b.put(b.t.Context(), 1, 7)
		if err == nil || !r.MayHaveHappened || r.Err == nil {
			t.Errorf("%+v, %v", r, err)
		}
		synctest.Wait()
		if s := b.status(b.name(1)).State; s != Suspect {
			t.Errorf("it is %v", s)
		}
		b.plc(1).set(fine)
		time.Sleep(5 * time.Second)
		if n := len(b.plc(1).left()); n != 1 {
			t.Errorf("%d writes left", n)
		}
		if s := b.status(b.name(1)).State; s != Ready {
			t.Errorf("it is %v", s)
		}
		b.plc(1).change(func(p *plc) { p.broken = p.sessions })
		r, err = b.put(b.t.Context(), 1, 8)
		if !errors.Is(err, syscall.ECONNRESET) || r.MayHaveHappened {
			t.Errorf("%+v, %v", r, err)
		}
		time.Sleep(5 * time.Second)
		if s := b.status(b.name(1)); s.State != Ready {
			t.Errorf("it is %v: %s", s.State, s.Reason)
		}
	})
}

// A reset in the middle of a write: it may have happened, once.
func TestWriteReset(t *testing.T) {
	writing(t, func(b *bench) {
		lost := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		b.plc(1).change(func(p *plc) {
			p.onWrite = func(Write) (Result, error) { return Result{Err: lost, MayHaveHappened: true}, lost }
		})
		r, err := b.put(b.t.Context(), 1, 7)
		if err == nil || !r.MayHaveHappened {
			t.Errorf("%+v, %v", r, err)
		}
		time.Sleep(5 * time.Second)
		if n := len(b.plc(1).left()); n != 1 || b.status(b.name(1)).State != Ready {
			t.Errorf("%d writes left, %v", n, b.status(b.name(1)).State)
		}
	})
}

// A device that is suspected is not down: what is meant for it waits for the probe.
func TestWriteToASuspectWaits(t *testing.T) {
	writing(t, func(b *bench) {
		b.plc(1).set(silent)
		for b.status(b.name(1)).State != Suspect {
			time.Sleep(10 * time.Millisecond)
		}
		b.plc(1).set(fine)
		if r, err := b.put(b.t.Context(), 1, 7); err != nil || r.Err != nil {
			t.Errorf("%+v, %v", r, err)
		}
	})
	writing(t, func(b *bench) {
		b.plc(1).set(silent)
		for b.status(b.name(1)).State != Suspect {
			time.Sleep(10 * time.Millisecond)
		}
		if r, err := b.put(b.t.Context(), 1, 7); err == nil || r.MayHaveHappened || !strings.Contains(err.Error(), "it went down") {
			t.Errorf("%+v, %v", r, err)
		}
		if n := len(b.plc(1).left()); n != 0 {
			t.Errorf("%d writes left", n)
		}
	})
}

// The drain lets a write that is on its way end, and refuses what waits.
func TestWriteAndTheEndOfTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 3))
		b.run()
		time.Sleep(1500 * time.Millisecond)
		b.plc(1).change(func(p *plc) { p.latency = 150 * time.Millisecond })
		type end struct {
			r   Result
			err error
		}
		ends := make([]chan end, 2)
		for i := range ends {
			ends[i] = make(chan end, 1)
			go func() {
				r, err := b.put(b.t.Context(), 1, float32(i))
				ends[i] <- end{r, err}
			}()
			synctest.Wait()
		}
		b.quit()
		if e := <-ends[0]; e.err != nil || e.r.Err != nil {
			t.Errorf("on its way: %+v", e)
		}
		if e := <-ends[1]; e.err == nil || e.r.MayHaveHappened {
			t.Errorf("waiting: %+v", e)
		}
		if r, err := b.put(b.t.Context(), 1, 9); err == nil || r.MayHaveHappened {
			t.Errorf("behind the end: %+v, %v", r, err)
		}
	})
}

// Writes obey the limit of requests a second, and go before the read that has reserved.
func TestWriteObeysTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, 10*time.Second, 1)
		s.RequestsPerSecond = 2
		b.apply(s)
		b.run()
		time.Sleep(15 * time.Second)
		began := time.Now()
		for range 5 {
			if _, err := b.put(b.t.Context(), 1, 1); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(began); d < 2*time.Second {
			t.Errorf("five writes at two a second took %v", d)
		}
		b.quit()
	})
}

// left returns what left for p, in order.
func (p *plc) left() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.written)
}

// A write that was meant for what its tag was before a reload is refused: nothing goes to the old address, nor to the new one.
func TestWriteAcrossAReload(t *testing.T) {
	for name, change := range map[string]func(s *TagSpec){
		"address": func(s *TagSpec) { s.Address += "0" },
		"scale":   func(s *TagSpec) { s.Shared = &Terms{Scale: 10} },
		"bias":    func(s *TagSpec) { s.Shared = &Terms{Bias: 1} },
	} {
		t.Run(name, func(t *testing.T) {
			writing(t, func(b *bench) {
				s := b.spec(1, time.Second, 3)
				change(&s.Groups[0].Tags[0])
				b.apply(s)
				time.Sleep(1500 * time.Millisecond)
				_, err := b.put(b.t.Context(), 1, 7)
				var ns *NotSentError
				if !errors.As(err, &ns) || ns.Reason != tagChanged {
					t.Errorf("write: %v", err)
				}
				if err := <-b.wish(b.t.Context(), 7, nil); !errors.As(err, &ns) || ns.Reason != tagChanged {
					t.Errorf("wish: %v", err)
				}
				if n := len(b.plc(1).left()); n != 0 {
					t.Errorf("%d writes left", n)
				}
			})
		})
	}
}

// Where only so many requests a second are allowed the read that has reserved its turn gets it, however many writes there are.
func TestReadsGoOnAtARateAmongWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 1)
		s.RequestsPerSecond = 5
		b.apply(s)
		b.run()
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for range 20 {
			writers.Go(func() {
				for ctx.Err() == nil {
					_, _ = b.put(ctx, 1, 1)
				}
			})
		}
		before := b.status(s.Name).Reads
		time.Sleep(36 * time.Second)
		if n := b.status(s.Name).Reads - before; n < 18 {
			t.Errorf("%d reads in the time of 180 requests, and one in nine is a read", n)
		}
		cancel()
		writers.Wait()
		b.quit()
	})
}
