package s7_test

import (
	"context"
	"errors"
	"fmt"
	"net"

	"millrace/s7"
)

// startPLC serves a CPU whose DB 1 has 2,000 bytes, byte i is i mod 251, on a free port until stop is called.
func startPLC() (addr string, stop func()) {
	data := make([]byte, 2000)
	for i := range data {
		data[i] = byte(i % 251)
	}
	memory := new(s7.Memory)
	if err := memory.AddDB(1, data); err != nil {
		panic(err)
	}
	cpu, err := s7.NewCPU(s7.CPUConfig{Model: s7.Model300, Memory: memory})
	if err != nil {
		panic(err)
	}
	srv, err := s7.NewServer(s7.ServerConfig{Handler: cpu, PDU: 240})
	if err != nil {
		panic(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(ctx, ln)
	}()
	return ln.Addr().String(), func() {
		cancel()
		<-ended
	}
}

// A client reads variables, one of which the PLC does not have.
func ExampleClient_Read() {
	addr, stop := startPLC()
	defer stop()
	ctx := context.Background()
	c, err := s7.Dial(ctx, addr, s7.Config{Slot: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	vars := []s7.Var{{Item: s7.Bytes(s7.AreaDB, 1, 20, 4)}, {Item: s7.Bit(s7.AreaDB, 1, 7, 0)}, {Item: s7.Bytes(s7.AreaDB, 5, 0, 2)}}
	if err := c.Read(ctx, vars); err != nil {
		fmt.Println(err) // the connection is no more, or too slow
		return
	}
	for _, v := range vars {
		var e *s7.Error
		if errors.As(v.Err, &e) {
			fmt.Println(e)
			fmt.Println(e.Hint())
			continue
		}
		fmt.Printf("%v: %x\n", &v.Item, v.Data)
	}
	// Output:
	// DB1.20 BYTE*4: 14151617
	// DB1.7.0 BIT*1: 01
	// s7: read var DB5.0 BYTE*2: object does not exist (0x0A)
	// there is no DB5 in the PLC, or it cannot be addressed by bytes: switch off optimised block access of the DB
}

// Who reads the same variables again and again plans once. A long one goes in pieces.
func ExampleClient_ReadPlan() {
	addr, stop := startPLC()
	defer stop()
	ctx := context.Background()
	c, err := s7.Dial(ctx, addr, s7.Config{Slot: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	plan, err := s7.PlanRead([]s7.Item{s7.Bytes(s7.AreaDB, 1, 0, 500), s7.Bit(s7.AreaDB, 1, 3, 1), s7.Bytes(s7.AreaDB, 1, 8, 2)}, c.Limits())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range plan.Requests() {
		fmt.Printf("%d items, %d bytes out, %d in\n", r.Items, r.Out, r.In)
	}
	vars := make([]s7.Var, 3)
	for range 2 {
		for i := range vars {
			vars[i].Data = vars[i].Data[:0]
		}
		if err := c.ReadPlan(ctx, plan, vars); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(len(vars[0].Data), vars[1].Data, vars[2].Data)
	// Output:
	// 1 items, 24 bytes out, 240 in
	// 1 items, 24 bytes out, 240 in
	// 3 items, 48 bytes out, 86 in
	// 500 [1] [8 9]
}

// Diagnostics are an option of a connection, since there are CPUs that do not bear them.
func ExampleClient_Modules() {
	addr, stop := startPLC()
	defer stop()
	ctx := context.Background()
	c, err := s7.Dial(ctx, addr, s7.Config{Slot: 2, Diagnostics: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	modules, err := c.Modules(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, firmware %d.%d.%d\n", modules[0].Order, modules[2].Version[1], modules[2].Version[2], modules[2].Version[3])
	mode, err := c.Mode(ctx)
	fmt.Println(mode.Mode == s7.ModeRun, err)
	// Output:
	// 6ES7 315-2EH14-0AB0, firmware 3.2.6
	// true <nil>
}

// A handshake that fails says what that is a sign of.
func ExampleHandshakeError() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	go func() { // a PLC that has no such slot
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 22))
		refuse := s7.Disconnect{DstRef: 1, Reason: s7.DisconnectAddressUnknown}
		_, _ = conn.Write(refuse.AppendTo(nil))
	}()
	_, err = s7.Dial(context.Background(), ln.Addr().String(), s7.Config{Slot: 5})
	var e *s7.HandshakeError
	if errors.As(err, &e) {
		fmt.Println(e.Stage, e.Err)
		fmt.Println(e.Hint())
	}
	// Output:
	// connect request disconnected by the PLC: address unknown
	// wrong slot: there is nothing behind that TSAP. S7-300 and S7-400 have slot 2 (400: as plugged), S7-1200 and S7-1500 slot 1 or 0, S7-200 SMART slot 1, drives slot 0; LOGO! and CP243 have TSAPs of their own, which are set in the project
}
