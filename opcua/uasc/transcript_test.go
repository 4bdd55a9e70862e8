package uasc

import (
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/wire"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// A transcript is commands, each followed by what then happened, two blanks in front. It is run with the bytes of each command as they are, one by one,
// and cut at random; what happens is the same.
//
//	server KEY=VALUE...                    a channel of a server with None: chunk, message, chunks, partials, sequence=greater, discovery
//	hel RECEIVE SEND URL                   opn CHANNEL issue|renew|TYPE SEQUENCE [lifetime in ms]
//	msg C|F|A CHANNEL TOKEN SEQUENCE REQUEST TEXT     clo CHANNEL TOKEN SEQUENCE REQUEST
//	abort CHANNEL TOKEN SEQUENCE REQUEST STATUS TEXT  raw HEXADECIMAL or "TEXT"
//	wait DURATION
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/chunks/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			whole := play(t, string(want), func(b []byte) int { return len(b) })
			if *update {
				if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if whole != string(want) {
				t.Errorf("got\n%s\nwant\n%s", whole, want)
			}
			if got := play(t, string(want), func([]byte) int { return 1 }); got != whole {
				t.Errorf("byte by byte\n%s\nwant\n%s", got, whole)
			}
			for seed := range uint64(20) {
				r := mathrand.New(mathrand.NewPCG(seed, 0))
				if got := play(t, string(want), func(b []byte) int { return 1 + r.IntN(len(b)) }); got != whole {
					t.Errorf("cut with seed %d\n%s\nwant\n%s", seed, got, whole)
				}
			}
		})
	}
}

// player runs a transcript.
type player struct {
	t   *testing.T
	c   *Channel
	now time.Time
	buf []byte
	end bool // the connection is over
	out strings.Builder
}

func play(t *testing.T, script string, cut func([]byte) int) string {
	p := &player{t: t, now: testNow}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		p.out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		for b := p.command(strings.Fields(line)); len(b) > 0; {
			n := cut(b)
			p.buf = append(p.buf, b[:n]...)
			b = b[n:]
			if !p.end {
				p.drain()
			}
		}
	}
	return p.out.String()
}

func (p *player) say(format string, args ...any) { fmt.Fprintf(&p.out, "  "+format+"\n", args...) }

// command returns the bytes of a command.
func (p *player) command(f []string) []byte {
	number := func(i int) uint32 {
		n, err := strconv.ParseUint(f[i], 0, 32)
		if err != nil {
			p.t.Fatalf("%v: %v", f, err)
		}
		return uint32(n)
	}
	switch f[0] {
	case "server":
		p.server(f[1:])
	case "wait":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(d)
	case "hel":
		return AppendHello(nil, Hello{Transport: Transport{ReceiveBufferSize: number(1), SendBufferSize: number(2)}, EndpointURL: strings.Join(f[3:], " ")})
	case "opn":
		return p.opn(number(1), f[2], number(3), f[4:])
	case "msg":
		return chunkOf(KindMessage, f[1][0], number(2), number(3), number(4), number(5), []byte(strings.Join(f[6:], " ")))
	case "clo":
		return chunkOf(KindClose, chunkFinal, number(1), number(2), number(3), number(4), nil)
	case "abort":
		body := appendText(wire.AppendU32LE(nil, number(5)), strings.Join(f[6:], " "))
		return chunkOf(KindMessage, chunkAbort, number(1), number(2), number(3), number(4), body)
	case "raw":
		return p.raw(strings.Join(f[1:], " "))
	default:
		p.t.Fatalf("no command %v", f)
	}
	return nil
}

func (p *player) raw(s string) []byte {
	if text, err := strconv.Unquote(s); err == nil {
		return []byte(text)
	}
	var h hexBytes
	if err := h.UnmarshalText([]byte(strings.ReplaceAll(s, " ", ""))); err != nil {
		p.t.Fatal(err)
	}
	return h
}

func (p *player) server(options []string) {
	cfg := ServerConfig{Security: allSecurity[:1]}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "chunk":
			cfg.Transport.ReceiveBufferSize = uint32(n)
		case "message":
			cfg.Transport.MaxMessageSize = uint32(n)
		case "chunks":
			cfg.Transport.MaxChunkCount = uint32(n)
		case "partials":
			cfg.MaxPartials = n
		case "sequence":
			cfg.Sequence = SequenceGreater
		case "discovery":
			cfg.Security, cfg.Discovery = nil, true
		default:
			p.t.Fatalf("no option %q", key)
		}
	}
	s, err := NewServer(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.c, p.buf, p.end = s.NewChannel(9, "peer"), nil, false
}

func (p *player) opn(channel uint32, kind string, seq uint32, rest []string) []byte {
	types := map[string]ua.SecurityTokenRequestType{"issue": ua.SecurityTokenRequestTypeIssue, "renew": ua.SecurityTokenRequestTypeRenew}
	requestType, ok := types[kind]
	if !ok {
		n, _ := strconv.Atoi(kind)
		requestType = ua.SecurityTokenRequestType(n)
	}
	lifetime := 60000
	if len(rest) > 0 {
		lifetime, _ = strconv.Atoi(rest[0])
	}
	c := &Channel{client: &ClientConfig{}}
	c.sent.last = seq - 1
	b, at := c.beginOpen(nil, channel, 1, None, nil)
	b = ua.AppendMessage(b, &ua.OpenSecureChannelRequest{
		RequestType: requestType, SecurityMode: ua.MessageSecurityModeNone, RequestedLifetime: uint32(lifetime),
	})
	b, err := c.sealOpen(b, 0, at, None, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func chunkOf(k Kind, mark byte, channel, token, seq, request uint32, body []byte) []byte {
	b := append([]byte(k.String()), mark)
	for _, v := range [...]uint32{uint32(headerBytes + len(body)), channel, token, seq, request} {
		b = wire.AppendU32LE(b, v)
	}
	return append(b, body...)
}

// drain takes what is in the buffer as a connection does.
func (p *player) drain() {
	for !p.end {
		before := p.c.Pending()
		used, m, err := p.c.Next(p.buf, p.now)
		p.buf = p.buf[used:]
		if after := p.c.Pending(); after != before {
			p.say("pending %d", after)
		}
		switch {
		case err != nil:
			p.fail(err)
			return
		case m.Kind == 0:
			return
		}
		p.message(m)
	}
}

func (p *player) fail(err error) {
	p.end = true
	var e *Error
	if !errors.As(err, &e) {
		p.t.Fatal(err)
	}
	p.say("%v: %s", e.Status, e.Reason)
}

func (p *player) message(m Message) {
	switch m.Kind {
	case KindHello:
		b, h, err := p.c.AcceptHello(nil, m)
		if err != nil {
			p.fail(err)
			return
		}
		a, err := DecodeAcknowledge(b[frameBytes:])
		p.say("HEL for %q; ACK receive %d send %d message %d chunks %d %v", h.EndpointURL, a.ReceiveBufferSize, a.SendBufferSize, a.MaxMessageSize, a.MaxChunkCount, err)
	case KindOpen:
		b, o, err := p.c.AcceptOpen(nil, m, p.now)
		if err != nil {
			p.fail(err)
			return
		}
		p.say("OPN; channel %d token %d renewed %v for %v, answer of %d bytes, discovery only %v", o.ChannelID, o.TokenID, o.Renewed, o.Lifetime, len(b), p.c.DiscoveryOnly())
	case KindMessage, KindClose:
		if m.Aborted != 0 {
			p.say("%v request %d given up: %v %q after %d chunks", m.Kind, m.RequestID, m.Aborted, m.Reason, m.Chunks)
			return
		}
		p.say("%v request %d token %d chunks %d %q", m.Kind, m.RequestID, m.TokenID, m.Chunks, m.Body)
	default:
		p.say("%v %d bytes", m.Kind, len(m.Body))
	}
}
