package device

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// bench is a Runtime with fake PLCs. Make one inside a synctest bubble, or not at all with a clock.
type bench struct {
	*Runtime
	t      testing.TB
	driver *fakeDriver
	book   *book
	facts  factWatch
	stop   context.CancelFunc
	ended  chan error
}

func newBench(t testing.TB, c Config) *bench {
	b := &bench{t: t, driver: &fakeDriver{plcs: map[string]*plc{}}, book: &book{}}
	c.Drivers = map[string]Driver{"fake": b.driver}
	c.Output, c.Ledger = b.book, b.book
	c.OnEvent = func(ev Event) {
		b.book.event(ev)
		b.watch()
	}
	b.driver.watch = b.watch
	rt, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Runtime = rt
	return b
}

// run runs the Runtime until quit. At its end nothing may be open, and the ledger must add up.
func (b *bench) run() {
	ctx, cancel := context.WithCancel(b.t.Context())
	b.stop, b.ended = cancel, make(chan error, 1)
	go func() { b.ended <- b.Run(ctx) }()
}

func (b *bench) quit() {
	b.t.Helper()
	b.stop()
	if err := <-b.ended; err != nil {
		b.t.Errorf("Run: %v", err)
	}
	for host, p := range b.driver.plcs {
		if p.opens != 0 {
			b.t.Errorf("%s: %d sessions are left open", host, p.opens)
		}
		if p.maxOpens > 1 {
			b.t.Errorf("%s: %d sessions were open at once", host, p.maxOpens)
		}
	}
	if n := b.Stats().Sessions; n != 0 {
		b.t.Errorf("%d sessions are counted as open", n)
	}
	if b.book.read != b.book.filtered+b.book.offered+b.book.dropped {
		b.t.Errorf("read %d is not filtered %d + offered %d + dropped %d", b.book.read, b.book.filtered, b.book.offered, b.book.dropped)
	}
}

// spec returns the spec of device n with that many tags, polled each interval, on a PLC of its own.
func (b *bench) spec(n uint32, interval time.Duration, tags int) Spec {
	host := fmt.Sprintf("plc%d:502", n)
	s := Spec{Name: fmt.Sprintf("d%04d", n), Number: n, Driver: "fake", Profile: resilience.LAN(), Addr: Addr{Scheme: "fake", Host: host, Path: "1"}}
	g := Group{Name: "fast", Interval: interval}
	for i := range tags {
		id := tag.ID(n*100 + uint32(i))
		g.Tags = append(g.Tags, TagSpec{ID: id, Name: fmt.Sprintf("%s/t%d", s.Name, i), Address: "x"})
	}
	s.Groups = []Group{g}
	return s
}

func (b *bench) plc(n uint32) *plc { return b.driver.plc(fmt.Sprintf("plc%d:502", n)) }

func (b *bench) apply(specs ...Spec) Change {
	b.t.Helper()
	c, err := b.Apply(specs)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// Devices returns copies of all devices, by name.
func (b *bench) Devices() []Status {
	var all []Status
	for s := range b.Runtime.Devices() {
		all = append(all, keep(s))
	}
	return all
}

// keep copies what is valid only now.
func keep(s *Status) Status {
	c := *s
	c.Groups, c.Routes = slices.Clone(s.Groups), slices.Clone(s.Routes)
	return c
}

func (b *bench) status(name string) Status {
	b.t.Helper()
	s, ok := b.Device(name)
	if !ok {
		b.t.Fatalf("there is no device %s", name)
	}
	return s
}

func (b *bench) last(id tag.ID) Last { return b.Last([]tag.ID{id}, nil)[0] }
