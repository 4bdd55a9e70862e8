package s7

import (
	"strconv"

	"millrace/wire"
)

// TPDUCode is the kind of a TPDU: the high nibble of its second byte [X.224 13.2].
type TPDUCode uint8

// The TPDUs of class 0.
const (
	TPDUConnectRequest    TPDUCode = 0xE0 // CR
	TPDUConnectConfirm    TPDUCode = 0xD0 // CC
	TPDUDisconnectRequest TPDUCode = 0x80 // DR
	TPDUDisconnectConfirm TPDUCode = 0xC0 // DC
	TPDUData              TPDUCode = 0xF0 // DT
	TPDUError             TPDUCode = 0x70 // ER
)

// String returns the specification's name of c, or its number.
func (c TPDUCode) String() string {
	switch c {
	case TPDUConnectRequest:
		return "CR"
	case TPDUConnectConfirm:
		return "CC"
	case TPDUDisconnectRequest:
		return "DR"
	case TPDUDisconnectConfirm:
		return "DC"
	case TPDUData:
		return "DT"
	case TPDUError:
		return "ER"
	}
	return "TPDU 0x" + strconv.FormatUint(uint64(c), 16)
}

const (
	codeMask = 0xF0 // the low nibble is a credit that class 0 does not use
	eot      = 0x80 // end of TSDU, in the third byte of a DT
	liMax    = 254  // 255 is reserved [X.224 13.2.1]

	maxTSAP = 16 // bytes [RFC 1006]; S7 uses 2
)

// tpduHeader judges the first bytes of a TPDU of n bytes as far as they are there: length indicator, code, and the header of a DT.
func tpduHeader(buf []byte, n int) *FrameError {
	if len(buf) < 1 {
		return nil
	}
	li := int(buf[0])
	if li == 0 || li > liMax || li+1 > n {
		return frameError(FrameTPDUHeader, uint16(li))
	}
	if len(buf) < 2 {
		return nil
	}
	switch TPDUCode(buf[1] & codeMask) {
	case TPDUData:
		if li != dtBytes-1 {
			return frameError(FrameTPDUHeader, uint16(li))
		}
	case TPDUConnectRequest, TPDUConnectConfirm, TPDUDisconnectRequest, TPDUDisconnectConfirm, TPDUError:
	default:
		return frameError(FrameTPDUCode, uint16(buf[1]))
	}
	return nil
}

// startTPDU returns a Cursor behind LI and code of a TPDU that is all header, as every one but DT is in class 0.
func startTPDU(tpdu []byte, want TPDUCode) (wire.Cursor, *FrameError) {
	c := wire.Over(tpdu)
	li, code := c.U8(), c.U8()
	switch {
	case c.Bad() || int(li)+1 != len(tpdu) || li > liMax:
		return c, frameError(FrameTPDUHeader, uint16(li))
	case TPDUCode(code&codeMask) != want:
		return c, frameError(FrameTPDUCode, uint16(code))
	}
	return c, nil
}

// beginTPDU appends TPKT header, a place for LI, and code.
func beginTPDU(b []byte, code TPDUCode) []byte { return append(beginTPKT(b), 0, byte(code)) }

func endTPDU(b []byte, start int) []byte {
	b[start+tpktBytes] = byte(len(b) - start - tpktBytes - 1)
	return endTPKT(b, start)
}

// DisconnectReason is why a peer ends the connection, or refuses it [X.224 13.5.3].
type DisconnectReason uint8

// The reasons of the specification.
const (
	DisconnectUnspecified       DisconnectReason = 0x00
	DisconnectCongestion        DisconnectReason = 0x01
	DisconnectNoSession         DisconnectReason = 0x02
	DisconnectAddressUnknown    DisconnectReason = 0x03
	DisconnectNormal            DisconnectReason = 0x80
	DisconnectRemoteCongestion  DisconnectReason = 0x81
	DisconnectNegotiationFailed DisconnectReason = 0x82
	DisconnectProtocolError     DisconnectReason = 0x85
	DisconnectRefused           DisconnectReason = 0x88
	DisconnectBadHeader         DisconnectReason = 0x8A
)

// String returns r in words, or its number.
func (r DisconnectReason) String() string {
	switch r {
	case DisconnectUnspecified:
		return "reason not specified"
	case DisconnectCongestion:
		return "congestion at TSAP"
	case DisconnectNoSession:
		return "no session entity at TSAP"
	case DisconnectAddressUnknown:
		return "address unknown"
	case DisconnectNormal:
		return "normal disconnect"
	case DisconnectRemoteCongestion:
		return "congestion at connect"
	case DisconnectNegotiationFailed:
		return "negotiation failed"
	case DisconnectProtocolError:
		return "protocol error"
	case DisconnectRefused:
		return "connection request refused"
	case DisconnectBadHeader:
		return "header or parameter length invalid"
	}
	return "reason " + strconv.Itoa(int(r))
}

// Disconnect is DR: the end of a connection, or the answer to a CR that is refused [X.224 13.5].
type Disconnect struct {
	DstRef, SrcRef uint16
	Reason         DisconnectReason
}

// AppendTo appends the TPKT of 11 bytes.
func (m *Disconnect) AppendTo(b []byte) []byte {
	start := len(b)
	b = wire.AppendU16(wire.AppendU16(beginTPDU(b, TPDUDisconnectRequest), m.DstRef), m.SrcRef)
	return endTPDU(append(b, byte(m.Reason)), start)
}

// Decode reads a TPDU; parameters behind the reason are passed over.
func (m *Disconnect) Decode(tpdu []byte) error {
	c, bad := startTPDU(tpdu, TPDUDisconnectRequest)
	if bad != nil {
		return bad
	}
	r := Disconnect{DstRef: c.U16(), SrcRef: c.U16(), Reason: DisconnectReason(c.U8())}
	if c.Bad() {
		return frameError(FrameTPDUHeader, uint16(len(tpdu)))
	}
	*m = r
	return nil
}

// DisconnectConfirm is DC: the answer to a Disconnect [X.224 13.6]. Class 0 has no use for it; some stacks send it.
type DisconnectConfirm struct{ DstRef, SrcRef uint16 }

// AppendTo appends the TPKT of 10 bytes.
func (m *DisconnectConfirm) AppendTo(b []byte) []byte {
	start := len(b)
	return endTPDU(wire.AppendU16(wire.AppendU16(beginTPDU(b, TPDUDisconnectConfirm), m.DstRef), m.SrcRef), start)
}

// Decode reads a TPDU; parameters are passed over.
func (m *DisconnectConfirm) Decode(tpdu []byte) error {
	c, bad := startTPDU(tpdu, TPDUDisconnectConfirm)
	if bad != nil {
		return bad
	}
	r := DisconnectConfirm{DstRef: c.U16(), SrcRef: c.U16()}
	if c.Bad() {
		return frameError(FrameTPDUHeader, uint16(len(tpdu)))
	}
	*m = r
	return nil
}

// TransportError is ER: the peer did not understand a TPDU [X.224 13.12].
type TransportError struct {
	DstRef uint16
	Cause  uint8 // 0 not specified, 1 parameter code, 2 TPDU type, 3 parameter value
}

// AppendTo appends the TPKT of 9 bytes.
func (m *TransportError) AppendTo(b []byte) []byte {
	start := len(b)
	return endTPDU(append(wire.AppendU16(beginTPDU(b, TPDUError), m.DstRef), m.Cause), start)
}

// Decode reads a TPDU; parameters, the rejected TPDU among them, are passed over.
func (m *TransportError) Decode(tpdu []byte) error {
	c, bad := startTPDU(tpdu, TPDUError)
	if bad != nil {
		return bad
	}
	r := TransportError{DstRef: c.U16(), Cause: c.U8()}
	if c.Bad() {
		return frameError(FrameTPDUHeader, uint16(len(tpdu)))
	}
	*m = r
	return nil
}
