package modbus

import "encoding/binary"

// An RTU frame is unit(1) PDU CRC(2, low byte first).
const (
	rtuCRCBytes = 2
	rtuMin      = 1 + 1 + rtuCRCBytes
	rtuMax      = 1 + MaxPDU + rtuCRCBytes
)

// unknownLength is what a length function answers for a function code that it does not know.
const unknownLength = -1

// nextRTU cuts a frame whose length follows from its function code, as pduBytes says; serial lines tell frames apart by silence, which a
// TCP stream does not carry. A frame of an unknown function is everything in buf, once its checksum matches.
func nextRTU(buf []byte, pduBytes func(pdu []byte) int) (Frame, int, error) {
	if len(buf) < rtuMin {
		return Frame{}, 0, nil
	}
	body := pduBytes(buf[1:])
	switch {
	case body == unknownLength:
		return unknownRTU(buf)
	case body == 0:
		return Frame{}, 0, nil
	case body > MaxPDU:
		return Frame{}, 0, &FrameError{Reason: FrameLengthOver, Got: uint16(min(body, 0xFFFF))}
	}
	n := 1 + body + rtuCRCBytes
	if len(buf) < n {
		return Frame{}, 0, nil
	}
	if got := crcOf(buf[:n]); crc16(buf[:n-rtuCRCBytes]) != got {
		return Frame{}, 0, &FrameError{Reason: FrameCRC, Got: got}
	}
	return Frame{Unit: buf[0], PDU: buf[1 : 1+body : 1+body]}, n, nil
}

func unknownRTU(buf []byte) (Frame, int, error) {
	n := min(len(buf), rtuMax)
	if crc16(buf[:n-rtuCRCBytes]) == crcOf(buf[:n]) {
		return Frame{Unit: buf[0], PDU: buf[1 : n-rtuCRCBytes : n-rtuCRCBytes]}, n, nil
	}
	if len(buf) >= rtuMax {
		return Frame{}, 0, &FrameError{Reason: FrameUnknown, Got: uint16(buf[1])}
	}
	return Frame{}, 0, nil
}

// rtuRequestBytes returns the length of the request PDU that p begins with; 0 when more of it must be seen first.
func rtuRequestBytes(p []byte) int {
	switch Function(p[0]) {
	case FuncReadCoils, FuncReadDiscreteInputs, FuncReadHolding, FuncReadInput, FuncWriteCoil, FuncWriteRegister:
		return 5
	case FuncWriteCoils, FuncWriteRegisters:
		return counted(p, 5)
	case FuncMaskWrite:
		return 7
	case FuncReadWrite:
		return counted(p, 9)
	case FuncReadFIFO:
		return 3
	case FuncReadDeviceID:
		return 4
	}
	return unknownLength
}

// rtuResponseBytes returns the length of the answer PDU that p begins with; 0 when more of it must be seen first.
func rtuResponseBytes(p []byte) int {
	if p[0]&exceptionBit != 0 {
		return 2
	}
	switch Function(p[0]) {
	case FuncReadCoils, FuncReadDiscreteInputs, FuncReadHolding, FuncReadInput, FuncReadWrite:
		return counted(p, 1)
	case FuncWriteCoil, FuncWriteRegister, FuncWriteCoils, FuncWriteRegisters:
		return 5
	case FuncMaskWrite:
		return 7
	case FuncReadFIFO:
		return 3 + int(binary.BigEndian.Uint16(p[1:])) // nextRTU has seen rtuMin bytes: function and both of the count
	case FuncReadDeviceID:
		return deviceIDBytes(p)
	}
	return unknownLength
}

// counted returns the length of a PDU whose byte count is p[at] and ends it.
func counted(p []byte, at int) int {
	if len(p) <= at {
		return 0
	}
	return at + 1 + int(p[at])
}

// deviceIDBytes walks the objects of a 2B/0E answer.
func deviceIDBytes(p []byte) int {
	const countAt, objectsAt = 6, 7
	if len(p) < objectsAt {
		return 0
	}
	n := objectsAt
	for range p[countAt] {
		if len(p) < n+2 {
			return 0
		}
		if n += 2 + int(p[n+1]); n > MaxPDU {
			return n
		}
	}
	return n
}

// crcOf returns the checksum that ends a frame.
func crcOf(frame []byte) uint16 { return binary.LittleEndian.Uint16(frame[len(frame)-rtuCRCBytes:]) }

func appendCRC(b []byte, crc uint16) []byte { return binary.LittleEndian.AppendUint16(b, crc) }

// crcNibble is the CRC-16 table for half a byte: polynomial 0x8005 reflected (0xA001) [MBSL 6.2.2].
var crcNibble = [16]uint16{
	0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401,
	0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400,
}

// crc16 returns the checksum of p, which starts at 0xFFFF. Two look-ups a byte in a table of 32 bytes: RTU lines are far slower.
func crc16(p []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, v := range p {
		crc = crc>>4 ^ crcNibble[(crc^uint16(v))&0x0F]
		crc = crc>>4 ^ crcNibble[(crc^uint16(v>>4))&0x0F]
	}
	return crc
}
