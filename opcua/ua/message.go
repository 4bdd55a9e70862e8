package ua

// Message is a structure that this package has generated, by pointer. Most are parts of messages or values; those with a RequestHeader or a
// ResponseHeader travel alone.
type Message interface {
	EncodingId() uint32       // numeric id in namespace 0 of the binary encoding; 0 when it has none
	AppendTo(b []byte) []byte // the structure alone
	DecodeFrom(d *Decoder)    // the structure alone; what was wrong is in d
}

// AppendMessage appends the NodeId of m's encoding and m: the body of a message on a secure channel [OPC 10000-6 5.2.9].
func AppendMessage(b []byte, m Message) []byte {
	id := NumericId(0, m.EncodingId())
	return m.AppendTo(appendNodeId(b, &id, 0))
}

// EncodingId reads the NodeId in front of a message. It answers 0 when that is not a numeric one of namespace 0.
func (d *Decoder) EncodingId() uint32 {
	n := d.NodeId()
	if n.Namespace != 0 || n.Type != IdNumeric {
		return 0
	}
	return n.Numeric
}
