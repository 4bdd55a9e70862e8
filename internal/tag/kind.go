// Package tag holds the values on their way: what a tag is called, what kind of value it has, how good the value is,
// and the Batch of columns that carries values from a device to every consumer.
package tag

import "strconv"

// ID is a tag's number in the catalog of one data directory. IDs begin at 1 and are never reused; 0 is no tag.
type ID uint32

// Kind is a value's type: the OPC UA built-in type id, plus Array for an array of it [OPC 10000-6 5.1.2].
type Kind uint8

// The kinds. Null is the kind of a row that has no value, such as a bad one.
const (
	Null       Kind = 0
	Bool       Kind = 1
	Int8       Kind = 2 // OPC UA SByte
	Uint8      Kind = 3 // OPC UA Byte
	Int16      Kind = 4
	Uint16     Kind = 5
	Int32      Kind = 6
	Uint32     Kind = 7
	Int64      Kind = 8
	Uint64     Kind = 9
	Float32    Kind = 10
	Float64    Kind = 11
	String     Kind = 12
	DateTime   Kind = 13 // nanoseconds since 1970, UTC
	ByteString Kind = 15

	Array Kind = 64 // added to an element kind
)

var kindNames = [...]string{
	Null: "null", Bool: "bool", Int8: "int8", Uint8: "uint8", Int16: "int16", Uint16: "uint16", Int32: "int32", Uint32: "uint32",
	Int64: "int64", Uint64: "uint64", Float32: "float32", Float64: "float64", String: "string", DateTime: "datetime", 14: "", ByteString: "bytes",
}

// String returns the kind's name as configurations write it; an array is its element's name followed by [].
func (k Kind) String() string {
	e := k.Elem()
	if int(e) >= len(kindNames) || kindNames[e] == "" || k&^(Array|63) != 0 {
		return "kind " + strconv.Itoa(int(k))
	}
	if k.IsArray() {
		return kindNames[e] + "[]"
	}
	return kindNames[e]
}

// IsArray says whether k is an array of k.Elem().
func (k Kind) IsArray() bool { return k&Array != 0 }

// Elem returns the element kind of an array, and k itself otherwise.
func (k Kind) Elem() Kind { return k &^ Array }

// Width returns the bytes that one value of kind k needs, 0 for kinds of varying length and for arrays.
func (k Kind) Width() int {
	switch k {
	case Null, Bool, Int8, Uint8:
		return 1
	case Int16, Uint16:
		return 2
	case Int32, Uint32, Float32:
		return 4
	case Int64, Uint64, Float64, DateTime:
		return 8
	}
	return 0
}

// Valid says whether k is one of the kinds above or an array of one.
func (k Kind) Valid() bool {
	e := k.Elem()
	return k&^(Array|63) == 0 && int(e) < len(kindNames) && kindNames[e] != "" && (e != Null || !k.IsArray())
}

// inAux says whether a value of kind k lies in Batch.Aux.
func (k Kind) inAux() bool { return k.Width() == 0 }
