package opcua

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// reading is a client that sends the same Read over and over, through a socket, and looks at no more of the answers than it must.
func reading(t testing.TB, s *servingUA, sec uasc.Security, n int) (ask func()) {
	t.Helper()
	p := s.session(sec)
	r := readOf(ua.TimestampsToReturnBoth, textIds(1, n)...)
	r.RequestHeader = ua.RequestHeader{AuthenticationToken: p.token, RequestHandle: 3}
	body := ua.AppendMessage(nil, r)
	b := make([]byte, 0, 1<<17)
	return func() {
		p.last++
		var err error
		if b, err = p.channel.End(append(p.channel.Begin(b[:0], p.last), body...), 0, uasc.KindMessage, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.conn.Write(b); err != nil {
			t.Fatal(err)
		}
		for p.filled < 8 || p.filled < int(binary.LittleEndian.Uint32(p.buf[4:])) {
			n, err := p.conn.Read(p.buf[p.filled:])
			if err != nil {
				t.Fatal(err)
			}
			p.filled += n
		}
		if _, m, err := p.channel.Next(p.buf[:p.filled], time.Now()); err != nil || m.RequestID != p.last {
			t.Fatal(m, err)
		}
		p.filled = 0
	}
}

func servingVariables(t testing.TB) ServerConfig {
	t.Helper()
	space, err := NewSpace(SpaceConfig{ApplicationURI: testURI})
	if err != nil {
		t.Fatal(err)
	}
	variables(t, space, 1000)
	cfg := secured(t)
	cfg.Space = space
	return cfg
}

// From the socket to the socket a Read allocates nothing in the server; nor does the client here.
func TestReadOverASocketDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes sync.Pool drop buffers at random")
	}
	s := serveUA(t, servingVariables(t))
	for _, sec := range []uasc.Security{plain, sealed} {
		for _, n := range []int{1, 1000} {
			ask := reading(t, s, sec, n)
			for range 3 {
				ask()
			}
			if got := testing.AllocsPerRun(100, ask); got >= 1 {
				t.Errorf("%v, %d values: %v allocations", sec, n, got)
			}
		}
	}
}

// Both sides of the socket and the kernel are in these figures.
func BenchmarkServerRead(b *testing.B) {
	s := serveUA(b, servingVariables(b))
	for _, sec := range []uasc.Security{plain, sealed} {
		for _, n := range []int{1, 1000} {
			ask := reading(b, s, sec, n)
			b.Run(fmt.Sprintf("%v %d", sec.Mode, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					ask()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/value")
			})
		}
	}
}
