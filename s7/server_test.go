package s7

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

// pattern is a PLC whose byte i of every area and DB is i mod 251 and takes all writes.
type pattern struct{}

func (pattern) ReadItem(_ context.Context, _ *Request, it *Item, dst []byte) ReturnCode {
	from, _ := it.Range()
	for i := range dst {
		dst[i] = byte((from + i) % 251)
	}
	return ReturnOK
}

func (pattern) WriteItem(context.Context, *Request, *Item, []byte) ReturnCode { return ReturnOK }

// serving is a server that runs until the test ends.
type serving struct {
	*Server
	t    testing.TB
	addr string
	stop func()
	done chan error
}

func serve(t testing.TB, cfg ServerConfig) *serving {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, cfg, ln)
}

func serveOn(t testing.TB, cfg ServerConfig, ln net.Listener) *serving {
	t.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &serving{Server: s, t: t, addr: ln.Addr().String(), stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Serve(ctx, ln); close(r.done) }()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

// ended drains the server and returns its last stats.
func (s *serving) ended() ServerStats {
	s.t.Helper()
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Errorf("Serve: %v", err)
	}
	st := s.Stats()
	if st.Open != 0 {
		s.t.Errorf("%d connections open after Serve returned", st.Open)
	}
	return st
}

// dial opens a connection and sends nothing.
func (s *serving) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// The frames of a client that asks for rack 0 slot 2, a PDU of 240 and a window of 8.
const (
	askConnect = "0300001611E00000000100C0010AC1020100C2020102"
	askSetup   = "03000019 02F080 32010000000100080000 F000 0008 0008 00F0"
	wantSetup  = "0300001B 02F080 320300000001000800000000 F000 0008 0008 00F0"
	askAlive   = "0300001F 02F080 32010000777700 0E0000 0401 120A1002 0004 0001 84 000050"
	wantOK     = "0300001D 02F080 320300007777 0002 0008 0000 0401 FF04 0020 0A0B0C0D"
)

// session opens a connection up to the answer to Setup.
func (s *serving) session() net.Conn {
	s.t.Helper()
	c := s.dial()
	handshake(s.t, c)
	return c
}

func handshake(t testing.TB, c net.Conn) {
	t.Helper()
	sendHex(t, c, askConnect)
	cc := make([]byte, 22)
	if _, err := io.ReadFull(c, cc); err != nil || cc[5] != byte(TPDUConnectConfirm) {
		t.Fatalf("CC %x, %v", cc, err)
	}
	sendHex(t, c, askSetup)
	wantHex(t, c, wantSetup)
}

// sendHex writes what s says.
func sendHex(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write(unhex(s)); err != nil {
		t.Fatalf("write %s: %v", s, err)
	}
}

// wantHex reads exactly what s says.
func wantHex(t testing.TB, c net.Conn, s string) {
	t.Helper()
	want := unhex(s)
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("answer %x, %v; want %x", got[:n], err, want)
	}
}

// wantAlive makes a valid request and checks its answer: 4 bytes from DB1.DBB10 on, which are 10, 11, 12, 13.
func wantAlive(t testing.TB, c net.Conn) {
	t.Helper()
	sendHex(t, c, askAlive)
	wantHex(t, c, wantOK)
}

// wantHungUp checks that nothing more comes but the end.
func wantHungUp(t testing.TB, c net.Conn) {
	t.Helper()
	b, err := io.ReadAll(c)
	if len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %x, %v; want the end of the connection", b, err)
	}
}

func TestServerHandshakeAndRead(t *testing.T) {
	s := serve(t, ServerConfig{Handler: pattern{}})
	c := s.session()
	wantAlive(t, c)
	sendHex(t, c, "0300001F 02F080 32010000777700 0E0000 0401 120A1002 0004 0001 84 000050"+askAlive)
	wantHex(t, c, wantOK+wantOK)
	st := s.ended()
	if st.Requests[FuncRead] != 3 || st.Requests[FuncSetup] != 1 || st.Ended["drained"] != 1 {
		t.Errorf("stats %+v", st)
	}
	wantHex(t, c, "0300000B 06 80 0001 0002 80") // DR
	wantHungUp(t, c)
}
