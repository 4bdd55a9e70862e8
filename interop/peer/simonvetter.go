// Package peer runs other people's Modbus stacks in this process, with the image that every server of these suites shows: holding
// register a holds a, input register a holds 65535-a, coil a is set when a divides by 3, discrete input a when it divides by 5.
package peer

import (
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	simon "github.com/simonvetter/modbus"
)

// Image is a plant for simonvetter/modbus' server.
type Image struct {
	Roles chan string // when not nil, gets the role of each request's client

	mu      sync.Mutex
	holding [65536]uint16
	coils   [65536]bool
}

// NewImage returns the plant as it is before anybody writes.
func NewImage() *Image {
	m := &Image{}
	for a := range m.holding {
		m.holding[a], m.coils[a] = uint16(a), a%3 == 0
	}
	return m
}

func (m *Image) role(r string) {
	if m.Roles == nil {
		return
	}
	select {
	case m.Roles <- r:
	default: // nobody counts every one
	}
}

// inside answers simonvetter's error for a range that leaves the 65,536 addresses.
func inside(addr, quantity uint16) error {
	if int(addr)+int(quantity) > 65536 {
		return simon.ErrIllegalDataAddress
	}
	return nil
}

// HandleCoils implements simonvetter's RequestHandler.
func (m *Image) HandleCoils(r *simon.CoilsRequest) ([]bool, error) {
	m.role(r.ClientRole)
	if err := inside(r.Addr, r.Quantity); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	part := m.coils[r.Addr:][:r.Quantity]
	if r.IsWrite {
		copy(part, r.Args)
	}
	return append([]bool(nil), part...), nil
}

// HandleDiscreteInputs implements simonvetter's RequestHandler.
func (m *Image) HandleDiscreteInputs(r *simon.DiscreteInputsRequest) ([]bool, error) {
	if err := inside(r.Addr, r.Quantity); err != nil {
		return nil, err
	}
	out := make([]bool, r.Quantity)
	for i := range out {
		out[i] = (int(r.Addr)+i)%5 == 0
	}
	return out, nil
}

// HandleHoldingRegisters implements simonvetter's RequestHandler.
func (m *Image) HandleHoldingRegisters(r *simon.HoldingRegistersRequest) ([]uint16, error) {
	m.role(r.ClientRole)
	if err := inside(r.Addr, r.Quantity); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	part := m.holding[r.Addr:][:r.Quantity]
	if r.IsWrite {
		copy(part, r.Args)
	}
	return append([]uint16(nil), part...), nil
}

// HandleInputRegisters implements simonvetter's RequestHandler.
func (m *Image) HandleInputRegisters(r *simon.InputRegistersRequest) ([]uint16, error) {
	if err := inside(r.Addr, r.Quantity); err != nil {
		return nil, err
	}
	out := make([]uint16, r.Quantity)
	for i := range out {
		out[i] = 65535 - r.Addr - uint16(i)
	}
	return out, nil
}

// Serve starts simonvetter's server on a free loopback port and returns its address and what stops it. conf may set TLS.
func Serve(m *Image, conf simon.ServerConfiguration) (string, func() error, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr := l.Addr().String()
	l.Close() // the library listens by itself and cannot be given a listener
	scheme := "tcp"
	if conf.TLSServerCert != nil {
		scheme = "tcp+tls"
	}
	conf.URL = fmt.Sprintf("%s://%s", scheme, addr)
	conf.Logger = Quiet()
	if conf.Timeout == 0 {
		conf.Timeout = time.Minute
	}
	if conf.MaxClients == 0 {
		conf.MaxClients = 1000
	}
	s, err := simon.NewServer(&conf, m)
	if err != nil {
		return "", nil, err
	}
	if err := s.Start(); err != nil {
		return "", nil, err
	}
	return addr, s.Stop, nil
}

// Quiet is a logger for libraries that would write to standard output.
func Quiet() *log.Logger { return log.New(io.Discard, "", 0) }
