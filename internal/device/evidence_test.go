package device

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"millrace/internal/tag"
)

func (b *bench) evidence(name string) Evidence {
	b.t.Helper()
	ev, ok := b.Evidence(name)
	if !ok {
		b.t.Fatalf("there is no device %s", name)
	}
	return ev
}

// kinds lists the faults of a device with their counts.
func (ev Evidence) kinds() string {
	s := ""
	for _, f := range ev.Faults {
		s += fmt.Sprintf("%v %d; ", f.Kind, f.Count)
	}
	return s
}

// Every way to fail is noted as what it is, with the time of the first and the last.
func TestFaultsAreNoted(t *testing.T) {
	for _, c := range []struct {
		mode  mode
		kinds map[FaultKind]bool
	}{
		{silent, map[FaultKind]bool{FaultTimeout: true}},
		{blackHole, map[FaultKind]bool{FaultTimeout: true, FaultNoAnswer: true}},
		{refuses, map[FaultKind]bool{FaultReset: true, FaultRefused: true}},
		{hangsUp, map[FaultKind]bool{FaultReset: true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Config{})
			b.apply(b.spec(1, time.Second, 1), b.spec(2, time.Second, 1))
			b.run()
			time.Sleep(time.Minute)
			began := time.Now()
			b.plc(1).set(c.mode)
			time.Sleep(time.Minute)
			ev := b.evidence("d0001")
			for _, f := range ev.Faults {
				if !c.kinds[f.Kind] || f.Count == 0 || f.Total != f.Count || f.Err == nil || f.First.Before(began) || f.Last.Before(f.First) {
					t.Errorf("mode %d: %v %+v", c.mode, f.Kind, f)
				}
			}
			if len(ev.Faults) != len(c.kinds) {
				t.Errorf("mode %d: %s", c.mode, ev.kinds())
			}
			if st := b.status("d0001"); st.State == Cooling && (st.RetryAt.Before(time.Now()) || time.Until(st.RetryAt) > st.RetryAt.Sub(st.Since)) {
				t.Errorf("mode %d: tried again at %v", c.mode, st.RetryAt)
			}
			if len(ev.Happenings) == 0 || ev.Happenings[len(ev.Happenings)-1].From != Ready {
				t.Errorf("mode %d: %+v", c.mode, ev.Happenings)
			}
			if u := b.unit("d0002"); u.notes != nil {
				t.Errorf("its neighbour has notes: %+v", u.notes)
			}
			b.quit()
		})
	}
}

// What went on long ago does not count for what goes on now.
func TestFaultsBeginAnew(t *testing.T) {
	n, at := &notes{}, time.Unix(1_700_000_000, 0)
	for range 3 {
		n.fault(FaultReset, syscall.ECONNRESET, at)
		at = at.Add(time.Minute)
	}
	at = at.Add(time.Hour)
	n.fault(FaultReset, io.EOF, at)
	if f := n.faults[0]; f.Count != 1 || f.Total != 4 || !f.First.Equal(at) || !errors.Is(f.Err, io.EOF) {
		t.Errorf("%+v", f)
	}
}

func TestFaultOf(t *testing.T) {
	dial := func(err error) error { return fmt.Errorf("open: %w", &net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	read := func(err error) error { return fmt.Errorf("read: %w", &net.OpError{Op: "read", Net: "tcp", Err: err}) }
	const none = faultKinds
	for _, c := range []struct {
		err              error
		dialling, stands FaultKind
	}{
		{nil, none, none},
		{context.Canceled, none, none},
		{errSilent, none, none},
		{errSessions, FaultOwn, FaultOwn},
		{errSlots, FaultOwn, FaultOwn},
		{dial(&net.DNSError{Name: "plc", IsTimeout: true}), FaultName, FaultName},
		{dial(syscall.ECONNREFUSED), FaultRefused, FaultRefused},
		{dial(syscall.EHOSTUNREACH), FaultRoute, FaultRoute},
		{read(syscall.ENETUNREACH), FaultRoute, FaultRoute},
		{dial(os.ErrDeadlineExceeded), FaultNoAnswer, FaultTimeout},
		{dial(syscall.ETIMEDOUT), FaultNoAnswer, FaultUnheard},
		{read(os.ErrDeadlineExceeded), FaultMute, FaultTimeout},
		{context.DeadlineExceeded, FaultMute, FaultTimeout},
		{read(syscall.ETIMEDOUT), FaultMute, FaultUnheard},
		{io.EOF, FaultHungUp, FaultClosed},
		{read(syscall.ECONNRESET), FaultHungUp, FaultReset},
		{x509.UnknownAuthorityError{}, FaultHandshake, FaultOther},
		{errors.New("no such slot"), FaultHandshake, FaultOther},
	} {
		for dialling, want := range map[bool]FaultKind{true: c.dialling, false: c.stands} {
			k, is := FaultOf(c.err, dialling)
			if !is {
				k = none
			}
			if k != want {
				t.Errorf("%v, dialling %t: %v, want %v", c.err, dialling, k, want)
			}
		}
	}
}

// A device that is well has no notes, and one that never was has a few hundred bytes of them.
func TestNotesAreSmall(t *testing.T) {
	n := &notes{}
	for k := range faultKinds {
		n.fault(k, io.EOF, time.Unix(1_700_000_000, 0))
	}
	size := int(unsafe.Sizeof(*n)) + cap(n.faults)*int(unsafe.Sizeof(Fault{})) + mostHappenings*int(unsafe.Sizeof(Happening{}))
	if size > 5000 {
		t.Errorf("%d bytes", size)
	}
	if s := unsafe.Sizeof(rtts{}); s > 400 {
		t.Errorf("%d bytes of round trips", s)
	}
	u := &unit{}
	for i := range 3 * mostHappenings {
		u.happened(Happening{From: Ready, To: Suspect, Reason: fmt.Sprint(i)})
	}
	if got := u.notes.happenings; len(got) != mostHappenings || got[len(got)-1].Reason != fmt.Sprint(3*mostHappenings-1) {
		t.Errorf("%+v", got)
	}
}

// A successor remembers, and knows when it was configured.
func TestEvidenceOutlivesAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 1)
		b.plc(1).latency = 3 * time.Millisecond
		b.apply(s)
		b.run()
		time.Sleep(time.Minute)
		b.plc(1).set(silent)
		time.Sleep(time.Minute)
		b.plc(1).set(fine)
		time.Sleep(time.Minute)
		before, at := b.evidence("d0001"), time.Now()
		s.Groups = []Group{{Name: s.Groups[0].Name, Interval: 2 * time.Second, Tags: s.Groups[0].Tags}}
		b.apply(s)
		time.Sleep(time.Minute)
		ev := b.evidence("d0001")
		if ev.kinds() != before.kinds() || len(ev.Happenings) < len(before.Happenings) || ev.RTT.Samples <= before.RTT.Samples {
			t.Errorf("%+v\nwas %+v", ev, before)
		}
		if st := b.status("d0001"); !st.Configured.Equal(at) {
			t.Errorf("configured at %v, not %v", st.Configured, at)
		}
		b.quit()
	})
}

// Values that stand still are told from values that change.
func TestMovement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		n := uint64(0)
		b.plc(1).value = func(tag.ID) (tag.Kind, uint64, tag.Quality) {
			if n < 10 {
				n++
			}
			return tag.Uint16, n, tag.Good
		}
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		time.Sleep(time.Minute)
		if m := b.evidence("d0001").Moved; m.Changes != 10 || m.Last.Sub(m.First) < 8*time.Second || time.Since(m.Last) < 45*time.Second {
			t.Errorf("%+v", m)
		}
		if _, ok := b.Evidence("nobody"); ok {
			t.Error("of a device that is not there")
		}
		b.quit()
	})
}

func TestRTTPicture(t *testing.T) {
	var r rtts
	at := time.Unix(1_700_000_000, 0)
	feed := func(d time.Duration, minutes int) {
		for range minutes * 60 {
			r.observe(d)
			r.roll(at)
			at = at.Add(time.Second)
		}
	}
	if p := r.picture(); p.Samples != 0 || p.Usual != 0 || !p.Began.IsZero() {
		t.Errorf("empty: %+v", p)
	}
	near := func(what string, got, want time.Duration) {
		t.Helper()
		if got < want*7/8 || got > want*9/8 {
			t.Errorf("%s: %v, want about %v", what, got, want)
		}
	}
	feed(5*time.Millisecond, 20)
	feed(400*time.Millisecond, 8)
	p := r.picture()
	near("usual", p.Usual, 5*time.Millisecond)
	near("median", p.Median, 400*time.Millisecond)
	near("p99", p.P99, 400*time.Millisecond)
	if n := len(p.History); n != 5 || p.Samples == 0 {
		t.Errorf("%+v", p)
	}
	near("first of history", p.History[0].Median, 5*time.Millisecond)
	near("last of history", p.History[len(p.History)-1].P99, 400*time.Millisecond)
	feed(400*time.Millisecond, 130)
	near("usual when all of it is over", r.picture().Usual, 400*time.Millisecond)
	if n := len(r.picture().History); n != rttEpochs {
		t.Errorf("%d epochs", n)
	}
	var young rtts
	for range 30 {
		young.observe(2 * time.Millisecond)
	}
	for range 30 {
		young.observe(300 * time.Millisecond)
	}
	near("usual before a rise within an epoch", young.picture().Usual, 2*time.Millisecond)
	near("least", young.picture().Min, 2*time.Millisecond)
	near("most", young.picture().Max, 300*time.Millisecond)
	if n := testing.AllocsPerRun(1000, func() { r.observe(time.Millisecond); r.roll(at) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Buckets follow one another, and each holds what it says.
func TestRTTBuckets(t *testing.T) {
	last := 0
	for us := time.Duration(1); us < 100_000_000; us += us/16 + 1 {
		d := us * time.Microsecond
		b := rttBucket(d)
		if b < last || b > last+1 {
			t.Fatalf("%v is in bucket %d behind %d", d, b, last)
		}
		if m := rttMiddle(b); b > 0 && b < rttBuckets-1 && (m < d*7/8-time.Microsecond || m > d*9/8+time.Microsecond) {
			t.Errorf("%v becomes %v", d, m)
		}
		last = b
	}
	if rttBucket(-1) != 0 || rttBucket(time.Hour) != rttBuckets-1 {
		t.Error("ends")
	}
}

// What consumers know of a tag is not what was read last when the deadband is between them.
func TestTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		n := uint64(9)
		b.plc(1).value = func(tag.ID) (tag.Kind, uint64, tag.Quality) {
			n++
			return tag.Uint16, n, tag.Good
		}
		s := b.spec(1, time.Second, 1)
		s.Groups[0].Tags[0].Shared = &Terms{Deadband: Deadband{Abs: 100}}
		if v, ok := b.Told(s.Groups[0].Tags[0].ID); ok {
			t.Errorf("before there is such a tag: %v", v)
		}
		b.apply(s)
		b.run()
		time.Sleep(10*time.Second + 500*time.Millisecond)
		if v, ok := b.Told(s.Groups[0].Tags[0].ID); !ok || v.Bits != 10 || b.last(s.Groups[0].Tags[0].ID).Value.Bits < 15 {
			t.Errorf("told %v of %v", v, b.last(s.Groups[0].Tags[0].ID).Value)
		}
		b.quit()
	})
}
