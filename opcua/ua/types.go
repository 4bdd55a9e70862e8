package ua

// DataType is what is known of a data type: of a structure or an enumeration with its definition, of a simple type what it derives from.
type DataType struct {
	Id        NodeId
	Name      string
	Base      NodeId // the supertype
	Abstract  bool
	Binary    NodeId               // of the binary encoding, null when there is none
	Xml       NodeId               // of the XML encoding, null when there is none
	Structure *StructureDefinition // with the fields of its supertypes in front; nil when it is no structure
	Enum      *EnumDefinition      // nil when it is no enumeration
}

// Types are the data types that a client has read from a server, or a server from its node sets: what values of types that were not known when
// this was compiled are decoded with. It may be read by many goroutines once nobody adds to it. The zero value is not usable: NewTypes.
type Types struct {
	byId       map[NodeId]*DataType
	byEncoding map[NodeId]*DataType
}

// NewTypes returns Types that know the built-in ones.
func NewTypes() *Types {
	return &Types{byId: map[NodeId]*DataType{}, byEncoding: map[NodeId]*DataType{}}
}

// Add makes t known, instead of one of the same Id.
func (x *Types) Add(t DataType) {
	x.byId[t.Id] = &t
	for _, id := range []NodeId{t.Binary, t.Xml} {
		if !id.IsNull() {
			x.byEncoding[id] = &t
		}
	}
}

// Type returns the data type with the id, nil when it is not known.
func (x *Types) Type(id NodeId) *DataType { return x.byId[id] }

// OfEncoding returns the data type that has the id of an encoding or, as some write it, the id itself; nil when it is not known.
func (x *Types) OfEncoding(id NodeId) *DataType {
	if t := x.byEncoding[id]; t != nil {
		return t
	}
	return x.byId[id]
}

// Len returns how many types were added.
func (x *Types) Len() int { return len(x.byId) }

// Ids of abstract and derived types in namespace 0 that travel as built-in ones [OPC 10000-3 5.8.3].
const (
	dataTypeStructure   = 22
	dataTypeBase        = 24
	dataTypeNumber      = 26
	dataTypeInteger     = 27
	dataTypeUInteger    = 28
	dataTypeEnumeration = 29
	maxBases            = 100 // supertypes that are followed
)

// Builtin returns the built-in type that values of the data type id travel as, when they stand alone or in a field: Int32 for
// enumerations, TypeVariant for abstract types of several, TypeExtensionObject for structures. It reports false when the type is not known.
func (x *Types) Builtin(id NodeId) (TypeId, bool) {
	for range maxBases {
		if k, ok := builtinOf(id); ok {
			return k, true
		}
		t := x.byId[id]
		if t == nil {
			break
		}
		id = t.Base
	}
	return TypeNull, false
}

func builtinOf(id NodeId) (TypeId, bool) {
	if id.Namespace != 0 || id.Type != IdNumeric {
		return TypeNull, false
	}
	switch n := id.Numeric; {
	case n == 0:
		return TypeNull, false
	case n == dataTypeStructure:
		return TypeExtensionObject, true
	case n == dataTypeBase || n == dataTypeNumber || n == dataTypeInteger || n == dataTypeUInteger:
		return TypeVariant, true
	case n == dataTypeEnumeration:
		return TypeInt32, true
	case n <= uint32(TypeDiagnosticInfo):
		return TypeId(n), true
	}
	return TypeNull, false
}

// Layout returns how the field f of def travels: as a structure of the type, in place, or, when that is nil, as a built-in type. It reports false when
// the field's data type is not known.
func (x *Types) Layout(def *StructureDefinition, f *StructureField) (*DataType, TypeId, bool) {
	subtypes := f.IsOptional && subtyped(def)
	t := x.byId[f.DataType]
	if t != nil && t.Structure != nil && !t.Abstract && !subtypes {
		return t, TypeNull, true
	}
	k, ok := x.Builtin(f.DataType)
	if subtypes && ok && k != TypeExtensionObject {
		k = TypeVariant
	}
	return nil, k, ok
}
