package s7

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// asItIs answers requests with what make makes of the right answer.
func asItIs(change func(asked *PDU, answer []byte) []byte) func(p *fakePLC) {
	return func(p *fakePLC) {
		for {
			pdu, ok := p.next()
			if !ok || !p.reply(change(&pdu, answerOf(&pdu))) {
				return
			}
		}
	}
}

// set returns b with hex put at offset at.
func set(b []byte, at int, hex string) []byte {
	b = slices.Clone(b)
	copy(b[at:], unhex(hex))
	return b
}

func TestClientForeignAnswersCloseTheConnection(t *testing.T) {
	read := func(c *Client) error { return c.Read(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 10, 3)}}) }
	write := func(c *Client) error {
		return c.Write(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 10, 1), Data: []byte{1}}})
	}
	u := Userdata{Type: UserdataResponse, Group: GroupCPU, Sub: SubSZL, Long: true, Code: ReturnOK, Size: DataOctet, Data: []byte{1}}
	for what, x := range map[string]struct {
		ask    func(c *Client) error
		why    string
		change func(asked *PDU, answer []byte) []byte
	}{
		"another reference": {read, "reference", func(_ *PDU, b []byte) []byte { return set(b, 4, "7777") }},
		"little endian":     {read, "reference", func(_ *PDU, b []byte) []byte { return set(b, 4, string("0100")) }},
		"another function":  {read, "function", func(p *PDU, _ []byte) []byte { return (&WriteResponse{Codes: []byte{0xFF}}).AppendTo(nil, p.Ref) }},
		"a read for a write": {write, "function", func(p *PDU, _ []byte) []byte {
			return (&ReadResponse{Items: []DataItem{{Code: ReturnOK, Size: DataByte, Data: []byte{1}}}}).AppendTo(nil, p.Ref)
		}},
		"two items": {read, "items", func(p *PDU, _ []byte) []byte {
			d := DataItem{Code: ReturnOK, Size: DataByte, Data: []byte{1, 2, 3}}
			return (&ReadResponse{Items: []DataItem{d, d}}).AppendTo(nil, p.Ref)
		}},
		"two codes":         {write, "items", func(p *PDU, _ []byte) []byte { return (&WriteResponse{Codes: []byte{0xFF, 0xFF}}).AppendTo(nil, p.Ref) }},
		"an Ack of nothing": {read, "function", func(p *PDU, _ []byte) []byte { return AppendRefusal(nil, p.Ref, 0) }},
		"a refusal of another function": {read, "function", func(p *PDU, _ []byte) []byte {
			return AppendRefusalOf(nil, p.Ref, FuncStop, ErrObjectStatus, DetailStopped)
		}},
		"Userdata": {read, "kind", func(p *PDU, _ []byte) []byte { return u.AppendTo(nil, p.Ref) }},
		"a Job": {read, "unasked", func(p *PDU, _ []byte) []byte {
			return (&ReadRequest{Items: []Item{Bytes(AreaDB, 1, 0, 1)}}).AppendTo(nil, p.Ref)
		}},
		"a request": {read, "unasked", func(p *PDU, _ []byte) []byte { return (&SZLRequest{}).AppendTo(nil, p.Ref) }},
		"a download's Job": {read, "unasked", func(p *PDU, _ []byte) []byte {
			return (&DownloadBlockRequest{File: BlockFile{Type: BlockDB, Number: 1, System: FilePassive}}).AppendTo(nil, p.Ref)
		}},
		"less":       {read, "length", itemOf(DataItem{Code: ReturnOK, Size: DataByte, Data: []byte{10, 11}})},
		"more":       {read, "length", itemOf(DataItem{Code: ReturnOK, Size: DataByte, Data: []byte{10, 11, 12, 13}})},
		"no data":    {read, "length", itemOf(DataItem{Code: ReturnOK})},
		"octets":     {read, "length", itemOf(DataItem{Code: ReturnOK, Size: DataOctet, Data: make([]byte, 24)})},
		"huge":       {read, "items", func(_ *PDU, b []byte) []byte { return set(b, 16, "FFFF") }},
		"length lie": {read, "items", func(_ *PDU, b []byte) []byte { return set(b, 16, "0020") }},
		"unknown size": {read, "items", func(_ *PDU, b []byte) []byte {
			return set(b, 15, "0B0004") // counts bytes
		}},
		"count without items": {read, "items", func(_ *PDU, b []byte) []byte { return set(b[:14], 8, "0000") }},
	} {
		foreign := 0
		c := withPLC(t, Config{Timeout: plenty, Hooks: Hooks{Foreign: func() { foreign++ }}}, asItIs(x.change))
		err := x.ask(c)
		var e *Error
		var fe *ForeignError
		if !errors.As(err, &e) || !errors.As(err, &fe) || fe.Why != x.why || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v, want %s", what, err, x.why)
			continue
		}
		if writes := e.Function == FuncWrite; e.MayHaveHappened() != writes || e.Retryable() == writes {
			t.Errorf("%s: may have happened %v, retryable %v", what, e.MayHaveHappened(), e.Retryable())
		}
		<-c.Done()
		if foreign != 1 || c.Stats().Foreign != 1 || !errors.As(c.Err(), &fe) || fe.Error() == "" {
			t.Errorf("%s: client ended with %v, foreign %d", what, c.Err(), foreign)
		}
		if err := write(c); !errors.As(err, &e) || e.MayHaveHappened() || !e.Retryable() {
			t.Errorf("%s: a write on the closed connection: %v", what, err)
		}
	}
}

// itemOf answers a read with one item.
func itemOf(d DataItem) func(asked *PDU, answer []byte) []byte {
	return func(asked *PDU, _ []byte) []byte {
		return (&ReadResponse{Items: []DataItem{d}}).AppendTo(nil, asked.Ref)
	}
}

// What PLCs do differently and is right all the same.
func TestClientTakesTheWaysOfOthers(t *testing.T) {
	type items = []DataItem
	for what, x := range map[string]struct {
		item   Item
		answer items
	}{
		"bytes as octets":         {Bytes(AreaDB, 1, 0, 3), items{{Code: ReturnOK, Size: DataOctet, Data: []byte{0, 1, 2}}}},
		"bytes as integers":       {Bytes(AreaDB, 1, 0, 3), items{{Code: ReturnOK, Size: DataInt, Data: []byte{0, 1, 2}}}},
		"double integer in bytes": {Item{Syntax: SyntaxAny, Size: SizeDInt, Count: 1, DB: 1, Area: AreaDB}, items{{Code: ReturnOK, Size: DataDInt, Data: []byte{0, 1, 2, 3}}}},
		"real as bytes":           {Item{Syntax: SyntaxAny, Size: SizeReal, Count: 1, DB: 1, Area: AreaDB}, items{{Code: ReturnOK, Size: DataByte, Data: []byte{0, 1, 2, 3}}}},
		"a bit as a byte":         {Bit(AreaDB, 1, 1, 0), items{{Code: ReturnOK, Size: DataByte, Data: []byte{1}}}},
	} {
		c := withPLC(t, Config{Timeout: plenty}, asItIs(func(p *PDU, _ []byte) []byte { return (&ReadResponse{Items: x.answer}).AppendTo(nil, p.Ref) }))
		t.Run(what, func(t *testing.T) { wantTruth(t, c, x.item) })
	}
	for what, frame := range map[string]string{
		"double integer in bits":       "FF 06 0020 00010203",
		"a fill behind the last":       "FF 04 0018 000102 00",
		"one that failed with 4 bytes": "05 00 0004",
		"with data it does not have":   "0A 04 0018",
	} {
		c := withPLC(t, Config{Timeout: plenty}, asItIs(func(p *PDU, _ []byte) []byte {
			start := BeginReadResponse(nil, p.Ref, 1)
			return EndReadResponse(append(start, unhex(frame)...), 0)
		}))
		v := []Var{{Item: Bytes(AreaDB, 1, 0, 3)}}
		if strings.Contains(what, "double") {
			v[0].Item = Bytes(AreaDB, 1, 0, 4)
		}
		if err := c.Read(t.Context(), v); err != nil {
			t.Errorf("%s: %v", what, err)
		} else if v[0].Code == ReturnOK {
			trueVar(t, &v[0])
		} else if v[0].Err == nil || len(v[0].Data) != 0 {
			t.Errorf("%s: %+v", what, v[0])
		}
	}
}

func TestClientItemCodes(t *testing.T) {
	var code ReturnCode
	c := withPLC(t, Config{Timeout: plenty}, func(p *fakePLC) {
		for {
			pdu, ok := p.next()
			if !ok {
				return
			}
			answer := (&WriteResponse{Codes: []byte{0xFF, byte(code)}}).AppendTo(nil, pdu.Ref)
			if pdu.Function() == FuncRead {
				answer = (&ReadResponse{Items: []DataItem{{Code: ReturnOK, Size: DataByte, Data: []byte{10}}, {Code: code}}}).AppendTo(nil, pdu.Ref)
			}
			if !p.reply(answer) {
				return
			}
		}
	})
	for _, x := range []struct {
		code                         ReturnCode
		read, write, mayHaveHappened bool
		hint                         string
	}{
		{ReturnHardware, false, false, true, "module"}, {ReturnAccess, false, false, false, "PUT/GET"}, {ReturnAddress, false, false, false, "not inside DB7"},
		{ReturnTypeUnsupported, false, false, false, "ask for bytes"}, {ReturnTypeMismatch, false, false, false, "another length"},
		{ReturnBusy, true, true, false, "try again"}, {ReturnNoObject, false, false, false, "there is no DB7"}, {0x77, false, false, true, ""},
	} {
		code = x.code
		vars := []Var{{Item: Bytes(AreaDB, 1, 10, 1), Data: []byte{1}}, {Item: Bytes(AreaDB, 7, 20, 1), Data: []byte{1}}}
		check := func(what string, err error, retryable, happened bool) {
			t.Helper()
			var e *Error
			if err != nil || vars[0].Err != nil || vars[0].Code != ReturnOK || !errors.As(vars[1].Err, &e) || vars[1].Code != x.code || e.Code != x.code ||
				e.Retryable() != retryable || e.MayHaveHappened() != happened || !e.Sent || (x.hint == "") != (e.Hint() == "") || !strings.Contains(e.Hint(), x.hint) {
				t.Errorf("%s %v: %v, %+v; hint %q", what, x.code, err, vars, e.Hint())
			}
		}
		check("write", c.Write(t.Context(), vars), x.write, x.mayHaveHappened)
		vars[0].Data, vars[1].Data = nil, nil
		check("read", c.Read(t.Context(), vars), x.read, false)
	}
	code = ReturnAddress
	vars := []Var{{Item: Bytes(AreaDB, 1, 10, 1)}, {Item: Bytes(AreaDB, 7, 300, 4)}}
	_ = c.Read(t.Context(), vars)
	if want := "s7: read var DB7.300 BYTE*4: address out of range (0x05)"; vars[1].Err.Error() != want {
		t.Errorf("%v, want %s", vars[1].Err, want)
	}
}

func TestClientReadsAreRepeatedWithANewReference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refs []uint16
		c := withPLC(t, Config{Retries: 2}, func(p *fakePLC) {
			for {
				pdu, ok := p.next()
				if !ok {
					return
				}
				refs = append(refs, pdu.Ref)
				if len(refs) == 3 {
					p.reply(answerOf(&pdu))
				}
			}
		})
		wantTruth(t, c, Bytes(AreaDB, 1, 5, 2))
		if err := c.Write(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 5, 1), Data: []byte{1}}}); !timedOut(err) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if !slices.Equal(refs, []uint16{1, 2, 3, 4}) { // the write once
			t.Errorf("references %v", refs)
		}
		if s := c.Stats(); s.Repeated != 2 || s.TimedOut != 3 || s.Unanswered != 3 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestClientSixteenUnansweredCloseTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withPLC(t, Config{}, func(p *fakePLC) {
			for ok := true; ok; _, ok = p.next() {
			}
		})
		for i := range 16 {
			if err := c.Err(); err != nil {
				t.Fatalf("closed after %d: %v", i, err)
			}
			_ = c.Read(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 5, 2)}})
		}
		var u *UnansweredError
		if err := c.Err(); !errors.As(err, &u) || u.Requests != 16 {
			t.Errorf("ended with %v", err)
		}
	})
}

// The transport's error stops the sending: what is behind it was not sent.
func TestClientStopsAtATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := withPLC(t, Config{Window: 1, MaxItems: 2}, func(p *fakePLC) {
			for {
				pdu, ok := p.next()
				if !ok {
					return
				}
				if asked++; asked != 2 && !p.reply(answerOf(&pdu)) {
					return
				}
			}
		})
		vars := make([]Var, 8)
		for i := range vars {
			vars[i].Item = Bytes(AreaDB, 1, uint32(i), 1)
		}
		err := c.Read(t.Context(), vars)
		synctest.Wait()
		for i := range vars {
			var e *Error
			switch {
			case i < 2:
				trueVar(t, &vars[i])
			case !errors.As(vars[i].Err, &e) || !e.Timeout() || e.Sent != (i < 4) || len(vars[i].Data) != 0:
				t.Errorf("variable %d: %v", i, vars[i].Err)
			}
		}
		if !errors.Is(err, vars[2].Err) || asked != 2 {
			t.Errorf("%v after %d requests", err, asked)
		}
	})
}

func TestClientIsDisconnected(t *testing.T) {
	c := withPLC(t, Config{Timeout: plenty}, func(p *fakePLC) {
		if _, ok := p.next(); ok {
			p.send((&Disconnect{Reason: DisconnectNormal}).AppendTo(nil))
		}
	})
	err := c.Write(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 5, 1), Data: []byte{1}}})
	var dr *DisconnectedError
	var e *Error
	if !errors.As(err, &dr) || dr.Reason != DisconnectNormal || !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "normal disconnect") ||
		!errors.As(err, &e) || !e.MayHaveHappened() {
		t.Errorf("got %v", err)
	}
}

func TestClientStreamsThatEndBadly(t *testing.T) {
	for what, x := range map[string]struct {
		bytes  string
		reason FrameReason
	}{
		"version":          {"0400001602F080", FrameVersion},
		"TLS":              {"15030300020228", FrameVersion},
		"short":            {"0300000602F080", FrameTPKTShort},
		"long":             {"0300040002F080", FrameTPKTLong},
		"longest":          {"0300FFFF02F080", FrameTPKTLong},
		"LI 0":             {"0300000B00F08000000000", FrameTPDUHeader},
		"LI 255":           {"0300000BFFF08000000000", FrameTPDUHeader},
		"ED":               {"0300000B02108000000000", FrameTPDUCode},
		"S7comm-plus":      {"0300001102F08072030000000000000000", FrameS7Plus},
		"ROSCTR 8":         {"0300001102F08032080000000000000000", FrameS7Kind},
		"lengths":          {"0300001302F080320300000000" + "FFFF" + "FFFF0000", FrameS7Length},
		"interleaved":      {"0300000802F00032" + "0300000B06800000000080", FrameInterleaved},
		"half":             {"0300001302F080", FramePartial},
		"half of a PDU":    {"0300000802F00032", FramePartial},
		"one byte":         {"03", FramePartial},
		"never the last":   {strings.Repeat("0300000802F00032", 100), FrameFragments},
		"empty fragments":  {strings.Repeat("0300000702F000", 100), FrameFragments},
		"fragments > PDU":  {strings.Repeat("0300019702F000"+strings.Repeat("32", 400), 3), FrameFragments},
		"lengths in parts": {"0300000802F00032" + "0300000C02F0800300000000", FrameS7Length},
	} {
		for _, bytewise := range []bool{false, true} {
			c := withPLC(t, Config{Timeout: plenty}, func(p *fakePLC) {
				if _, ok := p.next(); !ok {
					return
				}
				b := unhex(x.bytes)
				for n := 1; bytewise && len(b) > 1 && p.send(b[:n]); {
					b = b[n:]
				}
				p.send(b)
			})
			err := c.Read(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 5, 1)}})
			var frame *FrameError
			if !errors.As(err, &frame) || frame.Reason != x.reason || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s, bytewise %v: %v", what, bytewise, err)
			}
		}
	}
	for what, x := range map[string]struct {
		bytes string
		words string
	}{
		"CR":                 {"0300001611E00000000100C0010AC1020100C2020201", "a CR where"},
		"CC":                 {goodCC, "a CC where"},
		"DC":                 {"0300000A05C000000000", "a DC where"},
		"ER":                 {"030000090470000102", "cause 2"},
		"a short DR":         {"03000007028000", "a DR where"},
		"malformed Userdata": {"0300001502F0803207000000010004000000011204", "parameters"},
		"Userdata of nobody": {"0300001102F08032070000000100000000", "parameters"},
	} {
		c := withPLC(t, Config{Timeout: plenty}, func(p *fakePLC) {
			if _, ok := p.next(); ok && p.send(unhex(x.bytes)) {
				p.next()
			}
		})
		err := c.Read(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 5, 1)}})
		if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), x.words) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Answers that nobody asked for end the connection at once, asked or idle.
func TestClientUnaskedAnswers(t *testing.T) {
	for what, frame := range map[string][]byte{
		"a read":    (&ReadResponse{Items: []DataItem{{Code: ReturnOK, Size: DataByte, Data: []byte{1}}}}).AppendTo(nil, 1),
		"a Setup":   (&SetupResponse{Setup{1, 1, 480}}).AppendTo(nil, 0),
		"a refusal": AppendRefusal(nil, 1, ErrFrame),
	} {
		c := withPLC(t, Config{Timeout: plenty}, func(p *fakePLC) {
			if p.reply(frame) {
				p.next()
			}
		})
		<-c.Done()
		var fe *ForeignError
		if !errors.As(c.Err(), &fe) || fe.Why != "reference" {
			t.Errorf("%s: %v", what, c.Err())
		}
	}
}

// Empty data, pushes and duplicates are taken without an end, and a request in flight still ends by its time.
func TestClientWithOneThatTalksForEver(t *testing.T) {
	push := Userdata{Type: UserdataPush, Group: GroupCyclic, Sub: 1, Long: true, Code: ReturnOK, Size: DataOctet, Data: make([]byte, 100)}
	for what, frame := range map[string][]byte{
		"empty data": unhex("0300000702F080"),
		"pushes":     EndFrame(push.AppendTo(BeginFrame(nil), 1), 0),
	} {
		synctest.Test(t, func(t *testing.T) {
			c := withPLC(t, Config{}, func(p *fakePLC) {
				if _, ok := p.next(); !ok {
					return
				}
				for p.send(frame) {
					time.Sleep(time.Millisecond) // the fake clock's
				}
			})
			began := time.Now()
			if err := c.Read(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 5, 1)}}); !timedOut(err) || time.Since(began) != time.Second {
				t.Errorf("%s: %v after %v", what, err, time.Since(began))
			}
			if err := c.Err(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
}

func TestClientWritesNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withPLC(t, Config{Timeout: plenty}, func(p *fakePLC) {
			_, _ = io.ReadFull(p.conn, make([]byte, 20)) // 36 bytes a frame
		})
		vars := []Var{{Item: Bytes(AreaDB, 1, 5, 1), Data: []byte{1}}}
		err := c.Write(t.Context(), vars)
		var e *Error
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) || !e.MayHaveHappened() || e.Retryable() {
			t.Errorf("cut inside the frame: %v", err)
		}
		if err := c.Write(t.Context(), vars); !errors.As(err, &e) || e.MayHaveHappened() || !e.Retryable() {
			t.Errorf("not sent: %v", err)
		}
	})
}

// A return code 0 is none, and an answer all the same: not the value that nobody said, nor a write that went well.
func TestClientItemsWithoutACode(t *testing.T) {
	c := withPLC(t, Config{}, func(p *fakePLC) {
		for pdu, ok := p.next(); ok; pdu, ok = p.next() {
			answer := (&WriteResponse{Codes: []byte{0, 0xFF}}).AppendTo(nil, pdu.Ref)
			if pdu.Function() == FuncRead {
				m := ReadResponse{Items: []DataItem{{Size: DataByte}, {Code: ReturnOK, Size: DataByte, Data: []byte{7}}}}
				answer = m.AppendTo(nil, pdu.Ref)
			}
			p.reply(answer)
		}
	})
	items := [2]Item{Bytes(AreaDB, 1, 0, 1), Bytes(AreaDB, 1, 1, 1)}
	vars := []Var{{Item: items[0]}, {Item: items[1]}}
	err := c.Read(t.Context(), vars)
	var e *Error
	if err != nil || !errors.As(vars[0].Err, &e) || e.Code != ReturnReserved || len(vars[0].Data) != 0 || vars[1].Err != nil || vars[1].Data[0] != 7 {
		t.Errorf("read: %v, %+v", err, vars)
	}
	vars = []Var{{Item: items[0], Data: []byte{1}}, {Item: items[1], Data: []byte{1}}}
	err = c.Write(t.Context(), vars)
	if err != nil || !errors.As(vars[0].Err, &e) || !e.MayHaveHappened() || vars[1].Err != nil {
		t.Errorf("write: %v, %+v", err, vars)
	}
}
