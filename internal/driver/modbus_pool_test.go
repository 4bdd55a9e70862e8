package driver

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// openPooled opens a session with so many connections, and waits until they are there.
func openPooled(t *testing.T, f *fake, connections int, options map[string]string) (*modbusSession, device.Addr, device.Limits) {
	t.Helper()
	for i := range f.mem.regs[areaHolding] {
		f.mem.regs[areaHolding][i] = uint16(i)
	}
	a, lim := f.addrOf("7", options), device.Limits{Connections: connections}
	s, err := Modbus{}.Open(t.Context(), a, lim, newWatcher())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p := s.(*modbusSession)
	for p.pool.pool.Stats().Idle < connections {
		runtime.Gosched()
	}
	return p, a, lim
}

func TestAReadIsSpreadOverThePool(t *testing.T) {
	f := newFake(t)
	s, a, lim := openPooled(t, f, 3, nil)
	addresses, want := spread(8)
	plan := mustPlan(t, a, lim, addresses...)
	if got := plan.Pace(); got != (device.Pace{Window: 1, MaxWindow: learnedWindow, Connections: 3}) {
		t.Errorf("%+v", got)
	}
	for range 50 {
		var b tag.Batch
		if err := s.Read(t.Context(), plan, &b); err != nil {
			t.Fatal(err)
		}
		wantRows(t, rows(t, &b), want...)
	}
	if n := len(f.served); n != 3 {
		t.Errorf("%d connections", n)
	}
	for i, n := range f.served {
		if n < 50 {
			t.Errorf("connection %d was asked %d times in 50 Reads", i, n)
		}
	}
}

// What a connection of the pool takes with it is read over another one, and once only.
func TestAPooledConnectionDies(t *testing.T) {
	f := newFake(t)
	s, a, lim := openPooled(t, f, 3, map[string]string{"window": "1"})
	addresses, want := spread(9)
	plan := mustPlan(t, a, lim, addresses...)
	for died := 1; died <= 3; died++ {
		f.hangUpOn(4)
		var b tag.Batch
		err := s.Read(t.Context(), plan, &b)
		if died == 3 {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("with the last one: %v", err)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		wantRows(t, rows(t, &b), want...)
	}
	var b tag.Batch
	if err := s.Read(t.Context(), plan, &b); !errors.Is(err, net.ErrClosed) || b.Len() != 0 {
		t.Errorf("without any: %v, %d rows", err, b.Len())
	}
	if n := len(f.served); n != 3 {
		t.Errorf("%d connections were made: a Read never dials", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAPooledWriteIsMadeOnce(t *testing.T) {
	f := newFake(t)
	s, a, lim := openPooled(t, f, 2, nil)
	plan := mustPlan(t, a, lim, "holding:1")
	w := []device.Write{{Tag: device.TagSpec{Address: "holding:1"}, Value: tag.Value{Kind: tag.Uint16, Bits: 42}}}
	r := make([]device.Result, 1)
	if err := s.Write(t.Context(), plan, w, r); err != nil || r[0].Err != nil || f.mem.regs[areaHolding][1] != 42 {
		t.Fatalf("%v, %+v", err, r)
	}
	f.take()
	f.hangUpOn(1)
	if err := s.Write(t.Context(), plan, w, r); !errors.Is(err, net.ErrClosed) || !r[0].MayHaveHappened {
		t.Errorf("%v, %+v", err, r)
	}
	if got := f.take(); len(got) != 1 {
		t.Errorf("a write whose connection ended was made again: %q", got)
	}
}

func TestHeartbeat(t *testing.T) {
	for option, want := range map[string]string{
		"": "7: read holding 0 1", "coil:5": "7: read coils 5 1", "3!input:9": "3: read input 9 1",
	} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			options := map[string]string{"heartbeat": "1s"}
			if option != "" {
				options["heartbeat_read"] = option
			}
			f := newFake(t)
			s, a, lim := openPooled(t, f, 1, options)
			for f.asked() == 0 {
				f.await(t)
			}
			if got := f.take(); len(got) != 1 || got[0] != want {
				t.Errorf("asked %q, want %q", got, want)
			}
			wantRows(t, read(t, s, a, lim, "holding:7"), "7")
			if len(f.served) != 1 {
				t.Errorf("%d connections", len(f.served))
			}
		})
	}
	if c, err := beatOption("device_id"); err != nil || c.Function.String() != "read device id" || c.Quantity != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestPoolOptions(t *testing.T) {
	for options, want := range map[string]string{
		"heartbeat=10ms": "shorter than", "heartbeat=soon": "not a duration", "heartbeat_read=coil:1": "no effect without", "heartbeat=1s heartbeat_read=hold": "hold", "heartbeat=15s": "",
	} {
		a := device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{}}
		for o := range strings.FieldsSeq(options) {
			k, v, _ := strings.Cut(o, "=")
			a.Options[k] = v
		}
		_, err := parseModbusOptions(a)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", options, err, want)
		}
	}
}

// A window is learned on the connections of a pool as on one.
func TestAPoolLearnsItsWindow(t *testing.T) {
	for _, beyond := range []burstMode{reverses, hangsUp, isBusy} {
		f := newFake(t)
		s, a, lim := openPooled(t, f, 2, nil)
		f.mu.Lock()
		f.bears, f.beyond = 1, beyond
		f.mu.Unlock()
		s.learner.settle = 0
		w := s.obs.(*watcher)
		addresses, want := spread(6)
		plan := mustPlan(t, a, lim, addresses...)
		for range 150 {
			var b tag.Batch
			if err := s.Read(context.Background(), plan, &b); err != nil {
				if beyond == hangsUp { // both may have hung up
					break
				}
				t.Fatal(err)
			}
			wantRows(t, rows(t, &b), want...)
		}
		if len(w.learned) != 1 || w.learned[0].Window != 1 {
			t.Errorf("%v: learned %+v", beyond, w.learned)
		}
		_ = s.Close()
	}
}

// A session of one connection becomes one of several, and that connection goes on; so does the pool of one that has a heartbeat.
func TestASessionGrows(t *testing.T) {
	for _, options := range []map[string]string{nil, {"heartbeat": "15s"}} {
		f := newFake(t)
		for i := range f.mem.regs[areaHolding] {
			f.mem.regs[areaHolding][i] = uint16(i)
		}
		a, lim := f.addrOf("7", options), device.Limits{Connections: 1}
		opened, err := Modbus{}.Open(t.Context(), a, lim, newWatcher())
		if err != nil {
			t.Fatal(err)
		}
		s := opened.(*modbusSession)
		wantRows(t, read(t, s, a, lim, "holding:7"), "7")
		lim.Connections = 3
		for range 2 { // the second changes nothing
			if err := s.Grow(t.Context(), a, lim); err != nil {
				t.Fatal(err)
			}
			for s.pool.pool.Stats().Idle < 3 {
				runtime.Gosched()
			}
		}
		addresses, want := spread(9)
		plan := mustPlan(t, a, lim, addresses...)
		var b tag.Batch
		if err := s.Read(t.Context(), plan, &b); err != nil {
			t.Fatal(err)
		}
		wantRows(t, rows(t, &b), want...)
		if n := len(f.served); n != 3 || f.served[0] < 2 {
			t.Errorf("%v: %d connections, the first was asked %d times", options, n, f.served[0])
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
