package modbus

import (
	"bytes"
	"testing"
)

func requestOf(f Function) request {
	switch f {
	case FuncReadCoils:
		return new(ReadCoilsRequest)
	case FuncReadDiscreteInputs:
		return new(ReadDiscreteInputsRequest)
	case FuncReadHolding:
		return new(ReadHoldingRequest)
	case FuncReadInput:
		return new(ReadInputRequest)
	case FuncWriteCoil:
		return new(WriteCoilRequest)
	case FuncWriteRegister:
		return new(WriteRegisterRequest)
	case FuncWriteCoils:
		return new(WriteCoilsRequest)
	case FuncWriteRegisters:
		return new(WriteRegistersRequest)
	case FuncMaskWrite:
		return new(MaskWriteRequest)
	case FuncReadWrite:
		return new(ReadWriteRequest)
	case FuncReadFIFO:
		return new(ReadFIFORequest)
	case FuncReadDeviceID:
		return new(ReadDeviceIDRequest)
	}
	return nil
}

func responseOf(f Function) response {
	switch f {
	case FuncReadCoils:
		return new(ReadCoilsResponse)
	case FuncReadDiscreteInputs:
		return new(ReadDiscreteInputsResponse)
	case FuncReadHolding:
		return new(ReadHoldingResponse)
	case FuncReadInput:
		return new(ReadInputResponse)
	case FuncWriteCoil:
		return new(WriteCoilResponse)
	case FuncWriteRegister:
		return new(WriteRegisterResponse)
	case FuncWriteCoils:
		return new(WriteCoilsResponse)
	case FuncWriteRegisters:
		return new(WriteRegistersResponse)
	case FuncMaskWrite:
		return new(MaskWriteResponse)
	case FuncReadWrite:
		return new(ReadWriteResponse)
	case FuncReadFIFO:
		return new(ReadFIFOResponse)
	case FuncReadDeviceID:
		return new(ReadDeviceIDResponse)
	}
	if f&exceptionBit != 0 {
		return new(ExceptionResponse)
	}
	return nil
}

func TestEveryFunctionIsFuzzed(t *testing.T) {
	for f := range 256 {
		if fn := Function(f); fn.Known() != (requestOf(fn) != nil) || fn.Known() != (responseOf(fn) != nil && f < exceptionBit) {
			t.Errorf("%v: known %v", fn, fn.Known())
		}
	}
}

// FuzzRequest: the first byte, the function code, selects the message. What is taken is within the limits and encodes to the same bytes.
func FuzzRequest(f *testing.F) {
	for _, g := range goldenRequests {
		f.Add(g.msg.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, pdu []byte) {
		if len(pdu) == 0 {
			return
		}
		m := requestOf(Function(pdu[0]))
		if m == nil {
			return
		}
		switch code := m.Decode(pdu); code {
		case 0:
			if got := m.AppendTo(nil); !bytes.Equal(got, pdu) {
				t.Fatalf("%+v encodes to %x, was %x", m, got, pdu)
			}
			if len(pdu) > MaxPDU {
				t.Fatalf("took a PDU of %d bytes", len(pdu))
			}
		case IllegalFunction, IllegalDataAddress, IllegalDataValue:
		default:
			t.Fatalf("exception %v", code)
		}
	})
}

// FuzzResponse: the first byte, the function code, selects the message.
func FuzzResponse(f *testing.F) {
	for _, g := range goldenResponses {
		f.Add(g.msg.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, pdu []byte) {
		if len(pdu) == 0 {
			return
		}
		m := responseOf(Function(pdu[0]))
		if m == nil || m.Decode(pdu) != nil {
			return
		}
		if got := m.AppendTo(nil); !bytes.Equal(got, pdu) {
			t.Fatalf("%+v encodes to %x, was %x", m, got, pdu)
		}
		if len(pdu) > MaxPDU {
			t.Fatalf("took a PDU of %d bytes", len(pdu))
		}
	})
}

// FuzzFrames cuts a stream at once and byte by byte: both see the same frames and the same end. The first byte selects framing and side.
func FuzzFrames(f *testing.F) {
	for side := range byte(4) {
		stream, _ := goldenStream(Framing(side&1), side&2 == 0)
		f.Add(append([]byte{side}, stream...))
	}
	f.Add(append([]byte{0}, unhex("0001 0001 0006 01 03 0000 0001")...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		framing, requests := Framing(in[0]&1), in[0]&2 == 0
		at, whole := 1, in[1:]
		for {
			fr, n, err := next(framing, requests, whole)
			if err != nil || n == 0 {
				return
			}
			if n > MaxADU || n > len(whole) || len(fr.PDU) == 0 || len(fr.PDU) > MaxPDU {
				t.Fatalf("frame of %d bytes, PDU of %d, at %d", n, len(fr.PDU), at)
			}
			again := framing.Append(nil, fr)
			if !bytes.Equal(again, whole[:n]) {
				t.Fatalf("frame %x encodes to %x", whole[:n], again)
			}
			known := framing == FramingTCP || rtuKnown(requests, fr.PDU)
			if _, early, err := next(framing, requests, whole[:n-1]); known && (early != 0 || err != nil) {
				t.Fatalf("a frame of %d bytes was cut from %d of them: %d, %v", n, n-1, early, err)
			}
			at, whole = at+n, whole[n:]
		}
	})
}

func rtuKnown(requests bool, pdu []byte) bool {
	if requests {
		return rtuRequestBytes(pdu) > 0
	}
	return rtuResponseBytes(pdu) > 0
}
