package device

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/resilience"
)

// A read that takes longer than a whole operation may is ended, as if a request had had no answer; the session stays, and the others on it get their turns.
func TestOperationTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		specs := b.units(2)
		for i := range specs {
			specs[i].Profile = resilience.Remote()
			specs[i].Profile.Operation = 2 * time.Second
		}
		b.apply(specs...)
		b.run()
		time.Sleep(10 * time.Second)
		b.plc(1).change(func(p *plc) { p.dead = "2" })
		time.Sleep(time.Minute)
		st, other := b.status("d0002"), b.status("d0001")
		if st.State.polled() || st.Outages != 1 || st.Timeouts != 0 {
			t.Errorf("%v, %d outages, %d requests without an answer in 3 s, since none was given as long", st.State, st.Outages, st.Timeouts)
		}
		if other.State != Ready || other.Outages != 0 || b.plc(1).dialled() != 1 {
			t.Errorf("the other: %v, %d outages; %d dials", other.State, other.Outages, b.plc(1).dialled())
		}
		b.plc(1).change(func(p *plc) { p.dead = "" })
		time.Sleep(90 * time.Second)
		if st := b.status("d0002"); st.State != Ready {
			t.Errorf("back it is %v", st.State)
		}
		b.quit()
		said := false
		for _, e := range b.book.events {
			said = said || strings.Contains(e.Reason, "not done within 2s")
		}
		if !said {
			t.Error("no event says why")
		}
	})
}

// A write is waited for as long as the profile says of writes, and what it takes says nothing of reads.
func TestWriteTimeout(t *testing.T) {
	e, g := turnBench(t, 1, false)
	p := *g.unit.spec
	p.Profile.Write = 7 * time.Second
	g.unit.spec = &p
	e.reading.Store(g)
	for range 20 {
		e.Replied(10 * time.Millisecond)
	}
	var before, after Status
	g.unit.status(&before, e.rt, time.Now())
	e.writing.Store(true)
	if got := e.Timeout(); got != 7*time.Second {
		t.Errorf("a write is waited for %v", got)
	}
	e.Replied(1900 * time.Millisecond)
	e.TimedOut(7 * time.Second)
	if g.unit.status(&after, e.rt, time.Now()); after.RTT != before.RTT || after.Timeout != before.Timeout || after.Timeouts != before.Timeouts+1 {
		t.Errorf("round trip %v, timeout %v, before %v and %v", after.RTT, after.Timeout, before.RTT, before.Timeout)
	}
	e.writing.Store(false)
	if got := e.Timeout(); got != before.Timeout {
		t.Errorf("a read is waited for %v", got)
	}
}

// Writes of another duration than reads make no link that jitters, no slow read and no round trip of one; that the device answers is what they say.
func TestWritesSayNothingOfReads(t *testing.T) {
	e, g := turnBench(t, 1, false)
	e.reading.Store(g)
	u := g.unit
	for range 100 {
		e.writing.Store(false)
		e.Replied(5 * time.Millisecond)
		e.writing.Store(true)
		e.Replied(300 * time.Millisecond)
		e.TimedOut(2 * time.Second)
	}
	if h := &u.health; h.jitter.On() || h.jitter.Loss() != 0 || h.slowest != 5*time.Millisecond || u.rtts.samples() != 100 {
		t.Errorf("jitter %v, loss %v, slowest %v, %d round trips", h.jitter.On(), h.jitter.Loss(), h.slowest, u.rtts.samples())
	}
	for range 3 {
		e.TimedOut(2 * time.Second)
	}
	if !u.health.silence.quiet() {
		t.Error("writes without an answer are no silence")
	}
	if e.Replied(300 * time.Millisecond); u.health.silence != (silence{}) {
		t.Error("the answer to a write is none")
	}
}

// A late reply is taken for that of the unit that did not wait for it any longer, whosever turn it is, and one to a write for that of a write.
func TestLateRepliesAreOfWhoWaited(t *testing.T) {
	e, slow := turnBench(t, 1, false)
	_, well := turnBench(t, 1, false)
	for _, g := range []*group{slow, well} {
		e.reading.Store(g)
		for range 100 {
			e.Replied(5 * time.Millisecond)
		}
	}
	before := well.unit.rto
	e.reading.Store(slow)
	e.TimedOut(200 * time.Millisecond)
	e.reading.Store(well)
	e.Late(700 * time.Millisecond)
	if got := slow.unit.rto.Timeout(); got < 900*time.Millisecond {
		t.Errorf("a reply took 900ms, and the timeout is %v", got)
	}
	if well.unit.rto != before || well.unit.life.late != 0 || slow.unit.life.late != 1 {
		t.Errorf("%v, before %v; late %d and %d", well.unit.rto, before, well.unit.life.late, slow.unit.life.late)
	}
	before = slow.unit.rto
	e.reading.Store(slow)
	e.writing.Store(true)
	e.TimedOut(2 * time.Second)
	e.writing.Store(false)
	e.Late(700 * time.Millisecond)
	if slow.unit.rto != before || slow.unit.life.late != 2 {
		t.Errorf("a write was late: %v, before %v; late %d", slow.unit.rto, before, slow.unit.life.late)
	}
}
