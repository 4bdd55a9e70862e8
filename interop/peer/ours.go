package peer

import (
	"context"
	"encoding/binary"
	"sync"

	"millrace/modbus"
)

// Plant is the same image for our server.
type Plant struct {
	Seen func(role string) // when not nil, is told the role of each request's client

	mu      sync.Mutex
	holding [65536]uint16
	coils   [65536]bool
}

// NewPlant returns the plant as it is before anybody writes.
func NewPlant() *Plant {
	p := &Plant{}
	for a := range p.holding {
		p.holding[a], p.coils[a] = uint16(a), a%3 == 0
	}
	return p
}

// ReadBits implements modbus.Handler.
func (p *Plant) ReadBits(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range int(r.Quantity) {
		a := int(r.Address) + i
		on := p.coils[a]
		if r.Table == modbus.DiscreteInputs {
			on = a%5 == 0
		}
		if on {
			dst[i/8] |= 1 << (i % 8)
		}
	}
	return 0
}

// ReadRegisters implements modbus.Handler.
func (p *Plant) ReadRegisters(_ context.Context, r *modbus.Request, dst []byte) modbus.ExceptionCode {
	if p.Seen != nil {
		p.Seen(r.Conn.Role())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range int(r.Quantity) {
		v := p.holding[int(r.Address)+i]
		if r.Table == modbus.InputRegisters {
			v = 65535 - r.Address - uint16(i)
		}
		binary.BigEndian.PutUint16(dst[2*i:], v)
	}
	return 0
}

// WriteCoils implements modbus.Handler.
func (p *Plant) WriteCoils(_ context.Context, r *modbus.Request, src []byte) modbus.ExceptionCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range int(r.Quantity) {
		p.coils[int(r.Address)+i] = src[i/8]>>(i%8)&1 == 1
	}
	return 0
}

// WriteRegisters implements modbus.Handler.
func (p *Plant) WriteRegisters(_ context.Context, r *modbus.Request, src []byte) modbus.ExceptionCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range int(r.Quantity) {
		p.holding[int(r.Address)+i] = binary.BigEndian.Uint16(src[2*i:])
	}
	return 0
}
