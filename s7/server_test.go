package s7

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
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
	*listentest.Serving
	t testing.TB
}

func serve(t testing.TB, cfg ServerConfig) *serving {
	t.Helper()
	s := newTestServer(t, cfg)
	return &serving{Server: s, Serving: listentest.Serve(t, s), t: t}
}

func serveOn(t testing.TB, cfg ServerConfig, ln net.Listener) *serving {
	t.Helper()
	s := newTestServer(t, cfg)
	return &serving{Server: s, Serving: listentest.On(t, s, ln), t: t}
}

func newTestServer(t testing.TB, cfg ServerConfig) *Server {
	t.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ended drains the server and returns its last stats.
func (s *serving) ended() ServerStats {
	s.t.Helper()
	s.End()
	st := s.Stats()
	if st.Open != 0 {
		s.t.Errorf("%d connections open after Serve returned", st.Open)
	}
	return st
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
	c := s.Dial()
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

// Bytes that are no frame are passed over where the server is told so, and counted.
func TestServerResync(t *testing.T) {
	for _, tc := range []struct {
		resync       Resync
		send, want   string
		found, skips uint64
		reason       string
	}{
		{ResyncOff, "FFFF" + askAlive, "", 0, 0, "tpkt version"},
		{ResyncOnce, "FFFF" + askAlive, wantOK, 1, 2, ""},
		{ResyncOnce, "FFFF" + askAlive + "FF" + askAlive, wantOK, 1, 2, "tpkt version"},
		{ResyncAlways, "FFFF" + askAlive + "FF" + askAlive, wantOK + wantOK, 2, 3, ""},
		{ResyncAlways, askAlive + strings.Repeat("00", 300), wantOK, 0, 248, "tpkt version"},
		{ResyncAlways, "03000007 02F080" + askAlive, wantOK, 0, 0, ""},
	} {
		s := serve(t, ServerConfig{Handler: pattern{}, Resync: tc.resync})
		c := s.session()
		sendHex(t, c, tc.send)
		wantHex(t, c, tc.want)
		if tc.reason != "" {
			wantHungUp(t, c)
		} else {
			wantAlive(t, c)
		}
		st := s.ended()
		if st.Stream.Resyncs != tc.found || st.Stream.Skipped != tc.skips || tc.reason != "" && st.Ended[tc.reason] != 1 {
			t.Errorf("%v %s: %+v, ended %v", tc.resync, tc.send, st.Stream, st.Ended)
		}
		if empty := uint64(strings.Count(tc.send, "02F080"+"0300")); st.Stream.Empty != empty {
			t.Errorf("%s: %d empty TPDUs, want %d", tc.send, st.Stream.Empty, empty)
		}
	}
}

// A search that finds nothing is held to the frame deadline.
func TestServerSearchHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewPipes()
		s := serveOn(t, ServerConfig{Handler: pattern{}, Resync: ResyncAlways, FrameTimeout: 5 * time.Second}, ln)
		c := sessionOver(t, ln)
		sendHex(t, c, "FFFF")
		begin := time.Now()
		wantHungUp(t, c)
		if st := s.ended(); time.Since(begin) != 5*time.Second || st.Ended["partial frame timeout"] != 1 {
			t.Errorf("ended %v after %v", st.Ended, time.Since(begin))
		}
	})
}

func TestServerConfigs(t *testing.T) {
	if _, err := NewServer(ServerConfig{}); err == nil {
		t.Error("a server that nobody serves")
	}
	for _, cfg := range []ServerConfig{
		{PDU: MinPDU - 1}, {PDU: maxServerPDU + 1}, {Window: -1}, {Window: 65536}, {Resync: 3}, {EventRoom: -1}, {EventRoom: maxEventRoom + 1},
		{FullEvents: 2}, {MaxConns: -1}, {Floor: 1},
	} {
		cfg.Handler = pattern{}
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestServerDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes sync.Pool drop buffers at random")
	}
	s := serve(t, ServerConfig{Handler: testMemory(t)})
	c := s.session()
	var many ReadRequest
	for i := range uint32(19) {
		many.Items = append(many.Items, Bytes(AreaDB, 1, i, 4))
	}
	for name, ask := range map[string][]byte{
		"read": askBytes(200), "read of many": EndFrame(many.AppendTo(BeginFrame(nil), 1), 0), "read that fails": unhex(read("120A1002 0001 0003 84 000000")),
		"write": unhex(write(1, item4, "0004 0020 11223344")), "write of a bit": unhex(write(1, "120A1001 0001 0001 84 000320", "0003 0001 01")),
		"refusal": unhex(job("FF", "")), "setup": unhex(askSetup),
	} {
		answer := make([]byte, 512)
		if _, err := c.Write(ask); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		if allocs := testing.AllocsPerRun(100, func() { exchange(t, c, ask, answer[:n]) }); allocs >= 1 {
			t.Errorf("%s allocates %v times", name, allocs)
		}
	}
}

// An idle connection of each kind of loop holds no message, and one that used fragments no more than a PDU.
func TestIdleConnectionsHoldNothing(t *testing.T) {
	c := activeConn(t, ServerConfig{Handler: testMemory(t), Intercept: &shown{}})
	for _, ask := range []string{read(item4), pieces(read(item4), 3), write(1, item4, "0004 0020 11223344")} {
		if _, _, err := c.Serve(t.Context(), unhex(ask), nil); err != nil {
			t.Fatal(err)
		}
		if c.read != nil || c.write != nil || c.copied != nil || c.out != nil || c.msg.PDU.Param != nil || cap(c.stream.assembly) > 240+64 {
			t.Errorf("after %s it holds %+v", ask, c.ServerConn)
		}
	}
}
