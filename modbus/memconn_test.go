package modbus

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// memConn is one end of a connection in memory. Unlike net.Pipe it takes what is written at once, as a socket does.
type memConn struct {
	net.Conn // nil: what is not here is not used
	in, out  *memQueue

	mu    sync.Mutex
	timer *time.Timer
	late  chan struct{} // closed when the read deadline is over
}

// memQueue is one direction.
type memQueue struct {
	mu     sync.Mutex
	bytes  []byte
	closed bool
	wake   chan struct{}
}

func memPipe() (near, far net.Conn) {
	a, b := &memQueue{wake: make(chan struct{}, 1)}, &memQueue{wake: make(chan struct{}, 1)}
	return &memConn{in: a, out: b, late: make(chan struct{})}, &memConn{in: b, out: a, late: make(chan struct{})}
}

func (q *memQueue) put(b []byte, closed bool) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed && !closed {
		return 0, io.ErrClosedPipe
	}
	q.bytes, q.closed = append(q.bytes, b...), q.closed || closed
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (q *memQueue) get(b []byte) (n int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = copy(b, q.bytes)
	q.bytes = q.bytes[:copy(q.bytes, q.bytes[n:])]
	return n, q.closed && n == 0
}

func (c *memConn) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		late := c.late
		c.mu.Unlock()
		select {
		case <-late:
			return 0, os.ErrDeadlineExceeded
		default:
		}
		if n, closed := c.in.get(b); n > 0 {
			return n, nil
		} else if closed {
			c.in.put(nil, true) // for the next one
			return 0, io.EOF
		}
		select {
		case <-late:
		case <-c.in.wake:
		}
	}
}

func (c *memConn) Write(b []byte) (int, error) { return c.out.put(b, false) }

func (c *memConn) Close() error {
	c.in.put(nil, true)
	c.out.put(nil, true)
	return nil
}

func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	select {
	case <-c.late:
		c.late = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return nil
	}
	late := c.late
	over := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if late == c.late {
			select {
			case <-late:
			default:
				close(late)
			}
		}
	}
	if d := time.Until(t); d > 0 {
		c.timer = time.AfterFunc(d, over)
		return nil
	}
	close(late)
	return nil
}

// withMem is withPeer over a connection whose callers read their own answers.
func withMem(t testing.TB, cfg Config, script func(p *peer)) *Client {
	t.Helper()
	near, far := memPipe()
	c, err := newClient(near, cfg, true)
	if err != nil {
		t.Fatal(err)
	}
	return scripted(t, c, far, script)
}

// brisk reads until a caller has read its own answer, and returns how many reads that took.
func brisk(t *testing.T, c *Client) (reads int) {
	t.Helper()
	for before := c.readsByCallers(); c.readsByCallers() == before; reads++ {
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

// whoReads returns who reads.
func whoReads(c *Client) readRole {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.role
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

// A lull brings the reader back: the end of an idle connection is noticed, and so is a late reply.
func TestTheReaderComesBackAfterALull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		c := withMem(t, Config{}, func(p *peer) {
			go func() {
				<-stop
				_ = p.conn.Close()
			}()
			echo(p)
		})
		brisk(t, c)
		if r := whoReads(c); r != roleFree {
			t.Errorf("role %d while busy", r)
		}
		time.Sleep(3 * lull)
		synctest.Wait()
		if r := whoReads(c); r != roleReader {
			t.Errorf("role %d after a lull", r)
		}
		brisk(t, c)
		close(stop)
		time.Sleep(3 * lull)
		synctest.Wait()
		if c.Err() == nil {
			t.Error("the end of the idle connection was not noticed")
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
		if r := whoReads(c); r != roleCaller {
			t.Errorf("role %d", r)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		var e *Error
		if err := <-failed; !errors.As(err, &e) || !e.MayHaveHappened() {
			t.Errorf("got %v", err)
		}
	})
}

// The reader may deliver the last answer of a turn, and leave, before the turn comes to wait: reading then would wait for nothing.
func TestACallerDoesNotReadForWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withMem(t, Config{Timeout: time.Minute}, echo)
		synctest.Wait() // the reader reads, and does not take the role meanwhile
		tn := c.newTurn(make([]Call, 1))
		c.mu.Lock()
		c.role = roleFree
		c.mu.Unlock()
		tn.signal()
		if c.claim(t.Context(), tn, false) {
			t.Error("claimed")
		}
		<-tn.wake
		if !c.claim(t.Context(), tn, false) {
			t.Error("not claimed")
		}
		c.mu.Lock()
		c.role, c.reader = roleReader, nil
		c.wakeReader()
		c.mu.Unlock()
	})
}
