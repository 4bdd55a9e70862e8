package s7

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"
)

// talk is a client that sends PDUs as it is told and takes what comes.
type talk struct {
	testing.TB
	net.Conn
	stream *Stream
	buf    []byte
}

// talkOver shakes hands on a connection, with a wish for a PDU length.
func talkOver(t testing.TB, conn net.Conn, pdu uint16) *talk {
	t.Helper()
	k := &talk{TB: t, Conn: conn, stream: NewStream(StreamConfig{})}
	k.write(unhex(askConnect))
	if m := k.message(); m.Code != TPDUConnectConfirm {
		t.Fatalf("answered the CR by %v", m.Code)
	}
	setup := SetupRequest{Setup{8, 8, pdu}}
	p := k.ask(&setup)
	var r SetupResponse
	if err := r.Decode(&p); err != nil || r.PDU > pdu {
		t.Fatalf("setup %+v, %v", r, err)
	}
	return k
}

// talk opens a connection with a wish for a PDU length.
func (s *serving) talk(pdu uint16) *talk {
	s.t.Helper()
	return talkOver(s.t, s.Dial(), pdu)
}

func (k *talk) write(b []byte) {
	k.Helper()
	if _, err := k.Conn.Write(b); err != nil {
		k.Fatalf("write: %v", err)
	}
}

// message waits for the next one.
func (k *talk) message() Message {
	k.Helper()
	for {
		m, n, err := k.stream.Next(k.buf)
		if err != nil {
			k.Fatalf("stream: %v", err)
		}
		m.PDU.Param, m.PDU.Data, m.TPDU = bytes.Clone(m.PDU.Param), bytes.Clone(m.PDU.Data), bytes.Clone(m.TPDU)
		k.buf = k.buf[n:]
		if m.Code != 0 {
			return m
		}
		if n > 0 {
			continue
		}
		b := make([]byte, 4096)
		if n, err = k.Conn.Read(b); err != nil {
			k.Fatalf("read: %v", err)
		}
		k.buf = append(k.buf, b[:n]...)
	}
}

// pdu waits for the next PDU.
func (k *talk) pdu() PDU {
	k.Helper()
	m := k.message()
	if m.Code != TPDUData {
		k.Fatalf("a %v came", m.Code)
	}
	return m.PDU
}

func (k *talk) send(m encoder, ref uint16) {
	k.Helper()
	k.write(frameOf(m.AppendTo(nil, ref)))
}

// ask sends a request and waits for its answer.
func (k *talk) ask(m encoder) PDU {
	k.Helper()
	const ref = 0x4711
	k.send(m, ref)
	p := k.pdu()
	if p.Ref != ref {
		k.Fatalf("answer to %04x, asked %04x", p.Ref, ref)
	}
	return p
}

// askUserdata is ask for a Userdata request.
func (k *talk) askUserdata(m encoder) Userdata {
	k.Helper()
	p := k.ask(m)
	var u Userdata
	if err := u.Decode(&p); err != nil || u.Type != UserdataResponse || !u.Long {
		k.Fatalf("%+v, %v", u, err)
	}
	return u
}

// gather asks and follows up until the answer is complete. It returns its data and how many parts it had.
func (k *talk) gather(m encoder) (data []byte, parts int, code ErrorCode) {
	k.Helper()
	var g Gather
	for u := k.askUserdata(m); ; parts++ {
		done, err := g.Add(&u)
		var refused *RefusedError
		if errors.As(err, &refused) {
			return nil, parts + 1, refused.Code
		} else if err != nil {
			k.Fatal(err)
		}
		if done {
			return g.Data(), parts + 1, 0
		}
		next := u.FollowUp()
		u = k.askUserdata(&next)
	}
}

// refusal asks and returns the code by which a request was refused, 0 when it was served.
func (k *talk) refusal(m encoder) ErrorCode {
	k.Helper()
	p := k.ask(m)
	if p.Kind != KindUserdata {
		return p.Err
	}
	var u Userdata
	if err := u.Decode(&p); err != nil {
		k.Fatal(err)
	}
	return u.Err
}

// wantRefusal checks by which code a request is refused; 0 is that it is served.
func (k *talk) wantRefusal(what string, m encoder, want ErrorCode) {
	k.Helper()
	if got := k.refusal(m); got != want {
		k.Errorf("%s: %v, want %v", what, got, want)
	}
}

// raw is a PDU as bytes.
type raw []byte

func (m raw) AppendTo(b []byte, ref uint16) []byte {
	at := len(b)
	b = append(b, m...)
	b[at+4], b[at+5] = byte(ref>>8), byte(ref)
	return b
}

// hungUp checks that nothing more comes but the end.
func (k *talk) hungUp() {
	k.Helper()
	wantHungUp(k.TB, k.Conn)
}

// nothing checks that nothing comes for a while; within a bubble.
func (k *talk) nothing(d time.Duration) {
	k.Helper()
	k.SetReadDeadline(time.Now().Add(d))
	var b [4096]byte
	if n, err := k.Conn.Read(b[:]); n > 0 || err == nil {
		k.Errorf("%x came, %v", b[:n], err)
	} else if ne := net.Error(nil); !errors.As(err, &ne) || !ne.Timeout() {
		k.Errorf("%v", err)
	}
	k.SetReadDeadline(time.Time{})
}

// testCPU returns a CPU with the memory of testMemory.
func testCPU(t testing.TB, cfg CPUConfig) *CPU {
	t.Helper()
	if cfg.Memory == nil {
		cfg.Memory = testMemory(t)
	}
	c, err := NewCPU(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// talkTo serves a CPU to one client.
func talkTo(t testing.TB, cfg CPUConfig, pdu uint16) (*CPU, *talk) {
	t.Helper()
	c := testCPU(t, cfg)
	return c, serve(t, ServerConfig{Handler: c}).talk(pdu)
}
