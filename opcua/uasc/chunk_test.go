package uasc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"testing"

	"millrace/opcua/ua"
)

var shapes = []shape{{}, {sign: true}, {sign: true, encrypt: true}}

// chunkSizes are all sizes over two cipher blocks of the longest key, and a sample beyond.
func chunkSizes() []int {
	var sizes []int
	for n := minBuffer; n <= minBuffer+2*256; n++ {
		sizes = append(sizes, n)
	}
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for range 200 {
		sizes = append(sizes, minBuffer+r.IntN(1<<17))
	}
	return append(sizes, 1<<16, 1<<16-1, 1<<17+1)
}

func TestTheLargestBodyIsExact(t *testing.T) {
	for _, s := range shapes {
		for _, chunk := range chunkSizes() {
			n := s.largest(chunk)
			if s.wire(n) > chunk || s.wire(n+1) <= chunk {
				t.Fatalf("%+v: a chunk of %d holds %d, which takes %d, and one more %d", s, chunk, n, s.wire(n), s.wire(n+1))
			}
		}
	}
}

func TestEveryChunkSizeTalks(t *testing.T) {
	random := randomBytes(3 * (minBuffer + 1<<17))
	for _, s := range []Security{allSecurity[0], allSecurity[3], allSecurity[4]} {
		p := newPair(t, pairConfig{security: s})
		p.open(0)
		shape := shapeOf(p.client.sending.Load())
		for _, size := range chunkSizes() {
			p.client.limits.SendChunk, p.server.limits.ReceiveChunk = size, size
			largest := shape.largest(size)
			for _, n := range []int{largest, largest + 1, 2*largest + 1} {
				body := random[:n]
				b := p.seal(p.client, 9, body)
				if first := int(binary.LittleEndian.Uint32(b[sizeAt:])); first > size || n > largest && size-first >= blockBytes {
					t.Fatalf("%v: the first of the chunks of %d bytes has %d of %d", s, n, first, size)
				}
				if m := p.one(p.server, b); !bytes.Equal(m.Body, body) || m.Chunks != (n+largest-1)/largest {
					t.Fatalf("%v: %d bytes in chunks of %d: %d bytes in %d chunks", s, n, size, len(m.Body), m.Chunks)
				}
			}
		}
	}
}

// OPN has padding of RSA blocks: every remainder, every combination of key lengths, the second size byte of long keys.
func TestOpenOfEverySizeAndKey(t *testing.T) {
	bits := []int{2048, 3072, 4096}
	for _, sender := range bits {
		for _, receiver := range bits {
			for _, policy := range []Policy{Basic256Sha256, Aes256Sha256RsaPss} {
				if policy == Aes256Sha256RsaPss && sender != receiver {
					continue
				}
				t.Run(fmt.Sprintf("%d to %d %v", sender, receiver, policy), func(t *testing.T) {
					p := newPair(t, pairConfig{security: Security{policy, ua.MessageSecurityModeSign}, clientBits: sender, serverBits: receiver})
					block := receiver/8 - policy.suite().oaepOverhead()
					plain := sequenceBytes + paddingSizeBytes(p.client.remote.rsaKey()) + sender/8
					exact := (block - plain%block) % block // the body with which there is no padding
					for _, n := range []int{exact, exact + 1, exact + block - 255, exact + block - 256} {
						if n < 0 {
							continue
						}
						openTalks(t, p, n)
					}
				})
			}
		}
	}
}

// openTalks sends an OPN with n bytes of body.
func openTalks(t *testing.T, p *pair, n int) {
	t.Helper()
	policy, body := p.client.security.Policy, randomBytes(n)
	b, at := p.client.beginOpen(nil, 0, 5, policy, p.client.remote)
	b, err := p.client.sealOpen(append(b, body...), 0, at, policy, p.client.remote)
	if err != nil {
		t.Fatal(err)
	}
	if size := int(binary.LittleEndian.Uint32(b[sizeAt:])); size != len(b) {
		t.Fatalf("size %d of %d bytes", size, len(b))
	}
	p.server.state, p.server.limits.ReceiveChunk, p.server.received = agreed, 1<<16, sequence{}
	if m := p.one(p.server, b); !bytes.Equal(m.Body, body) {
		t.Fatalf("%d bytes came as %d", n, len(m.Body))
	}
}

func TestABodyBeyondThePeersLimitsIsNotSent(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[2], serverT: Transport{MaxMessageSize: 20_000, MaxChunkCount: 2}, clientT: Transport{MaxMessageSize: 20_000}})
	p.open(0)
	p.send(p.client, p.server, 1, randomBytes(20_000))
	try := func(c *Channel, n int) error {
		b := append([]byte("before"), make([]byte, 0)...)
		b, err := c.End(append(c.Begin(b, 1), make([]byte, n)...), 6, KindMessage, p.now)
		if err != nil && string(b) != "before" {
			t.Errorf("left %q", b)
		}
		return err
	}
	wantStatus(t, try(p.client, 20_001), ua.BadRequestTooLarge)
	wantStatus(t, try(p.server, 20_001), ua.BadResponseTooLarge)
	p.client.limits.SendChunk = 8192
	wantStatus(t, try(p.client, 18_000), ua.BadRequestTooLarge)
	p.send(p.client, p.server, 2, randomBytes(100)) // no sequence number was used up
}

func TestEndTakesWhatLiesBeforeIt(t *testing.T) {
	p := newPair(t, pairConfig{security: allSecurity[2]})
	p.open(0)
	var b []byte
	for i := range 5 {
		start := len(b)
		var err error
		if b, err = p.client.End(append(p.client.Begin(b, uint32(i)), randomBytes(i*40_000)...), start, KindMessage, p.now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		used, m, err := p.server.Next(b, p.now)
		if err != nil || m.RequestID != uint32(i) || len(m.Body) != i*40_000 {
			t.Fatalf("message %d: %+v, %v", i, m.RequestID, err)
		}
		b = b[used:]
	}
}

func TestSealingAndOpeningAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, s := range allSecurity {
		p := newPair(t, pairConfig{security: s})
		p.open(0)
		for _, n := range []int{1000, 60_000, 150_000} {
			body, b := randomBytes(n), make([]byte, 0, 200_000)
			allocs := testing.AllocsPerRun(20, func() {
				b = p.client.Begin(b[:0], 3)
				b = append(b, body...)
				var err error
				if b, err = p.client.End(b, 0, KindMessage, p.now); err != nil {
					t.Fatal(err)
				}
				if used, m, err := p.server.Next(b, p.now); err != nil || used != len(b) || len(m.Body) != n {
					t.Fatal(used, err)
				}
				p.server.parts.release(p.now)
			})
			want := 0.0
			if n > keepBuffer { // a long message gets a buffer of its own, which is not kept
				want = 3
			}
			if allocs > want {
				t.Errorf("%v with %d bytes: %v allocations, at most %v", s, n, allocs, want)
			}
		}
	}
}

// A client keeps the buffer of long messages as long as they come, and a while after the last.
func TestClientKeepsTheBufferOfLongMessages(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, s := range allSecurity {
		p := newPair(t, pairConfig{security: s})
		p.open(0)
		body, b := randomBytes(150_000), make([]byte, 0, 200_000)
		send := func(n int) {
			b = append(p.server.Begin(b[:0], 3), body[:n]...)
			var err error
			if b, err = p.server.End(b, 0, KindMessage, p.now); err != nil {
				t.Fatal(err)
			}
			if used, m, err := p.client.Next(b, p.now); err != nil || used != len(b) || len(m.Body) != n {
				t.Fatal(used, err)
			}
		}
		if allocs := testing.AllocsPerRun(20, func() { send(len(body)) }); allocs > 0 {
			t.Errorf("%v: %v allocations for a long message", s, allocs)
		}
		p.now = p.now.Add(keepLong - 1)
		send(1000)
		if len(p.client.parts.spare) < len(body) {
			t.Errorf("%v: the buffer was not kept for long enough", s)
		}
		p.now = p.now.Add(keepLong)
		send(1000)
		if n := cap(p.client.parts.spare); n > keepBuffer {
			t.Errorf("%v: a buffer of %d bytes is kept though nothing long comes", s, n)
		}
	}
}
