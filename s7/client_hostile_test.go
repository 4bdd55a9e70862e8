package s7

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/wire"
)

// rawAnswer is an answer to the read of reference ref with these parameters and data, lengths as they are.
func rawAnswer(ref uint16, param, data string) []byte {
	p, d := unhex(param), unhex(data)
	b := append(unhex("3203 0000"), byte(ref>>8), byte(ref))
	b = append(b, byte(len(p)>>8), byte(len(p)), byte(len(d)>>8), byte(len(d)), 0, 0)
	return EndFrame(append(append(append(BeginFrame(nil), b...), p...), d...), 0)
}

// hostile are answers to a read of DB1.10 BYTE*3 under reference 1, of which 0A 0B 0C would be right: what is bad in requests to servers, turned round.
func hostile() map[string][]byte {
	good := rawAnswer(1, "0401", "FF040018 0A0B0C")
	at := func(off int, hex string) []byte { return set(good, off, hex) }
	h := map[string][]byte{
		"HTTP": []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "Modbus": unhex("000100000005010302000A"), "TLS": unhex("15030300020228"),
		"LI beyond": at(4, "20"), "EOT with a number": at(6, "81"), "never the last": at(6, "00"), "FF": at(7, "FF"), "72": at(7, "72"),
		"parameters 0": at(13, "0000"), "parameters FFFF": at(13, "FFFF"), "data 0": at(15, "0000"), "data FFFF": at(15, "FFFF"), "odd": at(13, "00030007"[:4]),
		"sum wraps": at(13, "FFFF000A"), "function without parameters": rawAnswer(1, "", "FF040018 0A0B0C"), "no data": rawAnswer(1, "0401", ""),
		"count 0": rawAnswer(1, "0400", "FF040018 0A0B0C"), "count 255": rawAnswer(1, "04FF", "FF040018 0A0B0C"), "count 2": rawAnswer(1, "0402", "FF040018 0A0B0C"),
		"two for one": rawAnswer(1, "0401", "FF040018 0A0B0C 00 FF040018 0A0B0C"), "one for two": rawAnswer(1, "0402", "FF040018 0A0B0C"),
		"long parameters": rawAnswer(1, "040101", "FF040018 0A0B0C"), "short parameters": rawAnswer(1, "04", "FF040018 0A0B0C"),
		"half an item": rawAnswer(1, "0401", "FF04"), "data end early": rawAnswer(1, "0401", "FF040018 0A0B"), "data go on": rawAnswer(1, "0401", "FF040018 0A0B0C 0D0E"),
		"extra fill": rawAnswer(1, "0401", "FF040018 0A0B0C 00 00"), "bytes for bits": rawAnswer(1, "0401", "FF040003 0A0B0C"), "bits for bytes": rawAnswer(1, "0401", "FF090018 0A0B0C"),
		"seven bits": rawAnswer(1, "0401", "FF040007 0A"), "one bit": rawAnswer(1, "0401", "FF030001 01"), "no size": rawAnswer(1, "0401", "FF000003"), "FFFF bytes": rawAnswer(1, "0401", "FF09FFFF 0A0B0C"),
		"FFFF bits": rawAnswer(1, "0401", "FF04FFFF 0A0B0C"), "code 0": rawAnswer(1, "0401", "00040018 0A0B0C"), "Ack": set(good, 8, "02"), "Userdata": at(8, "07"), "Job": at(8, "01"),
		"reference 0": at(11, "0000"), "reference FFFF": at(11, "FFFF"), "write": rawAnswer(1, "0501", "FF"), "Setup": rawAnswer(1, "F000 0001 0001 00F0", ""),
		"zero bytes": make([]byte, 100), "DR": unhex("0300000B06800000010000"), "CR": unhex("0300001611E00000000100C0010AC1020100C2020201"), "ED": unhex("0300000902100000000000"),
		"a flood of nothing": bytes.Repeat(unhex("0300000702F080"), 1000),
	}
	for n := range 7 {
		h[fmt.Sprintf("length %d", n)] = wire.AppendU16([]byte{3, 0}, uint16(n))
	}
	for _, v := range []byte{0, 2, 4, 0xFF} {
		h[fmt.Sprintf("version %d", v)] = append([]byte{v}, good[1:]...)
	}
	for _, k := range []byte{0, 4, 5, 6, 8, 0x32, 0xFF} {
		h[fmt.Sprintf("ROSCTR %d", k)] = append(append(slices.Clone(good[:8]), k), good[9:]...)
	}
	for size := range 256 {
		h[fmt.Sprintf("size %d", size)] = rawAnswer(1, "0401", fmt.Sprintf("FF%02X0018 0A0B0C", size))
		h[fmt.Sprintf("code %d", size)] = rawAnswer(1, "0401", fmt.Sprintf("%02X040018 0A0B0C", size))
		h[fmt.Sprintf("error %d", size)] = append(append(slices.Clone(good[:17]), byte(size), byte(size)), good[19:]...)
	}
	return h
}

// Whatever a PLC answers, at once or byte by byte: the value is the right one or there is an error, in time; nothing panics and nothing is left behind.
func TestClientAgainstAHostilePLC(t *testing.T) {
	right := 0
	for what, answer := range hostile() {
		for _, bytewise := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c := withWays(t, "mem", Config{Resync: Resync(len(what) % 3)}, plcWays{}, func(p *fakePLC) {
					p.next()
					step := len(answer)
					if bytewise {
						step = 1
					}
					for b := answer; len(b) > 0 && p.send(b[:step]); b = b[step:] {
						time.Sleep(time.Microsecond) // the fake clock's
					}
					p.next()
				})
				v := []Var{{Item: Bytes(AreaDB, 1, 10, 3)}}
				began := time.Now()
				err := c.Read(t.Context(), v)
				var e *Error
				switch {
				case v[0].Err == nil && bytes.Equal(v[0].Data, []byte{10, 11, 12}) && err == nil:
					right++
				case !errors.As(v[0].Err, &e) || len(v[0].Data) != 0 || e.MayHaveHappened() || time.Since(began) > time.Second:
					t.Errorf("%s, bytewise %v: %+v, %v after %v", what, bytewise, v[0], err, time.Since(began))
				}
			})
		}
	}
	t.Logf("%d answers were right after all", right)
	if right == 0 {
		t.Error("not even the right ones were right")
	}
}

// The same for CC and the answer to Setup.
func TestClientAgainstAHostileHandshake(t *testing.T) {
	cc := func(param string) string { return hexFrame("D0 0001 0006 00" + param) }
	setup := func(calling, called, pdu string) string {
		return "0300001B02F080320300000000000800000000F000" + calling + called + pdu
	}
	for what, x := range map[string]struct {
		cc, setup string
		pdu, w    int // 0: refused
	}{
		"nothing said":    {cc(""), setup("0008", "0008", "00F0"), 240, 8},
		"TSAP of 0":       {cc("C100C200C0010A"), setup("0008", "0008", "00F0"), 240, 8},
		"TSAP of 1":       {cc("C10101C20101C0010A"), setup("0008", "0008", "00F0"), 240, 8},
		"TSAP of 16":      {cc("C110" + strings.Repeat("01", 16)), setup("0008", "0008", "00F0"), 240, 8},
		"TSAP of 17":      {cc("C111" + strings.Repeat("01", 17)), "", 0, 0},
		"TSAP of 240":     {cc("C1F0" + strings.Repeat("01", 240)), "", 0, 0},
		"past the end":    {cc("C1FF01"), "", 0, 0},
		"no length":       {cc("C1"), "", 0, 0},
		"unknown":         {cc("C50101FF00C0010A"), setup("0008", "0008", "00F0"), 240, 8},
		"size 0":          {cc("C00100"), "", 0, 0},
		"size 6":          {cc("C00106"), "", 0, 0},
		"size 14":         {cc("C0010E"), "", 0, 0},
		"size 255":        {cc("C001FF"), "", 0, 0},
		"size of 2 bytes": {cc("C0020A0A"), "", 0, 0},
		"no references":   {hexFrame("D0"), "", 0, 0},
		"size 7":          {cc("C00107"), setup("0008", "0008", "00F0"), 240, 8},
		"PDU 1":           {goodCC, setup("0008", "0008", "0001"), 0, 0},
		"PDU 112":         {goodCC, setup("0008", "0008", "0070"), 112, 8},
		"PDU 239":         {goodCC, setup("0008", "0008", "00EF"), 239, 8},
		"PDU 65535":       {goodCC, setup("0008", "0008", "FFFF"), 0, 0},
		"AMQ 0":           {goodCC, setup("0000", "0000", "00F0"), 240, 1},
		"AMQ 0 and 8":     {goodCC, setup("0000", "0008", "00F0"), 240, 1},
		"AMQ FFFF":        {goodCC, setup("FFFF", "FFFF", "00F0"), 240, 8},
		"AMQ FFFF and 3":  {goodCC, setup("FFFF", "0003", "00F0"), 240, 3},
	} {
		c, err := tryPLC(t, "mem", Config{Timeout: plenty, DialTimeout: plenty}, func(p *fakePLC) {
			if _, ok := p.message(); !ok || !p.send(unhex(x.cc)) {
				return
			}
			if _, ok := p.message(); ok && p.send(unhex(x.setup)) {
				p.echo()
			}
		})
		var e *HandshakeError
		if x.pdu == 0 {
			if !errors.As(err, &e) {
				t.Errorf("%s: taken, %v", what, err)
			}
			continue
		}
		if err != nil || c.PDU() != x.pdu || c.Window() != x.w {
			t.Errorf("%s: %v", what, err)
			continue
		}
		wantTruth(t, c, Bytes(AreaDB, 1, 10, 300), Bit(AreaMarkers, 0, 3, 1))
	}
}

// hexFrame returns a TPKT with this TPDU, without its LI.
func hexFrame(tpdu string) string {
	b := unhex(tpdu)
	return fmt.Sprintf("0300%04X%02X%X", tpktBytes+1+len(b), len(b), b)
}

// A byte a second is no answer: requests end by their time, and the connection with the sixteenth.
func TestClientAgainstASlowPLC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withPLC(t, Config{}, func(p *fakePLC) {
			go func() {
				for _, b := range append(unhex("030003C002F080320300000009000203AB00000401"), make([]byte, 100)...) {
					p.send([]byte{b})
					time.Sleep(time.Second) // the fake clock's
				}
			}()
			for _, ok := p.next(); ok; _, ok = p.next() {
			}
		})
		began := time.Now()
		for range 16 {
			if err := c.Read(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 1, 1)}}); !timedOut(err) {
				t.Errorf("got %v", err)
			}
		}
		var u *UnansweredError
		if !errors.As(c.Err(), &u) || time.Since(began) != 16*time.Second {
			t.Errorf("after %v: %v", time.Since(began), c.Err())
		}
		time.Sleep(2 * time.Minute) // until the PLC has said it all
	})
}

// A thousand connections to PLCs that hang up, reset, or refuse in turn leave no goroutine and no memory.
func TestClientLeavesNothingBehind(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var before, after runtime.MemStats
	for i := range 1100 {
		if i == 100 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		stage := rng.IntN(4)
		near, far := plcPipeMem(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer far.Close()
			p := newFakePLC(t, far)
			if stage == 0 || stage == 1 && !p.send(unhex(goodCC)) {
				return
			}
			if stage > 1 && p.greet(plcWays{}) && stage > 2 {
				p.next()
			}
		}()
		c, err := NewClient(t.Context(), near, Config{Timeout: plenty, DialTimeout: plenty})
		if stage < 2 != (err != nil) {
			t.Fatalf("stage %d: %v", stage, err)
		}
		if c != nil {
			if err := c.Read(t.Context(), []Var{{Item: Bytes(AreaDB, 1, 1, 1)}}); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("stage %d: %v", stage, err)
			}
			_ = c.Close()
		}
		<-ended
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}
