package modbus

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var framings = []Framing{FramingTCP, FramingRTU}

// The example of [MBTCP 3.1.3] and a serial frame with a checksum known from the field.
func TestGoldenFrames(t *testing.T) {
	tcp := FramingTCP.Append(nil, Frame{Transaction: 0x1501, Unit: 0xFF, PDU: unhex("03 0004 0001")})
	if want := unhex("1501 0000 0006 FF 03 0004 0001"); !bytes.Equal(tcp, want) {
		t.Errorf("tcp %x, want %x", tcp, want)
	}
	rtu := FramingRTU.Append(nil, Frame{Unit: 0x11, PDU: unhex("03 006B 0003")})
	if want := unhex("11 03 006B 0003 7687"); !bytes.Equal(rtu, want) {
		t.Errorf("rtu %x, want %x", rtu, want)
	}
}

// goldenStream is every golden message as one frame after the other.
func goldenStream(f Framing, requests bool) (stream []byte, pdus [][]byte) {
	if requests {
		for _, g := range goldenRequests {
			pdus = append(pdus, unhex(g.hex))
		}
	} else {
		for _, g := range goldenResponses {
			pdus = append(pdus, unhex(g.hex))
		}
	}
	for i, p := range pdus {
		stream = f.Append(stream, Frame{Transaction: uint16(i), Unit: uint8(i), PDU: p})
	}
	return stream, pdus
}

func next(f Framing, requests bool, buf []byte) (Frame, int, error) {
	if requests {
		return f.NextRequest(buf)
	}
	return f.NextResponse(buf)
}

// cut feeds stream in pieces of step bytes and returns the PDUs that came out.
func cut(t *testing.T, f Framing, requests bool, stream []byte, step int) (pdus [][]byte) {
	t.Helper()
	var buf []byte
	for len(stream) > 0 {
		n := min(step, len(stream))
		buf, stream = append(buf, stream[:n]...), stream[n:]
		for {
			fr, n, err := next(f, requests, buf)
			if err != nil {
				t.Fatalf("%v, pieces of %d: %v after %d frames", f, step, err, len(pdus))
			}
			if n == 0 {
				break
			}
			if want := uint8(len(pdus)); fr.Unit != want || f == FramingTCP && fr.Transaction != uint16(want) {
				t.Fatalf("%v: frame %d has unit %d, transaction %d", f, want, fr.Unit, fr.Transaction)
			}
			pdus, buf = append(pdus, bytes.Clone(fr.PDU)), buf[n:]
		}
	}
	if len(buf) != 0 {
		t.Fatalf("%v, pieces of %d: %d bytes left over", f, step, len(buf))
	}
	return pdus
}

func TestAnySplitAnyNumber(t *testing.T) {
	for _, f := range framings {
		for _, requests := range []bool{true, false} {
			stream, want := goldenStream(f, requests)
			for step := 1; step <= len(stream); step++ {
				got := cut(t, f, requests, stream, step)
				if len(got) != len(want) {
					t.Fatalf("%v, pieces of %d: %d frames, want %d", f, step, len(got), len(want))
				}
				for i := range got {
					if !bytes.Equal(got[i], want[i]) {
						t.Fatalf("%v, pieces of %d: frame %d is %x, want %x", f, step, i, got[i], want[i])
					}
				}
			}
		}
	}
}

// A TCP frame is what its length field says, also when the function code would say otherwise.
func TestFramedByLength(t *testing.T) {
	buf := unhex("0001 0000 0004 01 03 0000" + "0002 0000 0006 01 03 0000 0001")
	fr, n, err := FramingTCP.NextRequest(buf)
	if err != nil || n != 10 || !bytes.Equal(fr.PDU, unhex("030000")) {
		t.Fatalf("first frame %x of %d bytes, %v", fr.PDU, n, err)
	}
	fr, n, err = FramingTCP.NextRequest(buf[n:])
	if err != nil || n != 12 || fr.Transaction != 2 {
		t.Fatalf("second frame %+v of %d bytes, %v", fr, n, err)
	}
}

func TestFrameErrors(t *testing.T) {
	for _, x := range []struct {
		f      Framing
		hex    string
		reason FrameReason
		got    uint16
	}{
		{FramingTCP, "0001 0001 0006 01 03 0000 0001", FrameProtocolID, 1},
		{FramingTCP, "0001 0100", FrameProtocolID, 0x100},
		{FramingTCP, "1603 0102 0001 0001 FC", FrameTLSHello, 0x102},
		{FramingTCP, "0001 0000 0000", FrameLength0, 0},
		{FramingTCP, "0001 0000 0001 01", FrameLength1, 1},
		{FramingTCP, "0001 0000 00FF", FrameLengthOver, 255},
		{FramingTCP, "0001 0000 FFFF", FrameLengthOver, 0xFFFF},
		{FramingRTU, "11 03 006B 0003 7688", FrameCRC, 0x8876},
		{FramingRTU, "11 0F 0000 07D0 FA", FrameLengthOver, 256},
		{FramingRTU, "11 63" + strings.Repeat("00", 254), FrameUnknown, 0x63},
	} {
		fr, n, err := x.f.NextRequest(unhex(x.hex))
		var fe *FrameError
		if !errors.As(err, &fe) || fe.Reason != x.reason || fe.Got != x.got || n != 0 || fr.PDU != nil {
			t.Errorf("%v %s: %+v, %d, %v; want %v", x.f, x.hex, fr, n, err, x.reason)
		}
	}
}

func TestRTUUnknownFunctionByChecksum(t *testing.T) {
	buf := FramingRTU.Append(nil, Frame{Unit: 3, PDU: unhex("11 22 33 44 55 66")})
	for n := range buf {
		if fr, took, err := FramingRTU.NextRequest(buf[:n]); err != nil || took != 0 {
			t.Fatalf("%d bytes: %+v, %d, %v", n, fr, took, err)
		}
	}
	fr, n, err := FramingRTU.NextRequest(buf)
	if err != nil || n != len(buf) || !bytes.Equal(fr.PDU, unhex("112233445566")) {
		t.Fatalf("%+v, %d, %v", fr, n, err)
	}
}

func TestFramesDoNotAllocate(t *testing.T) {
	for _, f := range framings {
		buf, pdu := make([]byte, 0, MaxADU), unhex("03 0000 0001")
		if n := testing.AllocsPerRun(100, func() {
			b := f.Append(buf, Frame{Transaction: 1, Unit: 2, PDU: pdu})
			if _, n, err := f.NextRequest(b); n != len(b) || err != nil {
				t.Fatal("not cut")
			}
		}); n != 0 {
			t.Errorf("%v: %v allocs", f, n)
		}
	}
}

func TestEveryReasonHasWords(t *testing.T) {
	for r := range FrameReasons {
		if strings.HasPrefix(r.String(), "reason ") {
			t.Errorf("reason %d has no words", r)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	for _, f := range framings {
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			buf, pdu := make([]byte, 0, MaxADU), unhex("03 0000 0001")
			for b.Loop() {
				out := f.Append(buf, Frame{Transaction: 1, Unit: 2, PDU: pdu})
				_, _, _ = f.NextRequest(out)
			}
		})
	}
}
