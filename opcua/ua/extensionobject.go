package ua

// ExtensionObject carries a structure of any type as its encoded bytes [OPC 10000-6 5.2.2.15]. The zero value is null.
type ExtensionObject struct {
	TypeId NodeId // of the encoding, not of the data type
	Xml    bool   // Body is an XML element
	Body   []byte // nil: no body
}

const (
	bodyNone  = 0
	bodyBytes = 1
	bodyXml   = 2
)

// Wrap returns m as an ExtensionObject. A nil m is null.
func Wrap(m Message) ExtensionObject {
	if m == nil {
		return ExtensionObject{}
	}
	return ExtensionObject{TypeId: NumericId(0, m.EncodingId()), Body: m.AppendTo([]byte{})}
}

// IsNull reports whether x carries nothing.
func (x *ExtensionObject) IsNull() bool { return x.TypeId.IsNull() && x.Body == nil }

// Is reports whether x carries a structure of m's type in its binary encoding.
func (x *ExtensionObject) Is(m Message) bool {
	return !x.Xml && x.Body != nil && x.TypeId == NumericId(0, m.EncodingId())
}

// Decode reads the structure that x carries into m, all of it. A structure of another type is BadDataTypeIdUnknown.
func (x *ExtensionObject) Decode(m Message, lim Limits) error {
	if !x.Is(m) {
		return &DecodeError{Status: BadDataTypeIdUnknown, What: "an ExtensionObject of " + x.TypeId.String()}
	}
	d := NewDecoder(x.Body, lim)
	m.DecodeFrom(&d)
	return d.Done()
}

// Known returns the structure that x carries when this package has its type, else nil.
func (x *ExtensionObject) Known(lim Limits) Message {
	if x.Xml || x.TypeId.Namespace != 0 || x.TypeId.Type != IdNumeric {
		return nil
	}
	m, ok := NewMessage(x.TypeId.Numeric)
	if !ok || x.Decode(m, lim) != nil {
		return nil
	}
	return m
}

// AppendExtensionObject appends x.
func AppendExtensionObject(b []byte, x ExtensionObject) []byte { return x.AppendTo(b) }

// AppendTo appends x.
func (x *ExtensionObject) AppendTo(b []byte) []byte {
	b = appendNodeId(b, &x.TypeId, 0)
	switch {
	case x.Body == nil:
		return append(b, bodyNone)
	case x.Xml:
		return AppendByteString(append(b, bodyXml), x.Body)
	}
	return AppendByteString(append(b, bodyBytes), x.Body)
}

// AppendWrapped appends m as an ExtensionObject, its body in place.
func AppendWrapped(b []byte, m Message) []byte {
	id := NumericId(0, m.EncodingId())
	b = append(appendNodeId(b, &id, 0), bodyBytes, 0, 0, 0, 0)
	start := len(b)
	b = m.AppendTo(b)
	putU32(b, start-4, uint32(len(b)-start))
	return b
}

// ExtensionObject reads an ExtensionObject; see Decoder for who owns its Body. A body without a length is refused.
func (d *Decoder) ExtensionObject() (x ExtensionObject) {
	x.TypeId = d.NodeId()
	switch d.U8() {
	case bodyNone:
	case bodyXml:
		x.Xml = true
		x.Body = d.body()
	case bodyBytes:
		x.Body = d.body()
	default:
		d.fail(BadDecodingError, "an ExtensionObject of an unknown encoding")
	}
	return x
}

func (d *Decoder) body() []byte {
	p := d.Bytes()
	if p == nil && d.bad == 0 {
		d.fail(BadDecodingError, "an ExtensionObject without a length")
	}
	return p
}
