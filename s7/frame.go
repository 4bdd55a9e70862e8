package s7

import "fmt"

// FrameReason says what is wrong with a stream. There are FrameReasons of them, so that they can be counted in an array.
type FrameReason uint8

// The reasons. Without Resync each of them ends the connection: no byte is left from which to go on.
const (
	FrameVersion     FrameReason = iota // the TPKT version is not 3
	FrameTLSHello                       // the same, and it looks like a TLS hello
	FrameTPKTShort                      // the TPKT length has no room for a data TPDU's header
	FrameTPKTLong                       // the TPKT is longer than a PDU may be
	FrameTPDUHeader                     // the COTP length indicator is 0, 255, beyond the TPKT, or not that of its TPDU
	FrameTPDUCode                       // not one of CR, CC, DR, DC, DT, ER
	FrameParameters                     // CR or CC: a parameter runs past the end or is out of range
	FrameInterleaved                    // another TPDU between the fragments of a PDU
	FrameFragments                      // more fragments, or more bytes in them, than a PDU may have
	FrameS7Plus                         // the PDU is S7comm-plus (0x72)
	FrameS7Protocol                     // the PDU does not begin with 0x32
	FrameS7Kind                         // the ROSCTR is not one of Job, Ack, Ack_Data, Userdata
	FrameS7Length                       // header, parameters and data are not what the TPDU holds
	FramePartial                        // the stream ended, or its deadline came, inside a frame
	FrameReasons                        // how many there are
)

// String returns r in the words under which it is counted.
func (r FrameReason) String() string {
	switch r {
	case FrameVersion:
		return "tpkt version"
	case FrameTLSHello:
		return "tls hello"
	case FrameTPKTShort:
		return "tpkt too short"
	case FrameTPKTLong:
		return "tpkt too long"
	case FrameTPDUHeader:
		return "cotp header"
	case FrameTPDUCode:
		return "cotp code"
	case FrameParameters:
		return "cotp parameters"
	case FrameInterleaved:
		return "interleaved fragments"
	case FrameFragments:
		return "too many fragments"
	case FrameS7Plus:
		return "s7comm-plus"
	case FrameS7Protocol:
		return "s7 protocol id"
	case FrameS7Kind:
		return "s7 rosctr"
	case FrameS7Length:
		return "s7 length"
	case FramePartial:
		return "partial frame"
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// FrameError says why a stream cannot be framed any further.
type FrameError struct {
	Reason  FrameReason
	Got     uint16 // the offending field; with FramePartial the bytes that were there
	Skipped int    // bytes passed over in search of a frame; 0 without a search
}

func (e *FrameError) Error() string {
	if e.Skipped > 0 {
		return fmt.Sprintf("s7: cannot frame: %s (0x%04X), no frame in the %d bytes after it", e.Reason, e.Got, e.Skipped)
	}
	return fmt.Sprintf("s7: cannot frame: %s (0x%04X)", e.Reason, e.Got)
}

func frameError(r FrameReason, got uint16) *FrameError { return &FrameError{Reason: r, Got: got} }
