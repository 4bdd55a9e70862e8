package modbus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"millrace/modbus"
)

// meter is a device whose holding register a holds a, up to 999. It takes no writes and has no bits.
type meter struct{}

func (meter) ReadRegisters(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	if int(r.Address)+int(r.Quantity) > 1000 {
		return modbus.IllegalDataAddress
	}
	for i := range int(r.Quantity) {
		binary.BigEndian.PutUint16(dst[2*i:], r.Address+uint16(i))
	}
	return 0
}

func (meter) ReadBits(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

func (meter) WriteCoils(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

func (meter) WriteRegisters(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalFunction
}

// startMeter serves a meter on a free port until stop is called.
func startMeter() (addr string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	srv, err := modbus.NewServer(modbus.ServerConfig{Handler: meter{}})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(ctx, ln) // ends with ctx
	}()
	return ln.Addr().String(), func() {
		cancel()
		<-ended
	}
}

func Example() {
	addr, stop := startMeter()
	defer stop()
	ctx := context.Background()

	c, err := modbus.Dial(ctx, addr, modbus.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	regs := make([]uint16, 3)
	err = c.ReadHolding(ctx, 1, 100, 3, regs)
	fmt.Println(regs, err)

	err = c.ReadHolding(ctx, 1, 998, 3, regs)
	var e *modbus.Error
	if errors.As(err, &e) {
		fmt.Println(err)
		fmt.Println("retryable:", e.Retryable())
	}

	// Output:
	// [100 101 102] <nil>
	// modbus: read holding 998+3 of unit 1: exception 2 (illegal data address)
	// retryable: false
}

// Do runs many requests with several of them in flight, into buffers that are used again and again.
func ExampleClient_Do() {
	addr, stop := startMeter()
	defer stop()
	ctx := context.Background()

	c, err := modbus.Dial(ctx, addr, modbus.Config{Window: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	calls := make([]modbus.Call, 3)
	for i := range calls {
		calls[i] = modbus.Call{Unit: 1, Function: modbus.FuncReadHolding, Address: uint16(400 * i), Quantity: 2, Data: make([]byte, 0, 4)}
	}
	calls[2].Address = 4000

	for range 2 { // poll twice
		for i := range calls {
			calls[i].Data = calls[i].Data[:0]
		}
		if err := c.Do(ctx, calls); err != nil {
			fmt.Println("the connection is no good:", err)
		}
	}
	for i := range calls {
		fmt.Printf("%d: % x %v\n", calls[i].Address, calls[i].Data, calls[i].Err)
	}

	// Output:
	// 0: 00 00 00 01 <nil>
	// 400: 01 90 01 91 <nil>
	// 4000:  modbus: read holding 4000+2 of unit 1: exception 2 (illegal data address)
}
