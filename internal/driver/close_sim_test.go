package driver_test

import (
	"maps"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
	"millrace/internal/sim"
)

// Every protocol ends its connection in its own order, so that the device has its slot back at once: S7 by a DR, OPC UA by CloseSession, Modbus by the end of the stream.
func TestOrderlyClose(t *testing.T) {
	for _, p := range twoOfEach(t) {
		t.Run(p.protocol, func(t *testing.T) {
			spec := device.Spec{Name: "d", Number: 1, Driver: p.protocol, Addr: p.addr(1),
				Groups: []device.Group{{Name: "g", Interval: 10 * time.Millisecond, Tags: []device.TagSpec{{ID: 1, Name: "d/x", Address: p.tag}}}}}
			rt, _ := p.events(t, spec)
			if s, _ := rt.Device("d"); s.Slots != 1 || s.SlotsUsed != 1 || s.HalfOpen != 0 {
				t.Errorf("%d of %d slots, %d half open", s.SlotsUsed, s.Slots, s.HalfOpen)
			}
			if _, err := rt.Apply(nil); err != nil {
				t.Fatal(err)
			}
			for rt.Stats().SlotsUsed > 0 {
				runtime.Gosched()
			}
			if n := rt.Stats().HalfOpen; n != 0 {
				t.Errorf("%d are half open", n)
			}
			for p.ended() == 0 { // the device counts it a moment later
				runtime.Gosched()
			}
		})
	}
}

// ended returns how many connections of the simulator ended in the order of its protocol.
func (p *plc) ended() uint64 {
	switch m := p.sim.(type) {
	case *sim.S7:
		return m.Server().Ended["disconnect request"]
	case *sim.OPCUA:
		var ended uint64
		for _, s := range m.Servers() {
			if s.Sessions == 0 && s.TimedOut == 0 {
				ended += s.Created
			}
		}
		return ended
	case *sim.Modbus:
		return m.Server().Ended["peer closed"]
	}
	return 0
}

// A device that is cut off has not heard of the end of its connection: that is counted until it is read again.
func TestHalfOpen(t *testing.T) {
	for _, p := range twoOfEach(t) {
		t.Run(p.protocol, func(t *testing.T) {
			line := newLine(t, p.sim.Addr(1))
			a := p.addr(1)
			a.Host, a.Options = line.ln.Addr().String(), maps.Clone(a.Options)
			if a.Options == nil {
				a.Options = map[string]string{}
			}
			a.Options["dial_timeout"] = "300ms"
			profile := resilience.LAN()
			profile.Floor, profile.Ceiling, profile.Cap = 50*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
			rt, events := p.events(t, device.Spec{Name: "d", Number: 1, Driver: p.protocol, Profile: profile, Addr: a,
				Groups: []device.Group{{Name: "g", Interval: 10 * time.Millisecond, Tags: []device.TagSpec{{ID: 1, Name: "d/x", Address: p.tag}}}}})
			line.cut()
			for n := 0; n == 0; n = rt.Stats().HalfOpen {
				<-events
			}
			line.mend()
			for n := 1; n != 0; n = rt.Stats().HalfOpen {
				<-events
			}
			if s, _ := rt.Device("d"); s.SlotsUsed != 1 || s.State != device.Ready {
				t.Errorf("%v, %d slots used", s.State, s.SlotsUsed)
			}
		})
	}
}

// line is a network to a device that may be cut: what is sent then arrives when it is mended, the ends of connections included.
type line struct {
	ln    net.Listener
	to    string
	mu    sync.Mutex
	whole chan struct{} // closed while it is
	ends  []net.Conn
	wg    sync.WaitGroup
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{ln: ln, to: to, whole: make(chan struct{})}
	close(l.whole)
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		l.mu.Lock()
		for _, c := range l.ends {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.wg.Wait()
	})
	return l
}

func (l *line) accept() {
	for {
		near, err := l.ln.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.mu.Lock()
		l.ends = append(l.ends, near, far)
		l.mu.Unlock()
		l.wg.Go(func() { l.carry(near, far) })
		l.wg.Go(func() { l.carry(far, near) })
	}
}

// carry passes on what comes from one end to the other, and its end.
func (l *line) carry(from, to net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		whole := l.whole
		l.mu.Unlock()
		<-whole
		if _, bad := to.Write(buf[:n]); err != nil || bad != nil {
			_ = to.Close()
			return
		}
	}
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = make(chan struct{})
}

func (l *line) mend() { close(l.whole) }
