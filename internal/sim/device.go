package sim

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// Mode is what a device does with its connections.
type Mode uint8

// The modes.
const (
	Running   Mode = iota
	Refusing       // its connections are reset, and so are new ones
	BlackHole      // connections stay and new ones are taken, and nothing is answered
)

// device is one simulated device. It has no goroutine, and no memory but this until somebody connects or writes.
type device struct {
	mu     sync.Mutex
	number int // the first is 1
	mode   Mode
	rng    rand.PCG
	moved  chan struct{} // closed when the mode changes; nil when nobody waits for that
	conns  []net.Conn    // open ones
	faults []fault       // nil until the first connection

	connections, refused, requests, writes uint64 // as in DeviceStats
}

// fault is a Fault of one device with its counts.
type fault struct {
	*Fault
	seen   int    // replies or connections since the last one that it hit, for Every
	struck uint64 // how often it hit
}

// DeviceStats counts what a device did.
type DeviceStats struct {
	Connections uint64 // accepted
	Refused     uint64 // reset at once
	Requests    uint64
	Writes      uint64 // that were executed, of Modbus and S7 devices: each request, or each variable
	Faults      [Kinds]uint64
}

func (d *device) stats() DeviceStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := DeviceStats{Connections: d.connections, Refused: d.refused, Requests: d.requests, Writes: d.writes}
	for i := range d.faults {
		s.Faults[d.faults[i].Kind] += d.faults[i].struck
	}
	return s
}

// adopt gives the device the faults that are its own.
func (d *device) adopt(all []Fault) {
	if d.faults != nil || len(all) == 0 {
		return
	}
	d.faults = make([]fault, 0, len(all))
	for i := range all {
		if all[i].of(d.number) {
			d.faults = append(d.faults, fault{Fault: &all[i]})
		}
	}
}

// hits says whether f strikes now, and counts it. The caller holds d.mu.
func (d *device) hits(f *fault, elapsed time.Duration) bool {
	if !f.active(elapsed) {
		return false
	}
	hit := f.P >= 1
	switch {
	case f.Every > 0:
		f.seen++
		hit = f.seen >= f.Every
		if hit {
			f.seen = 0
		}
	case !hit:
		hit = float64(d.rng.Uint64()>>11)/(1<<53) < f.P
	}
	if hit {
		f.struck++
	}
	return hit
}

// ignores says whether a write that was asked for is only said to be done. The caller holds d.mu.
func (d *device) ignores(elapsed time.Duration) (ignored bool) {
	for i := range d.faults {
		if f := &d.faults[i]; f.Kind == IgnoreWrite && d.hits(f, elapsed) {
			ignored = true
		}
	}
	return ignored
}

// admit says whether a new connection may stay, and keeps it then.
func (d *device) admit(c net.Conn, of *fleet, elapsed time.Duration) (mode Mode, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.adopt(of.site.Faults)
	d.conns = slices.DeleteFunc(d.conns, isClosed)
	ok = d.mode != Refusing
	for i := range d.faults {
		f := &d.faults[i]
		switch f.Kind {
		case Refuse:
			ok = !d.hits(f, elapsed) && ok
		case Slots: // an S7 CPU takes the connection and refuses its CR
			if of.protocol != ProtocolS7 && len(d.conns) >= f.Count && d.hits(f, elapsed) {
				ok = false
			}
		}
	}
	if !ok {
		d.refused++
		return d.mode, false
	}
	d.connections++
	d.conns = append(d.conns, c)
	return d.mode, true
}

// mute is a connection that a black hole took: what is written to it goes nowhere for as long as its device is one.
type mute struct {
	net.Conn
	d *device
}

// Write is of net.Conn.
func (m *mute) Write(b []byte) (int, error) {
	m.d.mu.Lock()
	silent := m.d.mode == BlackHole
	m.d.mu.Unlock()
	if silent {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

// isClosed says whether c was closed here before it got as far as leave: after a failed TLS handshake, or without a CR.
func isClosed(c net.Conn) bool {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := t.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// open returns the number of connections.
func (d *device) open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = slices.DeleteFunc(d.conns, isClosed)
	return len(d.conns)
}

// leave forgets the connection from that address.
func (d *device) leave(remote net.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns = slices.DeleteFunc(d.conns, func(c net.Conn) bool { return c.RemoteAddr().String() == remote.String() })
	if len(d.conns) == 0 {
		d.conns = nil
	}
}

// become changes the mode.
func (d *device) become(m Mode) {
	d.mu.Lock()
	d.mode = m
	if d.moved != nil {
		close(d.moved)
		d.moved = nil
	}
	d.mu.Unlock()
	if m == Refusing {
		d.cut()
	}
}

// awake waits until the device is no black hole, or ctx ends.
func (d *device) awake(ctx context.Context) {
	for {
		d.mu.Lock()
		if d.mode != BlackHole {
			d.mu.Unlock()
			return
		}
		if d.moved == nil {
			d.moved = make(chan struct{})
		}
		moved := d.moved
		d.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// cut resets all connections.
func (d *device) cut() {
	d.mu.Lock()
	open := slices.Clone(d.conns)
	d.mu.Unlock()
	for _, c := range open {
		reset(c) // waits for the request that is being served, which may want the lock
	}
}

// reset ends c with a TCP reset.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails only on a connection that is gone
	}
	_ = c.Close()
}

// effectOf rolls the dice for one reply, to a request before which so many of the same burst were served. The caller holds d.mu.
func (d *device) effectOf(elapsed time.Duration, burst int) effect {
	e := effect{silence: d.mode == BlackHole}
	for i := range d.faults {
		f := &d.faults[i]
		if f.Kind.on() != answers || f.Kind == Serial && burst < f.Count {
			continue
		}
		if d.hits(f, elapsed) {
			e.add(f, &d.rng)
		}
	}
	return e
}
