package driver

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
)

// pipedUA is the driver over pipes.
type pipedUA struct {
	OPCUA
	pipes *pipes
}

func (d pipedUA) Open(ctx context.Context, a device.Addr, _ device.Limits, o device.Observer) (device.Session, error) {
	c, err := opcua.Dial(ctx, "opc.tcp://"+a.Host, opcua.Config{Dialer: d.pipes.dial, Hooks: opcuaHooks(o)})
	if err != nil {
		return nil, err
	}
	return newOPCUASession(c, o), nil
}

// logbook keeps the good values that it takes, and has no room each time that full says so.
type logbook struct {
	mu     sync.Mutex
	n      int
	full   func(n int) bool
	values []float64
}

func (l *logbook) Offer(b *tag.Batch, done func(error)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.full(l.n) {
		return false
	}
	for i := range b.ID {
		if v, ok := b.Value(i).Float(); ok && b.Quality[i] == tag.Good {
			l.values = append(l.values, v)
		}
	}
	if done != nil {
		done(nil)
	}
	return true
}
func (*logbook) Offered(int, int)    {}
func (*logbook) Dropped(string, int) {}

// Through cut connections and a journal that has no room now and then, every value of a server arrives once and in order.
func TestOPCUAEveryValueArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFeed(t, "", nil, nil)
		book := &logbook{full: func(n int) bool { return n%5 == 3 }}
		rt, err := device.New(device.Config{Drivers: map[string]device.Driver{"opcua": pipedUA{pipes: s.pipes}}, Output: book, Ledger: book})
		if err != nil {
			t.Fatal(err)
		}
		spec := device.Spec{Name: "d", Number: 1, Driver: "opcua", Addr: addrOPCUA(t, "opc.tcp://h?sampling=100ms&queue=1000"), Profile: resilience.LAN(), Groups: []device.Group{
			{Name: "g", Interval: time.Second, Tags: []device.TagSpec{{ID: 1, Name: "d/level", Address: "nsu=urn:plant;s=level"}}}}}
		if _, err := rt.Apply([]device.Spec{spec}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- rt.Run(ctx) }()
		time.Sleep(5 * time.Second)
		const last = 600
		for i := 1; i <= last; i++ {
			s.setValue("level", ua.Double(float64(i)))
			time.Sleep(300 * time.Millisecond)
			if i%40 == 0 {
				s.pipes.cut()
			}
			if i%120 == 0 { // longer than it takes to count as down
				s.pipes.deaf.Store(true)
				time.Sleep(15 * time.Second)
				s.pipes.deaf.Store(false)
			}
		}
		time.Sleep(time.Minute)
		st, _ := rt.Device("d")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if st.State != device.Ready || st.Outages == 0 {
			t.Errorf("%v, %d outages", st.State, st.Outages)
		}
		next := 1.0
		for _, v := range book.values[1:] { // the first is what was there before
			if v != next {
				t.Fatalf("%g where %g was due, of %d values", v, next, len(book.values))
			}
			next++
		}
		if next != last+1 {
			t.Errorf("the last value is %g", next-1)
		}
	})
}
