package main

import (
	"context"
	"errors"

	"millrace/interop/peer"
	"millrace/modbus"

	"millrace/internal/listen"
)

// millraceServer runs our server as anybody would who imports the package.
func millraceServer(ctx context.Context) (string, func() error, error) {
	s, err := modbus.NewServer(modbus.ServerConfig{Handler: peer.NewPlant()})
	if err != nil {
		return "", nil, err
	}
	ln, err := listen.Listen(ctx, "127.0.0.1:0", listen.Socket{})
	if err != nil {
		return "", nil, err
	}
	life, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Serve(life, ln) }()
	return ln.Addr().String(), func() error { cancel(); return <-done }, nil
}

// millraceClient reads as the gateway's driver does: one call, its buffer used again.
func millraceClient(ctx context.Context, addr string) (func() error, error) {
	c, err := modbus.Dial(ctx, addr, modbus.Config{})
	if err != nil {
		return nil, err
	}
	calls := []modbus.Call{{Unit: 1, Function: modbus.FuncReadHolding, Quantity: registers, Data: make([]byte, 0, 2*registers)}}
	return func() error {
		calls[0].Data = calls[0].Data[:0]
		if err := c.Do(ctx, calls); err != nil {
			return err
		}
		if d := calls[0].Data; len(d) != 2*registers || d[2*registers-1] != registers-1 {
			return errors.Join(errWrong, calls[0].Err)
		}
		return calls[0].Err
	}, nil
}
