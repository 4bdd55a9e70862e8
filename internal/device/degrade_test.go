package device

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A session that is to be another one ends in order and is there again at once, without an outage; a device that is down is tried at once.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.units(2)...)
		b.run()
		time.Sleep(5 * time.Second)
		if err := b.Reconnect("d0001", "the key was changed"); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		for _, st := range b.Devices() {
			if st.State != Ready || st.Outages != 0 || st.Groups[0].Missed != 0 {
				t.Errorf("%s: %v, %d outages, %d missed", st.Name, st.State, st.Outages, st.Groups[0].Missed)
			}
		}
		if n := b.plc(1).dialled(); n != 2 || b.plc(1).connections() != 1 {
			t.Errorf("%d dials, %d connections", n, b.plc(1).connections())
		}
		b.plc(1).set(refuses)
		time.Sleep(10 * time.Minute)
		b.plc(1).set(fine)
		synctest.Wait()
		if err := b.Reconnect("d0002", "it is back"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
		if st := b.status("d0002"); st.State != Ready {
			t.Errorf("%v, %s", st.State, st.Reason)
		}
		var unknown *UnknownError
		if err := b.Reconnect("d0009", ""); !errors.As(err, &unknown) {
			t.Errorf("%v", err)
		}
		b.quit()
		said := false
		for _, e := range b.book.events {
			said = said || strings.Contains(e.Reason, "it was asked for: the key was changed")
		}
		if !said {
			t.Error("no event says why")
		}
	})
}

// A unit that did not answer three times in more than 1.5 s takes no writes until it has answered; three short timeouts are no reason.
func TestWritesPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.units(2)...)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).change(func(p *plc) { p.dead = "2" })
		paused := func(name string) string { return b.unit(name).writesPaused() }
		for paused("d0002") == "" {
			time.Sleep(10 * time.Millisecond)
		}
		st := b.status("d0002")
		if st.Timeouts < 3 || !strings.HasPrefix(st.WritesPaused, "writes are paused: the last ") || st.WritesPaused != paused("d0002") {
			t.Errorf("after %d timeouts: %q", st.Timeouts, st.WritesPaused)
		}
		time.Sleep(time.Minute)
		if paused("d0001") != "" {
			t.Errorf("the neighbour that answers: %s", paused("d0001"))
		}
		b.plc(1).change(func(p *plc) { p.dead = "" })
		time.Sleep(10 * time.Second)
		if got := paused("d0002"); got != "" {
			t.Errorf("it answers: %s", got)
		}
		b.quit()
	})
	var short silence
	at := time.Hour
	wait := func() { at += 200 * time.Millisecond; short.add(200*time.Millisecond, at) }
	for range 7 {
		wait()
	}
	if got := short.paused(); got != "" {
		t.Errorf("7 times 200ms: %s", got)
	}
	if wait(); short.paused() == "" {
		t.Error("8 times 200ms is not enough")
	}
	var window silence // 8 requests that were on their way together: nobody waited longer than for one of them
	for range 8 {
		window.add(400*time.Millisecond, time.Hour)
	}
	if got := window.paused(); got != "" {
		t.Errorf("400ms once: %s", got)
	}
}

// A unit that is silent alone behind a gateway that answers others is tried at once too, and what we do ourselves is no fault of any of them.
func TestReconnectOfASilentUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.units(2)...)
		b.run()
		time.Sleep(5 * time.Second)
		b.plc(1).change(func(p *plc) { p.dead = "2" })
		time.Sleep(10 * time.Minute)
		for b.status("d0002").State != Cooling {
			time.Sleep(time.Millisecond)
		}
		b.plc(1).change(func(p *plc) { p.dead = "" })
		if err := b.Reconnect("d0002", "it is back"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
		for _, st := range b.Devices() {
			if st.State != Ready {
				t.Errorf("%s: %v, %s", st.Name, st.State, st.Reason)
			}
		}
		for _, name := range []string{"d0001", "d0002"} {
			ev, _ := b.Evidence(name)
			for _, f := range ev.Faults {
				if f.Kind == FaultOther {
					t.Errorf("a fault of %s: %v", name, f.Err)
				}
			}
		}
		b.quit()
	})
}
