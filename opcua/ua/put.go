package ua

import "encoding/binary"

// putU32 overwrites the four bytes at b[at:]: a length that was reserved and is known now.
func putU32(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:at+4], v) }
