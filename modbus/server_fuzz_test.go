package modbus

import "testing"

// FuzzServe feeds a server's connection whatever comes. The first byte selects the framing. What is answered is frames that a client can cut,
// one for each request at most.
func FuzzServe(f *testing.F) {
	for _, tc := range badInputs {
		f.Add(append([]byte{0}, unhex(tc.send)...))
	}
	for i, framing := range framings {
		stream, _ := goldenStream(framing, true)
		f.Add(append([]byte{byte(i)}, stream...))
	}
	p := newPlant()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		p.requests = nil
		framing := framings[int(b[0])%len(framings)]
		s, err := NewServer(ServerConfig{Handler: &strict{plant: p}, Framing: framing})
		if err != nil {
			t.Fatal(err)
		}
		c := protocol{&ServerConn{srv: s}}
		c.use(Service{Handler: s.cfg.Handler})
		for in := b[1:]; ; {
			used, out, err := c.Serve(t.Context(), in, nil)
			if used < 0 || used > len(in) || len(out) > gatherBytes+MaxADU {
				t.Fatalf("used %d of %d, answered %d", used, len(in), len(out))
			}
			answersAreFrames(t, framing, out)
			if in = in[used:]; used == 0 || err != nil {
				return
			}
		}
	})
}

func answersAreFrames(t *testing.T, f Framing, out []byte) {
	t.Helper()
	if f == FramingRTU {
		return // an answer of a function that nobody knows cannot be cut from a stream of several
	}
	for len(out) > 0 {
		_, n, err := f.NextResponse(out)
		if err != nil || n == 0 {
			t.Fatalf("answered %x: %v", out, err)
		}
		out = out[n:]
	}
}
