package driver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
)

// routedUA is the driver over pipes, by host.
type routedUA struct {
	OPCUA
	hosts map[string]*pipes
}

func (d routedUA) Open(ctx context.Context, a device.Addr, _ device.Limits, o device.Observer) (device.Session, error) {
	c, err := opcua.Dial(ctx, "opc.tcp://"+a.Host, opcua.Config{Dialer: d.hosts[a.Host].dial, Hooks: opcuaHooks(o)})
	if err != nil {
		return nil, err
	}
	return newOPCUASession(c, o), nil
}

// fail cuts the connections and lets no other one be made until heal.
func (p *pipes) fail() { p.deaf.Store(true); p.cut() }

func (p *pipes) heal() { p.deaf.Store(false) }

// routeBench is a device with a subscription and two addresses.
type routeBench struct {
	*feedBench // the server of the first address
	second     *feedBench
	book       *logbook
	rt         *device.Runtime
}

// newRoutes runs it. With one server both addresses lead to it.
func newRoutes(t *testing.T, oneServer, returns bool) *routeBench {
	b := &routeBench{feedBench: newFeed(t, "", nil, nil), book: &logbook{full: func(int) bool { return false }}}
	lines := map[string]*pipes{"first:4840": b.pipes}
	if oneServer {
		p := newPipes()
		lines["second:4840"] = p
		b.second = &feedBench{uaServer: b.uaServer, pipes: p}
		b.listenToo(t, p)
	} else {
		b.second = newFeed(t, "", nil, nil)
		lines["second:4840"] = b.second.pipes
		_ = b.second.x.Close()
	}
	_ = b.x.Close() // the device has a session of its own
	probes := -1
	if returns {
		probes = 2
	}
	var err error
	b.rt, err = device.New(device.Config{Drivers: map[string]device.Driver{"opcua": routedUA{hosts: lines}}, Output: b.book, Ledger: b.book})
	if err != nil {
		t.Fatal(err)
	}
	spec := device.Spec{Name: "d", Number: 1, Driver: "opcua", Addr: addrOPCUA(t, "opc.tcp://first:4840?sampling=100ms&queue=1000"), Profile: resilience.LAN(),
		Routes:  []device.Route{{Addr: addrOPCUA(t, "opc.tcp://second:4840?sampling=100ms&queue=1000")}},
		Routing: device.Routing{Stay: 10 * time.Second, Probes: probes, Every: time.Second},
		Groups:  []device.Group{{Name: "g", Interval: time.Second, Tags: []device.TagSpec{{ID: 1, Name: "d/level", Address: "nsu=urn:plant;s=level"}}}}}
	if _, err := b.rt.Apply([]device.Spec{spec}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.rt.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	time.Sleep(5 * time.Second)
	return b
}

// listenToo has the server take connections from p, too.
func (s *uaServer) listenToo(t *testing.T, p *pipes) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(ctx, p) }()
	t.Cleanup(func() { cancel(); _ = p.Close(); <-done })
}

// both sets the value of both servers, n times, another one each time, and looks that none is presented as good that is older than it takes to notice an end and to connect elsewhere.
func (b *routeBench) both(from, n int) int {
	b.t.Helper()
	const mostBehind = 10 // 3 s
	for i := from; i < from+n; i++ {
		b.setValue("level", ua.Double(float64(i)))
		if b.second.uaServer != b.uaServer {
			b.second.setValue("level", ua.Double(float64(i)))
		}
		time.Sleep(300 * time.Millisecond)
		last := b.rt.Last([]tag.ID{1}, nil)[0]
		if v, ok := last.Value.Float(); last.Quality == tag.Good && (!ok || v < float64(i-mostBehind)) {
			b.t.Errorf("%g is presented as good, long after %d", v, i)
		}
	}
	return from + n
}

// came returns the values that were kept, those that came more than once counted so.
func (b *routeBench) came() map[int]int {
	b.book.mu.Lock()
	defer b.book.mu.Unlock()
	out := map[int]int{}
	for _, v := range b.book.values {
		out[int(v)]++
	}
	return out
}

// on says on which route the device is, and fails when it was down.
func (b *routeBench) on() int {
	b.t.Helper()
	st, _ := b.rt.Device("d")
	if st.State != device.Ready || st.Outages != 0 {
		b.t.Errorf("%v, %d outages", st.State, st.Outages)
	}
	return st.Route
}

// sessions returns how many sessions and subscriptions each server has.
func (b *routeBench) sessions() [4]int {
	first, second := b.server.Stats(), b.second.server.Stats()
	return [4]int{first.Sessions, first.Subscriptions, second.Sessions, second.Subscriptions}
}

// A device that is subscribed to goes to its other address and comes back, be that the same server or another one: no value is lost, for what the first server kept meanwhile comes when the device is
// back, and the session on the other one is closed.
func TestOPCUASubscriptionsFollowARoute(t *testing.T) {
	for name, one := range map[string]bool{"one server": true, "two servers": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRoutes(t, one, true)
				n := b.both(10, 20)
				b.pipes.fail()
				n = b.both(n, 60)
				if b.on() != 1 {
					t.Error("it stays where nobody answers")
				}
				b.pipes.heal()
				n = b.both(n, 100)
				time.Sleep(time.Second)
				want := [4]int{1, 1, 0, 0}
				if one {
					want = [4]int{1, 1, 1, 1}
				}
				if got := b.sessions(); b.on() != 0 || got != want {
					t.Errorf("on route %d; sessions and subscriptions %v, want %v", b.on(), got, want)
				}
				came := b.came()
				for v := 10; v < n; v++ {
					if came[v] == 0 {
						t.Errorf("%d is lost", v)
					}
				}
			})
		})
	}
}

// endsWithin is how long what a session had may outlive its connection: subscriptions live for five minutes, the session itself for one.
const endsWithin = 5 * time.Minute

// A device that does not come back leaves nothing on the server that it has left: what cannot be closed there ends by the time-out of the session.
func TestOPCUASubscriptionsThatStayOnARoute(t *testing.T) {
	for name, one := range map[string]bool{"one server": true, "two servers": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newRoutes(t, one, false)
				n := b.both(10, 20)
				b.pipes.fail()
				n = b.both(n, 40)
				b.pipes.heal()
				n = b.both(n, 300)
				time.Sleep(endsWithin)
				want := [4]int{0, 0, 1, 1}
				if one {
					want = [4]int{1, 1, 1, 1}
				}
				if got := b.sessions(); b.on() != 1 || got != want {
					t.Errorf("on route %d; sessions and subscriptions %v, want %v", b.on(), got, want)
				}
				came := b.came()
				for v := 10; v < n; v++ {
					if came[v] != 1 && (v < 28 || v > 36) { // from what had not been sent, over the change of address, to the new subscription
						t.Errorf("%d came %d times", v, came[v])
					}
				}
			})
		})
	}
}
