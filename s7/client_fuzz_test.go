package s7

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/inflight/memconn"
)

// FuzzClient is a hostile PLC: what it sends after Setup is arbitrary. The first byte selects who reads, whether a lost stream is searched, and the granted PDU.
func FuzzClient(f *testing.F) {
	vars := fuzzVars()
	var items []Item
	for i := range vars {
		items = append(items, vars[i].Item)
	}
	read := (&ReadRequest{Items: items}).AppendTo(nil, 1)
	pdu, err := DecodePDU(read)
	if err != nil {
		f.Fatal(err)
	}
	frame := func(pdu []byte) []byte { return EndFrame(append(BeginFrame(nil), pdu...), 0) }
	answer := answerOf(&pdu)
	f.Add(append([]byte{0}, frame(answer)...))
	f.Add(append([]byte{1}, append(frame(answer), frame(answer)...)...))
	f.Add(append([]byte{2}, AppendFragments(nil, answer, 20)...))
	f.Add(append([]byte{3}, append([]byte("noise"), frame(answer)...)...))
	f.Add(append([]byte{4}, frame(AppendRefusal(nil, 1, ErrFrame))...))
	f.Add(append([]byte{5}, (&Disconnect{Reason: DisconnectNormal}).AppendTo(nil)...))
	push := Userdata{Type: UserdataPush, Group: GroupCyclic, Sub: 1, Long: true, Code: ReturnOK, Size: DataOctet, Data: []byte{1, 2}}
	f.Add(append([]byte{1}, append(frame(push.AppendTo(nil, 0)), frame(answer)...)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		near, far := memconn.Pipe()
		cfg, err := Config{Timeout: time.Minute, Window: 8, Resync: Resync(in[0] >> 1 & 1)}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		p := newFakePLC(t, far)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if !p.greet(plcWays{pdu: uint16(planPDUs[in[0]>>2&3])}) {
				return
			}
			p.message() // the first request is there
			p.send(in[1:])
			_ = far.Close()
		}()
		c, err := shakeHandsInline(t.Context(), near, cfg, "fuzz", in[0]&1 != 0)
		if err != nil {
			t.Fatal(err)
		}
		vars := fuzzVars()
		err = c.Read(t.Context(), vars)
		_ = c.Close()
		<-ended
		for i := range vars {
			checkFuzzed(t, &vars[i])
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Read: %v", err)
		}
	})
}

// fuzzVars fit into one request of the smallest PDU.
func fuzzVars() []Var {
	return []Var{
		{Item: Bytes(AreaDB, 1, 10, 4)}, {Item: Bit(AreaMarkers, 0, 10, 5)}, {Item: Counters(3, 2)}, {Item: Timers(5, 1)},
		{Item: Item{Syntax: SyntaxAny, Size: SizeReal, Count: 2, DB: 7, Area: AreaDB, Address: 40 << 3}},
		{Item: Item{Syntax: SyntaxAny, Size: SizeDInt, Count: 1, DB: 7, Area: AreaDB}},
	}
}

func checkFuzzed(t *testing.T, v *Var) {
	t.Helper()
	if v.Err == nil {
		if len(v.Data) != v.Item.Len() || v.Code != ReturnOK {
			t.Fatalf("%v: %d bytes, %v", &v.Item, len(v.Data), v.Code)
		}
		return
	}
	var e *Error
	if !errors.As(v.Err, &e) || len(v.Data) != 0 || e.MayHaveHappened() || v.Code == ReturnOK {
		t.Fatalf("%v: data %x with %v", &v.Item, v.Data, v.Err)
	}
}

// FuzzHandshake is a hostile PLC from the first byte on.
func FuzzHandshake(f *testing.F) {
	f.Add(unhex(goodCC + goodSetup))
	f.Add(unhex(goodCC))
	f.Add(unhex("0300000B06800000010088"))
	f.Add(append(unhex(goodCC), AppendFragments(nil, unhex(goodSetup)[FrameBytes:], 8)...))
	f.Add(unhex("0300001611D0")) // and then nothing more
	f.Fuzz(func(t *testing.T, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			near, far := memconn.Pipe()
			_, _ = far.Write(in)
			c, err := NewClient(t.Context(), near, Config{DialTimeout: time.Minute})
			var e *HandshakeError
			if (c == nil) != errors.As(err, &e) {
				t.Fatalf("%v, %v", c, err)
			}
			if c == nil {
				return
			}
			if c.PDU() < MinPDU || c.PDU() > DefaultPDU || c.Window() < 1 || c.Window() > 8 {
				t.Fatalf("PDU %d, window %d", c.PDU(), c.Window())
			}
			_ = c.Close()
		})
	})
}
