package uasc

import (
	"encoding/binary"

	"millrace/opcua/ua"
)

// Kind is what a message is, the three letters that it begins with.
type Kind uint8

// The kinds. The zero value is no message.
const (
	KindHello Kind = iota + 1
	KindAcknowledge
	KindError
	KindReverseHello
	KindOpen
	KindMessage
	KindClose
)

var kindNames = [...]string{"none", "HEL", "ACK", "ERR", "RHE", "OPN", "MSG", "CLO"}

// String returns the three letters.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// A chunk [OPC 10000-6 6.7.2]: type(3), C F or A, size(4), channel(4); then token(4), or for OPN texts; then sequence number(4), request id(4),
// where encryption begins.
const (
	finalAt   = 3
	sizeAt    = 4
	channelAt = 8
	tokenAt   = 12
	seqAt     = 16
	requestAt = 20

	frameBytes    = 8  // what every message begins with
	channelBytes  = 12 // and with the channel
	sequenceBytes = 8
	headerBytes   = 24 // of MSG and CLO, up to the body

	chunkMore  = 'C'
	chunkFinal = 'F'
	chunkAbort = 'A'
)

// frame is the first 8 bytes of a message.
type frame struct {
	kind  Kind
	chunk byte
	size  int // of the whole chunk
}

// frameRule says what a kind of message looks like.
type frameRule struct {
	parts bool // may come in several chunks
	least int  // bytes of the shortest
}

var frameRules = [...]frameRule{
	KindHello:        {least: frameBytes + 24},
	KindAcknowledge:  {least: frameBytes + 20},
	KindError:        {least: frameBytes + 8},
	KindReverseHello: {least: frameBytes + 8},
	KindOpen:         {least: channelBytes + 12 + sequenceBytes},
	KindMessage:      {least: headerBytes, parts: true},
	KindClose:        {least: headerBytes},
}

// readFrame judges the first 8 bytes of in before anything is kept of the message. ok is false while they are not there.
func readFrame(in []byte, limit int) (f frame, ok bool, err error) {
	if len(in) < frameBytes {
		return frame{}, false, nil
	}
	f = frame{kind: kindOf(in), chunk: in[finalAt]}
	if f.kind == 0 {
		return f, false, readError(ua.BadTcpMessageTypeInvalid, "not a message of OPC UA over TCP")
	}
	rule := frameRules[f.kind]
	if f.chunk != chunkFinal && !(rule.parts && (f.chunk == chunkMore || f.chunk == chunkAbort)) {
		return f, false, readError(ua.BadTcpMessageTypeInvalid, "the chunk type is not one of the message type")
	}
	size := binary.LittleEndian.Uint32(in[sizeAt:])
	switch {
	case int64(size) < int64(rule.least):
		return f, false, readError(ua.BadTcpMessageTooLarge, "a chunk is shorter than its header") // the one code for a size that cannot be
	case int64(size) > int64(limit):
		return f, false, readError(ua.BadTcpMessageTooLarge, "a chunk is longer than the receive buffer that was agreed on")
	}
	f.size = int(size)
	return f, true, nil
}

// kindOf returns the kind that the first 3 bytes of in stand for, 0 for none.
func kindOf(in []byte) Kind {
	switch [3]byte(in) {
	case [3]byte{'M', 'S', 'G'}:
		return KindMessage
	case [3]byte{'O', 'P', 'N'}:
		return KindOpen
	case [3]byte{'C', 'L', 'O'}:
		return KindClose
	case [3]byte{'H', 'E', 'L'}:
		return KindHello
	case [3]byte{'A', 'C', 'K'}:
		return KindAcknowledge
	case [3]byte{'E', 'R', 'R'}:
		return KindError
	case [3]byte{'R', 'H', 'E'}:
		return KindReverseHello
	default:
		return 0
	}
}
