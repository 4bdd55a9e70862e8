package sim

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"millrace/internal/listen/listentest"
	"millrace/s7"
)

// startS7 runs a simulator on free ports until the test ends.
func startS7(t *testing.T, cfg S7Config, faults ...string) *S7 {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	for _, s := range faults {
		f, err := ProtocolS7.ParseFault(s)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	m, err := NewS7(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, m)
	return m
}

// peer talks to a CPU with the codec alone, so that it sees what a client would hide.
type peer struct {
	t      *testing.T
	conn   net.Conn
	stream *s7.Stream
	buf    []byte // what came and was not looked at
	ref    uint16
	setup  s7.SetupResponse
}

// errSilent is what a peer gets that waits for an answer in vain.
var errSilent = errors.New("no answer")

// dialS7 connects to device n, with CR and Setup, in the model's usual slot.
func dialS7(t *testing.T, m *S7, n int) *peer {
	t.Helper()
	p, err := connectS7(t, m.Addr(n), s7.AppendTSAP(nil, s7.ConnectOP, 0, m.model.slots[0]))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// connectS7 connects. The error is a *refusedError when a DR came.
func connectS7(t *testing.T, addr string, called []byte) (*peer, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	p := &peer{t: t, conn: conn, stream: s7.NewStream(s7.StreamConfig{})}
	cr := s7.Connect{Code: s7.TPDUConnectRequest, SrcRef: 1, Size: s7.TPDUSize1024, Calling: []byte{1, 0}, Called: called}
	if _, err := conn.Write(cr.AppendTo(nil)); err != nil {
		return nil, err
	}
	m, err := p.next()
	if err != nil {
		return nil, err
	}
	if m.Code != s7.TPDUConnectConfirm {
		var dr s7.Disconnect
		if err := dr.Decode(m.TPDU); err != nil {
			return nil, err
		}
		return nil, &disconnectedError{dr.Reason}
	}
	answer, err := p.ask((&s7.SetupRequest{Setup: s7.Setup{Calling: 8, Called: 8, PDU: 960}}).AppendTo(nil, 0xFFFF))
	if err == nil {
		err = p.setup.Decode(&answer)
	}
	return p, err
}

type disconnectedError struct{ reason s7.DisconnectReason }

func (e *disconnectedError) Error() string { return e.reason.String() }

// send sends a PDU.
func (p *peer) send(pdu []byte) error {
	_, err := p.conn.Write(s7.EndFrame(append(s7.BeginFrame(nil), pdu...), 0))
	return err
}

// together sends PDUs in one segment.
func (p *peer) together(pdus ...[]byte) {
	p.t.Helper()
	var out []byte
	for _, pdu := range pdus {
		start := len(out)
		out = s7.EndFrame(append(s7.BeginFrame(out), pdu...), start)
	}
	if _, err := p.conn.Write(out); err != nil {
		p.t.Fatal(err)
	}
}

// ask sends a PDU and returns the next that comes.
func (p *peer) ask(pdu []byte) (s7.PDU, error) {
	if err := p.send(pdu); err != nil {
		return s7.PDU{}, err
	}
	m, err := p.next()
	return m.PDU, err
}

// next returns the next TPDU, which is valid until the one after it.
func (p *peer) next() (s7.Message, error) { return p.within(5 * time.Second) }

func (p *peer) within(d time.Duration) (s7.Message, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(d))
	for {
		m, n, err := p.stream.Next(p.buf)
		if err != nil {
			return m, err
		}
		p.buf = p.buf[n:]
		if n > 0 && m.Code != 0 {
			return m, nil
		}
		if n > 0 {
			continue
		}
		in := make([]byte, 2048)
		k, err := p.conn.Read(in)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return m, errSilent
		case err != nil:
			return m, err
		}
		p.buf = append(bytes.Clone(p.buf), in[:k]...)
	}
}

// request returns a read of items with a new reference.
func (p *peer) request(items ...s7.Item) []byte {
	p.ref++
	return (&s7.ReadRequest{Items: items}).AppendTo(nil, p.ref)
}

// items reads items in one request.
func (p *peer) items(items ...s7.Item) ([]s7.DataItem, error) {
	a, err := p.ask(p.request(items...))
	if err != nil {
		return nil, err
	}
	var m s7.ReadResponse
	if err := m.Decode(&a); err != nil {
		return nil, err
	}
	if a.Ref != p.ref {
		p.t.Errorf("reference %04X, want %04X", a.Ref, p.ref)
	}
	return m.Items, nil
}

// bytes reads an item that must be there, in as many pieces as it takes.
func (p *peer) bytes(a s7.Area, db uint16, at, n int) []byte {
	p.t.Helper()
	var out []byte
	most := s7.MaxReadData(int(p.setup.PDU))
	for n > 0 {
		k := min(n, most)
		d, err := p.items(s7.Bytes(a, db, uint32(at), uint16(k)))
		if err != nil || d[0].Code != s7.ReturnOK || len(d[0].Data) != k {
			p.t.Fatalf("%v %d.%d*%d: %+v, %v", a, db, at, k, d, err)
		}
		out = append(out, d[0].Data...)
		at, n = at+k, n-k
	}
	return out
}

// code reads one item and returns what is said of it.
func (p *peer) code(it s7.Item) s7.ReturnCode {
	p.t.Helper()
	d, err := p.items(it)
	if err != nil {
		p.t.Fatal(err)
	}
	return d[0].Code
}

// write writes one item.
func (p *peer) write(it s7.Item, data ...byte) s7.ReturnCode {
	p.t.Helper()
	p.ref++
	m := s7.WriteRequest{Items: []s7.Item{it}, Data: []s7.DataItem{{Size: it.Size.Data(), Data: data}}}
	a, err := p.ask(m.AppendTo(nil, p.ref))
	var r s7.WriteResponse
	if err == nil {
		err = r.Decode(&a)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return s7.ReturnCode(r.Codes[0])
}

// userdata sends a Userdata request and returns all of its answer's data.
func (p *peer) userdata(request []byte) ([]byte, error) {
	var g s7.Gather
	for {
		a, err := p.ask(request)
		if err != nil {
			return nil, err
		}
		var u s7.Userdata
		if err := u.Decode(&a); err != nil {
			return nil, err
		}
		done, err := g.Add(&u)
		if err != nil || done {
			return g.Data(), err
		}
		next := u.FollowUp()
		request = next.AppendTo(nil, a.Ref)
	}
}

// szl reads a status list.
func (p *peer) szl(id, index uint16) s7.SZL {
	p.t.Helper()
	data, err := p.userdata((&s7.SZLRequest{ID: id, Index: index}).AppendTo(nil, 7))
	var m s7.SZL
	if err == nil {
		err = m.Decode(data)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// mode reads what the CPU is doing.
func (p *peer) mode() s7.Mode {
	p.t.Helper()
	list := p.szl(s7.SZLMode, 0)
	var m s7.ModeRecord
	if err := m.Decode(list.Record(0)); err != nil {
		p.t.Fatal(err)
	}
	return m.Mode
}

// control starts or stops the CPU, and returns why not.
func (p *peer) control(request []byte) s7.ErrorCode {
	p.t.Helper()
	a, err := p.ask(request)
	if err != nil {
		p.t.Fatal(err)
	}
	return a.Err
}

// refused returns the error of a whole request, 0 when there is none.
func refused(err error) s7.ErrorCode {
	var r *s7.RefusedError
	if errors.As(err, &r) {
		return r.Code
	}
	return 0
}

// ended says whether err is the end of a connection.
func ended(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.As(err, &op)
}
