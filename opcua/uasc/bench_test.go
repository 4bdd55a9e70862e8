package uasc

import (
	"fmt"
	"testing"

	"millrace/opcua/ua"
)

// BenchmarkMessage seals and opens messages of 1 KB and 60 KB, in chunks of 64 KiB.
func BenchmarkMessage(b *testing.B) {
	for _, s := range allSecurity {
		for _, n := range []int{1000, 60_000} {
			p := talked(b, s)
			body, out := randomBytes(n), make([]byte, 0, n+1000)
			seal := func() []byte {
				out, err := p.client.End(append(p.client.Begin(out[:0], 1), body...), 0, KindMessage, p.now)
				if err != nil {
					b.Fatal(err)
				}
				return out
			}
			b.Run(fmt.Sprintf("%v/seal/%d", s, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					seal()
				}
			})
			b.Run(fmt.Sprintf("%v/open/%d", s, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				b.ReportAllocs()
				sealed, in := seal(), make([]byte, 0, n+1000)
				for b.Loop() {
					p.server.received.started = false
					in = append(in[:0], sealed...)
					if _, m, err := p.server.Next(in, p.now); err != nil || len(m.Body) != n {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkOpen opens channels: what a server calculates for a client that comes.
func BenchmarkOpen(b *testing.B) {
	for _, policy := range []Policy{None, Basic256Sha256, Aes256Sha256RsaPss, ECCNistP256} {
		s := Security{policy, ua.MessageSecurityModeSignAndEncrypt}
		if policy == None {
			s = allSecurity[0]
		}
		b.Run(policy.String(), func(b *testing.B) {
			p := newPair(b, pairConfig{security: s})
			p.client.state = agreed
			opn, err := p.client.AppendOpen(nil, 1, false, 0, p.now)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			in := make([]byte, 0, len(opn))
			for b.Loop() {
				c := p.server.server.NewChannel(1, "")
				c.state, c.limits.ReceiveChunk = agreed, 1<<16
				in = append(in[:0], opn...)
				_, m, err := c.Next(in, p.now)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err = c.AcceptOpen(nil, m, p.now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
