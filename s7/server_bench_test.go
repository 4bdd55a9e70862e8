package s7

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"

	"millrace/internal/listen/listentest"
)

// exchange sends ask and reads as many bytes as answer has.
func exchange(t testing.TB, c net.Conn, ask, answer []byte) {
	if _, err := c.Write(ask); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, answer); err != nil {
		t.Fatal(err)
	}
}

// askBytes is the frame of a read of n bytes of DB1.
func askBytes(n uint16) []byte {
	m := ReadRequest{Items: []Item{Bytes(AreaDB, 1, 0, n)}}
	return EndFrame(m.AppendTo(BeginFrame(nil), 1), 0)
}

func answerBytes(n int) []byte { return make([]byte, FrameBytes+readResponseHead+dataHeader+n) }

// BenchmarkServer asks for 200 bytes, depth requests at a time, on one connection. One iteration is one request.
func BenchmarkServer(b *testing.B) {
	for _, depth := range []int{1, 8} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			s := serve(b, ServerConfig{Handler: testMemory(b)})
			c := s.session()
			ask := bytes.Repeat(askBytes(200), depth)
			answer := bytes.Repeat(answerBytes(200), depth)
			b.ReportAllocs()
			for i := 0; i < b.N; i += depth {
				exchange(b, c, ask, answer)
			}
		})
	}
}

// activeConn is a connection behind Setup whose bytes the test moves itself.
func activeConn(t testing.TB, cfg ServerConfig) protocol {
	t.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	bare, _ := listentest.Conn(t)
	c := s.newConn(bare)
	c.worker.open(c)
	for _, ask := range []string{askConnect, askSetup} {
		if _, _, err := (protocol{c}).Serve(t.Context(), unhex(ask), nil); err != nil {
			t.Fatal(err)
		}
	}
	return protocol{c}
}

// BenchmarkServe is the server's own part of a read of 200 bytes.
func BenchmarkServe(b *testing.B) {
	c := activeConn(b, ServerConfig{Handler: testMemory(b)})
	ask, out := askBytes(200), make([]byte, 0, serverBuffer)
	b.ReportAllocs()
	for b.Loop() {
		if n, _, err := c.Serve(b.Context(), ask, out); n != len(ask) || err != nil {
			b.Fatal(n, err)
		}
	}
}
