package postgres

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// cut says at which message a connection through a proxy breaks.
type cut struct {
	server bool // counting the server's messages, else the client's
	at     int  // the message, counted over all connections from 0
	after  bool // the message is passed on first, and nothing behind it
}

// proxy stands between a sink and the server and knows where messages begin. It breaks at most once.
type proxy struct {
	l    net.Listener
	to   string
	wg   sync.WaitGroup
	cut  cut
	mu   sync.Mutex
	seen [2]int // messages of the client and of the server
	done bool   // it broke
	kind byte   // of the message at which it broke
}

func newProxy(t *testing.T, to string, c cut) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: to, cut: c}
	p.wg.Go(p.accept)
	return p
}

// close ends the proxy; connections through it must have been closed.
func (p *proxy) close() {
	p.l.Close()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.to)
		if err != nil {
			c.Close()
			return
		}
		p.wg.Go(func() { p.pump(c, s, 0) })
		p.wg.Go(func() { p.pump(s, c, 1) })
	}
}

func (p *proxy) pump(from, to net.Conn, side int) {
	defer from.Close()
	defer to.Close()
	head := make([]byte, 5)
	for first := side == 0; ; first = false { // the client's first message has no type
		h := head
		if first {
			h = head[1:]
			head[0] = 0
		}
		if _, err := io.ReadFull(from, h); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		hit := p.hit(side, head[0])
		if hit && !p.cut.after {
			return
		}
		if _, err := to.Write(append(h, body...)); err != nil || hit {
			return
		}
	}
}

// hit counts a message and says whether the connection breaks at it.
func (p *proxy) hit(side int, kind byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.seen[side]
	p.seen[side]++
	if p.done || n != p.cut.at || p.cut.server != (side == 1) {
		return false
	}
	p.done, p.kind = true, kind
	return true
}
