package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	aldas "github.com/aldas/go-modbus-client"
	"github.com/aldas/go-modbus-client/packet"
	goburrow "github.com/goburrow/modbus"
	simon "github.com/simonvetter/modbus"

	"millrace/interop/peer"
)

// clients are the clients in Go that are compared: each returns a function that reads once: 100 holding
// registers of unit 1, some of DB 1, or 1,000 nodes.
var clients = map[string]func(ctx context.Context, addr string) (func() error, error){
	"millrace":    millraceClient,
	"simonvetter": simonvetterClient,
	"aldas":       aldasClient,
	"goburrow":    goburrowClient,

	"millrace-s7":      millraceS7Client,
	"millrace-s7-tags": millraceS7Tags,
	"millrace-s7-each": millraceS7Each,
	"gos7":             gos7Client,
	"gos7-tags":        gos7Tags,

	"millrace-opcua":             millraceUAClient(false),
	"millrace-opcua-sealed":      millraceUAClient(true),
	"millrace-opcua-told":        millraceUASubscriber(false, uaValues),
	"millrace-opcua-told-sealed": millraceUASubscriber(true, uaValues),
	"millrace-opcua-slow-sealed": millraceUASubscriber(true, 10*uaValues),
	"gopcua":                     gopcuaUAClient(false),
	"gopcua-sealed":              gopcuaUAClient(true),
	"gopcua-told":                gopcuaUASubscriber(false, uaValues),
	"gopcua-told-sealed":         gopcuaUASubscriber(true, uaValues),
	"gopcua-slow-sealed":         gopcuaUASubscriber(true, 10*uaValues),
}

var errWrong = errors.New("the values are wrong")

func simonvetterClient(_ context.Context, addr string) (func() error, error) {
	c, err := simon.NewClient(&simon.ClientConfiguration{URL: "tcp://" + addr, Timeout: 5 * time.Second, Logger: peer.Quiet()})
	if err != nil {
		return nil, err
	}
	return func() error {
		v, err := c.ReadRegisters(0, registers, simon.HOLDING_REGISTER)
		if err == nil && v[registers-1] != registers-1 {
			err = errWrong
		}
		return err
	}, c.Open()
}

func aldasClient(ctx context.Context, addr string) (func() error, error) {
	c := aldas.NewTCPClient()
	return func() error {
		req, err := packet.NewReadHoldingRegistersRequestTCP(1, 0, registers)
		if err != nil {
			return err
		}
		resp, err := c.Do(ctx, req)
		if err != nil {
			return err
		}
		data := resp.(*packet.ReadHoldingRegistersResponseTCP).Data
		if data[2*registers-1] != registers-1 {
			return errWrong
		}
		return nil
	}, c.Connect(ctx, addr)
}

func goburrowClient(_ context.Context, addr string) (func() error, error) {
	h := goburrow.NewTCPClientHandler(addr)
	h.SlaveId = 1
	c := goburrow.NewClient(h)
	return func() error {
		b, err := c.ReadHoldingRegisters(0, registers)
		if err == nil && b[2*registers-1] != registers-1 {
			err = errWrong
		}
		return err
	}, h.Connect()
}

// goServers are the servers written in Go: each prints its address and serves until standard input ends.
var goServers = map[string]func(ctx context.Context) (string, func() error, error){
	"millrace":       millraceServer,
	"millrace-s7":    millraceS7Server,
	"millrace-opcua": millraceUAServer,
	"gopcua":         gopcuaUAServer,
	"simonvetter": func(context.Context) (string, func() error, error) {
		return peer.Serve(peer.NewImage(), simon.ServerConfiguration{})
	},
}

// serve is the child process that is measured.
func serve(ctx context.Context, name string) error {
	start, ok := goServers[name]
	if !ok {
		return fmt.Errorf("no server %q", name)
	}
	addr, stop, err := start(ctx)
	if err != nil {
		return err
	}
	fmt.Println(addr)
	if err := serveUntil(os.Stdin); err != nil {
		return err
	}
	return stop()
}
