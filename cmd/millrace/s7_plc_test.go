package main

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"

	"millrace/internal/listen/listentest"
	"millrace/s7"
)

// s7PLC is an S7 CPU to which a test can do what people do to PLCs. Word 2i of DB 1, of 4,096 bytes, is 2i.
type s7PLC struct {
	*s7.CPU
	denied atomic.Uint32 // the error that refuses every read, 0 none
	pdu    atomic.Uint32 // longest that a new connection is granted
	reads  atomic.Uint64
	addr   string
}

// startS7PLC serves an s7PLC on loopback until the test ends.
func startS7PLC(t *testing.T) *s7PLC {
	t.Helper()
	p := &s7PLC{}
	p.pdu.Store(s7.DefaultPDU)
	var err error
	if p.CPU, err = s7.NewCPU(s7.CPUConfig{}); err != nil {
		t.Fatal(err)
	}
	p.download(false)
	srv, err := s7.NewServer(s7.ServerConfig{Open: func(*s7.ServerConn) (s7.Service, error) {
		return s7.Service{Handler: p, Intercept: p, PDU: int(p.pdu.Load())}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.addr = listentest.Serve(t, srv).Addr
	return p
}

// Request is of s7.Interceptor.
func (p *s7PLC) Request(_ context.Context, _ *s7.ServerConn, frame []byte) (s7.ErrorCode, error) {
	const function = s7.FrameBytes + 10
	if len(frame) <= function || s7.Function(frame[function]) != s7.FuncRead {
		return 0, nil
	}
	p.reads.Add(1)
	return s7.ErrorCode(p.denied.Load()), nil
}

// Answer is of s7.Interceptor.
func (p *s7PLC) Answer(_ context.Context, c *s7.ServerConn, _, answer []byte) error {
	c.Send(answer)
	return nil
}

func (p *s7PLC) address() string  { return p.addr }
func (p *s7PLC) requests() uint64 { return p.reads.Load() }
func (p *s7PLC) well()            { p.denied.Store(0) }

// busy is a CPU that boots: it lets itself be connected to and answers no read.
func (p *s7PLC) busy() { p.denied.Store(uint32(s7.ErrNoResource)) }

// fail is a CPU whose PUT/GET was switched off.
func (p *s7PLC) fail() { p.denied.Store(uint32(s7.ErrServiceUnknown)) }

// download puts a DB 1 into the CPU: as long as ever, or one that ends before byte 204.
func (p *s7PLC) download(short bool) {
	data := make([]byte, 4096)
	for i := 0; i < len(data); i += 2 {
		binary.BigEndian.PutUint16(data[i:], uint16(i))
	}
	if short {
		data = data[:204]
	}
	_ = p.ReplaceDB(1, data) // fails on a DB that is too long
}
