package s7

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// What a client asks for, and that real PLCs are asked for it in the same bytes.
func TestClientAsksFor(t *testing.T) {
	for _, x := range []struct {
		cfg     Config
		connect string
		setup   string
	}{
		{Config{Slot: 1}, "0300001611E00000000100C0010AC1020100C2020201", "0300001902F08032010000000000080000F0000008000803C0"},
		{Config{Rack: 1, Slot: 2, Type: ConnectPG, PDU: 240, Window: 1}, "0300001611E00000000100C0010AC1020100C2020122", "0300001902F08032010000000000080000F0000001000100F0"},
		{Config{Calling: []byte{2, 0}, Called: []byte{3, 1}, PDU: 2000}, "0300001611E00000000100C0010BC1020200C2020301", "0300001902F08032010000000000080000F0000008000807D0"},
	} {
		var connect, setup []byte
		_, err := tryPLC(t, "mem", x.cfg, func(p *fakePLC) {
			connect, setup = make([]byte, 22), make([]byte, 25)
			_, _ = io.ReadFull(p.conn, connect)
			p.send(unhex("0300001611D00001000600C0010BC1020100C2020101"))
			_, _ = io.ReadFull(p.conn, setup)
		})
		if !bytes.Equal(connect, unhex(x.connect)) || !bytes.Equal(setup, unhex(x.setup)) || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%+v: CR %X, Setup %X, %v", x.cfg, connect, setup, err)
		}
	}
}

// answering is a PLC that answers the CR with cc and Setup with setup, raw, and hangs up where there is nothing to say.
func answering(cc, setup string) func(p *fakePLC) {
	return func(p *fakePLC) {
		if _, ok := p.message(); !ok || !p.send(unhex(cc)) || cc == "" {
			return
		}
		if _, ok := p.message(); !ok || !p.send(unhex(setup)) || setup == "" {
			return
		}
		p.message()
	}
}

const (
	goodCC    = "0300001611D00001000600C0010AC1020100C2020101"
	goodSetup = "0300001B02F080320300000000000800000000F0000008000803C0"
)

func TestClientHandshakesThatFail(t *testing.T) {
	for what, x := range map[string]struct {
		cc, setup string
		stage     Stage
		err, hint string // parts of the words
	}{
		"hung up on CR":        {"", "", StageConnect, "EOF", "wrong slot"},
		"DR address":           {"0300000B068000010000" + "03", "", StageConnect, "address unknown", "slot 1 or 0"},
		"DR refused":           {"0300000B068000010000" + "88", "", StageConnect, "refused", "no free connection resource"},
		"DR congestion":        {"0300000B068000010000" + "81", "", StageConnect, "congestion", "connection resources"},
		"ER":                   {"030000090470000103", "", StageConnect, "cause 3", ""},
		"CR back":              {"0300001611E00001000600C0010AC1020100C2020101", "", StageConnect, "a CR where", ""},
		"CC with a bad size":   {"0300001611D00001000600C00114C1020100C2020101", "", StageConnect, "cotp parameters", "port"},
		"data for a CC":        {goodSetup, "", StageConnect, "a DT where", ""},
		"HTTP":                 {"485454502F312E31", "", StageConnect, "tpkt version", "ISO on TCP"},
		"TLS":                  {"1503010002", "", StageConnect, "tpkt version", "ISO on TCP"},
		"hung up on Setup":     {goodCC, "", StageSetup, "EOF", "connection resource"},
		"DR on Setup":          {goodCC, "0300000B06800001000080", StageSetup, "normal disconnect", "no free connection resource"},
		"Setup refused":        {goodCC, "0300001302F08032020000000000000000" + "8104", StageSetup, "0x8104", "another type of connection"},
		"Setup refused at all": {goodCC, "0300001B02F080320300000000000800008500F000000800080000", StageSetup, "0x8500", "smaller PDU"},
		"more than asked":      {goodCC, "0300001B02F080320300000000000800000000F0000008000803C1", StageSetup, "961 bytes was granted and 960", "grants"},
		"PDU 0":                {goodCC, "0300001B02F080320300000000000800000000F000000800080000", StageSetup, "0 bytes", "at least 112"},
		"PDU 111":              {goodCC, "0300001B02F080320300000000000800000000F00000080008006F", StageSetup, "111 bytes", "at least 112"},
		"other reference":      {goodCC, "0300001B02F080320300000001000800000000F0000008000803C0", StageSetup, "reference", ""},
		"answer to a read":     {goodCC, "0300001502F08032030000000000020000" + "00000401", StageSetup, "function", ""},
		"short Setup":          {goodCC, "0300001902F080320300000000000600000000F00000080008", StageSetup, "parameter length", ""},
		"a Job":                {goodCC, "0300001902F08032010000000000080000F0000008000803C0", StageSetup, "no answer", ""},
		"S7comm-plus":          {goodCC, "0300000B02F08072010000", StageSetup, "s7comm-plus", "ISO on TCP"},
		"a CC for Setup":       {goodCC, goodCC, StageSetup, "a CC where", ""},
		"a lying length":       {goodCC, "0300FFFF02F080", StageSetup, "tpkt too long", "ISO on TCP"},
	} {
		_, err := tryPLC(t, "mem", Config{DialTimeout: plenty}, answering(x.cc, x.setup))
		var e *HandshakeError
		if !errors.As(err, &e) || e.Stage != x.stage || !strings.Contains(err.Error(), x.err) || !strings.Contains(e.Hint(), x.hint) || (x.hint == "") != (e.Hint() == "") || !e.Retryable() || e.Timeout() {
			t.Errorf("%s: %v; hint %q", what, err, e.Hint())
		}
	}
}

// What speaks for ever and says nothing is cut by the time.
func TestClientHandshakesThatTakeTooLong(t *testing.T) {
	noise := func(after bool, frame string) func(p *fakePLC) {
		return func(p *fakePLC) {
			if p.message(); after {
				p.send(unhex(goodCC))
				p.message()
			}
			for p.send(unhex(frame)) {
				time.Sleep(10 * time.Millisecond) // the fake clock's
			}
		}
	}
	for what, x := range map[string]struct {
		script func(p *fakePLC)
		stage  Stage
		hint   string
	}{
		"silent at CR":    {func(p *fakePLC) { p.message(); p.message() }, StageConnect, "nobody answers the connect request"},
		"silent at Setup": {func(p *fakePLC) { p.message(); p.send(unhex(goodCC)); p.message(); p.message() }, StageSetup, "does not answer Setup"},
		"half a CC":       {func(p *fakePLC) { p.message(); p.send(unhex("0300001611D000")); p.message() }, StageConnect, "nobody answers the connect request"},
		"empty data":      {noise(true, "0300000702F080"), StageSetup, "does not answer Setup"},
		"one byte a time": {noise(false, "03"), StageConnect, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			_, err := tryPLC(t, "mem", Config{DialTimeout: 3 * time.Second}, x.script)
			var e *HandshakeError
			if !errors.As(err, &e) || e.Stage != x.stage || x.hint != "" && (!e.Timeout() || time.Since(began) != 3*time.Second) || !strings.Contains(e.Hint(), x.hint) {
				t.Errorf("%s: %v after %v; hint %q", what, err, time.Since(began), e.Hint())
			}
		})
	}
}

// Fragments without an end are bounded in number.
func TestClientSetupInFragments(t *testing.T) {
	setup := unhex(goodSetup)[FrameBytes:]
	c, err := tryPLC(t, "tcp", Config{}, func(p *fakePLC) {
		if _, ok := p.message(); ok && p.send(unhex(goodCC)) {
			if _, ok := p.message(); ok && p.send(AppendFragments(nil, setup, 4)) {
				p.echo()
			}
		}
	})
	if err != nil || c.PDU() != 960 {
		t.Fatal(err)
	}
	wantTruth(t, c, Bytes(AreaDB, 1, 1, 1))
	_, err = tryPLC(t, "tcp", Config{DialTimeout: plenty}, func(p *fakePLC) {
		if _, ok := p.message(); !ok || !p.send(unhex(goodCC)) {
			return
		}
		for p.message(); p.send(unhex("0300000802F00032")); {
		}
	})
	var frame *FrameError
	if !errors.As(err, &frame) || frame.Reason != FrameFragments {
		t.Errorf("fragments for ever: %v", err)
	}
}

func TestClientHandshakeIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := plcPipeMem(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(io.ErrNoProgress) })
		began := time.Now()
		_, err := NewClient(ctx, near, Config{DialTimeout: plenty})
		if !errors.Is(err, context.Canceled) || !errors.Is(err, io.ErrNoProgress) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if _, err := io.ReadAll(far); err != nil {
			t.Errorf("the connection was left: %v", err)
		}
	})
}

func plcPipeMem(t testing.TB) (near, far net.Conn) {
	near, far, _ = plcPipes["mem"](t)
	return near, far
}

func TestDialS7(t *testing.T) {
	s := serve(t, ServerConfig{Handler: pattern{}})
	c, err := Dial(t.Context(), s.Addr, Config{Slot: 2})
	if err != nil {
		t.Fatal(err)
	}
	wantTruth(t, c, Bytes(AreaDB, 1, 1, 10))
	if err := c.Close(); err != nil || !errors.Is(c.Err(), net.ErrClosed) {
		t.Errorf("%v, %v", err, c.Err())
	}
}

func TestDialS7Refused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	var e *HandshakeError
	var op *net.OpError
	if _, err := Dial(t.Context(), addr, Config{}); !errors.As(err, &e) || !errors.As(err, &op) || e.Stage != StageDial || !strings.Contains(e.Hint(), "nothing listens") ||
		!strings.HasPrefix(err.Error(), "s7: dial "+addr+": ") {
		t.Errorf("dial of a closed port: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, addr, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("dial with a cancelled context: %v", err)
	}
	for _, cfg := range []Config{{Rack: 8}, {Slot: 32}, {Window: -1}, {Window: MaxWindow + 1}, {Timeout: -1}, {Retries: 11}, {PDU: 111}, {PDU: 70000},
		{MaxItems: -1}, {MaxItems: 256}, {Called: make([]byte, 17)}, {Resync: 3}} {
		if _, err := Dial(t.Context(), addr, cfg); err == nil || errors.As(err, &e) {
			t.Errorf("config %+v: %v", cfg, err)
		}
		near, _ := net.Pipe()
		if _, err := NewClient(t.Context(), near, cfg); err == nil || errors.As(err, &e) {
			t.Errorf("config %+v: %v", cfg, err)
		}
	}
	timeout := &HandshakeError{Stage: StageDial, Err: context.DeadlineExceeded}
	if !timeout.Timeout() || !strings.Contains(timeout.Hint(), "firewall") {
		t.Errorf("%v: %q", timeout, timeout.Hint())
	}
}

func TestHandshakeErrorsNameTheTSAP(t *testing.T) {
	for called, want := range map[string]string{
		"0201": "02.01 (OP, rack 0, slot 1)", "0142": "01.42 (PG, rack 2, slot 2)", "0300": "03.00 (basic, rack 0, slot 0)", "1000": "10.00", "414243": "414243",
	} {
		e := &HandshakeError{Stage: StageConnect, Addr: "plc:102", Called: unhex(called), Err: io.EOF}
		if got := e.Error(); got != "s7: connect request to plc:102, TSAP "+want+": EOF" {
			t.Errorf("%s: %s", called, got)
		}
	}
}

// A PLC that grants more than was asked for, as snap7's server does below 240, is asked no more at once, and may answer longer where it has more to say.
func TestClientGrantedMoreThanItAsked(t *testing.T) {
	for _, granted := range []uint16{240, DefaultPDU} {
		var longest atomic.Int32
		c, err := tryPLC(t, "tcp", Config{PDU: 128, Diagnostics: true}, func(p *fakePLC) {
			if _, ok := p.message(); !ok || !p.send(unhex(goodCC)) {
				return
			}
			pdu, ok := p.next()
			if !ok {
				return
			}
			grant := SetupResponse{Setup{Calling: 1, Called: 1, PDU: granted}}
			p.reply(grant.AppendTo(nil, pdu.Ref))
			for pdu, ok = p.next(); ok && pdu.Kind == KindJob; pdu, ok = p.next() {
				answer := answerOf(&pdu)
				longest.Store(max(longest.Load(), int32(len(answer))))
				p.reply(answer)
			}
			var u Userdata
			if !ok || u.Decode(&pdu) != nil {
				return
			}
			list := SZL{ID: 0x11, RecordLen: 200, Records: make([]byte, 200)}
			r := u.Reply()
			r.Data = list.AppendTo(nil)
			p.reply(r.AppendTo(nil, pdu.Ref))
			p.next()
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.PDU() != 128 {
			t.Errorf("granted %d: PDU %d", granted, c.PDU())
		}
		vars := []Var{{Item: Bytes(AreaDB, 1, 0, 500)}}
		if err := c.Read(t.Context(), vars); err != nil || !bytes.Equal(vars[0].Data, truthOf(&vars[0].Item)) {
			t.Errorf("granted %d: %v", granted, err)
		}
		if list, err := c.ReadSZL(t.Context(), 0x11, 0); err != nil || list.Len() != 1 {
			t.Errorf("granted %d: %v", granted, err)
		}
		_ = c.Close()
		if n := longest.Load(); n > 128 {
			t.Errorf("granted %d: asked for answers of %d bytes", granted, n)
		}
	}
}
