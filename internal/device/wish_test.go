package device

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wish wishes a value of the first tag of device 1, and tells what became of it.
func (b *bench) wish(ctx context.Context, f float32, check func() error) chan error {
	s := b.spec(1, time.Second, 3)
	done := make(chan error, 1)
	go func() {
		r, err := b.Wish(ctx, s.Name, Write{Tag: s.Groups[0].Tags[0], Value: float(f)}, nil, check)
		if err == nil {
			err = r.Err
		}
		if may := r.MayHaveHappened; err != nil && may {
			err = errors.Join(err, errMay)
		}
		done <- err
	}()
	synctest.Wait()
	return done
}

var errMay = errors.New("it may have happened")

// The newest wish is written at the next poll, alone, and the poll shows it.
func TestNewestWishWins(t *testing.T) {
	writing(t, func(b *bench) {
		var ends []chan error
		for i := range 5 {
			ends = append(ends, b.wish(b.t.Context(), float32(i), nil))
		}
		if n := len(b.plc(1).left()); n != 0 {
			t.Errorf("%d writes before the poll", n)
		}
		for i, end := range ends {
			err := <-end
			var ns *NotSentError
			if last := i == len(ends)-1; last && err != nil || !last && (!errors.As(err, &ns) || ns.Reason != Superseded) {
				t.Errorf("wish %d: %v", i, err)
			}
		}
		if l := b.last(100); l.Value.String() != "4" {
			t.Errorf("the poll shows %v", l.Value)
		}
		if n := len(b.plc(1).left()); n != 1 {
			t.Errorf("%d writes", n)
		}
	})
}

// A wish waits while the device is down, until its context ends, and is written when it is back.
func TestWishWaitsForTheDevice(t *testing.T) {
	writing(t, func(b *bench) {
		b.plc(1).set(refuses)
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Second)
		defer cancel()
		if err := <-b.wish(ctx, 3, nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errMay) || !strings.Contains(err.Error(), "it waited too long: the device is down: ") {
			t.Errorf("%v", err)
		}
		end := b.wish(b.t.Context(), 4, nil)
		time.Sleep(5 * time.Second)
		b.plc(1).set(fine)
		if err := <-end; err != nil {
			t.Error(err)
		}
		if n := len(b.plc(1).left()); n != 1 || b.last(100).Value.String() != "4" {
			t.Errorf("%d writes, it is %v", n, b.last(100).Value)
		}
	})
}

// What the caller has against it is asked when it would leave.
func TestWishAndWriteAreChecked(t *testing.T) {
	writing(t, func(b *bench) {
		no := errors.New("the door is open")
		err := <-b.wish(b.t.Context(), 3, func() error { return no })
		var ns *NotSentError
		if !errors.As(err, &ns) || !errors.Is(err, no) {
			t.Errorf("%v", err)
		}
		s := b.spec(1, time.Second, 3)
		res := make([]Result, 1)
		err = b.WriteIf(b.t.Context(), s.Name, []Write{{Tag: s.Groups[0].Tags[0], Value: float(1)}}, res, func() error { return no })
		if !errors.As(err, &ns) || !errors.Is(res[0].Err, no) || res[0].MayHaveHappened {
			t.Errorf("%v, %+v", err, res)
		}
		if n := len(b.plc(1).left()); n != 0 {
			t.Errorf("%d writes left", n)
		}
	})
}

// A wish that times out may have happened; the device is suspect as after any timeout.
func TestWishTimesOut(t *testing.T) {
	writing(t, func(b *bench) {
		b.plc(1).set(silent)
		err := <-b.wish(b.t.Context(), 3, nil)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, errMay) {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if s := b.status(b.name(1)).State; s != Suspect {
			t.Errorf("it is %v", s)
		}
	})
}

// A device that is changed or removed lets go of its wishes.
func TestWishOfADeviceThatGoes(t *testing.T) {
	writing(t, func(b *bench) {
		b.plc(1).set(refuses)
		time.Sleep(5 * time.Second)
		end := b.wish(b.t.Context(), 3, nil)
		s := b.spec(1, 2*time.Second, 3)
		b.apply(s)
		if err := <-end; err == nil || !strings.Contains(err.Error(), "removed or changed") {
			t.Errorf("%v", err)
		}
		b.apply()
		if err := <-b.wish(b.t.Context(), 3, nil); err == nil {
			t.Error("a device that is gone took a wish")
		}
	})
}

// One that is tried again and is not the newest any more does not take the place of that one.
func TestOlderWishDoesNotReplace(t *testing.T) {
	writing(t, func(b *bench) {
		end := b.wish(b.t.Context(), 5, nil)
		s := b.spec(1, time.Second, 3)
		_, err := b.Wish(b.t.Context(), s.Name, Write{Tag: s.Groups[0].Tags[0], Value: float(4)}, func() bool { return false }, nil)
		var ns *NotSentError
		if !errors.As(err, &ns) || ns.Reason != Superseded {
			t.Errorf("%v", err)
		}
		if err := <-end; err != nil || b.last(100).Value.String() != "5" {
			t.Errorf("%v, it is %v", err, b.last(100).Value)
		}
	})
}

// A wish is a write: it is waited for as long as one, and one that has no answer is no failed read.
func TestWishIsAWrite(t *testing.T) {
	writing(t, func(b *bench) {
		var e *endpoint
		g := b.unit(b.name(1)).groups[0]
		b.mail.call(func(*shard) { e = g.unit.endpoint })
		synctest.Wait()
		var wait time.Duration
		b.plc(1).change(func(p *plc) {
			p.onWrite = func(Write) (Result, error) {
				p.change(func(p *plc) { p.latency = 100 * time.Millisecond })
				wait = e.Timeout()
				return Result{Err: os.ErrDeadlineExceeded, MayHaveHappened: true}, os.ErrDeadlineExceeded
			}
		})
		if err := <-b.wish(b.t.Context(), 3, nil); !errors.Is(err, errMay) {
			t.Errorf("%v", err)
		}
		synctest.Wait() // the probe is on its way
		if want := g.unit.spec.Profile.Write; wait != want || e.Timeout() == want {
			t.Errorf("it is waited for %v, the read behind it for %v", wait, e.Timeout())
		}
		failed := make(chan int, 1)
		b.mail.call(func(*shard) { failed <- g.failed })
		if n := <-failed; n != 0 || b.status(b.name(1)).State != Suspect {
			t.Errorf("%d reads failed, it is %v", n, b.status(b.name(1)).State)
		}
	})
}

// A tag that goes out of service while a wish for it waits is not written.
func TestWishOfATagOutOfService(t *testing.T) {
	writing(t, func(b *bench) {
		end := b.wish(b.t.Context(), 3, nil)
		if err := b.SetOutOfService(b.name(1)+"/t0", true, "repair"); err != nil {
			t.Fatal(err)
		}
		err := <-end
		var ns *NotSentError
		if !errors.As(err, &ns) || !strings.Contains(ns.Reason, "out of service") || len(b.plc(1).left()) != 0 {
			t.Errorf("%v, %d writes left", err, len(b.plc(1).left()))
		}
	})
}

// A wish is shown by the turn that wrote it when that has asked for the tag, and for no other one.
func TestWishIsReadBehindIt(t *testing.T) {
	read := func(b *bench, n int) bool {
		s := b.spec(1, time.Second, 3)
		r, err := b.Wish(b.t.Context(), s.Name, Write{Tag: s.Groups[0].Tags[n], Value: float(1)}, nil, nil)
		if err != nil || r.Err != nil {
			b.t.Errorf("%v, %v", err, r.Err)
		}
		return r.Read
	}
	writing(t, func(b *bench) {
		if !read(b, 0) {
			t.Error("a whole turn did not read it")
		}
		b.unit(b.name(1)).groups[0].cached = true // each turn asks for one tag, the next one
		n := 0
		for range 3 {
			if read(b, 0) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d of 3 turns that ask for one tag of three read it", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		defer b.quit()
		time.AfterFunc(time.Second, func() { d.send(1) })
		if read(b, 0) {
			t.Error("what a device had sent before shows what was written")
		}
	})
}
