package main

import "fmt"

// builtin is how package ua calls a built-in type.
type builtin struct {
	goType  string
	append  string // function func([]byte, T) []byte
	decode  string // method of Decoder
	size    int    // in memory
	align   int
	minWire int
	pointer bool // encoded and decoded through a pointer: x.AppendTo, d.<decode>Into
}

var builtins = map[string]builtin{
	"Boolean":         {goType: "bool", append: "AppendBoolean", decode: "Bool", size: 1, align: 1, minWire: 1},
	"SByte":           {goType: "int8", append: "AppendSByte", decode: "I8", size: 1, align: 1, minWire: 1},
	"Byte":            {goType: "uint8", append: "AppendByte", decode: "U8", size: 1, align: 1, minWire: 1},
	"Int16":           {goType: "int16", append: "AppendInt16", decode: "I16", size: 2, align: 2, minWire: 2},
	"UInt16":          {goType: "uint16", append: "AppendUInt16", decode: "U16", size: 2, align: 2, minWire: 2},
	"Int32":           {goType: "int32", append: "AppendInt32", decode: "I32", size: 4, align: 4, minWire: 4},
	"UInt32":          {goType: "uint32", append: "AppendUInt32", decode: "U32", size: 4, align: 4, minWire: 4},
	"Int64":           {goType: "int64", append: "AppendInt64", decode: "I64", size: 8, align: 8, minWire: 8},
	"UInt64":          {goType: "uint64", append: "AppendUInt64", decode: "U64", size: 8, align: 8, minWire: 8},
	"Float":           {goType: "float32", append: "AppendFloat", decode: "F32", size: 4, align: 4, minWire: 4},
	"Double":          {goType: "float64", append: "AppendDouble", decode: "F64", size: 8, align: 8, minWire: 8},
	"String":          {goType: "string", append: "AppendString", decode: "String", size: 16, align: 8, minWire: 4},
	"CharArray":       {goType: "string", append: "AppendString", decode: "String", size: 16, align: 8, minWire: 4},
	"DateTime":        {goType: "DateTime", append: "AppendDateTime", decode: "DateTime", size: 8, align: 8, minWire: 8},
	"Guid":            {goType: "Guid", append: "AppendGuid", decode: "Guid", size: 16, align: 4, minWire: 16},
	"ByteString":      {goType: "[]byte", append: "AppendByteString", decode: "Bytes", size: 24, align: 8, minWire: 4},
	"XmlElement":      {goType: "XmlElement", append: "AppendXmlElement", decode: "XmlElement", size: 16, align: 8, minWire: 4},
	"NodeId":          {goType: "NodeId", append: "AppendNodeId", decode: "NodeId", size: 24, align: 8, minWire: 2},
	"ExpandedNodeId":  {goType: "ExpandedNodeId", append: "AppendExpandedNodeId", decode: "ExpandedNodeId", size: 48, align: 8, minWire: 2},
	"StatusCode":      {goType: "StatusCode", append: "AppendStatusCode", decode: "StatusCode", size: 4, align: 4, minWire: 4},
	"QualifiedName":   {goType: "QualifiedName", append: "AppendQualifiedName", decode: "QualifiedName", size: 24, align: 8, minWire: 6},
	"LocalizedText":   {goType: "LocalizedText", append: "AppendLocalizedText", decode: "LocalizedText", size: 32, align: 8, minWire: 1},
	"ExtensionObject": {goType: "ExtensionObject", append: "AppendExtensionObject", decode: "ExtensionObject", size: 56, align: 8, minWire: 3},
	"DiagnosticInfo":  {goType: "DiagnosticInfo", append: "AppendDiagnosticInfo", decode: "DiagnosticInfo", size: 56, align: 8, minWire: 1},
	"DataValue":       {goType: "DataValue", decode: "DataValue", size: 80, align: 8, minWire: 1, pointer: true},
	"Variant":         {goType: "Variant", decode: "Variant", size: 48, align: 8, minWire: 1, pointer: true},
}

// enumWire is how an enumeration of so many bits travels.
func enumWire(bits int) string {
	switch bits {
	case 8:
		return "Byte"
	case 16:
		return "UInt16"
	}
	return "UInt32"
}

func (e *enum) wire() string {
	if !e.option {
		return "Int32"
	}
	return enumWire(e.bits)
}

// measure computes the sizes of all structures, and refuses one that contains itself.
func (m *model) measure() error {
	for _, s := range m.structures {
		if err := m.measureOne(s, 0); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) measureOne(s *structure, depth int) error {
	if s.align != 0 {
		return nil
	}
	if depth > 50 {
		return fmt.Errorf("%s contains itself", s.name)
	}
	size, align, wire := 0, 1, 0
	for _, f := range s.fields {
		fs, fa, fw, err := m.fieldSize(f, depth)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", s.name, f.name, err)
		}
		size = roundUp(size, fa) + fs
		align = max(align, fa)
		wire += fw
	}
	s.size, s.align, s.minWire = roundUp(size, align), align, wire
	return nil
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func (m *model) fieldSize(f field, depth int) (size, align, wire int, err error) {
	if f.array {
		if s := m.byName[f.typ]; s != nil {
			err = m.measureOne(s, depth+1)
		}
		return 24, 8, 4, err
	}
	if e := m.enumByName[f.typ]; e != nil {
		b := builtins[e.wire()]
		return b.size, b.align, b.minWire, nil
	}
	if b, ok := builtins[f.typ]; ok {
		return b.size, b.align, b.minWire, nil
	}
	s := m.byName[f.typ]
	if s == nil {
		return 0, 0, 0, fmt.Errorf("unknown type %s", f.typ)
	}
	if err := m.measureOne(s, depth+1); err != nil {
		return 0, 0, 0, err
	}
	return s.size, s.align, s.minWire, nil
}
