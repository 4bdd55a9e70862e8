package modbus

import (
	"errors"
	"net"
	"testing"
	"time"

	"millrace/internal/inflight/memconn"
)

// fuzzCalls are one call of every shape; their ids are 1, 2, ...
func fuzzCalls() []Call {
	return []Call{
		{Unit: 1, Function: FuncReadCoils, Address: 3, Quantity: 10},
		{Unit: 1, Function: FuncReadDiscreteInputs, Address: 3, Quantity: 8},
		{Unit: 1, Function: FuncReadHolding, Address: 3, Quantity: 2},
		{Unit: 1, Function: FuncReadInput, Address: 3, Quantity: 1},
		{Unit: 1, Function: FuncWriteCoil, Address: 3, Values: []byte{0xFF, 0}},
		{Unit: 1, Function: FuncWriteRegister, Address: 3, Values: []byte{1, 2}},
		{Unit: 1, Function: FuncWriteCoils, Address: 3, Quantity: 3, Values: []byte{5}},
		{Unit: 1, Function: FuncWriteRegisters, Address: 3, Quantity: 1, Values: []byte{1, 2}},
		{Unit: 1, Function: FuncMaskWrite, Address: 3, Values: []byte{1, 2, 3, 4}},
		{Unit: 1, Function: FuncReadWrite, Address: 3, Quantity: 1, WriteAddress: 4, Values: []byte{1, 2}},
		{Unit: 1, Function: FuncReadFIFO, Address: 3},
		{Unit: 1, Function: FuncReadDeviceID, Address: 0, Quantity: uint16(DeviceIDBasic)},
	}
}

// wantData says how much an answered call must have got; -1 when the device decides.
func wantData(c *Call) int {
	switch c.Function {
	case FuncReadCoils, FuncReadDiscreteInputs:
		return bitBytes(c.Quantity)
	case FuncReadHolding, FuncReadInput, FuncReadWrite:
		return registerBytes(c.Quantity)
	case FuncReadFIFO, FuncReadDeviceID:
		return -1
	}
	return 0
}

// FuzzClient is a hostile device: what it sends is arbitrary. The first byte selects the framing, whether ids are echoed, and who reads.
func FuzzClient(f *testing.F) {
	var all []byte
	for i, c := range fuzzCalls() {
		asked := Frame{Transaction: uint16(i + 1), Unit: 1, PDU: c.appendTo(nil)}
		one := FramingTCP.Append(nil, answerTo(asked))
		all = append(all, one...)
		f.Add(append([]byte{2}, one...))
	}
	f.Add(append([]byte{2}, all...))
	f.Add(append([]byte{0}, all...))
	f.Add(append([]byte{3}, FramingRTU.Append(nil, Frame{Unit: 1, PDU: unhex("01 02 FF01")})...))
	f.Add(append([]byte{4}, FramingTCP.Append(nil, Frame{Unit: 1, PDU: unhex("81 02")})...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		near, far := memconn.Pipe()
		cfg := Config{Framing: Framing(in[0] & 1), NoEcho: in[0]&4 != 0, Window: MaxWindow, Timeout: time.Minute}
		c, err := newClient(near, cfg, in[0]&2 != 0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			_, _ = far.Read(make([]byte, 4096)) // the first requests are there
			_, _ = far.Write(in[1:])
			_ = far.Close()
		}()
		calls := fuzzCalls()
		err = c.Do(t.Context(), calls)
		for i := range calls {
			checkFuzzed(t, &calls[i])
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Do: %v", err)
		}
	})
}

func checkFuzzed(t *testing.T, c *Call) {
	t.Helper()
	if c.Err != nil {
		var e *Error
		if !errors.As(c.Err, &e) || len(c.Data) != 0 || e.Retryable() && e.MayHaveHappened() {
			t.Fatalf("%v: data %x with %v", c.Function, c.Data, c.Err)
		}
		return
	}
	if want := wantData(c); want >= 0 && len(c.Data) != want || len(c.Data) > MaxPDU {
		t.Fatalf("%v: %d bytes of data", c.Function, len(c.Data))
	}
}
