package modbus

import (
	"net"
	"testing"
)

// peer is a scripted device at the other end of a client's connection.
type peer struct {
	t       testing.TB
	conn    net.Conn
	framing Framing
	buf     []byte
	out     []byte
}

// withPeer starts script as the device of a new client. Both end with the test.
func withPeer(t testing.TB, cfg Config, script func(p *peer)) *Client {
	t.Helper()
	near, far := net.Pipe()
	return onPeer(t, cfg, near, far, script)
}

// overTCP is withPeer with a socket on the loopback.
func overTCP(t testing.TB, cfg Config, script func(p *peer)) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return onPeer(t, cfg, near, far, script)
}

func onPeer(t testing.TB, cfg Config, near, far net.Conn, script func(p *peer)) *Client {
	t.Helper()
	c, err := NewClient(near, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return scripted(t, c, far, script)
}

// scripted starts script at the far end of c's connection.
func scripted(t testing.TB, c *Client, far net.Conn, script func(p *peer)) *Client {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer far.Close()
		script(&peer{t: t, conn: far, framing: c.cfg.Framing, buf: make([]byte, 0, 4*MaxADU)})
	}()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return c
}

// next returns the next request; ok is false when the client has gone. The PDU is good until the next call.
func (p *peer) next() (fr Frame, ok bool) {
	for {
		fr, n, err := p.framing.NextRequest(p.buf)
		if err != nil {
			p.t.Errorf("the client sent %x: %v", p.buf, err)
			return fr, false
		}
		if n > 0 {
			p.buf = p.buf[n:]
			return fr, true
		}
		if cap(p.buf)-len(p.buf) < MaxADU {
			p.buf = append(make([]byte, 0, 4*MaxADU), p.buf...)
		}
		n, err = p.conn.Read(p.buf[len(p.buf):cap(p.buf)])
		p.buf = p.buf[:len(p.buf)+n]
		if err != nil {
			return fr, false
		}
	}
}

// reply sends frames in one write; false when the client has gone.
func (p *peer) reply(frames ...Frame) bool {
	p.out = p.out[:0]
	for _, fr := range frames {
		p.out = p.framing.Append(p.out, fr)
	}
	return p.send(p.out)
}

func (p *peer) send(b []byte) bool {
	_, err := p.conn.Write(b)
	return err == nil
}

// echo answers requests until the client has gone, as answerTo does.
func echo(p *peer) {
	for {
		fr, ok := p.next()
		if !ok || !p.reply(answerTo(fr)) {
			return
		}
	}
}

// answerTo answers like a device whose register a holds a and whose coil a is set when a is odd; it confirms all writes. Its queue at a has the values
// a and a+1.
func answerTo(fr Frame) Frame {
	var coils ReadCoilsRequest
	var discrete ReadDiscreteInputsRequest
	var holding ReadHoldingRequest
	var input ReadInputRequest
	var rw ReadWriteRequest
	var fifo ReadFIFORequest
	out := make([]byte, 0, MaxPDU)
	switch {
	case coils.Decode(fr.PDU) == 0:
		out = (&ReadCoilsResponse{Data: oddBits(coils.Address, coils.Quantity)}).AppendTo(out)
	case discrete.Decode(fr.PDU) == 0:
		out = (&ReadDiscreteInputsResponse{Data: oddBits(discrete.Address, discrete.Quantity)}).AppendTo(out)
	case holding.Decode(fr.PDU) == 0:
		out = (&ReadHoldingResponse{Data: counting(holding.Address, holding.Quantity)}).AppendTo(out)
	case input.Decode(fr.PDU) == 0:
		out = (&ReadInputResponse{Data: counting(input.Address, input.Quantity)}).AppendTo(out)
	case rw.Decode(fr.PDU) == 0:
		out = (&ReadWriteResponse{Data: counting(rw.ReadAddress, rw.ReadQuantity)}).AppendTo(out)
	case fifo.Decode(fr.PDU) == 0:
		out = (&ReadFIFOResponse{Data: counting(fifo.Address, 2)}).AppendTo(out)
	default:
		out = confirm(out, fr.PDU)
	}
	return Frame{Transaction: fr.Transaction, Unit: fr.Unit, PDU: out}
}

func confirm(out, pdu []byte) []byte {
	switch Function(pdu[0]) {
	case FuncWriteCoil, FuncWriteRegister, FuncMaskWrite:
		return append(out, pdu...)
	case FuncWriteCoils, FuncWriteRegisters:
		return append(out, pdu[:5]...)
	}
	return (&ExceptionResponse{Function: Function(pdu[0]), Code: IllegalFunction}).AppendTo(out)
}

func counting(addr, qty uint16) []byte {
	b := make([]byte, 0, 2*MaxReadRegisters)
	for i := range qty {
		b = AppendRegisters(b, addr+i)
	}
	return b
}

func oddBits(addr, qty uint16) []byte {
	bits := make([]bool, qty)
	for i := range bits {
		bits[i] = (int(addr)+i)%2 == 1
	}
	return AppendBits(nil, bits...)
}
