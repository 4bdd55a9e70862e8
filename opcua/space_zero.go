package opcua

import (
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// fillServer gives the variables of the Server object that have no value a zero of their type: no limit, not supported, none. Clients take a null for a mistake. What
// the server knows better it sets itself.
func (s *Space) fillServer() {
	aggregates := s.index.find(stdId(ns0.Aggregates))
	seen := map[*node]bool{}
	for open := []*node{s.index.find(stdId(ns0.Server))}; len(open) > 0; {
		n := open[0]
		open = open[1:]
		if n == nil || seen[n] {
			continue
		}
		seen[n] = true
		s.fill(n)
		for _, r := range n.references() {
			if !r.inverse && r.kind.isA(aggregates) {
				open = append(open, r.to)
			}
		}
	}
}

// fill gives n a zero, if it is a variable without a value.
func (s *Space) fill(n *node) {
	v := nodeRef{node: n}.variable()
	if v == nil || v.held == nil || !v.held.value.Load().Value.IsNull() {
		return
	}
	t, abstract := s.builtIn(v.dataType)
	if zero := zeroOf(t, v.rank); !abstract && !zero.IsNull() {
		s.set(n, ua.DataValue{Value: zero})
	}
}

// zeroOf returns the zero of a built-in type, an empty array when rank is one of arrays; null for what has none.
func zeroOf(t ua.TypeId, rank int32) ua.Variant {
	array := rank >= 0
	switch t {
	case ua.TypeBoolean:
		return either(array, ua.BoolArray([]bool{}), ua.Bool(false))
	case ua.TypeByte:
		return either(array, ua.ByteArray([]byte{}), ua.Byte(0))
	case ua.TypeUInt16:
		return either(array, ua.UInt16Array([]uint16{}), ua.UInt16(0))
	case ua.TypeInt32:
		return either(array, ua.Int32Array([]int32{}), ua.Int32(0))
	case ua.TypeUInt32:
		return either(array, ua.UInt32Array([]uint32{}), ua.UInt32(0))
	case ua.TypeDouble:
		return either(array, ua.DoubleArray([]float64{}), ua.Double(0))
	case ua.TypeString:
		return either(array, ua.StringArray([]string{}), ua.String(""))
	case ua.TypeDateTime:
		return either(array, ua.DateTimeArray([]ua.DateTime{}), ua.DateTimeValue(0))
	case ua.TypeQualifiedName:
		return either(array, ua.QualifiedNameArray([]ua.QualifiedName{}), ua.QualifiedNameValue(ua.QualifiedName{}))
	case ua.TypeLocalizedText:
		return either(array, ua.LocalizedTextArray([]ua.LocalizedText{}), ua.LocalizedTextValue(ua.LocalizedText{}))
	case ua.TypeExtensionObject:
		return either(array, ua.ExtensionObjectArray([]ua.ExtensionObject{}), ua.Variant{})
	}
	return ua.Variant{}
}

func either(first bool, a, b ua.Variant) ua.Variant {
	if first {
		return a
	}
	return b
}
