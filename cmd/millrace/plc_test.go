package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"millrace/internal/listen/listentest"
	"millrace/modbus"
)

func float32frombits(b uint32) float32 { return math.Float32frombits(b) }

// plc is a device to which a test can do what people do to PLCs. Register a holds a.
type plc struct {
	refuse atomic.Uint32 // the exception that answers everything, 0 none
	hole   atomic.Uint32 // registers from this one on do not exist
	reads  atomic.Uint64
	addr   string
}

// patient is a PLC of any protocol to which a test does things.
type patient interface {
	address() string
	requests() uint64    // that it was asked
	busy()               // it answers, and not with values: it boots
	fail()               // the same, and it does not boot
	well()               // it answers with values
	download(short bool) // another program: two of the variables that are read are there, or all again
}

// startPLC serves a plc on loopback until the test ends.
func startPLC(t *testing.T) *plc {
	t.Helper()
	p := &plc{}
	p.hole.Store(1 << 16)
	srv, err := modbus.NewServer(modbus.ServerConfig{Handler: p})
	if err != nil {
		t.Fatal(err)
	}
	p.addr = listentest.Serve(t, srv).Addr
	return p
}

func (p *plc) address() string  { return p.addr }
func (p *plc) requests() uint64 { return p.reads.Load() }
func (p *plc) busy()            { p.refuse.Store(uint32(modbus.ServerDeviceBusy)) }
func (p *plc) fail()            { p.refuse.Store(uint32(modbus.ServerDeviceFailure)) }
func (p *plc) well()            { p.refuse.Store(0) }

func (p *plc) download(short bool) {
	if short {
		p.hole.Store(102)
		return
	}
	p.hole.Store(1 << 16)
}

func listenOn(t *testing.T, addr string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func (p *plc) ReadRegisters(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	p.reads.Add(1)
	if code := p.refuse.Load(); code != 0 {
		return modbus.ExceptionCode(code)
	}
	if uint32(r.Address)+uint32(r.Quantity) > p.hole.Load() {
		return modbus.IllegalDataAddress
	}
	for i := range int(r.Quantity) {
		binary.BigEndian.PutUint16(dst[2*i:], r.Address+uint16(i))
	}
	return 0
}

func (p *plc) ReadBits(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

func (p *plc) WriteCoils(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

func (p *plc) WriteRegisters(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

// network is the way to a device: a proxy at an address of its own that can fail as networks do.
type network struct {
	t      *testing.T
	addr   string
	target string

	wg    sync.WaitGroup
	mu    sync.Mutex
	ln    net.Listener
	links map[*link]struct{}
	deaf  bool // what comes is not passed on; new connections are taken
	talk  func(net.Conn)
}

// link is a connection through a network.
type link struct{ near, far net.Conn }

// startNetwork opens the way to target.
func startNetwork(t *testing.T, target string) *network {
	t.Helper()
	n := &network{t: t, target: target, addr: "127.0.0.1:0", links: map[*link]struct{}{}}
	n.open()
	t.Cleanup(func() {
		n.close()
		n.wg.Wait()
	})
	return n
}

// open takes connections, at the same address as ever.
func (n *network) open() {
	n.t.Helper()
	ln := listenOn(n.t, n.addr)
	n.addr = ln.Addr().String()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ln, n.deaf = ln, false
	n.wg.Go(func() { n.serve(ln) })
}

// shut refuses new connections. Those that are open stay.
func (n *network) shut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ln != nil {
		_ = n.ln.Close()
		n.ln = nil
	}
}

// cut ends all connections, by a reset or in an orderly way.
func (n *network) cut(reset bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.links {
		for _, c := range []net.Conn{l.near, l.far} {
			if t, ok := c.(*net.TCPConn); ok && reset {
				_ = t.SetLinger(0)
			}
			if c != nil {
				_ = c.Close()
			}
		}
		delete(n.links, l)
	}
}

func (n *network) close() {
	n.shut()
	n.cut(false)
}

// freeze lets nothing through any more, and ends nothing.
func (n *network) freeze(deaf bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = deaf
}

// answerBy gives new connections to somebody else than the device; nil gives them back.
func (n *network) answerBy(talk func(net.Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.talk = talk
}

func (n *network) serve(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		n.mu.Lock()
		l := &link{near: c}
		talk := n.talk
		n.links[l] = struct{}{}
		n.mu.Unlock()
		n.wg.Go(func() {
			defer n.forget(l)
			if talk != nil {
				talk(c)
				return
			}
			n.join(l)
		})
	}
}

func (n *network) forget(l *link) {
	_ = l.near.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, l)
}

// join passes bytes between the two ends until one of them ends.
func (n *network) join(l *link) {
	far, err := net.Dial("tcp", n.target)
	if err != nil {
		n.t.Errorf("the device behind the network: %v", err)
		return
	}
	n.mu.Lock()
	l.far = far
	n.mu.Unlock()
	var wg sync.WaitGroup
	for _, w := range [][2]net.Conn{{l.near, far}, {far, l.near}} {
		wg.Go(func() {
			n.pass(w[0], w[1])
			_, _ = w[0].Close(), w[1].Close()
		})
	}
	wg.Wait()
}

// pass copies, and throws away what comes while the network is frozen.
func (n *network) pass(from, to net.Conn) {
	buf := make([]byte, 4096)
	for {
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		n.mu.Lock()
		deaf := n.deaf
		n.mu.Unlock()
		if deaf {
			continue
		}
		if _, err := to.Write(buf[:k]); err != nil {
			return
		}
	}
}

// stranger is what has taken over a device's address: it greets, which no PLC does, and listens.
func stranger(c net.Conn) {
	_, err := io.WriteString(c, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
	for err == nil || errors.Is(err, io.ErrNoProgress) {
		_, err = c.Read(make([]byte, 512))
	}
}
