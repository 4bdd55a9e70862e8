package s7_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/s7"
)

// latePLC answers each read of one byte with the byte's address. The answer to the second read comes behind the third request: after the time-out of
// a client that has one request in flight.
type latePLC struct {
	addr string

	mu    sync.Mutex
	reads int // over all connections
}

func newLatePLC(t *testing.T) *latePLC {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &latePLC{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *latePLC) serve(c net.Conn) {
	defer c.Close()
	stream := s7.NewStream(s7.StreamConfig{})
	var in, out []byte
	for buf := make([]byte, 4096); ; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		for in = append(in, buf[:n]...); ; {
			m, n, err := stream.Next(in)
			if err != nil {
				return
			}
			if n == 0 {
				break
			}
			var held bool
			if out, held = p.answer(out, &m); !held {
				if _, err := c.Write(out); err != nil {
					return
				}
				out = out[:0]
			}
			in = in[n:]
		}
	}
}

// answer appends what m deserves to out. held is that nothing may be sent yet.
func (p *latePLC) answer(out []byte, m *s7.Message) (_ []byte, held bool) {
	if m.Code == s7.TPDUConnectRequest {
		var cr s7.Connect
		if cr.Decode(m.TPDU) == nil {
			cc := cr.Confirm(7, s7.TPDUSize1024)
			out = cc.AppendTo(out)
		}
		return out, false
	}
	if m.Code != s7.TPDUData {
		return out, false
	}
	start := len(out)
	out = s7.BeginFrame(out)
	var setup s7.SetupRequest
	var read s7.ReadRequest
	switch {
	case setup.Decode(&m.PDU) == 0:
		granted, _ := setup.Grant(480, 8)
		out = granted.AppendTo(out, m.PDU.Ref)
	case read.Decode(&m.PDU) == 0:
		answer := s7.ReadResponse{Items: []s7.DataItem{{Code: s7.ReturnOK, Size: s7.DataByte, Data: []byte{byte(read.Items[0].Byte())}}}}
		out = answer.AppendTo(out, m.PDU.Ref)
		held = p.second()
	default:
		out = s7.AppendRefusal(out, m.PDU.Ref, s7.ErrServiceUnknown)
	}
	return s7.EndFrame(out, start), held
}

func (p *latePLC) second() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	return p.reads == 2
}

// lateReads asks for five addresses in turn and says of each what came.
func lateReads(a asker) []string {
	var out []string
	for i := 10; i <= 50; i += 10 {
		got := a.ask(fmt.Sprintf("read DB 1 %d BYTE 1", i))
		var v int
		if _, err := fmt.Sscanf(got, "%02x", &v); err == nil && len(got) == 2 {
			got = fmt.Sprint(v)
		}
		out = append(out, got)
	}
	return out
}

func lateVerdict(got []string) string {
	wrong, failed := 0, 0
	for i, s := range got {
		switch want := fmt.Sprint(10 * (i + 1)); {
		case strings.HasPrefix(s, "!"):
			failed++
		case s != want:
			wrong++
		}
	}
	switch {
	case wrong > 0:
		return "another address's value, without an error"
	case failed == 1:
		return "correct at once"
	}
	return fmt.Sprintf("%d of %d reads failed", failed, len(got))
}

// TestLateReply shows what one late answer does to the clients. Of the foreign ones it is only printed; ours goes on with the right values on the same
// connection, and counts it.
func TestLateReply(t *testing.T) {
	var table strings.Builder
	row := func(name string, got []string) {
		fmt.Fprintf(&table, "%-14s", name)
		for _, s := range got {
			if len(s) > 12 {
				s = "error"
			}
			fmt.Fprintf(&table, "%8s", s)
		}
		fmt.Fprintf(&table, "   %s\n", lateVerdict(got))
	}
	for _, c := range []struct {
		client
		args func(addr string) *peer
	}{
		{snap7Client, func(addr string) *peer {
			p := snap7Client.connect(t, addr, 480)
			p.ask("timeout 500")
			return p
		}},
		{gos7Client, func(addr string) *peer { return startPeer(t, buildGos7(t), addr, "500ms").connected() }},
		{pythonClient, func(addr string) *peer {
			p := pythonClient.connect(t, addr, 480)
			p.ask("timeout 500")
			return p
		}},
	} {
		row(c.name, lateReads(c.args(newLatePLC(t).addr)))
	}
	late := 0
	c := ourClient(t, newLatePLC(t).addr, s7.Config{Timeout: time.Second, Hooks: s7.Hooks{Late: func(time.Duration) { late++ }}})
	got := lateReads(c)
	row("ours", got)
	t.Logf("asked for 10, 20, 30, 40, 50; the answer to the second came late\n%s", table.String())

	got[1] = "!"
	if want := []string{"10", "!", "30", "40", "50"}; !slices.Equal(got, want) {
		t.Errorf("ours: %v", got)
	}
	if s := c.Stats(); late != 1 || s.Late != 1 || s.TimedOut != 1 || s.Foreign != 0 || c.Err() != nil {
		t.Errorf("%d late answers, %+v, %v", late, s, c.Err())
	}
	t.Logf("compared: %d answers", len(got))
}
