package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
)

// computed answers with its addresses.
type computed struct{}

func (computed) ReadBits(context.Context, *Request, []byte) ExceptionCode { return 0 }

func (computed) ReadRegisters(_ context.Context, r *Request, dst []byte) ExceptionCode {
	for i := range int(r.Quantity) {
		binary.BigEndian.PutUint16(dst[2*i:], r.Address+uint16(i))
	}
	return 0
}

func (computed) WriteCoils(context.Context, *Request, []byte) ExceptionCode     { return 0 }
func (computed) WriteRegisters(context.Context, *Request, []byte) ExceptionCode { return 0 }

// exchange sends ask and reads as many bytes as answer has.
func exchange(t testing.TB, c net.Conn, ask, answer []byte) {
	if _, err := c.Write(ask); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, answer); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkServer asks for 100 registers, depth requests at a time, on one connection. One iteration is one request.
func BenchmarkServer(b *testing.B) {
	for _, depth := range []int{1, 16} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			s := serve(b, ServerConfig{Handler: computed{}})
			c := s.Dial()
			ask := bytes.Repeat(unhex("0001 0000 0006 01 03 0001 0064"), depth)
			answer := make([]byte, depth*(mbapBytes+2+200))
			b.ReportAllocs()
			for i := 0; i < b.N; i += depth {
				exchange(b, c, ask, answer)
			}
		})
	}
}

// BenchmarkServe is the server's own part of it, without a socket.
func BenchmarkServe(b *testing.B) {
	s, err := NewServer(ServerConfig{Handler: computed{}})
	if err != nil {
		b.Fatal(err)
	}
	c := protocol{&ServerConn{srv: s}}
	c.use(Service{Handler: computed{}})
	ask, out := unhex("0001 0000 0006 01 03 0001 0064"), make([]byte, 0, serverBuffer)
	b.ReportAllocs()
	for b.Loop() {
		if n, _, err := c.Serve(b.Context(), ask, out); n != len(ask) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func TestServerDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes sync.Pool drop buffers at random")
	}
	p := newPlant()
	handlers := map[string]Handler{"plant": p, "every face": &strict{plant: p}}
	for name, h := range handlers {
		s := serve(t, ServerConfig{Handler: h})
		c := s.Dial()
		for _, g := range goldenRequests {
			ask := FramingTCP.Append(nil, Frame{Transaction: 1, Unit: 1, PDU: unhex(g.hex)})
			if _, err := c.Write(ask); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, MaxADU)
			n, err := c.Read(answer)
			if err != nil {
				t.Fatal(err)
			}
			p.requests = make([]Request, 0, 10_000)
			if allocs := testing.AllocsPerRun(100, func() { exchange(t, c, ask, answer[:n]) }); allocs >= 1 {
				t.Errorf("%s: %s allocates %v times a request", name, g.hex, allocs)
			}
		}
	}
}
