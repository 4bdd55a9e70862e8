package s7_test

import (
	"context"
	"fmt"
	"net"

	"millrace/s7"
)

// A PLC with one DB, which says what is written to it.
func ExampleServer() {
	plc := &s7.Memory{OnWrite: func(_ context.Context, _ *s7.Request, it *s7.Item, src []byte) { fmt.Printf("%v is % x\n", it, src) }}
	if err := plc.AddDB(1, []byte{0, 0, 0x2A, 0xF8, 0, 0, 0, 0}); err != nil {
		fmt.Println(err)
		return
	}
	server, err := s7.NewServer(s7.ServerConfig{Handler: plc})
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

	client, err := s7.Dial(ctx, ln.Addr().String(), s7.Config{Slot: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	vars := []s7.Var{{Item: s7.Bytes(s7.AreaDB, 1, 2, 2)}, {Item: s7.Bytes(s7.AreaDB, 7, 0, 1)}}
	err = client.Read(ctx, vars)
	fmt.Printf("% x, %v, %v\n", vars[0].Data, vars[1].Code, err)
	fmt.Println(client.Write(ctx, []s7.Var{{Item: s7.Bit(s7.AreaDB, 1, 7, 3), Data: []byte{1}}}))
	client.Close()

	stop()
	fmt.Println(<-ended)
	// Output:
	// 2a f8, object does not exist, <nil>
	// DB1.7.3 BIT*1 is 01
	// <nil>
	// <nil>
}
