package ua

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// Guid is a number of 16 bytes; the first three parts are little endian on the wire [OPC 10000-6 5.2.2.6].
type Guid struct {
	D1 uint32
	D2 uint16
	D3 uint16
	D4 [8]byte
}

var errGuid = errors.New("ua: a Guid is 8-4-4-4-12 hex digits")

// ParseGuid reads the form that String writes, in either case.
func ParseGuid(s string) (Guid, error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return Guid{}, errGuid
	}
	var p [16]byte
	if _, err := hex.Decode(p[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:])); err != nil {
		return Guid{}, errGuid
	}
	return Guid{
		D1: binary.BigEndian.Uint32(p[:]), D2: binary.BigEndian.Uint16(p[4:]), D3: binary.BigEndian.Uint16(p[6:]),
		D4: [8]byte(p[8:]),
	}, nil
}

// String returns the form 72962B91-FA75-4AE6-8D28-B404DC7DAF63.
func (g Guid) String() string {
	return fmt.Sprintf("%08X-%04X-%04X-%X-%X", g.D1, g.D2, g.D3, g.D4[:2], g.D4[2:])
}

// AppendGuid appends g.
func AppendGuid(b []byte, g Guid) []byte {
	b = binary.LittleEndian.AppendUint32(b, g.D1)
	b = append(b, byte(g.D2), byte(g.D2>>8), byte(g.D3), byte(g.D3>>8))
	return append(b, g.D4[:]...)
}

// guidOf reads the 16 bytes of a Guid in wire order.
func guidOf(p string) Guid {
	if len(p) != 16 {
		return Guid{}
	}
	g := Guid{
		D1: uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16 | uint32(p[3])<<24,
		D2: uint16(p[4]) | uint16(p[5])<<8, D3: uint16(p[6]) | uint16(p[7])<<8,
	}
	copy(g.D4[:], p[8:])
	return g
}

// wire returns the 16 bytes of g in wire order.
func (g Guid) wire() string {
	var p [16]byte
	return string(AppendGuid(p[:0], g))
}
