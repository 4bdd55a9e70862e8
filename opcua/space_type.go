package opcua

import (
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// checkType says whether v can be the value of n: its built-in type must be exactly that of the data type, or one below an abstract one; a structure must be
// of the data type or of a subtype; the rank must be allowed [OPC 10000-4 5.10.4]. A part of an array has whatever rank its range gives it. A ByteString and an array of Byte
// stand for each other, and v becomes the one that n has.
func (s *Space) checkType(n *Node, v *ua.Variant, part bool) ua.StatusCode {
	want, abstract := s.builtIn(n.DataType)
	bytesAs(want, n.ValueRank, v)
	if v.IsNull() {
		if n.DataType.IsNull() || n.DataType == stdId(ns0.BaseDataType) {
			return ua.Good
		}
		return ua.BadTypeMismatch
	}
	if !part && !rankFits(n.ValueRank, v) {
		return ua.BadTypeMismatch
	}
	if !typeFits(want, abstract, v.Type()) {
		return ua.BadTypeMismatch
	}
	if v.Type() == ua.TypeExtensionObject && !s.structuresFit(n.DataType, v) {
		return ua.BadTypeMismatch
	}
	if !part && !dimensionsFit(n.ArrayDimensions, v) {
		return ua.BadOutOfRange
	}
	return ua.Good
}

// bytesAs makes a ByteString an array of Byte, or the other way round, when that is what the variable has.
func bytesAs(want ua.TypeId, rank int32, v *ua.Variant) {
	switch {
	case want == ua.TypeByte && v.Type() == ua.TypeByteString && !v.IsArray() && (rank == 1 || rank == 0):
		*v = ua.ByteArray(v.Bytes())
	case want == ua.TypeByteString && v.Type() == ua.TypeByte && len(v.Dims()) <= 1 && v.IsArray() && (rank == -1 || rank == -2 || rank == -3):
		*v = ua.ByteString(v.Bytes())
	}
}

// builtIn returns the built-in type of a data type: the one that it is, or is derived from. An abstract one without its own encoding, as Number, is answered by its
// number and abstract.
func (s *Space) builtIn(dataType ua.NodeId) (t ua.TypeId, abstract bool) {
	id := dataType
	for range typeChain {
		if id.Namespace == 0 && id.Type == ua.IdNumeric {
			switch n := id.Numeric; {
			case n == ns0.Enumeration:
				return ua.TypeInt32, false
			case n == ns0.BaseDataType, n >= ns0.Number && n <= ns0.UInteger:
				return ua.TypeId(n), true
			case n > 0 && n <= uint32(ua.TypeDiagnosticInfo):
				return ua.TypeId(n), false
			}
		}
		n := s.index.find(id)
		if n == nil {
			break
		}
		if n = n.target(ns0.HasSubtype, true); n == nil {
			break
		}
		id = n.id
	}
	return ns0.BaseDataType, true
}

// typeFits says whether a value of type have can be had where want is asked for.
func typeFits(want ua.TypeId, abstract bool, have ua.TypeId) bool {
	if !abstract {
		return want == have
	}
	signed := have == ua.TypeSByte || have == ua.TypeInt16 || have == ua.TypeInt32 || have == ua.TypeInt64
	unsigned := have == ua.TypeByte || have == ua.TypeUInt16 || have == ua.TypeUInt32 || have == ua.TypeUInt64
	switch want {
	case ns0.Number:
		return signed || unsigned || have == ua.TypeFloat || have == ua.TypeDouble
	case ns0.Integer:
		return signed
	case ns0.UInteger:
		return unsigned
	}
	return true
}

// structuresFit says whether all structures in v are of a data type or its subtypes. Those of a type that the Space does not have fit nowhere but in the abstract
// Structure.
func (s *Space) structuresFit(dataType ua.NodeId, v *ua.Variant) bool {
	if dataType == stdId(ns0.Structure) || dataType == stdId(ns0.BaseDataType) || dataType.IsNull() {
		return true
	}
	if x, ok := v.ExtensionObject(); ok {
		return s.structureFits(dataType, &x)
	}
	list, _ := ua.ArrayOf[ua.ExtensionObject](*v)
	for i := range list {
		if !s.structureFits(dataType, &list[i]) {
			return false
		}
	}
	return true
}

func (s *Space) structureFits(dataType ua.NodeId, x *ua.ExtensionObject) bool {
	encoding, want := s.index.find(x.TypeId), s.index.find(dataType)
	if encoding == nil || want == nil {
		return false
	}
	have := encoding.target(ns0.HasEncoding, true)
	return have != nil && have.isA(want)
}

// rankFits says whether v has a number of dimensions that a ValueRank allows [OPC 10000-3 5.6.2].
func rankFits(rank int32, v *ua.Variant) bool {
	dims := 0
	if v.IsArray() {
		dims = max(1, len(v.Dims()))
	}
	switch rank {
	case -3:
		return dims <= 1
	case -2:
		return true
	case -1:
		return dims == 0
	case 0:
		return dims >= 1
	}
	return int(rank) == dims
}

// dimensionsFit says whether no dimension of v is longer than the variable has it.
func dimensionsFit(most []uint32, v *ua.Variant) bool {
	if len(most) == 0 || !v.IsArray() {
		return true
	}
	have := v.Dims()
	if have == nil {
		return most[0] == 0 || uint32(v.Len()) <= most[0]
	}
	for i := range min(len(have), len(most)) {
		if most[i] != 0 && have[i] > most[i] {
			return false
		}
	}
	return true
}
