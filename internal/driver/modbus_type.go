package driver

import (
	"cmp"
	"slices"
	"strings"

	"millrace/internal/tag"
)

// modbusType is what a point's registers or bits mean.
type modbusType uint8

const (
	typeNone modbusType = iota // not said
	typeBool
	typeInt16
	typeUint16
	typeInt32
	typeUint32
	typeInt64
	typeUint64
	typeFloat16
	typeFloat32
	typeFloat64
	typeString
	typeBytes
)

// typeTable has each type's canonical name, the kind of its values, and the registers that one value takes (0: as long as it says).
var typeTable = [...]struct {
	name  string
	kind  tag.Kind
	words int
}{
	typeBool:    {"bool", tag.Bool, 1},
	typeInt16:   {"int16", tag.Int16, 1},
	typeUint16:  {"uint16", tag.Uint16, 1},
	typeInt32:   {"int32", tag.Int32, 2},
	typeUint32:  {"uint32", tag.Uint32, 2},
	typeInt64:   {"int64", tag.Int64, 4},
	typeUint64:  {"uint64", tag.Uint64, 4},
	typeFloat16: {"float16", tag.Float32, 1},
	typeFloat32: {"float32", tag.Float32, 2},
	typeFloat64: {"float64", tag.Float64, 4},
	typeString:  {"string", tag.String, 0},
	typeBytes:   {"bytes", tag.ByteString, 0},
}

func (t modbusType) String() string { return typeTable[t].name }
func (t modbusType) kind() tag.Kind { return typeTable[t].kind }
func (t modbusType) words() int     { return typeTable[t].words }
func (t modbusType) isText() bool   { return t == typeString || t == typeBytes }

// typeNames are the names accepted, lower case: ours, IEC 61131-3 as STEP 7 and PLC4X write it, and what other gateways say.
var typeNames = map[string]modbusType{
	"bool": typeBool, "bit": typeBool, "boolean": typeBool,
	"int16": typeInt16, "int": typeInt16, "short": typeInt16, "i16": typeInt16, "s16": typeInt16,
	"uint16": typeUint16, "uint": typeUint16, "word": typeUint16, "ushort": typeUint16, "u16": typeUint16,
	"int32": typeInt32, "dint": typeInt32, "i32": typeInt32, "s32": typeInt32,
	"uint32": typeUint32, "udint": typeUint32, "dword": typeUint32, "u32": typeUint32,
	"int64": typeInt64, "lint": typeInt64, "i64": typeInt64, "s64": typeInt64,
	"uint64": typeUint64, "ulint": typeUint64, "lword": typeUint64, "u64": typeUint64,
	"float16": typeFloat16, "half": typeFloat16, "f16": typeFloat16,
	"float32": typeFloat32, "real": typeFloat32, "float": typeFloat32, "single": typeFloat32, "f32": typeFloat32,
	"float64": typeFloat64, "lreal": typeFloat64, "double": typeFloat64, "f64": typeFloat64,
	"string": typeString, "str": typeString, "bytes": typeBytes,
}

// byteOrder says how the bytes on the wire differ from most significant first. Every order in use is a set of these swaps.
type byteOrder uint8

const (
	swapBytes  byteOrder = 1 << iota // in each register
	swapWords                        // of each 32 bits
	swapDwords                       // of each 64 bits
)

// orderNames[n] has the names of the orders of a value of n registers, by byteOrder. A is the most significant byte; the
// letters stand in the order of the wire.
var orderNames = map[int][]string{
	1: {"ab", "ba"},
	2: {"abcd", "badc", "cdab", "dcba"},
	4: {"abcdefgh", "badcfehg", "cdabghef", "dcbahgfe", "efghabcd", "fehgbadc", "ghefcdab", "hgfedcba"},
}

// orderShort are names that mean the same for every width: the order of all registers, and that of the bytes in each.
var orderShort = map[string]func(words int) byteOrder{
	"abcd": func(int) byteOrder { return 0 },
	"badc": func(int) byteOrder { return swapBytes },
	"cdab": reverseWords,
	"dcba": func(words int) byteOrder { return swapBytes | reverseWords(words) },
}

func reverseWords(words int) byteOrder {
	switch words {
	case 2:
		return swapWords
	case 4:
		return swapWords | swapDwords
	}
	return 0
}

// isOrder says whether s is the name of any order.
func isOrder(s string) bool {
	for _, names := range orderNames {
		for _, n := range names {
			if n == s {
				return true
			}
		}
	}
	return false
}

// parseOrder returns the order called s of a value of so many registers. For 64 bits the four-letter names count registers from
// the most significant (cdab is ghefcdab, the least significant register first).
func parseOrder(s string, words int) (byteOrder, bool) {
	for i, n := range orderNames[words] {
		if n == s {
			return byteOrder(i), true
		}
	}
	if f := orderShort[s]; f != nil && words == 4 {
		return f(words), true
	}
	return 0, false
}

// textLayout says where the characters of a string lie in its registers.
type textLayout uint8

const (
	highFirst textLayout = iota // two characters a register, the first in the high byte
	lowFirst                    // two characters a register, the first in the low byte
	lowOnly                     // one character a register, in the low byte
	highOnly                    // one character a register, in the high byte
)

var layoutNames = [...]string{highFirst: "highbyte", lowFirst: "lowbyte", lowOnly: "lowonly", highOnly: "highonly"}

func parseLayout(s string) (textLayout, bool) {
	for i, n := range layoutNames {
		if n == s {
			return textLayout(i), true
		}
	}
	return 0, false
}

// registers returns how many registers n characters take.
func (l textLayout) registers(n int) int {
	if l == lowOnly || l == highOnly {
		return n
	}
	return (n + 1) / 2
}

// suffixNames are all words that may stand behind an address, for suggestions.
func suffixNames() []string {
	names := append([]string(nil), layoutNames[:]...)
	for n := range typeNames {
		names = append(names, n)
	}
	for _, o := range orderNames {
		names = append(names, o...)
	}
	// The first of equally near names is suggested: the longer one, which is canonical as a rule.
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return names
}
