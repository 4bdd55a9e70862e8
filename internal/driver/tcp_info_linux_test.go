package driver

import (
	"context"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// wantSocket holds that what s knows of its connection is of one that lives, and costs nothing to ask for.
func wantSocket(t *testing.T, s device.Session, p device.Plan) {
	t.Helper()
	var b tag.Batch
	if err := s.Read(context.Background(), p, &b); err != nil {
		t.Fatal(err)
	}
	i := s.(device.Inspector)
	got, known := i.TCPInfo()
	if !known || got.RTT <= 0 || got.RTT > time.Minute || got.Timeout < got.RTT || got.Segments == 0 || got.LastReceived > time.Minute {
		t.Errorf("%v: %+v", known, got)
	}
	if err := s.Read(context.Background(), p, &b); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { got, known = i.TCPInfo() }); n != 0 || !known {
		t.Errorf("%v allocations", n)
	}
	if again, _ := i.TCPInfo(); again.Segments < 2 {
		t.Errorf("%d segments after two reads", again.Segments)
	}
	_ = s.Close()
	if got, known := i.TCPInfo(); known {
		t.Errorf("of a closed connection %+v", got)
	}
}

func TestTCPInfo(t *testing.T) {
	t.Run("modbus", func(t *testing.T) {
		f := newFake(t)
		a := f.addrOf("7", nil)
		wantSocket(t, open(t, a, newWatcher()), mustPlan(t, a, device.Limits{}, "holding:1"))
	})
	t.Run("modbus pool", func(t *testing.T) {
		f := newFake(t)
		s, a, lim := openPooled(t, f, 2, nil)
		if got, known := s.TCPInfo(); known {
			t.Errorf("before the first read %+v", got)
		}
		wantSocket(t, s, mustPlan(t, a, lim, "holding:1", "holding:5000"))
	})
	t.Run("s7", func(t *testing.T) {
		f := newPLC(t, 240)
		a := f.address(nil)
		wantSocket(t, openS7(t, a, newWatcher()), mustS7Plan(t, a, device.Limits{}, "MB0"))
	})
	t.Run("opcua", func(t *testing.T) {
		s := newUA(t, nil)
		wantSocket(t, s.open(newWatcher(), "?mode=poll"), planOPCUA(t, s.url("?mode=poll"), specs("nsu=urn:plant;s=level")))
	})
}

// A session whose client has no socket knows nothing.
func TestNoTCPInfoWithoutASocket(t *testing.T) {
	if got, known := newOPCUASession(&cannedUA{}, deaf(time.Second)).TCPInfo(); known {
		t.Errorf("%+v", got)
	}
}

func BenchmarkTCPInfo(b *testing.B) {
	f := newPLC(b, 240)
	s := openS7(b, f.address(nil), newWatcher())
	b.ReportAllocs()
	for b.Loop() {
		if _, known := s.TCPInfo(); !known {
			b.Fatal("not known")
		}
	}
}
