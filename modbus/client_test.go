package modbus

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryMethod(t *testing.T) {
	for name, start := range map[string]func(testing.TB, Config, func(*peer)) *Client{"pipe": withPeer, "tcp": overTCP} {
		for _, f := range framings {
			t.Run(name+" "+f.String(), func(t *testing.T) {
				everyMethod(t, start(t, Config{Framing: f, Timeout: time.Minute}, echo))
			})
		}
	}
}

func everyMethod(t *testing.T, c *Client) {
	ctx := t.Context()
	bits, regs := make([]bool, 11), make([]uint16, 3)
	wantBits := []bool{true, false, true, false, true, false, true, false, true, false, true}
	check := func(what string, err error, got, want any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	check("coils", c.ReadCoils(ctx, 1, 7, 11, bits), bits, wantBits)
	clear(bits)
	check("discrete inputs", c.ReadDiscreteInputs(ctx, 1, 9, 11, bits), bits, wantBits)
	check("holding", c.ReadHolding(ctx, 1, 100, 3, regs), regs, []uint16{100, 101, 102})
	check("input", c.ReadInput(ctx, 1, 200, 3, regs), regs, []uint16{200, 201, 202})
	check("read/write", c.ReadWrite(ctx, 1, 300, 3, regs, 7, []uint16{1, 2}), regs, []uint16{300, 301, 302})
	n, err := c.ReadFIFO(ctx, 1, 400, regs)
	check("fifo", err, regs[:n], []uint16{400, 401})
	for what, err := range map[string]error{
		"coil":      c.WriteCoil(ctx, 1, 1, true),
		"coil off":  c.WriteCoil(ctx, 1, 1, false),
		"register":  c.WriteRegister(ctx, 1, 1, 0xABCD),
		"coils":     c.WriteCoils(ctx, 1, 1, wantBits),
		"registers": c.WriteRegisters(ctx, 1, 1, []uint16{1, 2, 3}),
		"mask":      c.MaskWrite(ctx, 1, 1, 0xF2, 0x25),
	} {
		check(what, err, 0, 0)
	}
	if s := c.Stats(); s.Sent != 12 || s.Replied != 12 || s.InFlight != 0 || s.BytesIn == 0 || s.BytesOut == 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestInvalidCallsAreNotSent(t *testing.T) {
	c := withPeer(t, Config{}, func(p *peer) {
		if fr, ok := p.next(); ok {
			t.Errorf("sent %x", fr.PDU)
		}
	})
	ctx := t.Context()
	for what, err := range map[string]error{
		"quantity 0":    c.ReadHolding(ctx, 1, 0, 0, nil),
		"126":           c.ReadHolding(ctx, 1, 0, 126, make([]uint16, 200)),
		"no room":       c.ReadHolding(ctx, 1, 0, 2, make([]uint16, 1)),
		"over the end":  c.ReadInput(ctx, 1, 65535, 2, make([]uint16, 2)),
		"2001":          c.ReadCoils(ctx, 1, 0, 2001, make([]bool, 2001)),
		"no bits":       c.WriteCoils(ctx, 1, 0, nil),
		"1969 bits":     c.WriteCoils(ctx, 1, 0, make([]bool, 1969)),
		"124 registers": c.WriteRegisters(ctx, 1, 0, make([]uint16, 124)),
		"70000":         c.WriteRegisters(ctx, 1, 0, make([]uint16, 70000)),
		"write part":    c.ReadWrite(ctx, 1, 0, 1, make([]uint16, 1), 0, make([]uint16, 122)),
		"function 99":   c.Do(ctx, []Call{{Function: 99}}),
		"coil value":    c.Do(ctx, []Call{{Function: FuncWriteCoil, Values: []byte{1, 2}}}),
		"one of two":    c.Do(ctx, []Call{{Function: FuncReadFIFO}, {Function: FuncMaskWrite, Values: []byte{1}}}),
	} {
		var arg *ArgumentError
		var e *Error
		if !errors.As(err, &arg) || !errors.As(err, &e) || e.Retryable() || e.MayHaveHappened() || e.Timeout() {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The scenario that eleven clients were measured with: the answer to the second request comes after its time-out.
func TestLateReplyIsNotAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late, timedOut []time.Duration
		cfg := Config{Timeout: time.Second, Hooks: Hooks{
			Late:     func(by time.Duration) { late = append(late, by) },
			TimedOut: func(after time.Duration) { timedOut = append(timedOut, after) },
		}}
		c := withPeer(t, cfg, func(p *peer) {
			for i := 0; ; i++ {
				fr, ok := p.next()
				if !ok {
					return
				}
				if i == 1 {
					time.Sleep(1500 * time.Millisecond) // the fake clock's
				}
				if !p.reply(answerTo(fr)) {
					return
				}
			}
		})
		var got []uint16
		for addr := uint16(10); addr <= 50; addr += 10 {
			var v [1]uint16
			err := c.ReadHolding(t.Context(), 1, addr, 1, v[:])
			var e *Error
			if addr == 20 && (!errors.As(err, &e) || !e.Timeout() || !e.Retryable() || e.Error() != "modbus: read holding 20+1 of unit 1: no reply within 1s") {
				t.Errorf("second request: %v", err)
			}
			if addr != 20 && err != nil {
				t.Error(err)
			}
			got = append(got, v[0])
		}
		if want := []uint16{10, 0, 30, 40, 50}; !slices.Equal(got, want) {
			t.Errorf("values %v, want %v", got, want)
		}
		if !slices.Equal(late, []time.Duration{500 * time.Millisecond}) || !slices.Equal(timedOut, []time.Duration{time.Second}) {
			t.Errorf("late %v, timed out %v", late, timedOut)
		}
	})
}

func TestForeignRepliesCloseTheConnection(t *testing.T) {
	ask := Call{Unit: 1, Function: FuncReadHolding, Address: 10, Quantity: 2}
	write := Call{Unit: 1, Function: FuncWriteRegisters, Address: 10, Quantity: 1, Values: []byte{0, 1}}
	for _, x := range []struct {
		why  string
		call Call
		make func(fr Frame) Frame
	}{
		{"transaction", ask, func(fr Frame) Frame { fr = answerTo(fr); fr.Transaction += 7; return fr }},
		{"unit", ask, func(fr Frame) Frame { fr = answerTo(fr); fr.Unit = 2; return fr }},
		{"function", ask, func(fr Frame) Frame { fr = answerTo(fr); fr.PDU[0] = 4; return fr }},
		{"function", ask, func(fr Frame) Frame { fr.PDU = unhex("84 02"); return fr }},
		{"exception code", ask, func(fr Frame) Frame { fr.PDU = unhex("83 00"); return fr }},
		{"exception code", ask, func(fr Frame) Frame { fr.PDU = unhex("83"); return fr }},
		{"length", ask, func(fr Frame) Frame { fr.PDU = unhex("03 02 0001"); return fr }},
		{"length", ask, func(fr Frame) Frame { fr.PDU = unhex("03 04 0001"); return fr }},
		{"length", ask, func(fr Frame) Frame { fr.PDU = unhex("03 FF 00010002"); return fr }},
		{"length", ask, func(fr Frame) Frame { fr.PDU = unhex("03"); return fr }},
		{"length", write, func(fr Frame) Frame { fr.PDU = unhex("10 000A"); return fr }},
		{"echo", write, func(fr Frame) Frame { fr.PDU = unhex("10 000A 0002"); return fr }},
		{"echo", write, func(fr Frame) Frame { fr.PDU = unhex("10 000B 0001"); return fr }},
		{"echo", Call{Unit: 1, Function: FuncWriteRegister, Values: []byte{0, 1}}, func(fr Frame) Frame { fr.PDU = unhex("06 0000 0002"); return fr }},
		{"echo", Call{Unit: 1, Function: FuncMaskWrite, Values: []byte{0, 1, 0, 2}}, func(fr Frame) Frame { fr.PDU = unhex("16 0000 0001 0003"); return fr }},
		{"length", Call{Unit: 1, Function: FuncReadFIFO}, func(fr Frame) Frame { fr.PDU = unhex("18 FFFF FFFF 0000"); return fr }},
		{"length", Call{Unit: 1, Function: FuncReadCoils, Quantity: 9}, func(fr Frame) Frame { fr.PDU = unhex("01 01 FF"); return fr }},
		{"echo", Call{Unit: 1, Function: FuncReadDeviceID, Quantity: 4, Address: 1}, func(fr Frame) Frame { fr.PDU = unhex("2B 0E 04 81 00 00 01 00 01 41"); return fr }},
	} {
		foreign := 0
		c := withPeer(t, Config{Timeout: time.Minute, Hooks: Hooks{Foreign: func() { foreign++ }}}, func(p *peer) {
			fr, ok := p.next()
			if ok && p.reply(x.make(fr)) {
				p.next()
			}
		})
		calls := []Call{x.call}
		err := c.Do(t.Context(), calls)
		var e *Error
		var fe *ForeignError
		if !errors.As(err, &e) || !errors.As(err, &fe) || fe.Why != x.why || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", x.why, err)
			continue
		}
		if e.MayHaveHappened() != x.call.Function.Writes() || e.Retryable() == x.call.Function.Writes() || len(calls[0].Data) != 0 {
			t.Errorf("%s: may have happened %v, retryable %v, data %x", x.why, e.MayHaveHappened(), e.Retryable(), calls[0].Data)
		}
		<-c.Done()
		if err := c.Err(); !errors.As(err, &fe) || foreign != 1 || c.Stats().Foreign != 1 {
			t.Errorf("%s: client ended with %v, foreign %d", x.why, err, foreign)
		}
		if err := c.WriteRegister(t.Context(), 1, 1, 1); !errors.As(err, &e) || e.MayHaveHappened() || !e.Retryable() {
			t.Errorf("%s: a write on the closed connection: %v", x.why, err)
		}
	}
}

func TestFramingErrorsCloseTheConnection(t *testing.T) {
	for _, x := range []struct {
		bytes  string
		reason FrameReason
	}{
		{"0001 0001 0005 01 03 02 0001", FrameProtocolID}, {"0001 0000 0000", FrameLength0}, {"0001 0000 0001 01", FrameLength1},
		{"0001 0000 FFFF", FrameLengthOver}, {"0001 0000 0005 01 03", FramePartial},
	} {
		c := withPeer(t, Config{Timeout: time.Minute}, func(p *peer) {
			if _, ok := p.next(); ok {
				p.send(unhex(x.bytes))
			}
		})
		var v [1]uint16
		err := c.ReadHolding(t.Context(), 1, 1, 1, v[:])
		var fe *FrameError
		if !errors.As(err, &fe) || fe.Reason != x.reason || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v: %v", x.reason, err)
		}
	}
}

func TestExceptions(t *testing.T) {
	var code ExceptionCode
	c := withPeer(t, Config{}, func(p *peer) {
		for {
			fr, ok := p.next()
			if !ok {
				return
			}
			fr.PDU = (&ExceptionResponse{Function: fr.Function(), Code: code}).AppendTo(nil)
			if !p.reply(fr) {
				return
			}
		}
	})
	for _, x := range []struct {
		code                         ExceptionCode
		read, write, mayHaveHappened bool
	}{
		{IllegalFunction, false, false, false}, {IllegalDataAddress, false, false, false}, {IllegalDataValue, false, false, false},
		{ServerDeviceFailure, false, false, true}, {Acknowledge, false, false, true}, {ServerDeviceBusy, true, true, false},
		{MemoryParityError, false, false, true}, {GatewayPathUnavailable, true, true, false}, {GatewayTargetFailed, true, false, true}, {99, false, false, true},
	} {
		code = x.code
		var e *Error
		var v [1]uint16
		if err := c.ReadHolding(t.Context(), 1, 1, 1, v[:]); !errors.As(err, &e) || e.Exception != x.code || e.Retryable() != x.read || e.MayHaveHappened() {
			t.Errorf("read: %v, retryable %v", err, e.Retryable())
		}
		if err := c.WriteCoil(t.Context(), 1, 1, true); !errors.As(err, &e) || e.Exception != x.code || e.Retryable() != x.write || e.MayHaveHappened() != x.mayHaveHappened {
			t.Errorf("write: %v, retryable %v, may have happened %v", err, e.Retryable(), e.MayHaveHappened())
		}
	}
	code = IllegalDataAddress
	err := c.ReadHolding(t.Context(), 3, 100, 12, make([]uint16, 12))
	if want := "modbus: read holding 100+12 of unit 3: exception 2 (illegal data address)"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := c.Do(t.Context(), []Call{{Function: FuncReadFIFO}, {Function: FuncReadFIFO}}); err != nil {
		t.Errorf("exceptions are answers: Do said %v", err)
	}
}

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var most, now int
		var mu sync.Mutex
		c := withPeer(t, Config{Timeout: time.Minute}, func(p *peer) {
			var waiting []Frame
			for {
				fr, ok := p.next()
				if !ok {
					return
				}
				fr.PDU = slices.Clone(fr.PDU)
				mu.Lock()
				waiting = append(waiting, fr)
				now++
				most = max(most, now)
				mu.Unlock()
				go func() { // each answer takes a second; they come newest first
					time.Sleep(time.Second)
					mu.Lock()
					defer mu.Unlock()
					now--
					last := waiting[len(waiting)-1]
					waiting = waiting[:len(waiting)-1]
					_, _ = p.conn.Write(p.framing.Append(nil, answerTo(last)))
				}()
			}
		})
		calls := make([]Call, 24)
		for window := 1; window <= 12; window *= 2 {
			most = 0
			c.SetWindow(window)
			for i := range calls {
				calls[i] = Call{Unit: 1, Function: FuncReadHolding, Address: uint16(1000 + i), Quantity: 1}
			}
			if err := c.Do(t.Context(), calls); err != nil {
				t.Error(err)
			}
			for i := range calls {
				if want := AppendRegisters(nil, calls[i].Address); !bytes.Equal(calls[i].Data, want) {
					t.Errorf("window %d: call %d got %x, want %x", window, i, calls[i].Data, want)
				}
			}
			if most != window {
				t.Errorf("window %d: %d in flight", window, most)
			}
		}
	})
}

func TestTLSMutual(t *testing.T) {
	server, client := testCertificates(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			ended <- err.Error()
			return
		}
		echo(&peer{t: t, conn: conn, buf: make([]byte, 0, 4*MaxADU)})
		names := conn.(*tls.Conn).ConnectionState().PeerCertificates
		_ = conn.Close()
		ended <- names[0].Subject.CommonName
	}()
	c, err := Dial(t.Context(), l.Addr().String(), Config{TLS: client, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	everyMethod(t, c)
	_ = c.Close()
	_ = l.Close()
	if name := <-ended; name != "operator" {
		t.Errorf("the server saw %q", name)
	}
}

func TestDialRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	var op *net.OpError
	if _, err := Dial(t.Context(), addr, Config{}); !errors.As(err, &op) {
		t.Errorf("dial of a closed port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, addr, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("dial with a cancelled context: %v", err)
	}
	for _, cfg := range []Config{{Window: -1}, {Window: MaxWindow + 1}, {Timeout: -1}, {Retries: 11}, {Framing: 7}} {
		if _, err := Dial(t.Context(), addr, cfg); err == nil || errors.As(err, &op) {
			t.Errorf("config %+v: %v", cfg, err)
		}
	}
}
