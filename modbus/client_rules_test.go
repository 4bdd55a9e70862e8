package modbus

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// silent reads requests and answers none. It tells what it saw.
func silent(saw *[]Frame) func(p *peer) {
	return func(p *peer) {
		for {
			fr, ok := p.next()
			if !ok {
				return
			}
			*saw = append(*saw, Frame{Transaction: fr.Transaction, Unit: fr.Unit, PDU: slices.Clone(fr.PDU)})
		}
	}
}

func ids(frames []Frame) (ids []uint16) {
	for _, fr := range frames {
		ids = append(ids, fr.Transaction)
	}
	return ids
}

func TestReadsAreRepeatedWithANewID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []Frame
		c := withPeer(t, Config{Retries: 2}, silent(&saw))
		err := c.ReadHolding(t.Context(), 1, 1, 1, make([]uint16, 1))
		var e *Error
		if !errors.As(err, &e) || !e.Timeout() || !e.Retryable() {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if got := ids(saw); !slices.Equal(got, []uint16{1, 2, 3}) {
			t.Errorf("ids %v", got)
		}
		if s := c.Stats(); s.Repeated != 2 || s.TimedOut != 3 || s.Unanswered != 3 || s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRepliesThatOvertakeOthersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withPeer(t, Config{Window: 3}, func(p *peer) {
			for {
				var three []Frame
				for range 3 {
					fr, ok := p.next()
					if !ok {
						return
					}
					three = append(three, answerTo(fr))
				}
				if !p.reply(three[1], three[0], three[2]) {
					return
				}
			}
		})
		calls := make([]Call, 6)
		for i := range calls {
			calls[i] = Call{Unit: 1, Function: FuncReadHolding, Address: uint16(i), Quantity: 1}
		}
		for from := 0; from < len(calls); from += 3 {
			if err := c.Do(t.Context(), calls[from:from+3]); err != nil {
				t.Fatal(err)
			}
		}
		for i, call := range calls {
			if int(call.Data[1]) != i {
				t.Errorf("call %d got %x", i, call.Data)
			}
		}
		if s := c.Stats(); s.Overtook != 2 {
			t.Errorf("%d overtook others, want 2", s.Overtook)
		}
	})
}

func TestARepeatedReadIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withPeer(t, Config{Retries: 1}, func(p *peer) {
			p.next()
			if fr, ok := p.next(); ok && p.reply(answerTo(fr)) {
				p.next()
			}
		})
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, 77, 1, v[:]); err != nil || v[0] != 77 {
			t.Errorf("got %v, %v", v, err)
		}
	})
}

func TestWritesAreNeverRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []Frame
		c := withPeer(t, Config{Retries: 5}, silent(&saw))
		err := c.WriteRegister(t.Context(), 1, 1, 1)
		var e *Error
		if !errors.As(err, &e) || !e.Timeout() || e.Retryable() || !e.MayHaveHappened() || e.Error() != "modbus: write register 1 of unit 1: no reply within 1s" {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if len(saw) != 1 {
			t.Errorf("sent %d times", len(saw))
		}
	})
}

// maxUnanswered is how many requests without a reply a client bears.
const maxUnanswered = 16

// After sixteen requests without a reply the connection is closed; until then no id is used twice.
func TestSixteenUnansweredIDsCloseTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []Frame
		c := withPeer(t, Config{}, silent(&saw))
		for i := range maxUnanswered {
			if err := c.Err(); err != nil {
				t.Fatalf("closed after %d: %v", i, err)
			}
			_ = c.ReadHolding(t.Context(), 1, 1, 1, make([]uint16, 1))
		}
		var u *UnansweredError
		if err := c.Err(); !errors.As(err, &u) || u.Requests != maxUnanswered || !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
		synctest.Wait()
		got := ids(saw)
		slices.Sort(got)
		if len(slices.Compact(got)) != maxUnanswered {
			t.Errorf("ids %v", got)
		}
	})
}

func TestWithoutIDsATimeoutCloses(t *testing.T) {
	for _, cfg := range []Config{{NoEcho: true}, {Framing: FramingRTU}} {
		cfg.Window, cfg.Retries = 8, 3
		synctest.Test(t, func(t *testing.T) {
			var saw []Frame
			c := withPeer(t, cfg, silent(&saw))
			c.SetWindow(4)
			calls := []Call{{Unit: 1, Function: FuncReadHolding, Quantity: 1}, {Unit: 1, Function: FuncReadHolding, Quantity: 1}}
			err := c.Do(t.Context(), calls)
			var e *Error
			if !errors.As(err, &e) || !e.Timeout() || !errors.As(calls[1].Err, &e) || e.Sent {
				t.Errorf("got %v and %v", err, calls[1].Err)
			}
			synctest.Wait()
			if len(saw) != 1 {
				t.Errorf("%d requests were sent", len(saw))
			}
		})
	}
}

func TestNoEcho(t *testing.T) {
	c := withPeer(t, Config{NoEcho: true, Timeout: time.Minute}, func(p *peer) {
		for {
			fr, ok := p.next()
			fr.Transaction = 0
			if !ok || !p.reply(answerTo(fr)) {
				return
			}
		}
	})
	everyMethod(t, c)
}

func TestUnsolicitedReplyWithoutIDsIsForeign(t *testing.T) {
	c := withPeer(t, Config{NoEcho: true}, func(p *peer) {
		p.reply(Frame{Unit: 1, PDU: unhex("03 02 0001")})
	})
	<-c.Done()
	var fe *ForeignError
	if !errors.As(c.Err(), &fe) || fe.Why != "unsolicited" {
		t.Errorf("ended with %v", c.Err())
	}
}

func TestRTURefusesBroadcast(t *testing.T) {
	c := withPeer(t, Config{Framing: FramingRTU}, func(p *peer) { p.next() })
	var arg *ArgumentError
	if err := c.WriteRegister(t.Context(), 0, 1, 1); !errors.As(err, &arg) {
		t.Errorf("got %v", err)
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := 0
		c := withPeer(t, Config{Timeout: time.Minute, Hooks: Hooks{Late: func(time.Duration) { late++ }}}, func(p *peer) {
			first, _ := p.next()
			first.PDU = slices.Clone(first.PDU)
			second, _ := p.next()
			if p.reply(answerTo(first), answerTo(second)) {
				p.next()
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.WriteRegister(ctx, 1, 1, 1)
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || !e.Timeout() || !e.MayHaveHappened() {
			t.Errorf("got %v", err)
		}
		if s := c.Stats(); s.Unanswered != 1 || s.InFlight != 0 {
			t.Errorf("stats %+v", s)
		}
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, 55, 1, v[:]); err != nil || v[0] != 55 {
			t.Errorf("after it: %v, %v", v, err)
		}
		if s := c.Stats(); s.Abandoned != 1 || s.Late != 0 || late != 0 || s.Unanswered != 0 {
			t.Errorf("stats %+v, late %d", s, late)
		}
	})
}

// A write that is cancelled before its first byte left did not happen, and the connection lives.
func TestCancelBeforeTheFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := make(chan struct{})
		c := withPeer(t, Config{Timeout: time.Minute}, func(p *peer) {
			<-start
			echo(p)
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.WriteRegister(ctx, 1, 1, 1) // nobody reads: the pipe takes no byte
		var e *Error
		if !errors.As(err, &e) || e.Sent || e.MayHaveHappened() || !e.Retryable() || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(start)
		if err := c.WriteRegister(t.Context(), 1, 1, 1); err != nil {
			t.Errorf("after it: %v", err)
		}
		if s := c.Stats(); s.Unanswered != 0 || s.Replied != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A write that is cut in the middle of the second frame of three: the first may have happened, the last has not.
func TestCutInsideAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withPeer(t, Config{Window: 3, Timeout: time.Minute}, func(p *peer) {
			_, _ = io.ReadFull(p.conn, make([]byte, 12+5)) // 12 bytes a frame
		})
		calls := make([]Call, 3)
		for i := range calls {
			calls[i] = Call{Unit: 1, Function: FuncWriteRegister, Address: uint16(i), Values: []byte{0, 1}}
		}
		if err := c.Do(t.Context(), calls); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
		for i, want := range []bool{true, true, false} {
			var e *Error
			if !errors.As(calls[i].Err, &e) || e.MayHaveHappened() != want || e.Retryable() == want || !errors.Is(e, net.ErrClosed) {
				t.Errorf("call %d: %v, may have happened %v", i, e, e.MayHaveHappened())
			}
		}
	})
}

// The error tells both that the context was cancelled and what its canceller said.
func TestCancelWithACause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []Frame
		c := withPeer(t, Config{Timeout: time.Minute}, silent(&saw))
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(io.ErrNoProgress) })
		err := c.WriteRegister(ctx, 1, 1, 1)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("got %v", err)
		}
	})
}

func TestQueuedCallsAreCancelledUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []Frame
		c := withPeer(t, Config{Timeout: time.Minute}, silent(&saw))
		first := make(chan error, 1)
		go func() { first <- c.WriteRegister(t.Context(), 1, 1, 1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var e *Error
		if err := c.WriteRegister(ctx, 1, 2, 1); !errors.As(err, &e) || e.Sent || !e.Retryable() {
			t.Errorf("the queued one: %v", err)
		}
		if err := <-first; !errors.As(err, &e) || !e.MayHaveHappened() {
			t.Errorf("the first one: %v", err)
		}
		synctest.Wait()
		if len(saw) != 1 {
			t.Errorf("%d requests were sent", len(saw))
		}
	})
}

func TestCloseFailsWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []Frame
		c := withPeer(t, Config{Timeout: time.Minute}, silent(&saw))
		results := make(chan error, 2)
		for range 2 {
			go func() { results <- c.WriteRegister(t.Context(), 1, 1, 1) }()
		}
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		happened := 0
		for range 2 {
			var e *Error
			err := <-results
			if !errors.As(err, &e) || !errors.Is(err, net.ErrClosed) || e.Retryable() == e.MayHaveHappened() {
				t.Errorf("got %v", err)
			}
			if e.MayHaveHappened() {
				happened++
			}
		}
		if happened != 1 {
			t.Errorf("%d writes may have happened, one was sent", happened)
		}
		var closed *ClosedError
		if err := c.Err(); !errors.As(err, &closed) || closed.Err != nil {
			t.Errorf("ended with %v", err)
		}
	})
}

// Do stops at the first time-out: what lies behind it was not sent.
func TestDoStopsAtATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withPeer(t, Config{}, func(p *peer) {
			for {
				fr, ok := p.next()
				if !ok || fr.PDU[2] != 2 && !p.reply(answerTo(fr)) {
					return
				}
			}
		})
		calls := make([]Call, 8)
		for i := range calls {
			calls[i] = Call{Unit: 1, Function: FuncReadHolding, Address: uint16(i), Quantity: 1}
		}
		if err := c.Do(t.Context(), calls); err == nil || !errors.Is(err, calls[2].Err) {
			t.Errorf("got %v", err)
		}
		for i := range calls {
			var e *Error
			failed := errors.As(calls[i].Err, &e)
			if failed != (i >= 2) || failed && e.Sent != (i == 2) || failed != (len(calls[i].Data) == 0) {
				t.Errorf("call %d: %v, data %x", i, calls[i].Err, calls[i].Data)
			}
		}
	})
}

func TestManyCallersShareTheWindow(t *testing.T) {
	c := withPeer(t, Config{Window: 3, Timeout: time.Minute}, echo)
	failed := make(chan error)
	for g := range 8 {
		go func() {
			calls := make([]Call, 5)
			for round := range 100 {
				for i := range calls {
					calls[i] = Call{Unit: 1, Function: FuncReadHolding, Address: uint16(1000*g + 10*round + i), Quantity: 1, Data: calls[i].Data[:0]}
				}
				if err := c.Do(t.Context(), calls); err != nil {
					failed <- err
					return
				}
				for i := range calls {
					if !slices.Equal(calls[i].Data, AppendRegisters(nil, calls[i].Address)) {
						failed <- errors.New("wrong value")
						return
					}
				}
			}
			failed <- nil
		}()
	}
	for range 8 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// Hooks of a request are called by its caller, before its call returns.
func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string // written by the calling goroutine alone: the race detector would tell
		wait := 3 * time.Second
		cfg := Config{Timeout: time.Minute, Hooks: Hooks{
			Timeout:  func() time.Duration { return wait },
			Replied:  func(rtt time.Duration) { log = append(log, "replied "+rtt.String()) },
			TimedOut: func(after time.Duration) { log = append(log, "timed out "+after.String()) },
		}}
		c := withPeer(t, cfg, func(p *peer) {
			for {
				fr, ok := p.next()
				time.Sleep(2 * time.Second)
				if !ok || !p.reply(answerTo(fr)) {
					return
				}
			}
		})
		var v [1]uint16
		_ = c.ReadHolding(t.Context(), 1, 1, 1, v[:])
		_ = c.ReadDiscreteInputs(t.Context(), 1, 1, 1, make([]bool, 1))
		wait = time.Second
		_ = c.ReadHolding(t.Context(), 1, 1, 1, v[:])
		wait = 0 // the Config's
		_ = c.ReadHolding(t.Context(), 1, 1, 1, v[:])
		if got := strings.Join(log, ", "); got != "replied 2s, replied 2s, timed out 1s, replied 3s" {
			t.Error(got)
		}
	})
}

func TestTheWindowGrowsWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []Frame
		c := withPeer(t, Config{Timeout: time.Minute}, silent(&saw))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		calls := make([]Call, 10)
		for i := range calls {
			calls[i] = Call{Unit: 1, Function: FuncReadHolding, Quantity: 1}
		}
		go func() { done <- c.Do(ctx, calls) }()
		for _, n := range []int{1, 4, 6} {
			c.SetWindow(n)
			synctest.Wait()
			if s := c.Stats(); len(saw) != n || s.InFlight != n || s.Window != n {
				t.Errorf("window %d: %d requests, %+v", n, len(saw), s)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestHandshakeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 1))
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		_ = conn.Close()
	}()
	_, cfg := testCertificates(t)
	var re tls.RecordHeaderError
	if _, err := Dial(t.Context(), l.Addr().String(), Config{TLS: cfg}); !errors.As(err, &re) {
		t.Errorf("got %v", err)
	}
	<-ended
}
