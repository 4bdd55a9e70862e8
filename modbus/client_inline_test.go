package modbus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/inflight/memconn"
)

// withMem is withPeer over a connection whose callers read their own answers.
func withMem(t testing.TB, cfg Config, script func(p *peer)) *Client {
	t.Helper()
	near, far := memconn.Pipe()
	c, err := newClient(near, cfg, true)
	if err != nil {
		t.Fatal(err)
	}
	return scripted(t, c, far, script)
}

// readsByCallers returns how many times callers have read.
func readsByCallers(c *Client) uint64 { return c.flight.Stats().Inline }

// brisk reads until a caller has read its own answer, and returns how many reads that took.
func brisk(t *testing.T, c *Client) (reads int) {
	t.Helper()
	for before := readsByCallers(c); readsByCallers(c) == before; reads++ {
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, 7, 1, v[:]); err != nil || v[0] != 7 {
			t.Fatalf("read %d: %v, %v", reads, v, err)
		}
		synctest.Wait()
		if reads > 10 {
			t.Fatal("callers do not read")
		}
	}
	return reads
}

// timedOut reports whether err is an *Error because nothing came in time.
func timedOut(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Timeout()
}

// muted answers as echo does until told to be silent; what it was asked then it answers after the pause.
func muted(pause *atomic.Int64) func(p *peer) {
	return func(p *peer) {
		for {
			fr, ok := p.next()
			if !ok {
				return
			}
			time.Sleep(time.Duration(pause.Load()))
			if !p.reply(answerTo(fr)) {
				return
			}
		}
	}
}

func TestACallerThatReadsTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pause atomic.Int64
		var late []time.Duration
		c := withMem(t, Config{Hooks: Hooks{Late: func(by time.Duration) { late = append(late, by) }}}, muted(&pause))
		brisk(t, c)
		pause.Store(int64(1500 * time.Millisecond))
		began := time.Now()
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, 20, 1, v[:]); !timedOut(err) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		pause.Store(int64(0))
		time.Sleep(10 * time.Second) // the late reply comes in between, and is timed by its arrival
		if err := c.ReadHolding(t.Context(), 1, 30, 1, v[:]); err != nil || v[0] != 30 {
			t.Errorf("%v, %v", v, err)
		}
		if len(late) != 1 || late[0] != 500*time.Millisecond {
			t.Errorf("late by %v", late)
		}
	})
}

func TestACallerThatReadsIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pause atomic.Int64
		c := withMem(t, Config{Timeout: time.Minute}, muted(&pause))
		for range 3 { // the registration with the context is made anew each time
			brisk(t, c)
			pause.Store(int64(2 * time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			var v [1]uint16
			err := c.ReadHolding(ctx, 1, 20, 1, v[:])
			if !timedOut(err) || time.Since(began) != time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			cancel()
			pause.Store(int64(0))
		}
		if s := c.Stats(); s.Late != 0 || s.TimedOut != 0 || c.Err() != nil {
			t.Errorf("%+v, %v", s, c.Err())
		}
	})
}

// A second caller that comes while the first one reads is served, by the reader.
func TestASecondCallerWakesTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pause atomic.Int64
		c := withMem(t, Config{Window: 2, Timeout: time.Minute}, muted(&pause))
		brisk(t, c)
		pause.Store(int64(time.Second))
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				var v [1]uint16
				if err := c.ReadHolding(t.Context(), 1, uint16(i), 1, v[:]); err != nil || v[0] != uint16(i) {
					t.Errorf("read %d: %v, %v", i, v, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestCloseCutsACallerThatReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pause atomic.Int64
		c := withMem(t, Config{Timeout: time.Minute}, muted(&pause))
		brisk(t, c)
		pause.Store(int64(time.Second))
		failed := make(chan error)
		go func() { failed <- c.WriteRegister(t.Context(), 1, 1, 1) }()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		var e *Error
		if err := <-failed; !errors.As(err, &e) || !e.MayHaveHappened() {
			t.Errorf("got %v", err)
		}
	})
}
