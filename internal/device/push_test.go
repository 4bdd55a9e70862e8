package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/tag"
)

// sender is a device that sends values by itself, over the sessions of pushDriver.
type sender struct {
	mu      sync.Mutex
	waiting []float64
	wake    func()
	every   time.Duration // how often it is read
	told    []string      // what the device heard of each lot it sent: "lot ok", "lot error"
	lot     int           // 0 when the last Read took nothing
	lots    int
	reads   int
	during  func() // in the middle of the next Read
	resume  error  // of each Resume
	fail    error  // of the next Read
	calls   []string
}

func (s *sender) called(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, what)
}

// send has values wait and wakes who reads them.
func (s *sender) send(v ...float64) {
	s.mu.Lock()
	s.waiting = append(s.waiting, v...)
	wake := s.wake
	s.mu.Unlock()
	if wake != nil {
		wake()
	}
}

func (s *sender) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

type pushDriver struct {
	*fakeDriver
	sender *sender
}

func (d pushDriver) Open(ctx context.Context, a Addr, lim Limits, o Observer) (Session, error) {
	s, err := d.fakeDriver.Open(ctx, a, lim, o)
	if err != nil {
		return nil, err
	}
	d.sender.called("open")
	return &pushSession{s.(*fakeSession), d.sender}, nil
}

// pushSession takes what waits at each Read, for the first tag of the plan.
type pushSession struct {
	*fakeSession
	sender *sender
}

func (s *pushSession) Wake(_ Plan, every time.Duration, f func()) {
	s.sender.mu.Lock()
	defer s.sender.mu.Unlock()
	s.sender.wake, s.sender.every = f, every
}

func (s *pushSession) Read(_ context.Context, p Plan, into *tag.Batch) error {
	d := s.sender
	d.mu.Lock()
	d.reads++
	if err := d.fail; err != nil {
		d.fail = nil
		d.mu.Unlock()
		return err
	}
	d.lot = 0
	if len(d.waiting) > 0 {
		d.lots++
		d.lot = d.lots
	}
	for _, v := range d.waiting {
		into.Append(p.Tags()[0].ID, 0, tag.Good, tag.Float64, f64(v))
	}
	d.waiting = nil
	during := d.during
	d.during = nil
	d.mu.Unlock()
	if during != nil {
		during()
	}
	s.observer.Replied(time.Millisecond)
	return nil
}

func (s *pushSession) Taken(Plan) func(error) {
	d := s.sender
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lot == 0 {
		return nil
	}
	lot := d.lot
	return func(err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.told = append(d.told, fmt.Sprintf("%d %v", lot, err))
	}
}

// Resubscribe answers for a device that can send anew.
func (s *pushSession) Resubscribe(Plan) bool { s.sender.called("resubscribe"); return true }

func (s *pushSession) Suspend() bool { s.sender.called("suspend"); return true }

func (s *pushSession) Resume(context.Context) error {
	s.sender.mu.Lock()
	err := s.sender.resume
	s.sender.mu.Unlock()
	s.sender.called(fmt.Sprint("resume ", err))
	return err
}

func (s *pushSession) Close() error { s.sender.called("close"); return s.fakeSession.Close() }

// pushBench runs one device that sends, polled every minute.
func pushBench(t *testing.T) (*bench, *sender) {
	b := newBench(t, Config{})
	d := &sender{}
	b.cfg.Drivers = map[string]Driver{"fake": pushDriver{b.driver, d}}
	b.apply(b.spec(1, time.Minute, 1))
	b.run()
	synctest.Wait()
	return b, d
}

// What a device sends is read at once, not when the device is due, and the device hears of it once it is safe.
func TestWhatADeviceSendsIsReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		defer b.quit()
		d.send(1, 2)
		synctest.Wait()
		d.send(3)
		synctest.Wait()
		if got, want := b.book.of(100), []string{"good 1", "good 2", "good 3"}; !slices.Equal(got, want) {
			t.Errorf("%q came, want %q", got, want)
		}
		if got, want := d.heard(), []string{"1 <nil>", "2 <nil>"}; !slices.Equal(got, want) {
			t.Errorf("the device heard %q, want %q", got, want)
		}
		if d.every != time.Minute {
			t.Errorf("the session knows of an interval of %v", d.every)
		}
		if l := b.last(100); l.Value.Bits != f64(3) {
			t.Errorf("the last value is %v", l.Value)
		}
	})
}

// Values that come while a Read runs that has taken what waited before are read by another one.
func TestAWakeDuringARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		defer b.quit()
		d.mu.Lock()
		d.during = func() { d.send(8); d.send(9) }
		before := d.reads
		d.mu.Unlock()
		d.send(7)
		synctest.Wait()
		if got, want := b.book.of(100), []string{"good 7", "good 8", "good 9"}; !slices.Equal(got, want) {
			t.Errorf("%q came, want %q", got, want)
		}
		if n := d.reads - before; n != 2 {
			t.Errorf("%d reads, want 2: the wake-ups during one are one", n)
		}
	})
}

// Values that the journal has no room for are not acknowledged; sent again they pass.
func TestWhatIsNotSafeIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		defer b.quit()
		b.book.fill(true)
		d.send(5)
		synctest.Wait()
		if got, want := d.heard(), []string{"1 " + errNoRoom.Error()}; !slices.Equal(got, want) {
			t.Fatalf("the device heard %q, want %q", got, want)
		}
		b.book.fill(false)
		d.send(5)
		synctest.Wait()
		if got, want := b.book.of(100), []string{"good 5"}; !slices.Equal(got, want) {
			t.Errorf("%q came, want %q", got, want)
		}
		if got := d.heard(); len(got) != 2 || got[1] != "2 <nil>" {
			t.Errorf("the device heard %q", got)
		}
	})
}

// A value that the deadband held back is as safe as the one before it.
func TestWhatIsFilteredIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		defer b.quit()
		d.send(1)
		synctest.Wait()
		d.send(1)
		synctest.Wait()
		if got, want := d.heard(), []string{"1 <nil>", "2 <nil>"}; !slices.Equal(got, want) {
			t.Errorf("the device heard %q, want %q", got, want)
		}
	})
}

// A device that is out of service, or removed, may wake as often as it likes: nothing is read of it.
func TestNobodyReadsADeviceThatIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		defer b.quit()
		if err := b.SetOutOfService("d0001", true, "repair"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		before := d.reads
		d.send(1)
		synctest.Wait()
		if d.reads != before {
			t.Error("a device that is out of service was read")
		}
		b.apply()
		synctest.Wait()
		d.send(2)
		synctest.Wait()
		if d.reads != before {
			t.Error("a device that is gone was read")
		}
	})
}

// A journal that could not keep what it took says so, and the device keeps it.
func TestWhatWasTakenAndLostIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		defer b.quit()
		b.book.lose(errors.New("disk gone"))
		d.send(1)
		synctest.Wait()
		if got, want := d.heard(), []string{"1 disk gone"}; !slices.Equal(got, want) {
			t.Errorf("the device heard %q, want %q", got, want)
		}
	})
}

// A session whose connection fails is kept and gone on with by the next dial; one that cannot be is ended, and another is opened.
func TestSessionsThatAreGoneOnWith(t *testing.T) {
	for _, c := range []struct {
		resume error
		want   []string
	}{
		{nil, []string{"open", "suspend", "resume <nil>", "close"}},
		{fmt.Errorf("it has it no more: %w", ErrNotResumable), []string{"open", "suspend", "resume it has it no more: " + ErrNotResumable.Error(), "close", "open", "close"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, d := pushBench(t)
			d.mu.Lock()
			d.resume, d.fail = c.resume, net.ErrClosed
			d.mu.Unlock()
			d.send(1)
			time.Sleep(10 * time.Second)
			d.send(2)
			synctest.Wait()
			if st := b.status("d0001"); st.State != Ready || b.last(100).Value.Bits != f64(2) {
				t.Errorf("%v, %v", st.State, b.last(100).Value)
			}
			b.quit()
			if !slices.Equal(d.calls, c.want) {
				t.Errorf("calls %q, want %q", d.calls, c.want)
			}
		})
	}
}

// A dial that fails keeps the session for the next one; a device that is removed meanwhile lets go of it.
func TestSessionsThatAreKeptUntilTheyAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		d.mu.Lock()
		d.resume, d.fail = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, net.ErrClosed
		d.mu.Unlock()
		d.send(1)
		time.Sleep(time.Minute)
		b.apply()
		synctest.Wait()
		b.quit()
		n := len(d.calls)
		if n < 5 || d.calls[1] != "suspend" || !strings.HasPrefix(d.calls[2], "resume dial") || !strings.HasPrefix(d.calls[n-2], "resume dial") || d.calls[n-1] != "close" {
			t.Errorf("calls %q", d.calls)
		}
	})
}

// Out of service a device keeps nothing.
func TestSessionsOutOfServiceAreEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		if err := b.SetOutOfService("d0001", true, "repair"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !slices.Equal(d.calls, []string{"open", "close"}) {
			t.Errorf("calls %q", d.calls)
		}
		b.quit()
	})
}

// patientDriver is a driver whose sessions take long to open.
type patientDriver struct{ *fakeDriver }

func (patientDriver) Patience(Addr) time.Duration { return 40 * time.Second }

// An Open may take as long as its driver says, where that is longer than the profile's time for a reply.
func TestPatientDrivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.cfg.Drivers = map[string]Driver{"fake": patientDriver{b.driver}}
		b.plc(1).set(mute)
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		time.Sleep(39 * time.Second)
		if n := b.plc(1).dialled(); n != 1 {
			t.Errorf("%d dials in 39 s", n)
		}
		time.Sleep(30 * time.Second)
		if n := b.plc(1).dialled(); n != 2 {
			t.Errorf("%d dials in 69 s", n)
		}
		b.plc(1).set(blackHole)
		time.Sleep(time.Minute)
		if n := b.plc(1).dialled(); n < 2+5 {
			t.Errorf("%d dials in two minutes: a connection is given no longer than any other", n)
		}
		b.quit()
	})
}

// Subscriptions are made anew when somebody wants it, by a read that does not wait for its interval; of a device that is only asked there are none.
func TestResubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := pushBench(t)
		defer b.quit()
		name := b.Devices()[0].Name
		before := d.reads
		if err := b.Resubscribe(name, "a test wants it"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		d.mu.Lock()
		calls, reads := slices.Clone(d.calls), d.reads
		d.mu.Unlock()
		if !slices.Contains(calls, "resubscribe") || reads != before+1 {
			t.Errorf("%q, %d reads after %d", calls, reads, before)
		}
		var unknown *UnknownError
		if err := b.Resubscribe("nobody", ""); !errors.As(err, &unknown) {
			t.Error(err)
		}
	})
}

func TestResubscribeNeedsASubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Minute, 1))
		b.run()
		defer b.quit()
		synctest.Wait()
		var not *NotSubscribedError
		if err := b.Resubscribe(b.Devices()[0].Name, ""); !errors.As(err, &not) {
			t.Error(err)
		}
	})
}
