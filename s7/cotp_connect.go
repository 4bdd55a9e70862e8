package s7

import "millrace/wire"

// TPDUSize is a TPDU size as its power of two: 7 is 128 bytes, 13 is 8,192 [X.224 13.3.4]. 0 is not said. It counts the whole data TPDU:
// 3 bytes and the S7 PDU. 512 is too small for a PDU of 960, which then comes in fragments or not at all.
type TPDUSize uint8

// The sizes that there are.
const (
	TPDUSize128  TPDUSize = 7
	TPDUSize512  TPDUSize = 9
	TPDUSize1024 TPDUSize = 10
	TPDUSize2048 TPDUSize = 11
	TPDUSize8192 TPDUSize = 13
)

// Bytes returns the size in bytes; one that is not said is 128.
func (s TPDUSize) Bytes() int {
	if s == 0 {
		s = TPDUSize128
	}
	return 1 << s
}

// TPDUSizeFor returns the smallest size that holds a PDU of pdu bytes in one TPDU, at least 1,024, at most 8,192.
func TPDUSizeFor(pdu int) TPDUSize {
	s := TPDUSize1024
	for s < TPDUSize8192 && s.Bytes() < pdu+dtBytes {
		s++
	}
	return s
}

// ConnectionType is what a PLC keeps connection resources for: the first byte of the called TSAP.
type ConnectionType uint8

// The types. A PLC has few places for PG; OP is what a gateway should be.
const (
	ConnectPG    ConnectionType = 1
	ConnectOP    ConnectionType = 2
	ConnectBasic ConnectionType = 3
)

// AppendTSAP appends the TSAP of a CPU: type, then rack*32 + slot. rack is 0..7, slot 0..31.
func AppendTSAP(b []byte, t ConnectionType, rack, slot uint8) []byte {
	return append(b, byte(t), rack<<5|slot&0x1F)
}

// Connect is CR or CC: the offer of a connection and the word that it stands [X.224 13.3, 13.4].
type Connect struct {
	Code    TPDUCode // TPDUConnectRequest or TPDUConnectConfirm
	DstRef  uint16   // 0 in a request; in a confirmation the request's SrcRef
	SrcRef  uint16   // not 0: some PLCs refuse it
	Class   uint8    // class and options; 0
	Size    TPDUSize
	Calling []byte // TSAP, at most 16 bytes
	Called  []byte // TSAP, at most 16 bytes
}

// The parameters [X.224 13.3.4].
const (
	parameterSize    = 0xC0
	parameterCalling = 0xC1
	parameterCalled  = 0xC2
)

// AppendTo appends the TPKT: 22 bytes when size and two TSAPs of 2 bytes are given, which is the only length of a confirmation that gos7
// takes. What is not said is left out.
func (m *Connect) AppendTo(b []byte) []byte {
	start := len(b)
	b = wire.AppendU16(wire.AppendU16(beginTPDU(b, m.Code), m.DstRef), m.SrcRef)
	b = append(b, m.Class)
	if m.Size != 0 {
		b = append(b, parameterSize, 1, byte(m.Size))
	}
	b = appendTSAPParameter(b, parameterCalling, m.Calling)
	b = appendTSAPParameter(b, parameterCalled, m.Called)
	return endTPDU(b, start)
}

func appendTSAPParameter(b []byte, code byte, tsap []byte) []byte {
	if len(tsap) == 0 {
		return b
	}
	return append(append(b, code, byte(len(tsap))), tsap...)
}

// Decode reads a CR or CC. Parameters come in any order, unknown ones are passed over, and of one that comes twice the last counts.
// The TSAPs alias tpdu. m is unchanged when the error is not nil.
func (m *Connect) Decode(tpdu []byte) error {
	code := TPDUConnectRequest
	if len(tpdu) > 1 && TPDUCode(tpdu[1]&codeMask) == TPDUConnectConfirm {
		code = TPDUConnectConfirm
	}
	c, bad := startTPDU(tpdu, code)
	if bad != nil {
		return bad
	}
	r := Connect{Code: code, DstRef: c.U16(), SrcRef: c.U16(), Class: c.U8()}
	if c.Bad() {
		return frameError(FrameTPDUHeader, uint16(len(tpdu)))
	}
	for c.Left() > 0 {
		if bad := r.parameter(&c); bad != nil {
			return bad
		}
	}
	*m = r
	return nil
}

func (m *Connect) parameter(c *wire.Cursor) *FrameError {
	code := c.U8()
	v := c.Bytes(int(c.U8()))
	if c.Bad() {
		return frameError(FrameParameters, uint16(code))
	}
	switch code {
	case parameterSize:
		if len(v) != 1 || TPDUSize(v[0]) < TPDUSize128 || TPDUSize(v[0]) > TPDUSize8192 {
			return frameError(FrameParameters, uint16(code))
		}
		m.Size = TPDUSize(v[0])
	case parameterCalling, parameterCalled:
		if len(v) > maxTSAP {
			return frameError(FrameParameters, uint16(code))
		}
		if code == parameterCalling {
			m.Calling = v
		} else {
			m.Called = v
		}
	}
	return nil
}

// Confirm returns the answer to the request m: references swapped, the smaller of the two sizes, the TSAPs as they came. A request that says no
// size gets own: X.224 would have 128 there, and clients that do not say it cannot put fragments together.
func (m *Connect) Confirm(ref uint16, own TPDUSize) Connect {
	size := own
	if m.Size != 0 {
		size = min(m.Size, own)
	}
	return Connect{Code: TPDUConnectConfirm, DstRef: m.SrcRef, SrcRef: ref, Size: size, Calling: m.Calling, Called: m.Called}
}
