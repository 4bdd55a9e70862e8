package s7

import "millrace/wire"

// Port is where ISO on TCP listens.
const Port = 102

// The TPKT header [RFC 1006 6]: version 3, reserved, length(2). The length counts the header.
const (
	tpktVersion  = 3
	tpktLengthAt = 2
	tpktBytes    = 4

	dtBytes = 3 // LI, code, EOT and number

	// FrameBytes is what TPKT (4) and the header of a data TPDU (3) add to a PDU.
	FrameBytes = tpktBytes + dtBytes
	// MaxTPKT is the longest TPKT.
	MaxTPKT = 0xFFFF
)

func beginTPKT(b []byte) []byte { return append(b, tpktVersion, 0, 0, 0) }

func endTPKT(b []byte, start int) []byte {
	wire.PutU16(b, start+tpktLengthAt, uint16(len(b)-start))
	return b
}

// BeginFrame appends the TPKT and COTP headers of a whole PDU, which goes behind them; EndFrame fills in the length.
func BeginFrame(b []byte) []byte { return append(beginTPKT(b), dtBytes-1, byte(TPDUData), eot) }

// EndFrame completes the frame that BeginFrame started at b[start:]; at most MaxTPKT bytes.
func EndFrame(b []byte, start int) []byte { return endTPKT(b, start) }

// AppendFragments appends pdu in as many frames as a TPDU size of size bytes asks for. size counts the data TPDU with its header of 3 bytes
// and is at least 4.
func AppendFragments(b, pdu []byte, size int) []byte {
	for {
		n := min(len(pdu), size-dtBytes)
		start := len(b)
		b = beginTPKT(b)
		last := byte(0)
		if n == len(pdu) {
			last = eot
		}
		b = append(append(b, dtBytes-1, byte(TPDUData), last), pdu[:n]...)
		b = endTPKT(b, start)
		if pdu = pdu[n:]; len(pdu) == 0 {
			return b
		}
	}
}

// tpktLength judges the TPKT header at the head of buf as far as it is there. It returns the TPKT's length, or 0 when bytes are missing.
func tpktLength(buf []byte, limit int) (int, *FrameError) {
	if len(buf) == 0 {
		return 0, nil
	}
	if buf[0] != tpktVersion {
		return 0, versionError(buf)
	}
	if len(buf) < tpktBytes {
		return 0, nil
	}
	c := wire.Over(buf)
	c.Skip(tpktLengthAt)
	n := c.U16()
	switch {
	case n < FrameBytes:
		return 0, frameError(FrameTPKTShort, n)
	case int(n) > limit:
		return 0, frameError(FrameTPKTLong, n)
	}
	return int(n), nil
}

func versionError(buf []byte) *FrameError {
	const handshake = 0x16 // a TLS record [RFC 8446 5.1]
	if buf[0] == handshake {
		return frameError(FrameTLSHello, uint16(buf[0]))
	}
	return frameError(FrameVersion, uint16(buf[0]))
}
