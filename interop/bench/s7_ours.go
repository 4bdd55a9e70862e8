package main

import (
	"context"

	"millrace/s7"

	"millrace/internal/listen"
)

// s7Conns is how many connections our server takes in the benchmarks.
const s7Conns = 12_000

// millraceS7Server runs our server as anybody would who imports the package.
func millraceS7Server(ctx context.Context) (string, func() error, error) {
	var plc s7.Memory
	if err := plc.AddDB(1, dbBytes(8192)); err != nil {
		return "", nil, err
	}
	s, err := s7.NewServer(s7.ServerConfig{Handler: &plc, MaxConns: s7Conns})
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
