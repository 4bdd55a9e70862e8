package sim

import (
	"encoding/binary"
	"math"
	"time"
)

// area is one of the four tables of a Modbus device.
type area uint8

const (
	coils area = iota
	discretes
	inputs
	holdings
)

// The waves: holding registers from firstWave on are Waves float32 values, most significant register first (ABCD).
const (
	firstWave = 60000
	lastWave  = firstWave + 2*Waves - 1
)

// register returns what a register holds that nobody has written.
func register(a area, device, addr int, now time.Time) uint16 {
	switch {
	case a == inputs:
		return uint16(65535 - addr)
	case addr < firstWave || addr > lastWave:
		return uint16(addr)
	}
	bits := math.Float32bits(Wave(device, (addr-firstWave)/2, now))
	if (addr-firstWave)%2 == 0 {
		return uint16(bits >> 16)
	}
	return uint16(bits)
}

// bit returns what a coil or discrete input is that nobody has written.
func bit(a area, addr int) bool {
	if a == coils {
		return addr%3 == 0
	}
	return addr%5 == 0
}

// cellKey names one written cell: unit, area, address.
type cellKey uint32

func keyOf(unit uint8, a area, addr int) cellKey {
	return cellKey(unit)<<24 | cellKey(a)<<16 | cellKey(addr)
}

// memory is what was written to a device. Nothing else of it is stored. Its owner locks it.
type memory struct {
	written map[cellKey]uint16 // nil until something is
}

// registers fills dst with len(dst)/2 registers of a device from addr on. All of a reply is of one moment, so that no wave is torn.
func (m *memory) registers(device int, unit uint8, a area, addr int, now time.Time, dst []byte) {
	for i := 0; i < len(dst); i += 2 {
		v, ok := uint16(0), false
		if m.written != nil {
			v, ok = m.written[keyOf(unit, a, addr)]
		}
		if !ok {
			v = register(a, device, addr, now)
		}
		binary.BigEndian.PutUint16(dst[i:], v)
		addr++
	}
}

// bits fills dst with n bits from addr on, the first in the lowest bit.
func (m *memory) bits(unit uint8, a area, addr, n int, dst []byte) {
	clear(dst)
	for i := range n {
		v, ok := uint16(0), false
		if m.written != nil {
			v, ok = m.written[keyOf(unit, a, addr+i)]
		}
		if ok && v != 0 || !ok && bit(a, addr+i) {
			dst[i/8] |= 1 << (i % 8)
		}
	}
}

// set writes one cell.
func (m *memory) set(unit uint8, a area, addr int, v uint16) {
	if m.written == nil {
		m.written = map[cellKey]uint16{}
	}
	m.written[keyOf(unit, a, addr)] = v
}
