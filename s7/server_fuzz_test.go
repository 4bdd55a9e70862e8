package s7

import (
	"testing"
	"time"

	"millrace/internal/listen/listentest"
)

// FuzzServe feeds a server's connection whatever comes. The first byte says how far the connection has come and what the server does about bytes that are no
// frame. What is answered is frames that a client can cut, and no more of them than the connection may gather.
func FuzzServe(f *testing.F) {
	for _, table := range [][]badInput{badTPKT, badCOTP, badS7, badVar} {
		for _, tc := range table {
			for resync := range byte(3) {
				f.Add(append([]byte{byte(tc.stage) + 3*resync}, unhex(tc.send)...))
			}
		}
	}
	for _, g := range goldenMessages {
		f.Add(append([]byte{byte(atSetup)}, goldenFrame(g.name)...))
	}
	nobody, _ := listentest.Conn(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		cpu, err := NewCPU(CPUConfig{Memory: testMemory(t)})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewServer(ServerConfig{Handler: cpu, Resync: Resync(b[0] / 3 % 3), IdleTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		c := protocol{s.newConn(nobody)}
		c.worker.open(c.ServerConn)
		defer c.over(nil)
		var in []byte
		for _, ask := range []string{askConnect, askSetup}[:b[0]%3] {
			in = append(in, unhex(ask)...)
		}
		for in = append(in, b[1:]...); ; {
			used, out, err := c.Serve(t.Context(), in, nil)
			if used < 0 || used > len(in) || len(out) > gatherBytes+2*(DefaultPDU+FrameBytes) {
				t.Fatalf("used %d of %d, answered %d", used, len(in), len(out))
			}
			answersAreFrames(t, out)
			if in = in[used:]; used == 0 || err != nil {
				break
			}
		}
		for name, p := range s.Stats().Pools {
			if p.Gets != p.Puts {
				t.Errorf("%s: %+v", name, p)
			}
		}
	})
}

func answersAreFrames(t *testing.T, out []byte) {
	t.Helper()
	s := NewStream(StreamConfig{})
	for len(out) > 0 {
		m, n, err := s.Next(out)
		if err != nil || n == 0 {
			t.Fatalf("answered %x: %v", out, err)
		}
		if m.Code == 0 && !s.Assembling() {
			t.Fatalf("answered an empty frame: %x", out)
		}
		out = out[n:]
	}
}
