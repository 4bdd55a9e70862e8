package opcua

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
	"millrace/opcua/uasc"
)

// badValue is the encoding of a Variant that is none, or that nobody should build up, and what a live server and a live client must make of it.
type badValue struct {
	name   string
	b      []byte
	status ua.StatusCode
}

// nestOf is n times unit, and what ends it.
func nestOf(unit string, n int, end ...byte) []byte {
	return append(bytes.Repeat([]byte(unit), n), end...)
}

// badValues are classes 2 to 6 of the bad input: nests, counts, negative lengths, dimensions, DiagnosticInfo.
func badValues() []badValue {
	raw := func(s string) []byte { return []byte(s) }
	return []badValue{
		{"10,000 arrays of Variant in one another", nestOf("\x98\x01\x00\x00\x00", 10_000, 0), ua.BadEncodingLimitsExceeded},
		{"300,000 DataValues in one another", nestOf("\x17\x01", 300_000, 0), ua.BadEncodingLimitsExceeded},
		{"300,000 DiagnosticInfos in one another", append([]byte{0x19}, nestOf("\x40", 300_000, 0)...), ua.BadEncodingLimitsExceeded},
		{"101 DataValues in one another", nestOf("\x17\x01", 101, 0), ua.BadEncodingLimitsExceeded},
		{"300,000 Variants in one another", nestOf("\x18", 300_000, 0), ua.BadEncodingLimitsExceeded},
		{"a Variant in a Variant, as node-opcua sends it", raw("\x18\x01\x01"), ua.Good},

		{"an array of 2^31-1 Doubles", raw("\x8B\xFF\xFF\xFF\x7F"), ua.BadEncodingLimitsExceeded},
		{"an array of 2^31-1 Booleans", raw("\x81\xFF\xFF\xFF\x7F\x01"), ua.BadEncodingLimitsExceeded},
		{"an array of 100,000 Doubles, of which one is there", raw("\x8B\xA0\x86\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"), ua.BadDecodingError},
		{"an array of 2^20 Variants", append(raw("\x98\x00\x00\x10\x00"), make([]byte, 1<<20)...), ua.BadEncodingLimitsExceeded},
		{"a string of 2 GiB", raw("\x0C\xFF\xFF\xFF\x7Fx"), ua.BadEncodingLimitsExceeded},
		{"a byte string of 2 GiB", raw("\x0F\xFF\xFF\xFF\x7Fx"), ua.BadEncodingLimitsExceeded},
		{"an ExtensionObject of 2 GiB", raw("\x16\x00\x00\x01\xFF\xFF\xFF\x7Fx"), ua.BadEncodingLimitsExceeded},
		{"a string of 100,000 bytes, of which one is there", raw("\x0C\xA0\x86\x01\x00x"), ua.BadDecodingError},

		{"an array of -2", raw("\x8B\xFE\xFF\xFF\xFF"), ua.BadDecodingError},
		{"a string of -2 bytes", raw("\x0C\xFE\xFF\xFF\xFF"), ua.BadDecodingError},
		{"a byte string of -2^31 bytes", raw("\x0F\x00\x00\x00\x80"), ua.BadDecodingError},

		{"dimensions 0 and 1 of one value", raw("\xC1\x01\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"), ua.BadDecodingError},
		{"dimensions whose product is 2^32", raw("\xC1\x01\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00"), ua.BadDecodingError},
		{"dimensions whose product is 2^64", raw("\xC1\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00"), ua.BadDecodingError},
		{"dimensions of less than there is", raw("\xC1\x02\x00\x00\x00\x01\x01\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00"), ua.BadDecodingError},
		{"a dimension of -1", raw("\xC1\x01\x00\x00\x00\x01\x02\x00\x00\x00\xFF\xFF\xFF\xFF\x01\x00\x00\x00"), ua.BadDecodingError},
		{"2^31-1 dimensions", raw("\xC1\x01\x00\x00\x00\x01\xFF\xFF\xFF\x7F"), ua.BadEncodingLimitsExceeded},
		{"dimensions of a scalar", raw("\x41\x01\x01\x00\x00\x00\x01\x00\x00\x00"), ua.BadDecodingError},

		{"a DiagnosticInfo with SymbolicId", raw("\x19\x01\x07\x00\x00\x00"), ua.Good},
		{"a DiagnosticInfo with all of its fields", raw("\x19\x7F\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00x\x00\x00\x00\x80\x00"), ua.Good},
		{"a DiagnosticInfo with a bit that means nothing", raw("\x19\x80"), ua.Good},
		{"a type of none", raw("\x3F\x00\x00\x00\x00"), ua.BadDecodingError},
		{"nothing", nil, ua.BadDecodingError},
	}
}

// anything is a Space with a variable that takes every value.
func anything(t testing.TB, store ValueStore) *Space {
	t.Helper()
	s, err := NewSpace(SpaceConfig{ApplicationURI: testURI})
	if err != nil {
		t.Fatal(err)
	}
	n := Node{
		Id: ua.StringId(1, "any"), Class: ua.NodeClassVariable, BrowseName: named(1, "any"), DataType: stdId(ns0.BaseDataType), ValueRank: -2,
		AccessLevel: AccessCurrentRead | AccessCurrentWrite, Store: store,
	}
	if err := s.Add(stdId(ns0.ObjectsFolder), stdId(ns0.HasComponent), n); err != nil {
		t.Fatal(err)
	}
	return s
}

// writeBody is a whole Write of a Variant, as it is encoded, to that variable.
func (p *peer) writeBody(variant []byte) []byte {
	b := ua.AppendNodeId(nil, ua.NumericId(0, idWrite))
	b = (&ua.RequestHeader{AuthenticationToken: p.token, RequestHandle: 1}).AppendTo(b)
	b = ua.AppendInt32(b, 1)
	b = ua.AppendNodeId(b, ua.StringId(1, "any"))
	b = ua.AppendUInt32(b, ua.AttributeValue)
	b = append(ua.AppendInt32(b, -1), byte(ua.HasValue))
	return append(b, variant...)
}

// A live server refuses each of them with its status, and both the session and others go on.
func TestServerBadValues(t *testing.T) {
	before := serverFlatness()
	s := serveUA(t, ServerConfig{Space: anything(t, nil), AnonymousRoles: RoleRead | RoleWrite, Limits: ua.Limits{Message: 2 << 20}})
	bystander, p := s.session(plain), s.session(plain)
	for _, v := range badValues() {
		p.last++
		p.sendBody(p.last, p.writeBody(v.b))
		wantStatus(t, v.name, p.receive(p.last, &ua.WriteResponse{}), v.status)
		p.wantAlive()
	}
	bystander.wantAlive()
	p.conn.Close()
	bystander.conn.Close()
	s.ended()
	before.check(t, 8<<20)
}

// A live client refuses each of them with its status, and the connection goes on.
func TestClientBadValues(t *testing.T) {
	for _, v := range badValues() {
		t.Run(v.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				cfg := s.config()
				cfg.Limits = ua.Limits{Message: 2 << 20}
				c := s.client(cfg)
				s.answers(func(f *fakeConn, r *fakeRequest) bool {
					if r.service == ServiceRead {
						f.send(r.id, readBody(r, v.b))
					}
					return r.service == ServiceRead
				})
				wantStatus(t, v.name, readOne(c, t.Context()), v.status)
				s.answers(nil)
				if err := readOne(c, t.Context()); err != nil || c.Err() != nil {
					t.Errorf("afterwards: %v, %v", err, c.Err())
				}
			})
		})
	}
}

// readBody is a whole ReadResponse with one Variant, as it is encoded.
func readBody(r *fakeRequest, variant []byte) []byte {
	h := ua.ResponseHeader{RequestHandle: r.header.RequestHandle}
	b := h.AppendTo(ua.AppendNodeId(nil, ua.NumericId(0, ServiceRead.response())))
	b = append(ua.AppendInt32(b, 1), byte(ua.HasValue))
	return ua.AppendInt32(append(b, variant...), -1)
}

// weighing is a ValueStore that weighs the heap while a request is there, decoded.
type weighing struct{ heap uint64 }

func (w *weighing) ReadValues(context.Context, []uint64, []ua.DataValue) {}

func (w *weighing) WriteValues(_ context.Context, _ *Caller, writes []ValueWrite) {
	w.heap = weigh()
	runtime.KeepAlive(writes)
}

// weigh returns what is alive. Twice, because pools let go of what is in them at the second collection.
func weigh() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// heavyValues are those that make most of what they are encoded in, for a limit of 1 MiB.
func heavyValues() map[string]ua.Variant {
	return map[string]ua.Variant{
		"a byte string":     ua.ByteString(make([]byte, 1_000_000)),
		"Doubles":           ua.DoubleArray(make([]float64, 120_000)),
		"Booleans":          ua.BoolArray(make([]bool, 1_000_000)),
		"texts":             ua.StringArray(make([]string, 60_000)),
		"a value of values": ua.VariantArray(make([]ua.Variant, 20_000)),
	}
}

const heavyLimit, heavySlack = 1 << 20, 1 << 19 // buffers of connections, and what happens to be alive

// While a server has a request of the longest size in its hands, that and what was made of it take no more than twice the limit.
func TestServerMemoryOfAMessage(t *testing.T) {
	for name, v := range heavyValues() {
		t.Run(name, func(t *testing.T) {
			w := &weighing{}
			s := serveUA(t, ServerConfig{Space: anything(t, w), AnonymousRoles: RoleRead | RoleWrite, Transport: uasc.Transport{MaxMessageSize: heavyLimit}})
			p := s.session(plain)
			p.last++
			b, err := p.channel.End(append(p.channel.Begin(nil, p.last), p.writeBody(v.AppendTo(nil))...), 0, uasc.KindMessage, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			before := weigh()
			p.write(b)
			var r ua.WriteResponse
			if err := p.receive(p.last, &r); err != nil || r.Results[0] != ua.Good {
				t.Fatal(err, r.Results)
			}
			if took := int64(w.heap - before); took > 2*heavyLimit+heavySlack {
				t.Errorf("%d bytes for a limit of %d", took, heavyLimit)
			}
			// A service that is no work, of which nothing is left either: the connection is idle now.
			p.last++
			cancel := ua.AppendMessage(nil, &ua.CancelRequest{RequestHeader: ua.RequestHeader{AuthenticationToken: p.token, AuditEntryId: strings.Repeat("x", 900_000)}})
			p.sendBody(p.last, cancel)
			wantStatus(t, "a long header", p.receive(p.last, &ua.CancelResponse{}), ua.Good)
			if left := int64(weigh() - before); left > heavySlack {
				t.Errorf("%d bytes are left on an idle connection", left)
			}
			runtime.KeepAlive(b)
		})
	}
}

// What a client keeps of the longest answer is what was made of it, and that within the limit; what cannot be is refused.
func TestClientMemoryOfAMessage(t *testing.T) {
	for name, v := range heavyValues() {
		t.Run(name, func(t *testing.T) {
			s := newFake(t)
			cfg := s.config()
			cfg.Limits, cfg.Transport = ua.Limits{Message: heavyLimit}, uasc.Transport{MaxMessageSize: heavyLimit}
			c := s.client(cfg)
			encoded := v.AppendTo(nil)
			s.answers(func(f *fakeConn, r *fakeRequest) bool {
				if r.service == ServiceRead {
					f.send(r.id, readBody(r, encoded))
				}
				return r.service == ServiceRead
			})
			before := weigh()
			into := make([]ua.DataValue, 1)
			err := c.Read(t.Context(), NewReadPlan(numbered(1, 2), ReadOptions{}), into)
			if err != nil && !errors.Is(err, ua.BadEncodingLimitsExceeded) {
				t.Fatal(err)
			}
			s.conns[len(s.conns)-1].write(nil) // whoever was sending is through
			if took := int64(weigh() - before); took > 2*heavyLimit+heavySlack {
				t.Errorf("%d bytes for a limit of %d", took, heavyLimit)
			}
			runtime.KeepAlive(into)
			runtime.KeepAlive(encoded)
			runtime.KeepAlive(v)
		})
	}
}
