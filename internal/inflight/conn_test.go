package inflight

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A lull brings the reader back: the end of an idle connection is noticed, and so is a late answer.
func TestTheReaderComesBackAfterALull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		c := newToy(t, toyConfig(), func(far net.Conn) {
			go func() {
				<-stop
				_ = far.Close()
			}()
			echoes(0)(far)
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

func TestCloseCutsACallerThatReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newToy(t, toyConfig(), func(far net.Conn) {
			frames(far, func(frame []byte) bool {
				if frame[4] == 7 {
					_, _ = far.Write(frame)
				}
				return true
			})
		})
		brisk(t, c)
		failed := make(chan error)
		go func() {
			_, err := asking(t, c, 8)
			failed <- err
		}()
		synctest.Wait()
		if r := whoReads(c); r != roleCaller {
			t.Errorf("role %d", r)
		}
		c.Close()
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// The reader may deliver the last answer of a turn, and leave, before the turn comes to wait: reading then would wait for nothing.
func TestACallerDoesNotReadForWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newToy(t, toyConfig(), echoes(0))
		synctest.Wait() // the reader reads, and does not take the role meanwhile
		tn := c.Begin()
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

// While somebody listens the reader reads, whatever is in flight, and keeps reading.
func TestListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newToy(t, toyConfig(), echoes(0))
		brisk(t, c)
		before := c.Stats().Inline
		c.Listen(true)
		for range 5 {
			synctest.Wait()
			if r := whoReads(c); r != roleReader {
				t.Errorf("role %d", r)
			}
			if a, err := asking(t, c, 9); err != nil || a[0].got != 9 {
				t.Errorf("%+v, %v", a, err)
			}
		}
		if n := c.Stats().Inline - before; n != 0 {
			t.Errorf("%d reads by callers", n)
		}
		c.Listen(false)
		brisk(t, c)
	})
}

// One that begins to listen while a caller reads has the reader read behind it.
func TestListenWhileACallerReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newToy(t, toyConfig(), func(far net.Conn) {
			frames(far, func(frame []byte) bool {
				if frame[4] != 7 {
					time.Sleep(lull / 2)
				}
				_, err := far.Write(frame)
				return err == nil
			})
		})
		brisk(t, c)
		done := make(chan error)
		go func() {
			_, err := asking(t, c, 8)
			done <- err
		}()
		synctest.Wait()
		c.Listen(true)
		defer c.Listen(false)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if r := whoReads(c); r != roleReader {
			t.Errorf("role %d", r)
		}
	})
}

// A request without an answer is done when it has left, in its turn, and takes no place.
func TestOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var saw []byte
		c := newToy(t, toyConfig(), func(far net.Conn) {
			frames(far, func(frame []byte) bool {
				saw = append(saw, frame[4])
				if frame[4] < 100 {
					time.Sleep(time.Second / 2)
					_, _ = far.Write(frame)
				}
				return true
			})
		})
		first := make(chan error)
		go func() {
			_, err := asking(t, c, 1)
			first <- err
		}()
		synctest.Wait()
		tn := c.Begin()
		tn.OneWay = true
		w := tn.Work.(*toyWork)
		w.asks = []ask{{value: 100}, {value: 101}}
		began := time.Now()
		if err := c.Run(t.Context(), tn); err != nil || time.Since(began) != time.Second/2 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		c.End(tn)
		if err := <-first; err != nil {
			t.Error(err)
		}
		if _, err := asking(t, c, 2); err != nil || !slices.Equal(saw, []byte{1, 100, 101, 2}) {
			t.Errorf("%v, saw %v", err, saw)
		}
		if s := c.Stats(); s.InFlight != 0 || s.Unanswered != 0 || s.Sent != 4 || s.Replied != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestOneWayFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newToy(t, toyConfig(), func(net.Conn) {})
		synctest.Wait()
		tn := c.Begin()
		defer c.End(tn)
		tn.OneWay = true
		w := tn.Work.(*toyWork)
		w.asks = []ask{{value: 100}}
		if err := c.Run(t.Context(), tn); !errors.Is(err, net.ErrClosed) || !errors.Is(w.asks[0].err, net.ErrClosed) || w.asks[0].sent {
			t.Errorf("%v, %+v", err, w.asks[0])
		}
	})
}

// What is no answer and may come keeps nobody from waiting.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newToy(t, toyConfig(), func(far net.Conn) {
			frames(far, func(frame []byte) bool {
				_, _ = far.Write([]byte{toySilence, frame[1], frame[2], frame[3], frame[4]})
				_, err := far.Write(frame)
				return err == nil
			})
		})
		for range 5 {
			if a, err := asking(t, c, 3); err != nil || a[0].got != 3 {
				t.Errorf("%+v, %v", a, err)
			}
		}
		if s := c.Stats(); silent(c) != 5 || s.Replied != 5 || s.Foreign != 0 {
			t.Errorf("%d, %+v", silent(c), s)
		}
	})
}

func TestAStrayEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newToy(t, toyConfig(), func(far net.Conn) {
			frames(far, func(frame []byte) bool {
				frame[0] = toyStray
				_, err := far.Write(frame)
				return err == nil
			})
		})
		var f *toyForeign
		if _, err := asking(t, c, 3); !errors.As(err, &f) || f.why != Unasked || c.Stats().Foreign != 1 {
			t.Errorf("%v, %+v", err, c.Stats())
		}
	})
}

// The rest of what a handshake read is dealt with before anything is read.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := toyConfig()
		cfg.Rest = []byte{toySilence, 0, 0, 0, 1, toySilence, 0, 0, 0, 2, toyAnswer, 5}
		c := newToy(t, cfg, func(far net.Conn) {
			frames(far, func(frame []byte) bool {
				_, err := far.Write([]byte{frame[2], frame[3], 6}) // the end of the frame whose head was there
				return err == nil
			})
		})
		synctest.Wait()
		if n := silent(c); n != 2 {
			t.Errorf("%d frames", n)
		}
		if a, err := asking(t, c, 5); err != nil || a[0].got != 6 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

func TestRestThatIsForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := toyConfig()
		cfg.Rest = []byte{toyAnswer, 5, 0, 1, 2}
		told := 0
		cfg.Hooks.Foreign = func() { told++ }
		c := newToy(t, cfg, echoes(0))
		<-c.Done()
		var f *toyForeign
		if !errors.As(c.Err(), &f) || told != 1 {
			t.Errorf("%v, told %d times", c.Err(), told)
		}
	})
}

// A foreign answer that a caller reads is told once, though the reader meets the end of the connection too.
func TestAForeignAnswerIsToldOnce(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			told := 0
			cfg := toyConfig()
			cfg.Hooks.Foreign = func() { told++ }
			c := newToy(t, cfg, func(far net.Conn) {
				frames(far, func(frame []byte) bool {
					if frame[4] != 7 {
						frame[1]++
					}
					_, err := far.Write(frame)
					return err == nil
				})
			})
			brisk(t, c)
			_, err := asking(t, c, 8)
			<-c.Done()
			var f *toyForeign
			if !errors.As(err, &f) || f.why != "key" || told != 1 || c.Stats().Foreign != 1 {
				t.Errorf("%v, told %d times", err, told)
			}
		})
	}
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := toyConfig()
		cfg.Hooks.Timeout = func() time.Duration { return 10 * time.Millisecond }
		c := newToy(t, cfg, echoes(5*time.Second))
		tn := c.Begin()
		tn.Patience = 6 * time.Second
		w := tn.Work.(*toyWork)
		w.asks = []ask{{value: 1}}
		if err := c.Run(t.Context(), tn); err != nil || w.asks[0].got != 1 {
			t.Errorf("%v, %+v", err, w.asks)
		}
		c.End(tn)
		began := time.Now()
		var late *TimeoutError
		if _, err := asking(t, c, 2); !errors.As(err, &late) || time.Since(began) != 10*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// Begin's turn may run several works.
func TestATurnRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newToy(t, toyConfig(), echoes(0))
		tn := c.Begin()
		defer c.End(tn)
		w := tn.Work.(*toyWork)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.asks = []ask{{value: 1}, {value: 2}}
		if err := c.Run(ctx, tn); !errors.Is(err, context.Canceled) || w.asks[0].err == nil || w.asks[1].err == nil || w.asks[1].sent {
			t.Errorf("%v, %+v", err, w.asks)
		}
		for n := 1; n < 4; n++ {
			w.asks = make([]ask, n)
			for i := range w.asks {
				w.asks[i].value = byte(i + 1)
			}
			if err := c.Run(t.Context(), tn); err != nil || w.asks[n-1].got != byte(n) {
				t.Errorf("%v, %+v", err, w.asks)
			}
		}
	})
}

// Over a socket a lone caller exchanges, where the platform has the calls.
func TestASocketIsReadRaw(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	cfg := toyConfig()
	cfg.Timeout = time.Minute
	c := toyOver(t, near, far, cfg, echoes(0))
	if rawCalls != (c.x.raw != nil) {
		t.Fatalf("raw calls %v, and the connection has %v", rawCalls, c.x.raw)
	}
	for n := 0; c.Stats().Inline < 10; n++ {
		if a, err := asking(t, c, 7); err != nil || a[0].got != 7 || n > 100_000 {
			t.Fatalf("ask %d: %+v, %v", n, a, err)
		}
	}
}
