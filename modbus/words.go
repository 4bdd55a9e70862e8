package modbus

import (
	"encoding/binary"

	"millrace/wire"
)

// AppendRegisters appends regs as they stand in a PDU: high byte first.
func AppendRegisters(b []byte, regs ...uint16) []byte {
	for _, v := range regs {
		b = wire.AppendU16(b, v)
	}
	return b
}

// Registers fills dst from the data of an answer and returns how many registers it set: as many as both have.
func Registers(dst []uint16, data []byte) int {
	n := min(len(dst), len(data)/2)
	for i := range n {
		dst[i] = binary.BigEndian.Uint16(data[2*i:])
	}
	return n
}

// AppendBits appends bits as they stand in a PDU: ceil(len/8) bytes, the first bit in bit 0 of the first byte, unused bits 0.
func AppendBits(b []byte, bits ...bool) []byte {
	start := len(b)
	for i, on := range bits {
		if i%8 == 0 {
			b = append(b, 0)
		}
		if on {
			b[start+i/8] |= 1 << (i % 8)
		}
	}
	return b
}

// Bits fills dst from the data of an answer and returns how many bits it set: as many as both have.
func Bits(dst []bool, data []byte) int {
	n := min(len(dst), 8*len(data))
	for i := range n {
		dst[i] = data[i/8]>>(i%8)&1 != 0
	}
	return n
}
