package modbus

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

type request interface {
	AppendTo([]byte) []byte
	Decode([]byte) ExceptionCode
}

type response interface {
	AppendTo([]byte) []byte
	Decode([]byte) error
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The examples of the specification, section 6, in its order; the bytes are what the tables there show.
var goldenRequests = []struct {
	clause string
	hex    string
	msg    request
	into   request
}{
	{"6.1", "01 0013 0013", &ReadCoilsRequest{Address: 0x13, Quantity: 0x13}, new(ReadCoilsRequest)},
	{"6.2", "02 00C4 0016", &ReadDiscreteInputsRequest{Address: 0xC4, Quantity: 0x16}, new(ReadDiscreteInputsRequest)},
	{"6.3", "03 006B 0003", &ReadHoldingRequest{Address: 0x6B, Quantity: 3}, new(ReadHoldingRequest)},
	{"6.4", "04 0008 0001", &ReadInputRequest{Address: 8, Quantity: 1}, new(ReadInputRequest)},
	{"6.5", "05 00AC FF00", &WriteCoilRequest{Address: 0xAC, On: true}, new(WriteCoilRequest)},
	{"6.5 off", "05 00AC 0000", &WriteCoilRequest{Address: 0xAC}, new(WriteCoilRequest)},
	{"6.6", "06 0001 0003", &WriteRegisterRequest{Address: 1, Value: 3}, new(WriteRegisterRequest)},
	{"6.11", "0F 0013 000A 02 CD01", &WriteCoilsRequest{Address: 0x13, Quantity: 10, Data: unhex("CD01")}, new(WriteCoilsRequest)},
	{"6.12", "10 0001 0002 04 000A0102", &WriteRegistersRequest{Address: 1, Quantity: 2, Data: unhex("000A0102")}, new(WriteRegistersRequest)},
	{"6.16", "16 0004 00F2 0025", &MaskWriteRequest{Address: 4, And: 0xF2, Or: 0x25}, new(MaskWriteRequest)},
	{"6.17", "17 0003 0006 000E 0003 06 00FF00FF00FF",
		&ReadWriteRequest{ReadAddress: 3, ReadQuantity: 6, WriteAddress: 14, WriteQuantity: 3, Data: unhex("00FF00FF00FF")}, new(ReadWriteRequest)},
	{"6.18", "18 04DE", &ReadFIFORequest{Address: 0x04DE}, new(ReadFIFORequest)},
	{"6.21", "2B 0E 01 00", &ReadDeviceIDRequest{Code: DeviceIDBasic}, new(ReadDeviceIDRequest)},
}

var goldenResponses = []struct {
	clause string
	hex    string
	msg    response
	into   response
}{
	{"6.1", "01 03 CD6B05", &ReadCoilsResponse{Data: unhex("CD6B05")}, new(ReadCoilsResponse)},
	{"6.2", "02 03 ACDB35", &ReadDiscreteInputsResponse{Data: unhex("ACDB35")}, new(ReadDiscreteInputsResponse)},
	{"6.3", "03 06 022B00000064", &ReadHoldingResponse{Data: unhex("022B00000064")}, new(ReadHoldingResponse)},
	{"6.4", "04 02 000A", &ReadInputResponse{Data: unhex("000A")}, new(ReadInputResponse)},
	{"6.5", "05 00AC FF00", &WriteCoilResponse{Address: 0xAC, On: true}, new(WriteCoilResponse)},
	{"6.6", "06 0001 0003", &WriteRegisterResponse{Address: 1, Value: 3}, new(WriteRegisterResponse)},
	{"6.11", "0F 0013 000A", &WriteCoilsResponse{Address: 0x13, Quantity: 10}, new(WriteCoilsResponse)},
	{"6.12", "10 0001 0002", &WriteRegistersResponse{Address: 1, Quantity: 2}, new(WriteRegistersResponse)},
	{"6.16", "16 0004 00F2 0025", &MaskWriteResponse{Address: 4, And: 0xF2, Or: 0x25}, new(MaskWriteResponse)},
	{"6.17", "17 0C 00FE0ACD00010003000D00FF", &ReadWriteResponse{Data: unhex("00FE0ACD00010003000D00FF")}, new(ReadWriteResponse)},
	{"6.18", "18 0006 0002 01B81284", &ReadFIFOResponse{Data: unhex("01B81284")}, new(ReadFIFOResponse)},
	{"6.21", "2B 0E 01 01 00 00 03 00 16 436F6D70616E79206964656E74696669636174696F6E 01 0D 50726F6475637420636F646558 02 05 56322E3131",
		&ReadDeviceIDResponse{Code: DeviceIDBasic, Conformity: 1, Count: 3,
			Objects: DeviceObjects(nil).Append(0, "Company identification").Append(1, "Product codeX").Append(2, "V2.11")}, new(ReadDeviceIDResponse)},
	{"7", "81 02", &ExceptionResponse{Function: FuncReadCoils, Code: IllegalDataAddress}, new(ExceptionResponse)},
}

func TestGoldenRequests(t *testing.T) {
	for _, g := range goldenRequests {
		want := unhex(g.hex)
		if got := g.msg.AppendTo([]byte{0xAA}); !bytes.Equal(got[1:], want) || got[0] != 0xAA {
			t.Errorf("%s: encoded %x, want %x", g.clause, got[1:], want)
		}
		if code := g.into.Decode(want); code != 0 || !reflect.DeepEqual(g.into, g.msg) {
			t.Errorf("%s: decoded %+v (%v), want %+v", g.clause, g.into, code, g.msg)
		}
	}
}

func TestGoldenResponses(t *testing.T) {
	for _, g := range goldenResponses {
		want := unhex(g.hex)
		if got := g.msg.AppendTo(nil); !bytes.Equal(got, want) {
			t.Errorf("%s: encoded %x, want %x", g.clause, got, want)
		}
		if err := g.into.Decode(want); err != nil || !reflect.DeepEqual(g.into, g.msg) {
			t.Errorf("%s: decoded %+v (%v), want %+v", g.clause, g.into, err, g.msg)
		}
	}
}

// Every golden message cut short, and with a byte too many, is refused: a request with exception 3, an answer with a *PDUError.
func TestLengthsLie(t *testing.T) {
	for _, g := range goldenRequests {
		pdu := unhex(g.hex)
		for n := 1; n < len(pdu); n++ {
			if code := g.into.Decode(pdu[:n:n]); code != IllegalDataValue {
				t.Errorf("%s: %d of %d bytes: %v", g.clause, n, len(pdu), code)
			}
		}
		if code := g.into.Decode(append(pdu, 0)); code != IllegalDataValue {
			t.Errorf("%s: a byte too many: %v", g.clause, code)
		}
		if code := g.into.Decode(nil); code != IllegalFunction {
			t.Errorf("%s: empty: %v", g.clause, code)
		}
	}
	for _, g := range goldenResponses {
		pdu := unhex(g.hex)
		var pe *PDUError
		for n := range len(pdu) {
			if err := g.into.Decode(pdu[:n:n]); !errors.As(err, &pe) || pe.Length != n {
				t.Errorf("%s: %d of %d bytes: %v", g.clause, n, len(pdu), err)
			}
		}
		if err := g.into.Decode(append(pdu, 0)); !errors.As(err, &pe) {
			t.Errorf("%s: a byte too many: %v", g.clause, err)
		}
	}
}

func TestRequestExceptions(t *testing.T) {
	for _, x := range []struct {
		what string
		into request
		hex  string
		want ExceptionCode
	}{
		{"other function", new(ReadHoldingRequest), "04 0000 0001", IllegalFunction},
		{"quantity 0", new(ReadHoldingRequest), "03 0000 0000", IllegalDataValue},
		{"quantity 126", new(ReadHoldingRequest), "03 0000 007E", IllegalDataValue},
		{"quantity 125", new(ReadHoldingRequest), "03 0000 007D", 0},
		{"quantity before address", new(ReadHoldingRequest), "03 FFFF 007E", IllegalDataValue},
		{"end at 65535", new(ReadHoldingRequest), "03 FFFE 0002", 0},
		{"end at 65536", new(ReadHoldingRequest), "03 FFFF 0002", IllegalDataAddress},
		{"2000 coils", new(ReadCoilsRequest), "01 0000 07D0", 0},
		{"2001 coils", new(ReadCoilsRequest), "01 0000 07D1", IllegalDataValue},
		{"2001 inputs", new(ReadDiscreteInputsRequest), "02 0000 07D1", IllegalDataValue},
		{"126 input registers", new(ReadInputRequest), "04 0000 007E", IllegalDataValue},
		{"coil value 1234", new(WriteCoilRequest), "05 0000 1234", IllegalDataValue},
		{"byte count lie", new(WriteRegistersRequest), "10 0000 0002 02 0001", IllegalDataValue},
		{"byte count of more data", new(WriteRegistersRequest), "10 0000 0001 04 00010002", IllegalDataValue},
		{"write over the end", new(WriteRegistersRequest), "10 FFFF 0002 04 00010002", IllegalDataAddress},
		{"124 registers", new(WriteRegistersRequest), "10 0000 007C F8" + strings.Repeat("00", 248), IllegalDataValue},
		{"coils byte count", new(WriteCoilsRequest), "0F 0000 0009 01 FF", IllegalDataValue},
		{"1969 coils", new(WriteCoilsRequest), "0F 0000 07B1 F7" + strings.Repeat("00", 247), IllegalDataValue},
		{"read part 0", new(ReadWriteRequest), "17 0000 0000 0000 0001 02 0000", IllegalDataValue},
		{"write part 0", new(ReadWriteRequest), "17 0000 0001 0000 0000 00", IllegalDataValue},
		{"write part 122", new(ReadWriteRequest), "17 0000 0001 0000 007A F4" + strings.Repeat("00", 244), IllegalDataValue},
		{"short write data", new(ReadWriteRequest), "17 0000 0001 0000 0002 04 0000", IllegalDataValue},
		{"read over the end", new(ReadWriteRequest), "17 FFFF 0002 0000 0001 02 0000", IllegalDataAddress},
		{"write over the end", new(ReadWriteRequest), "17 0000 0001 FFFF 0002 04 00000000", IllegalDataAddress},
		{"other MEI type", new(ReadDeviceIDRequest), "2B 0D 01 00", IllegalFunction},
		{"code 0", new(ReadDeviceIDRequest), "2B 0E 00 00", IllegalDataValue},
		{"code 5", new(ReadDeviceIDRequest), "2B 0E 05 00", IllegalDataValue},
	} {
		if got := x.into.Decode(unhex(x.hex)); got != x.want {
			t.Errorf("%s: %v, want %v", x.what, got, x.want)
		}
	}
}

func TestResponsesLie(t *testing.T) {
	for _, x := range []struct {
		what string
		into response
		hex  string
	}{
		{"no registers", new(ReadHoldingResponse), "03 00"},
		{"odd byte count", new(ReadHoldingResponse), "03 03 000000"},
		{"252 bytes", new(ReadHoldingResponse), "03 FC" + strings.Repeat("00", 252)},
		{"coil value", new(WriteCoilResponse), "05 0000 1234"},
		{"fifo byte count", new(ReadFIFOResponse), "18 0004 0002 00000000"},
		{"fifo of 32", new(ReadFIFOResponse), "18 0042 0020" + strings.Repeat("00", 64)},
		{"fifo count over the end", new(ReadFIFOResponse), "18 FFFF FFFF 0000"},
		{"more follows 1", new(ReadDeviceIDResponse), "2B 0E 01 01 01 00 00"},
		{"object over the end", new(ReadDeviceIDResponse), "2B 0E 01 01 00 00 01 00 FF 41"},
		{"more objects than counted", new(ReadDeviceIDResponse), "2B 0E 01 01 00 00 01 00 01 41 01 01 41"},
		{"exception 0", new(ExceptionResponse), "83 00"},
		{"no exception bit", new(ExceptionResponse), "03 02"},
	} {
		var pe *PDUError
		if err := x.into.Decode(unhex(x.hex)); !errors.As(err, &pe) {
			t.Errorf("%s: %v", x.what, err)
		}
	}
}

func TestExceptionBitIsSetNotAdded(t *testing.T) {
	for _, f := range []Function{0, 3, 0x7F, 0x80, 0x83, 0xFF} {
		pdu := (&ExceptionResponse{Function: f, Code: IllegalFunction}).AppendTo(nil)
		if want := []byte{byte(f) | 0x80, 1}; !bytes.Equal(pdu, want) {
			t.Errorf("function 0x%02X: %x, want %x", uint8(f), pdu, want)
		}
	}
}

func TestMaskWriteApply(t *testing.T) {
	m := MaskWriteRequest{And: 0xF2, Or: 0x25}
	if got := m.Apply(0x12); got != 0x17 { // the example of [Modbus 6.16]
		t.Fatalf("0x%X, want 0x17", got)
	}
}

func TestDeviceObjectsCut(t *testing.T) {
	o := DeviceObjects(nil).Append(0, "a").Append(0x80, "").Append(0x81, strings.Repeat("x", 300))
	var got []string
	for {
		id, v, rest, ok := o.Cut()
		if !ok {
			break
		}
		got, o = append(got, hex.EncodeToString([]byte{id, byte(len(v))})), rest
	}
	if want := []string{"0001", "8000", "81f4"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("objects %v, want %v", got, want)
	}
}

func TestWords(t *testing.T) {
	b := AppendBits([]byte{7}, true, false, true, true, false, false, true, true, true, false)
	if !bytes.Equal(b, []byte{7, 0xCD, 1}) {
		t.Errorf("bits %x", b)
	}
	bits := make([]bool, 10)
	if n := Bits(bits, b[1:]); n != 10 || !bits[0] || bits[1] || !bits[8] || bits[9] {
		t.Errorf("%d bits %v", n, bits)
	}
	regs := make([]uint16, 3)
	if n := Registers(regs, AppendRegisters(nil, 1, 0xFFFE)); n != 2 || regs[0] != 1 || regs[1] != 0xFFFE {
		t.Errorf("%d registers %v", n, regs)
	}
}

func TestRequestsDoNotAllocate(t *testing.T) {
	buf := make([]byte, 0, MaxADU)
	for _, g := range goldenRequests {
		if n := testing.AllocsPerRun(100, func() {
			if g.into.Decode(g.msg.AppendTo(buf)) != 0 {
				t.Fatal("refused")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocs", g.clause, n)
		}
	}
}

func TestResponsesDoNotAllocate(t *testing.T) {
	buf := make([]byte, 0, MaxADU)
	for _, g := range goldenResponses {
		if n := testing.AllocsPerRun(100, func() {
			if g.into.Decode(g.msg.AppendTo(buf)) != nil {
				t.Fatal("refused")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocs", g.clause, n)
		}
	}
}

func BenchmarkRequests(b *testing.B) {
	buf := make([]byte, 0, MaxADU)
	for _, g := range goldenRequests {
		b.Run(g.clause, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.into.Decode(g.msg.AppendTo(buf))
			}
		})
	}
}

func BenchmarkResponses(b *testing.B) {
	buf := make([]byte, 0, MaxADU)
	for _, g := range goldenResponses {
		b.Run(g.clause, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = g.into.Decode(g.msg.AppendTo(buf))
			}
		})
	}
}
