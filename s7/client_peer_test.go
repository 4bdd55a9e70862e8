package s7

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"millrace/internal/inflight/memconn"
)

// fakePLC is a scripted PLC at the other end of a client's connection.
type fakePLC struct {
	t      testing.TB
	conn   net.Conn
	stream *Stream
	buf    []byte
	at     int
	out    []byte

	cr  Connect // what the client asked for, its TSAPs copied
	ask Setup
}

// plcWays is how a fakePLC shakes hands; the zero value grants what is asked for.
type plcWays struct {
	pdu, window uint16
	size        TPDUSize // of the CC
	noSize      bool     // the CC does not say it
}

func newFakePLC(t testing.TB, conn net.Conn) *fakePLC {
	return &fakePLC{t: t, conn: conn, stream: NewStream(StreamConfig{PDU: maxServerPDU}), buf: make([]byte, 0, 1<<14)}
}

// message returns the next TPDU of the client; ok is false when it has gone. It is good until the next call.
func (p *fakePLC) message() (m Message, ok bool) {
	for {
		m, n, err := p.stream.Next(p.buf[p.at:])
		if err != nil {
			p.t.Errorf("the client sent %x: %v", p.buf[p.at:], err)
			return m, false
		}
		if p.at += n; m.Code != 0 {
			return m, true
		}
		if n > 0 {
			continue
		}
		p.buf, p.at = p.buf[:copy(p.buf, p.buf[p.at:])], 0
		n, err = p.conn.Read(p.buf[len(p.buf):cap(p.buf)])
		p.buf = p.buf[:len(p.buf)+n]
		if err != nil {
			return m, false
		}
	}
}

// next returns the next PDU of the client, with bytes of its own.
func (p *fakePLC) next() (PDU, bool) {
	m, ok := p.message()
	pdu := m.PDU
	pdu.Param, pdu.Data = slices.Clone(pdu.Param), slices.Clone(pdu.Data)
	return pdu, ok && m.Code == TPDUData
}

func (p *fakePLC) send(b []byte) bool {
	_, err := p.conn.Write(b)
	return err == nil
}

// reply sends PDUs, each in a frame, in one write; false when the client has gone.
func (p *fakePLC) reply(pdus ...[]byte) bool {
	p.out = p.out[:0]
	for _, pdu := range pdus {
		start := len(p.out)
		p.out = EndFrame(append(BeginFrame(p.out), pdu...), start)
	}
	return p.send(p.out)
}

// greet shakes hands; false when the client has gone.
func (p *fakePLC) greet(w plcWays) bool {
	m, ok := p.message()
	if !ok || p.cr.Decode(m.TPDU) != nil {
		return false
	}
	p.cr.Calling, p.cr.Called = slices.Clone(p.cr.Calling), slices.Clone(p.cr.Called)
	cc := p.cr.Confirm(7, TPDUSize8192)
	if w.size != 0 || w.noSize {
		cc.Size = w.size
	}
	if !p.send(cc.AppendTo(nil)) {
		return false
	}
	pdu, ok := p.next()
	var ask SetupRequest
	if !ok || ask.Decode(&pdu) != 0 {
		return false
	}
	p.ask = ask.Setup
	grant, _ := ask.Grant(orDefaultU16(w.pdu, ask.PDU), orDefaultU16(w.window, ask.Calling))
	return p.reply(grant.AppendTo(nil, pdu.Ref))
}

func orDefaultU16(v, def uint16) uint16 {
	if v == 0 {
		return def
	}
	return v
}

// echo answers requests until the client has gone, as answerOf does.
func (p *fakePLC) echo() {
	for {
		pdu, ok := p.next()
		if !ok || !p.reply(answerOf(&pdu)) {
			return
		}
	}
}

// byteAt is what every area of a fakePLC has at byte i. No two addresses less than 251 apart are equal.
func byteAt(i int) byte { return byte(i % 251) }

// truthOf returns what a fakePLC has at an item.
func truthOf(it *Item) []byte {
	from, n := it.Range()
	b := make([]byte, n)
	for i := range b {
		b[i] = byteAt(from + i)
	}
	if it.Size == SizeBit {
		b[0] = byteAt(from) >> it.Bit() & 1
	}
	return b
}

// answerOf answers like a PLC without end whose byte i is byteAt(i), and takes all writes.
func answerOf(p *PDU) []byte {
	var read ReadRequest
	var write WriteRequest
	switch {
	case read.Decode(p) == 0:
		var m ReadResponse
		for i := range read.Items {
			it := &read.Items[i]
			if code := it.Check(); code != ReturnOK {
				m.Items = append(m.Items, DataItem{Code: code})
				continue
			}
			m.Items = append(m.Items, DataItem{Code: ReturnOK, Size: dataSize(it), Data: truthOf(it)})
		}
		return m.AppendTo(nil, p.Ref)
	case write.Decode(p) == 0:
		codes := make([]byte, len(write.Items))
		for i := range codes {
			codes[i] = byte(ReturnOK)
		}
		return (&WriteResponse{Codes: codes}).AppendTo(nil, p.Ref)
	}
	return AppendRefusal(nil, p.Ref, ErrServiceUnknown)
}

// plcPipes are the connections that tests run over.
var plcPipes = map[string]func(t testing.TB) (near, far net.Conn, inline bool){
	"pipe": func(testing.TB) (net.Conn, net.Conn, bool) { near, far := net.Pipe(); return near, far, false },
	"mem":  func(testing.TB) (net.Conn, net.Conn, bool) { near, far := memconn.Pipe(); return near, far, true },
	"tcp":  tcpPipe,
}

func tcpPipe(t testing.TB) (near, far net.Conn, inline bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far, true
}

// withPLC makes a client of a PLC that grants what is asked for and then does as script says. Both end with the test.
func withPLC(t testing.TB, cfg Config, script func(p *fakePLC)) *Client {
	t.Helper()
	return withWays(t, "pipe", cfg, plcWays{}, script)
}

func withWays(t testing.TB, pipe string, cfg Config, w plcWays, script func(p *fakePLC)) *Client {
	t.Helper()
	c, err := tryPLC(t, pipe, cfg, func(p *fakePLC) {
		if p.greet(w) {
			script(p)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tryPLC shakes hands with a PLC that does as script says from the CR on.
func tryPLC(t testing.TB, pipe string, cfg Config, script func(p *fakePLC)) (*Client, error) {
	t.Helper()
	near, far, inline := plcPipes[pipe](t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer far.Close()
		script(newFakePLC(t, far))
	}()
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), cfg.DialTimeout)
	defer cancel()
	c, err := shakeHandsInline(ctx, near, cfg, "plc", inline)
	t.Cleanup(func() {
		if c != nil {
			_ = c.Close()
		}
		<-ended
	})
	return c, err
}

// wantTruth reads items and checks what came.
func wantTruth(t testing.TB, c *Client, items ...Item) {
	t.Helper()
	vars := make([]Var, len(items))
	for i := range items {
		vars[i].Item = items[i]
	}
	if err := c.Read(t.Context(), vars); err != nil {
		t.Fatalf("read: %v", err)
	}
	for i := range vars {
		trueVar(t, &vars[i])
	}
}

func trueVar(t testing.TB, v *Var) {
	t.Helper()
	if v.Err != nil || v.Code != ReturnOK || v.At.IsZero() || !slices.Equal(v.Data, truthOf(&v.Item)) {
		t.Errorf("%v: %x, code %v, at %v, %v", &v.Item, v.Data, v.Code, v.At, v.Err)
	}
}

// timedOut reports whether err is an *Error because nothing came in time.
func timedOut(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Timeout()
}

// plenty is a time-out that does not come.
const plenty = time.Minute

func contextFor(t testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
