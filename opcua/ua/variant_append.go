package ua

import "encoding/binary"

// AppendVariant appends v.
func AppendVariant(b []byte, v Variant) []byte { return v.AppendTo(b) }

// AppendTo appends v.
func (v *Variant) AppendTo(b []byte) []byte {
	if v.flag != 0 {
		return v.appendArray(b)
	}
	return v.appendScalar(append(b, byte(v.kind)))
}

// appendScalar appends a scalar without its type.
func (v *Variant) appendScalar(b []byte) []byte {
	if w := flatWidth(v.kind); w > 0 {
		b = binary.LittleEndian.AppendUint64(b, v.quiet())
		return b[:len(b)-8+w]
	}
	switch v.kind {
	case TypeNull:
	case TypeString, TypeXmlElement, TypeByteString:
		b = v.appendText(b)
	case TypeGuid:
		b = append(b, v.guidText()...)
	case TypeNodeId:
		b = AppendNodeId(b, v.nodeId())
	case TypeQualifiedName:
		b = AppendString(AppendUInt16(b, uint16(v.bits)), v.text)
	default:
		b = v.appendRef(b)
	}
	return b
}

// appendText appends a text, null or empty as it is.
func (v *Variant) appendText(b []byte) []byte {
	if v.bits != 0 && v.text == "" {
		return AppendString(b, "")
	}
	return AppendText(b, v.text)
}

func (v *Variant) guidText() string {
	if len(v.text) != 16 {
		return Guid{}.wire()
	}
	return v.text
}

func (v *Variant) nodeId() NodeId {
	return NodeId{Namespace: uint16(v.bits >> 40), Type: IdType(v.bits >> 32), Numeric: uint32(v.bits), Text: v.text}
}

func (v *Variant) appendRef(b []byte) []byte {
	switch x := v.ref.(type) {
	case ExpandedNodeId:
		return AppendExpandedNodeId(b, x)
	case LocalizedText:
		return AppendLocalizedText(b, x)
	case ExtensionObject:
		return x.AppendTo(b)
	case DataValue:
		return x.AppendTo(b)
	case DiagnosticInfo:
		return x.AppendTo(b)
	}
	return b
}

// appendArray appends an array or a matrix.
func (v *Variant) appendArray(b []byte) []byte {
	b = append(b, byte(v.kind)|v.flag)
	b = appendElements(b, v.elements())
	if v.flag&variantMatrix == 0 {
		return b
	}
	dims := v.Dims()
	b = AppendInt32(b, int32(len(dims)))
	for _, n := range dims {
		b = AppendUInt32(b, n)
	}
	return b
}

// appendElements appends the length of a typed slice and what is in it.
func appendElements(b []byte, elements any) []byte {
	switch s := elements.(type) {
	case []bool:
		return appendEach(b, s, AppendBoolean)
	case []int8:
		return appendEach(b, s, AppendSByte)
	case []uint8:
		return AppendByteString(b, s)
	case []int16:
		return appendEach(b, s, AppendInt16)
	case []uint16:
		return appendEach(b, s, AppendUInt16)
	case []int32:
		return appendEach(b, s, AppendInt32)
	case []uint32:
		return appendEach(b, s, AppendUInt32)
	case []int64:
		return appendEach(b, s, AppendInt64)
	case []uint64:
		return appendEach(b, s, AppendUInt64)
	case []float32:
		return appendEach(b, s, AppendFloat)
	case []float64:
		return appendEach(b, s, AppendDouble)
	case []string:
		return appendEach(b, s, AppendString)
	case []DateTime:
		return appendEach(b, s, AppendDateTime)
	case []Guid:
		return appendEach(b, s, AppendGuid)
	case [][]byte:
		return appendEach(b, s, AppendByteString)
	case []XmlElement:
		return appendEach(b, s, AppendXmlElement)
	case []NodeId:
		return appendEach(b, s, AppendNodeId)
	case []ExpandedNodeId:
		return appendEach(b, s, AppendExpandedNodeId)
	case []StatusCode:
		return appendEach(b, s, AppendStatusCode)
	case []QualifiedName:
		return appendEach(b, s, AppendQualifiedName)
	case []LocalizedText:
		return appendEach(b, s, AppendLocalizedText)
	case []ExtensionObject:
		b = AppendCount(b, len(s), s == nil)
		for i := range s {
			b = s[i].AppendTo(b)
		}
		return b
	case []DataValue:
		b = AppendCount(b, len(s), s == nil)
		for i := range s {
			b = s[i].AppendTo(b)
		}
		return b
	case []Variant:
		b = AppendCount(b, len(s), s == nil)
		for i := range s {
			b = s[i].AppendTo(b)
		}
		return b
	case []DiagnosticInfo:
		b = AppendCount(b, len(s), s == nil)
		for i := range s {
			b = s[i].AppendTo(b)
		}
		return b
	}
	return AppendCount(b, 0, true)
}

func appendEach[T any](b []byte, s []T, each func([]byte, T) []byte) []byte {
	b = AppendCount(b, len(s), s == nil)
	for i := range s {
		b = each(b, s[i])
	}
	return b
}
