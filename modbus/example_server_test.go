package modbus_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"

	"millrace/modbus"
)

// tank is a device with one input register, the level, and a switch for its pump.
type tank struct{ pump bool }

func (t *tank) ReadBits(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	if r.Table != modbus.Coils || r.Address != 0 || r.Quantity != 1 {
		return modbus.IllegalDataAddress
	}
	if t.pump {
		dst[0] = 1
	}
	return 0
}

func (t *tank) ReadRegisters(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	if r.Table != modbus.InputRegisters || r.Address != 0 || r.Quantity != 1 {
		return modbus.IllegalDataAddress
	}
	binary.BigEndian.PutUint16(dst, 815)
	return 0
}

func (t *tank) WriteCoils(_ context.Context, r *modbus.Request, src []byte) modbus.ExceptionCode {
	if r.Address != 0 || r.Quantity != 1 {
		return modbus.IllegalDataAddress
	}
	t.pump = src[0]&1 == 1
	return 0
}

func (t *tank) WriteRegisters(context.Context, *modbus.Request, []byte) modbus.ExceptionCode {
	return modbus.IllegalDataAddress
}

func ExampleServer() {
	server, err := modbus.NewServer(modbus.ServerConfig{Handler: &tank{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, ln) }()

	client, err := modbus.Dial(ctx, ln.Addr().String(), modbus.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	level := make([]uint16, 1)
	fmt.Println(client.ReadInput(ctx, 1, 0, 1, level), level)
	fmt.Println(client.WriteCoil(ctx, 1, 0, true))
	fmt.Println(client.ReadHolding(ctx, 1, 0, 1, level))
	client.Close()

	stop()
	fmt.Println(<-ended)
	// Output:
	// <nil> [815]
	// <nil>
	// modbus: read holding 0+1 of unit 1: exception 2 (illegal data address)
	// <nil>
}
