package driver

import (
	"encoding/binary"
	"math"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// appendOPCUA adds the row of a value to b: with the time that its source gave, or the server when it gave none, and the status as quality. A bad one has no value. An
// element of an array comes as an array of one, and is its value when element is set.
func appendOPCUA(b *tag.Batch, id tag.ID, v *ua.DataValue, element bool) {
	ts := timeOfOPCUA(v)
	q := tag.Quality(v.Status)
	switch {
	case q.IsBad() || v.Value.IsNull():
		b.Append(id, ts, q, tag.Null, 0)
	case v.Value.IsArray():
		appendArray(b, id, ts, q, v.Value, element)
	default:
		appendScalar(b, id, ts, q, &v.Value)
	}
}

// timeOfOPCUA returns when the value was so, 0 when nobody says.
func timeOfOPCUA(v *ua.DataValue) int64 {
	if !v.SourceTimestamp.IsNull() {
		return v.SourceTimestamp.UnixNano()
	}
	return v.ServerTimestamp.UnixNano()
}

func appendScalar(b *tag.Batch, id tag.ID, ts int64, q tag.Quality, v *ua.Variant) {
	k := opcuaKind(v.Type())
	switch {
	case v.Type() == ua.TypeDateTime:
		d, _ := v.DateTime()
		b.Append(id, ts, q, k, uint64(d.UnixNano()))
	case k.Width() > 0:
		b.Append(id, ts, q, k, v.Bits())
	default:
		off := len(b.Aux)
		b.Aux = appendText(b.Aux, v)
		b.Append(id, ts, q, k, uint64(off)<<32|uint64(len(b.Aux)-off))
	}
}

// appendText appends what a value without a width is: its text, or the bytes of a ByteString or structure.
func appendText(aux []byte, v *ua.Variant) []byte {
	switch v.Type() {
	case ua.TypeString, ua.TypeXmlElement, ua.TypeByteString:
		return v.AppendBytes(aux)
	case ua.TypeExtensionObject:
		x, _ := v.ExtensionObject()
		return append(aux, x.Body...)
	case ua.TypeLocalizedText:
		l, _ := v.LocalizedText()
		return append(aux, l.Text...)
	}
	return append(aux, v.String()...)
}

// appendArray adds an array, one behind the other, or its only element. A matrix is its elements row by row.
func appendArray(b *tag.Batch, id tag.ID, ts int64, q tag.Quality, v ua.Variant, element bool) {
	k := opcuaKind(v.Type())
	off := len(b.Aux)
	b.Aux = appendElements(b.Aux, k, v)
	if !element || v.Len() != 1 {
		b.Append(id, ts, q, k|tag.Array, uint64(off)<<32|uint64(len(b.Aux)-off))
		return
	}
	e, _ := tag.Value{Kind: k | tag.Array, Aux: b.Aux[off:]}.Elem(0)
	if k.Width() > 0 {
		b.Aux = b.Aux[:off]
		b.Append(id, ts, q, k, e.Bits)
		return
	}
	at := len(b.Aux) - len(e.Aux)
	b.Append(id, ts, q, k, uint64(at)<<32|uint64(len(e.Aux)))
}

// appendElements appends the elements of an array as tag.Batch has them.
func appendElements(aux []byte, k tag.Kind, v ua.Variant) []byte {
	switch v.Type() {
	case ua.TypeBoolean:
		s, _ := ua.ArrayOf[bool](v)
		for _, e := range s {
			bit := uint64(0)
			if e {
				bit = 1
			}
			aux = tag.AppendElem(aux, k, bit)
		}
		return aux
	case ua.TypeSByte:
		return appendNumbers[int8](aux, k, v)
	case ua.TypeByte:
		return append(aux, v.Bytes()...)
	case ua.TypeInt16:
		return appendNumbers[int16](aux, k, v)
	case ua.TypeUInt16:
		return appendNumbers[uint16](aux, k, v)
	case ua.TypeInt32:
		return appendNumbers[int32](aux, k, v)
	case ua.TypeUInt32:
		return appendNumbers[uint32](aux, k, v)
	case ua.TypeInt64:
		return appendNumbers[int64](aux, k, v)
	case ua.TypeUInt64:
		return appendNumbers[uint64](aux, k, v)
	case ua.TypeStatusCode:
		return appendNumbers[ua.StatusCode](aux, k, v)
	}
	return appendOthers(aux, k, v)
}

// appendOthers appends the elements of arrays of what is no whole number.
func appendOthers(aux []byte, k tag.Kind, v ua.Variant) []byte {
	switch v.Type() {
	case ua.TypeFloat:
		s, _ := ua.ArrayOf[float32](v)
		for _, e := range s {
			aux = tag.AppendElem(aux, k, uint64(math.Float32bits(e)))
		}
	case ua.TypeDouble:
		for _, e := range v.Doubles() {
			aux = tag.AppendElem(aux, k, math.Float64bits(e))
		}
	case ua.TypeDateTime:
		s, _ := ua.ArrayOf[ua.DateTime](v)
		for _, e := range s {
			aux = tag.AppendElem(aux, k, uint64(e.UnixNano()))
		}
	case ua.TypeString:
		aux = appendTexts(aux, v.Strings())
	case ua.TypeXmlElement:
		s, _ := ua.ArrayOf[ua.XmlElement](v)
		aux = appendTexts(aux, s)
	case ua.TypeByteString:
		s, _ := ua.ArrayOf[[]byte](v)
		aux = appendTexts(aux, s)
	case ua.TypeExtensionObject:
		s, _ := ua.ArrayOf[ua.ExtensionObject](v)
		for i := range s {
			aux = appendTexts(aux, [][]byte{s[i].Body})
		}
	default:
		aux = appendNamed(aux, v)
	}
	return aux
}

// appendNamed appends the texts that people write for the elements.
func appendNamed(aux []byte, v ua.Variant) []byte {
	switch v.Type() {
	case ua.TypeGuid:
		return appendStrings[ua.Guid](aux, v)
	case ua.TypeNodeId:
		return appendStrings[ua.NodeId](aux, v)
	case ua.TypeExpandedNodeId:
		return appendStrings[ua.ExpandedNodeId](aux, v)
	case ua.TypeQualifiedName:
		return appendStrings[ua.QualifiedName](aux, v)
	case ua.TypeLocalizedText:
		return appendStrings[ua.LocalizedText](aux, v)
	case ua.TypeVariant:
		return appendStrings[ua.Variant](aux, v)
	}
	return aux // arrays of DataValue and DiagnosticInfo: nothing that a tag could be
}

func appendNumbers[T ~int8 | ~int16 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~uint64](aux []byte, k tag.Kind, v ua.Variant) []byte {
	s, _ := ua.ArrayOf[T](v)
	for _, e := range s {
		aux = tag.AppendElem(aux, k, uint64(e))
	}
	return aux
}

func appendTexts[T ~string | ~[]byte](aux []byte, s []T) []byte {
	for _, e := range s {
		aux = append(binary.AppendUvarint(aux, uint64(len(e))), e...)
	}
	return aux
}

func appendStrings[T interface{ String() string }](aux []byte, v ua.Variant) []byte {
	s, _ := ua.ArrayOf[T](v)
	for _, e := range s {
		t := e.String()
		aux = append(binary.AppendUvarint(aux, uint64(len(t))), t...)
	}
	return aux
}
