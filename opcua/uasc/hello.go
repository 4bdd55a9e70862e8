package uasc

import (
	"encoding/binary"

	"millrace/opcua/ua"
)

// Hello is what a client says first [OPC 10000-6 7.1.2.3].
type Hello struct {
	ProtocolVersion uint32 // 0
	Transport              // MaxMessageSize and MaxChunkCount bound responses
	EndpointURL     string // at most 4096 bytes
}

// Acknowledge is the server's answer to a Hello [OPC 10000-6 7.1.2.4].
type Acknowledge struct {
	ProtocolVersion uint32 // 0
	Transport              // MaxMessageSize and MaxChunkCount bound requests
}

// ReverseHello is what a server says first that connected to a client [OPC 10000-6 7.1.2.6].
type ReverseHello struct {
	ServerURI   string // at most 4096 bytes
	EndpointURL string // at most 4096 bytes
}

// maxHelloText is the longest text in a message of the transport.
const maxHelloText = 4096

// AppendHello appends the whole HEL message.
func AppendHello(b []byte, h Hello) []byte {
	start := len(b)
	b = beginTransport(b, KindHello)
	b = appendTransport(b, h.ProtocolVersion, h.Transport)
	return endTransport(appendText(b, h.EndpointURL), start)
}

// AppendAcknowledge appends the whole ACK message.
func AppendAcknowledge(b []byte, a Acknowledge) []byte {
	start := len(b)
	b = beginTransport(b, KindAcknowledge)
	return endTransport(appendTransport(b, a.ProtocolVersion, a.Transport), start)
}

// AppendReverseHello appends the whole RHE message.
func AppendReverseHello(b []byte, r ReverseHello) []byte {
	start := len(b)
	b = beginTransport(b, KindReverseHello)
	return endTransport(appendText(appendText(b, r.ServerURI), r.EndpointURL), start)
}

// AppendError appends the whole ERR message, after which the sender closes the connection. A reason of more than 4096 bytes is cut.
func AppendError(b []byte, status ua.StatusCode, reason string) []byte {
	start := len(b)
	b = beginTransport(b, KindError)
	b = binary.LittleEndian.AppendUint32(b, uint32(status))
	return endTransport(appendText(b, reason[:min(len(reason), maxHelloText)]), start)
}

// DecodeHello reads what is behind the header of a HEL. Bytes behind what this version knows are passed over.
func DecodeHello(body []byte) (Hello, error) {
	d := ua.NewDecoder(body, helloLimits)
	var h Hello
	h.ProtocolVersion, h.Transport = decodeTransport(&d)
	h.EndpointURL = d.String()
	return h, helloError(&d, KindHello, ua.BadTcpEndpointUrlInvalid)
}

// DecodeAcknowledge reads what is behind the header of an ACK.
func DecodeAcknowledge(body []byte) (Acknowledge, error) {
	d := ua.NewDecoder(body, helloLimits)
	var a Acknowledge
	a.ProtocolVersion, a.Transport = decodeTransport(&d)
	return a, helloError(&d, KindAcknowledge, ua.BadDecodingError)
}

// DecodeReverseHello reads what is behind the header of a RHE.
func DecodeReverseHello(body []byte) (ReverseHello, error) {
	d := ua.NewDecoder(body, helloLimits)
	r := ReverseHello{ServerURI: d.String(), EndpointURL: d.String()}
	return r, helloError(&d, KindReverseHello, ua.BadTcpEndpointUrlInvalid)
}

// DecodeError reads what is behind the header of an ERR, or in an abort. One whose status is not bad gets BadCommunicationError: it ends something all the same.
func DecodeError(body []byte) (*PeerError, error) {
	d := ua.NewDecoder(body, helloLimits)
	e := &PeerError{Status: ua.StatusCode(d.U32()), Reason: d.String()}
	if err := helloError(&d, KindError, ua.BadDecodingError); err != nil {
		return nil, err
	}
	if !e.Status.IsBad() {
		e.Status = ua.BadCommunicationError
	}
	return e, nil
}

var helloLimits = ua.Limits{StringLength: maxHelloText}

// helloError returns nil when d read everything. A text that is too long has a status of its own.
func helloError(d *ua.Decoder, k Kind, long ua.StatusCode) error {
	err := d.Err()
	switch {
	case err == nil:
		return nil
	case d.Status() == ua.BadEncodingLimitsExceeded:
		return &Error{Op: "read " + k.String(), Status: long, Reason: "a text is longer than 4096 bytes", Err: err}
	default:
		return &Error{Op: "read " + k.String(), Status: ua.BadDecodingError, Reason: "the message is malformed", Err: err}
	}
}

func beginTransport(b []byte, k Kind) []byte {
	b = append(b, k.String()...)
	return append(b, chunkFinal, 0, 0, 0, 0)
}

func endTransport(b []byte, start int) []byte {
	binary.LittleEndian.PutUint32(b[start+sizeAt:], uint32(len(b)-start))
	return b
}

func appendTransport(b []byte, version uint32, t Transport) []byte {
	for _, v := range [...]uint32{version, t.ReceiveBufferSize, t.SendBufferSize, t.MaxMessageSize, t.MaxChunkCount} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func decodeTransport(d *ua.Decoder) (version uint32, t Transport) {
	version = d.U32()
	t.ReceiveBufferSize = d.U32()
	t.SendBufferSize = d.U32()
	t.MaxMessageSize = d.U32()
	t.MaxChunkCount = d.U32()
	return version, t
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}
