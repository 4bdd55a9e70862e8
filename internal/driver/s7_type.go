package driver

import (
	"slices"
	"strings"

	"millrace/internal/tag"
	"millrace/s7"
)

// s7Kinds has the kind of the values of each type. What has no kind of its own is a number: TIME, S5TIME and TOD in milliseconds, LTIME and
// LTOD in nanoseconds.
var s7Kinds = [...]tag.Kind{
	s7.TypeBool: tag.Bool,
	s7.TypeByte: tag.Uint8, s7.TypeWord: tag.Uint16, s7.TypeDWord: tag.Uint32, s7.TypeLWord: tag.Uint64,
	s7.TypeSInt: tag.Int8, s7.TypeInt: tag.Int16, s7.TypeDInt: tag.Int32, s7.TypeLInt: tag.Int64,
	s7.TypeUSInt: tag.Uint8, s7.TypeUInt: tag.Uint16, s7.TypeUDInt: tag.Uint32, s7.TypeULInt: tag.Uint64,
	s7.TypeReal: tag.Float32, s7.TypeLReal: tag.Float64,
	s7.TypeChar: tag.String, s7.TypeWChar: tag.String, s7.TypeString: tag.String, s7.TypeWString: tag.String,
	s7.TypeDate: tag.DateTime, s7.TypeDT: tag.DateTime, s7.TypeDTL: tag.DateTime, s7.TypeLDT: tag.DateTime,
	s7.TypeTOD: tag.Uint32, s7.TypeTime: tag.Int32, s7.TypeS5Time: tag.Uint32,
	s7.TypeLTime: tag.Int64, s7.TypeLTOD: tag.Uint64,
	s7.TypeCounter: tag.Uint16,
}

// s7Aliases are names of types besides those that s7.DataType has, as STEP 7, TIA, PLC4X, python-snap7 and our own Modbus addresses write them.
var s7Aliases = map[string]s7.DataType{
	"BIT": s7.TypeBool, "TIMER": s7.TypeS5Time, "FLOAT": s7.TypeReal, "DOUBLE": s7.TypeLReal,
	"TIME_OF_DAY": s7.TypeTOD, "LTIME_OF_DAY": s7.TypeLTOD, "DATE_AND_TIME": s7.TypeDT, "DATE_AND_LTIME": s7.TypeLDT,
	"INT8": s7.TypeSInt, "INT16": s7.TypeInt, "INT32": s7.TypeDInt, "INT64": s7.TypeLInt,
	"UINT8": s7.TypeUSInt, "UINT16": s7.TypeUInt, "UINT32": s7.TypeUDInt, "UINT64": s7.TypeULInt,
	"FLOAT32": s7.TypeReal, "FLOAT64": s7.TypeLReal,
	"FSTRING": s7.TypeChar, // python-snap7's text without a head
}

// s7Codes are the short names that Node-RED, Kepware, Ignition, Telegraf and python-snap7 put before an offset, as in DB1,R4 and DB1.R4.
var s7Codes = map[string]s7.DataType{
	"X": s7.TypeBool, "B": s7.TypeByte, "C": s7.TypeChar, "W": s7.TypeWord, "I": s7.TypeInt, "D": s7.TypeDWord, "DW": s7.TypeDWord, "DI": s7.TypeDInt,
	"R": s7.TypeReal, "S": s7.TypeString, "LR": s7.TypeLReal, "LI": s7.TypeLInt, "LW": s7.TypeLWord, "ULI": s7.TypeULInt, "SI": s7.TypeSInt,
	"USI": s7.TypeUSInt, "UI": s7.TypeUInt, "UDI": s7.TypeUDInt, "WS": s7.TypeWString, "WC": s7.TypeWChar,
	"DTZ": s7.TypeDT, "DTLZ": s7.TypeDTL, // Node-RED: the clock's time is UTC, which is how all are given here
}

// s7TypeNamed returns the type of that name, in capitals.
func s7TypeNamed(name string) (s7.DataType, bool) {
	if t, ok := s7.ParseDataType(name); ok {
		return t, true
	}
	t, ok := s7Aliases[name]
	return t, ok
}

// s7TypeCoded returns the type of that name or short name, in capitals.
func s7TypeCoded(name string) (s7.DataType, bool) {
	if t, ok := s7Codes[name]; ok {
		return t, true
	}
	return s7TypeNamed(name)
}

// s7MeantType returns the name of the type that word most likely was meant to be, "" when none is near.
func s7MeantType(word string) string {
	names := make([]string, 0, 64)
	for t := s7.TypeBool; t <= s7.TypeCounter; t++ {
		names = append(names, strings.ToLower(t.String()))
	}
	aliases := make([]string, 0, len(s7Aliases))
	for n := range s7Aliases {
		aliases = append(aliases, strings.ToLower(n))
	}
	slices.Sort(aliases)
	return strings.ToUpper(didYouMean(word, append(names, aliases...)))
}

// isHeaded says whether t is a text that begins with its length.
func isHeaded(t s7.DataType) bool { return t == s7.TypeString || t == s7.TypeWString }

// isChars says whether t is one character. Several are one text, which ends at its first NUL.
func isChars(t s7.DataType) bool { return t == s7.TypeChar || t == s7.TypeWChar }

// longestText returns how many characters a STRING or WSTRING may be declared with.
func longestText(t s7.DataType) int {
	if t == s7.TypeWString {
		return s7.MaxWString
	}
	return s7.MaxString
}

// defaultText is the length of a STRING or WSTRING that is declared without one.
const defaultText = 254
