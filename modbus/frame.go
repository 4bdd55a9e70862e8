package modbus

import (
	"fmt"

	"millrace/wire"
)

// Framing is how PDUs are wrapped. The zero value is Modbus TCP.
type Framing uint8

// The framings.
const (
	FramingTCP Framing = iota // MBAP header; inside TLS too, unchanged [MBTCP 3.1.3, MBSEC 5]
	FramingRTU                // unit, PDU, CRC-16: serial frames over a TCP connection, without transaction ids [MBSL 2.5.1]
)

// String names f.
func (f Framing) String() string {
	switch f {
	case FramingTCP:
		return "tcp"
	case FramingRTU:
		return "rtu"
	}
	return fmt.Sprintf("framing %d", uint8(f))
}

// MaxADU is the longest frame of either framing, in bytes: 7 of header and a PDU of 253 (RTU: 1 + 253 + 2 = 256).
const MaxADU = mbapBytes + MaxPDU

// Frame is one framed PDU.
type Frame struct {
	Transaction uint16 // 0 with RTU
	Unit        uint8
	PDU         []byte // 1..253 bytes; aliases the buffer it was cut from
}

// Function returns the PDU's function code, with the exception bit if it has it.
func (f Frame) Function() Function { return Function(f.PDU[0]) }

// FrameReason says what is wrong with a frame. There are FrameReasons of them, so that they can be counted in an array.
type FrameReason uint8

// The reasons. None of them leaves a byte from which to go on: the connection ends.
const (
	FrameProtocolID FrameReason = iota // the MBAP protocol id is not 0
	FrameTLSHello                      // the same, and it looks like a TLS hello on a plain port
	FrameLength0                       // the MBAP length has no room for the unit
	FrameLength1                       // the MBAP length has no room for a function
	FrameLengthOver                    // the MBAP length is over 254
	FrameCRC                           // RTU: the checksum does not match
	FrameUnknown                       // RTU: a function whose length nobody knows, and no checksum within 256 bytes matches
	FramePartial                       // the stream ended, or its deadline came, inside a frame
	FrameReasons                       // how many there are
)

// String returns r in the words under which it is counted.
func (r FrameReason) String() string {
	switch r {
	case FrameProtocolID:
		return "protocol id"
	case FrameTLSHello:
		return "tls hello"
	case FrameLength0:
		return "length 0"
	case FrameLength1:
		return "length 1"
	case FrameLengthOver:
		return "length over 254"
	case FrameCRC:
		return "crc"
	case FrameUnknown:
		return "unknown function"
	case FramePartial:
		return "partial frame"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// FrameError says why a stream cannot be framed any further.
type FrameError struct {
	Reason FrameReason
	Got    uint16 // the offending field: protocol id, length, CRC, function; with FramePartial the bytes that were there
}

func (e *FrameError) Error() string {
	return fmt.Sprintf("modbus: cannot frame: %s (0x%04X)", e.Reason, e.Got)
}

// Begin appends a frame's header; the PDU goes behind it, and End closes the frame. RTU has no transaction.
func (f Framing) Begin(b []byte, transaction uint16, unit uint8) []byte {
	if f == FramingRTU {
		return append(b, unit)
	}
	return append(wire.AppendU16(b, transaction), 0, 0, 0, 0, unit)
}

// End completes the frame that Begin started at b[start:]: it fills in the length or appends the checksum.
func (f Framing) End(b []byte, start int) []byte {
	if f == FramingRTU {
		return appendCRC(b, crc16(b[start:]))
	}
	wire.PutU16(b, start+mbapLengthAt, uint16(len(b)-start-mbapUnitAt))
	return b
}

// Append appends a whole frame.
func (f Framing) Append(b []byte, fr Frame) []byte {
	start := len(b)
	return f.End(append(f.Begin(b, fr.Transaction, fr.Unit), fr.PDU...), start)
}

// NextRequest cuts the first frame off buf, which holds bytes that a client sent. n is the bytes it took; n = 0 without an error means that more
// bytes are needed. The error is a *FrameError and final. The frame aliases buf.
func (f Framing) NextRequest(buf []byte) (fr Frame, n int, err error) {
	if f == FramingRTU {
		return nextRTU(buf, rtuRequestBytes)
	}
	return nextTCP(buf)
}

// NextResponse is NextRequest for bytes that a server sent.
func (f Framing) NextResponse(buf []byte) (fr Frame, n int, err error) {
	if f == FramingRTU {
		return nextRTU(buf, rtuResponseBytes)
	}
	return nextTCP(buf)
}

// The MBAP header [MBTCP 3.1.3]: transaction(2) protocol(2) length(2) unit(1). The length counts unit and PDU.
const (
	mbapProtocolAt = 2
	mbapLengthAt   = 4
	mbapUnitAt     = 6
	mbapBytes      = 7

	mbapLengthMax = 1 + MaxPDU
)

// nextTCP frames by the length field alone, whatever the function code says: one that lies costs its own frame and no other. Header fields
// are judged as soon as they are there.
func nextTCP(buf []byte) (Frame, int, error) {
	if len(buf) < mbapUnitAt {
		return Frame{}, 0, earlyProtocol(buf)
	}
	c := wire.Over(buf)
	transaction, protocol, length := c.U16(), c.U16(), int(c.U16())
	switch {
	case protocol != 0:
		return Frame{}, 0, protocolError(buf, protocol)
	case length == 0:
		return Frame{}, 0, &FrameError{Reason: FrameLength0}
	case length == 1:
		return Frame{}, 0, &FrameError{Reason: FrameLength1, Got: 1}
	case length > mbapLengthMax:
		return Frame{}, 0, &FrameError{Reason: FrameLengthOver, Got: uint16(length)}
	}
	body := c.Bytes(length)
	if c.Bad() {
		return Frame{}, 0, nil
	}
	return Frame{Transaction: transaction, Unit: body[0], PDU: body[1:]}, mbapUnitAt + length, nil
}

// earlyProtocol judges the protocol id of a header that is not complete.
func earlyProtocol(buf []byte) error {
	c := wire.Over(buf)
	c.Skip(mbapProtocolAt)
	if protocol := c.U16(); !c.Bad() && protocol != 0 {
		return protocolError(buf, protocol)
	}
	return nil
}

func protocolError(buf []byte, protocol uint16) error {
	const handshake, major = 0x16, 0x03 // a TLS record: handshake, version 3.x [RFC 8446 5.1]
	if buf[0] == handshake && buf[1] == major {
		return &FrameError{Reason: FrameTLSHello, Got: protocol}
	}
	return &FrameError{Reason: FrameProtocolID, Got: protocol}
}
