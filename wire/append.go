// Package wire holds what every binary protocol here is written and read with: append helpers, and a Cursor that goes bad once and
// stays bad. Numbers are big endian (network order); what ends in LE is little endian.
package wire

import (
	"encoding/binary"
	"math"
)

// AppendU8 appends v.
func AppendU8(b []byte, v uint8) []byte { return append(b, v) }

// AppendU16 appends v, high byte first.
func AppendU16(b []byte, v uint16) []byte { return append(b, byte(v>>8), byte(v)) }

// AppendU32 appends v, high byte first.
func AppendU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// AppendU64 appends v, high byte first.
func AppendU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// AppendF32 appends the IEEE 754 bits of v, high byte first.
func AppendF32(b []byte, v float32) []byte { return AppendU32(b, math.Float32bits(v)) }

// AppendF64 appends the IEEE 754 bits of v, high byte first.
func AppendF64(b []byte, v float64) []byte { return AppendU64(b, math.Float64bits(v)) }

// PutU16 overwrites the two bytes at b[at:], which must exist: the length field that was reserved and is known now.
func PutU16(b []byte, at int, v uint16) { binary.BigEndian.PutUint16(b[at:at+2], v) }

// PutU32 overwrites the four bytes at b[at:], which must exist.
func PutU32(b []byte, at int, v uint32) { binary.BigEndian.PutUint32(b[at:at+4], v) }

// AppendU16LE appends v, low byte first.
func AppendU16LE(b []byte, v uint16) []byte { return append(b, byte(v), byte(v>>8)) }

// AppendU32LE appends v, low byte first.
func AppendU32LE(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// AppendU64LE appends v, low byte first.
func AppendU64LE(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// PutU32LE overwrites the four bytes at b[at:], which must exist, low byte first.
func PutU32LE(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:at+4], v) }
