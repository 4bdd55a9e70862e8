package modbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"millrace/internal/listen/listentest"
)

// plant is a device of four full tables: holding register and coil cells keep what is written, the others are computed. Holding registers
// from 1000 to 1099 are read-only.
type plant struct {
	mu       sync.Mutex
	holding  [65536]uint16
	coil     [65536]bool
	requests []Request // all seen, without Conn
	units    []uint8   // served; nil is all
	blocks   bool      // waits for ctx
}

func newPlant() *plant {
	p := &plant{}
	for a := range p.holding {
		p.holding[a] = uint16(a)
		p.coil[a] = a%3 == 0
	}
	return p
}

func (p *plant) see(ctx context.Context, r *Request) ExceptionCode {
	if p.blocks {
		<-ctx.Done()
	}
	if p.units != nil && !slices.Contains(p.units, r.Unit) {
		return GatewayPathUnavailable
	}
	seen := *r
	seen.Conn = nil
	p.requests = append(p.requests, seen)
	return 0
}

func (p *plant) ReadBits(ctx context.Context, r *Request, dst []byte) ExceptionCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range int(r.Quantity) {
		on := (int(r.Address)+i)%5 == 0
		if r.Table == Coils {
			on = p.coil[int(r.Address)+i]
		}
		if on {
			dst[i/8] |= 1 << (i % 8)
		}
	}
	if r.Quantity%8 != 0 {
		dst[len(dst)-1] |= 0x80 // beyond the last bit: the server clears it
	}
	return p.see(ctx, r)
}

func (p *plant) ReadRegisters(ctx context.Context, r *Request, dst []byte) ExceptionCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range int(r.Quantity) {
		v := 65535 - r.Address - uint16(i)
		if r.Table == HoldingRegisters {
			v = p.holding[int(r.Address)+i]
		}
		binary.BigEndian.PutUint16(dst[2*i:], v)
	}
	return p.see(ctx, r)
}

func (p *plant) WriteCoils(ctx context.Context, r *Request, src []byte) ExceptionCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range int(r.Quantity) {
		p.coil[int(r.Address)+i] = src[i/8]>>(i%8)&1 == 1
	}
	return p.see(ctx, r)
}

func (p *plant) WriteRegisters(ctx context.Context, r *Request, src []byte) ExceptionCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Address < 1100 && r.Address+r.Quantity > 1000 {
		return IllegalDataAddress
	}
	for i := range int(r.Quantity) {
		p.holding[int(r.Address)+i] = binary.BigEndian.Uint16(src[2*i:])
	}
	return p.see(ctx, r)
}

func (p *plant) ReadFIFO(_ context.Context, r *Request, dst []byte) (int, ExceptionCode) {
	n := int(r.Address)
	for i := range min(n, MaxFIFO) {
		binary.BigEndian.PutUint16(dst[2*i:], uint16(100+i))
	}
	return n, 0
}

var longValue = strings.Repeat("x", 150)

func (p *plant) DeviceObject(_ context.Context, _ *Request, id uint8) (string, bool) {
	switch id {
	case ObjectVendorName:
		return "Millrace", true
	case ObjectProductCode:
		return "plant", true
	case ObjectRevision:
		return "1.0", true
	case ObjectModelName:
		return "model", true
	case 0x80, 0x81, 0x82:
		return longValue, true
	}
	return "", false
}

// serving is a server that runs until the test ends.
type serving struct {
	*Server
	*listentest.Serving
	t testing.TB
}

func serve(t testing.TB, cfg ServerConfig) *serving {
	t.Helper()
	s := newTestServer(t, cfg)
	return &serving{Server: s, Serving: listentest.Serve(t, s), t: t}
}

func serveOn(t testing.TB, cfg ServerConfig, ln net.Listener) *serving {
	t.Helper()
	s := newTestServer(t, cfg)
	return &serving{Server: s, Serving: listentest.On(t, s, ln), t: t}
}

func newTestServer(t testing.TB, cfg ServerConfig) *Server {
	t.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ended drains the server and returns its last stats.
func (s *serving) ended() ServerStats {
	s.t.Helper()
	s.End()
	st := s.Stats()
	if st.Open != 0 {
		s.t.Errorf("%d connections open after Serve returned", st.Open)
	}
	return st
}

// sendHex writes what s says.
func sendHex(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write(unhex(s)); err != nil {
		t.Fatalf("write %s: %v", s, err)
	}
}

// wantHex reads exactly what s says.
func wantHex(t testing.TB, c net.Conn, s string) {
	t.Helper()
	want := unhex(s)
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("answer %x, %v; want %x", got[:n], err, want)
	}
}

// wantAlive makes a valid request and checks its answer.
func wantAlive(t testing.TB, c net.Conn) {
	t.Helper()
	sendHex(t, c, "7777 0000 0006 01 04 0002 0001")
	wantHex(t, c, "7777 0000 0005 01 04 02 FFFD")
}

// wantHungUp checks that nothing more comes but the end.
func wantHungUp(t testing.TB, c net.Conn) {
	t.Helper()
	b, err := io.ReadAll(c)
	if len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %x, %v; want the end of the connection", b, err)
	}
}

func TestServerAnswersEveryFunction(t *testing.T) {
	for _, f := range framings {
		t.Run(f.String(), func(t *testing.T) {
			s := serve(t, ServerConfig{Handler: newPlant(), Framing: f})
			c, err := Dial(t.Context(), s.Addr, Config{Framing: f, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			askEverything(t, c)
			c.Close()
			st := s.ended()
			for _, g := range goldenRequests {
				if fn := Function(unhex(g.hex)[0]); st.Requests[fn] == 0 {
					t.Errorf("%v was not counted: %v", fn, st.Requests)
				}
			}
			if len(st.Exceptions) > 0 {
				t.Errorf("exceptions: %v", st.Exceptions)
			}
		})
	}
}

func askEverything(t *testing.T, c *Client) {
	ctx := t.Context()
	regs, bits := make([]uint16, 125), make([]bool, 2000)
	check := func(what string, err error, got, want any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	check("write coils", c.WriteCoils(ctx, 1, 10, []bool{true, true, false, true, true, true, true, true, false}), 0, 0)
	check("write coil", c.WriteCoil(ctx, 1, 18, true), 0, 0)
	check("coils", c.ReadCoils(ctx, 1, 10, 9, bits), bits[:9], []bool{true, true, false, true, true, true, true, true, true})
	check("discrete inputs", c.ReadDiscreteInputs(ctx, 1, 65533, 3, bits), bits[:3], []bool{false, false, true})
	check("all bits", c.ReadCoils(ctx, 1, 30000, 2000, bits), []bool{bits[0], bits[1999]}, []bool{true, false})
	check("write register", c.WriteRegister(ctx, 1, 5, 0xABCD), 0, 0)
	check("write registers", c.WriteRegisters(ctx, 1, 6, []uint16{1, 2}), 0, 0)
	check("holding", c.ReadHolding(ctx, 1, 4, 5, regs), regs[:5], []uint16{4, 0xABCD, 1, 2, 8})
	check("input", c.ReadInput(ctx, 1, 1, 125, regs), []uint16{regs[0], regs[124]}, []uint16{65534, 65410})
	check("write for mask", c.WriteRegister(ctx, 1, 4, 0x12), 0, 0)
	check("mask", c.MaskWrite(ctx, 1, 4, 0xF2, 0x25), 0, 0)
	check("masked", c.ReadHolding(ctx, 1, 4, 1, regs), regs[0], uint16(0x17)) // the example of [Modbus 6.16]
	check("read/write", c.ReadWrite(ctx, 1, 20, 3, regs, 21, []uint16{77}), regs[:3], []uint16{20, 77, 22})
	n, err := c.ReadFIFO(ctx, 1, 3, regs)
	check("fifo", err, regs[:n], []uint16{100, 101, 102})
	id, err := c.ReadDeviceID(ctx, 1, DeviceIDExtended, 0)
	check("device id", err, len(id.Objects), 7)
	check("conformity", err, id.Conformity, uint8(0x83))
	one, err := c.ReadDeviceID(ctx, 1, DeviceIDOne, ObjectModelName)
	check("one object", err, one.Objects, []DeviceObject{{ObjectModelName, "model"}})
}

func TestServerDescribesRequests(t *testing.T) {
	p := newPlant()
	s := serve(t, ServerConfig{Handler: p})
	c := s.Dial()
	for _, ask := range []string{
		"03 0001 0002", "04 0003 0001", "01 0005 0009", "02 0006 0001", "06 0007 1234", "05 0008 FF00",
		"10 0009 0002 04 0001 0002", "0F 000A 000A 02 FFFF", "17 000B 0001 000C 0002 04 0001 0002", "16 000D 0000 0001",
	} {
		pdu := unhex(ask)
		c.Write(FramingTCP.Append(nil, Frame{Transaction: 1, Unit: 9, PDU: pdu}))
		head := make([]byte, 6)
		io.ReadFull(c, head)
		body := make([]byte, binary.BigEndian.Uint16(head[4:]))
		if io.ReadFull(c, body); body[1] != pdu[0] {
			t.Errorf("%s: answer %x", ask, body)
		}
	}
	want := []Request{
		{nil, 9, FuncReadHolding, HoldingRegisters, 1, 2},
		{nil, 9, FuncReadInput, InputRegisters, 3, 1},
		{nil, 9, FuncReadCoils, Coils, 5, 9},
		{nil, 9, FuncReadDiscreteInputs, DiscreteInputs, 6, 1},
		{nil, 9, FuncWriteRegister, HoldingRegisters, 7, 1},
		{nil, 9, FuncWriteCoil, Coils, 8, 1},
		{nil, 9, FuncWriteRegisters, HoldingRegisters, 9, 2},
		{nil, 9, FuncWriteCoils, Coils, 10, 10},
		{nil, 9, FuncReadWrite, HoldingRegisters, 12, 2}, // the write first
		{nil, 9, FuncReadWrite, HoldingRegisters, 11, 1},
		{nil, 9, FuncMaskWrite, HoldingRegisters, 13, 1},
		{nil, 9, FuncMaskWrite, HoldingRegisters, 13, 1},
	}
	s.ended()
	if !reflect.DeepEqual(p.requests, want) {
		t.Errorf("the handler saw\n%v, want\n%v", p.requests, want)
	}
}

// strict has every optional face of a Handler.
type strict struct {
	*plant
	masks, pairs, pdus int
}

func (s *strict) MaskWrite(_ context.Context, _ *Request, and, or uint16) ExceptionCode {
	s.masks++
	if and != 0xF2 || or != 0x25 {
		return ServerDeviceFailure
	}
	return 0
}

func (s *strict) ReadWrite(_ context.Context, w *Request, src []byte, r *Request, dst []byte) ExceptionCode {
	s.pairs++
	if w.Address != 0x0E || len(src) != 2 || r.Address != 3 || len(dst) != 2 {
		return ServerDeviceFailure
	}
	copy(dst, src)
	return 0
}

func (s *strict) ServePDU(_ context.Context, r *Request, pdu, out []byte) ([]byte, ExceptionCode, bool) {
	s.pdus++
	switch r.Function {
	case 0x41:
		return append(out, pdu...), 0, true
	case 0x42:
		return out, GatewayTargetFailed, true
	case 0x43:
		return append(out, make([]byte, MaxPDU+1)...), 0, true
	case 0x44:
		return out, NoAnswer, true
	}
	return out, 0, false
}

func TestServerOptionalFaces(t *testing.T) {
	h := &strict{plant: newPlant()}
	s := serve(t, ServerConfig{Handler: h})
	c := s.Dial()
	for _, x := range [][2]string{
		{"0001 0000 0008 01 16 0004 00F2 0025", "0001 0000 0008 01 16 0004 00F2 0025"},
		{"0002 0000 000D 01 17 0003 0001 000E 0001 02 ABCD", "0002 0000 0005 01 17 02 ABCD"},
		{"0003 0000 0004 01 41 0102", "0003 0000 0004 01 41 0102"},
		{"0004 0000 0002 01 42", "0004 0000 0003 01 C2 0B"},
		{"0005 0000 0002 01 43", "0005 0000 0003 01 C3 04"},
		{"0006 0000 0002 01 44", ""},
	} {
		sendHex(t, c, x[0])
		wantHex(t, c, x[1])
	}
	wantAlive(t, c)
	s.ended()
	if h.masks != 1 || h.pairs != 1 || h.pdus != 7 {
		t.Errorf("called %d, %d, %d times", h.masks, h.pairs, h.pdus)
	}
}

// bare is a Handler without optional faces.
type bare struct{ Handler }

func TestServerWithoutOptionalFaces(t *testing.T) {
	s := serve(t, ServerConfig{Handler: bare{newPlant()}})
	c := s.Dial()
	sendHex(t, c, "0001 0000 0004 01 18 0004"+"0002 0000 0005 01 2B 0E 01 00")
	wantHex(t, c, "0001 0000 0003 01 98 01"+"0002 0000 0003 01 AB 01")
	wantAlive(t, c)
}

func TestServerAuthorizes(t *testing.T) {
	s := serve(t, ServerConfig{Handler: newPlant(), Authorize: func(r *Request) bool { return !r.Function.Writes() && r.Address < 100 }})
	c := s.Dial()
	for _, x := range [][2]string{
		{"0001 0000 0006 01 06 0004 00F2", "0001 0000 0003 01 86 01"},
		{"0002 0000 0006 01 03 0064 0001", "0002 0000 0003 01 83 01"},
		{"0003 0000 0006 01 03 0063 0001", "0003 0000 0005 01 03 02 0063"},
		{"0004 0000 000D 01 17 0003 0001 000E 0001 02 ABCD", "0004 0000 0003 01 97 01"},
	} {
		sendHex(t, c, x[0])
		wantHex(t, c, x[1])
	}
}

// lazy answers without filling anything in.
type lazy struct{ *plant }

func (lazy) ReadRegisters(_ context.Context, r *Request, dst []byte) ExceptionCode {
	if r.Address == 0 {
		copy(dst, bytes.Repeat([]byte{0xEE}, len(dst)))
	}
	return 0
}

func TestServerDoesNotLeakOtherAnswers(t *testing.T) {
	s := serve(t, ServerConfig{Handler: lazy{newPlant()}})
	first, second := s.Dial(), s.Dial()
	for range 20 {
		sendHex(t, first, "0001 0000 0006 01 03 0000 0002")
		wantHex(t, first, "0001 0000 0007 01 03 04 EEEEEEEE")
		sendHex(t, second, "0001 0000 0006 01 03 0001 0002")
		wantHex(t, second, "0001 0000 0007 01 03 04 00000000")
	}
}

// switches keeps what was written.
type switches struct {
	*plant
	src []byte
}

func (s *switches) WriteCoils(_ context.Context, _ *Request, src []byte) ExceptionCode {
	s.src = append(s.src, src...)
	return 0
}

func TestServerClearsUnusedBits(t *testing.T) {
	h := &switches{plant: newPlant()}
	s := serve(t, ServerConfig{Handler: h})
	c := s.Dial()
	sendHex(t, c, "0001 0000 0006 01 01 0000 000A")
	wantHex(t, c, "0001 0000 0005 01 01 02 49 02") // 0, 3, 6, 9; the plant sets bit 15 too
	sendHex(t, c, "0001 0000 0009 01 0F 0000 000A 02 FFFF")
	wantHex(t, c, "0001 0000 0006 01 0F 0000 000A")
	if s.ended(); !bytes.Equal(h.src, []byte{0xFF, 0x03}) {
		t.Errorf("the handler was given %x", h.src)
	}
}

func TestServerAuthorizesWholePDUs(t *testing.T) {
	h := &strict{plant: newPlant()}
	s := serve(t, ServerConfig{Handler: h, Authorize: func(r *Request) bool { return r.Function == 0x41 || r.Function == FuncReadInput }})
	c := s.Dial()
	sendHex(t, c, "0003 0000 0004 01 41 0102"+"0004 0000 0002 01 42")
	wantHex(t, c, "0003 0000 0004 01 41 0102"+"0004 0000 0003 01 C2 01")
	wantAlive(t, c)
	if s.ended(); h.pdus != 2 {
		t.Errorf("the handler saw %d requests", h.pdus)
	}
}

func TestServerCounts(t *testing.T) {
	s := serve(t, ServerConfig{Handler: newPlant()})
	c := s.Dial()
	sendHex(t, c, "0001 0000 0006 01 03 0001 0001"+"0001 0000 0006 01 03 FFFF 0002"+"0001 0000 0006 01 05 0001 1234"+"0001 0000 0002 01 63")
	wantHex(t, c, "0001 0000 0005 01 03 02 0001"+"0001 0000 0003 01 83 02"+"0001 0000 0003 01 85 03"+"0001 0000 0003 01 E3 01")
	if st := s.Stats(); st.Open != 1 || st.Accepted != 1 {
		t.Errorf("%+v", st)
	}
	c.Close()
	st := s.ended()
	if want := map[Function]uint64{FuncReadHolding: 2, FuncWriteCoil: 1, 0x63: 1}; !reflect.DeepEqual(st.Requests, want) {
		t.Errorf("requests %v, want %v", st.Requests, want)
	}
	if want := map[ExceptionCode]uint64{IllegalFunction: 1, IllegalDataAddress: 1, IllegalDataValue: 1}; !reflect.DeepEqual(st.Exceptions, want) {
		t.Errorf("exceptions %v, want %v", st.Exceptions, want)
	}
	if want := map[string]uint64{"peer closed": 1}; !reflect.DeepEqual(st.Ended, want) {
		t.Errorf("ended %v, want %v", st.Ended, want)
	}
}

func TestServerConfigIsChecked(t *testing.T) {
	p := newPlant()
	for name, cfg := range map[string]ServerConfig{
		"no handler":          {},
		"framing":             {Handler: p, Framing: 7},
		"role without tls":    {Handler: p, RequireRole: true},
		"negative MaxConns":   {Handler: p, MaxConns: -1},
		"floor and no budget": {Handler: p, Floor: 3},
	} {
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
