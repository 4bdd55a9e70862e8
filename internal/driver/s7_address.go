package driver

import (
	"strconv"
	"strings"

	"millrace/internal/tag"
	"millrace/s7"
)

// s7Point is a parsed address: what to read, and what it means.
type s7Point struct {
	area   s7.Area
	db     uint16 // 0 outside DBs
	at     int    // byte, or the number of a counter or timer
	bit    int    // of a BOOL, 0-7; else 0
	typ    s7.DataType
	chars  int  // declared length of a STRING or WSTRING
	count  int  // elements of an array, characters of a text without a head; 0 for a single value
	output bool // of AreaPeripheral: the outputs, which cannot be read
}

// s7Space is the bytes of a DB or area that can be addressed, and the counters and timers: what the protocol gives of a PLC ends there, although its
// addresses go on.
const s7Space = 1 << 16

// stride returns how many bytes lie between the elements of an array: texts begin at even ones.
func (p *s7Point) stride() int {
	n := p.typ.Size(p.chars)
	if isHeaded(p.typ) {
		n += n % 2
	}
	return n
}

// bytes returns how many bytes the point covers. A bit covers the one that it is in.
func (p *s7Point) bytes() int {
	if p.typ == s7.TypeBool {
		return (p.bit + max(1, p.count) + 7) / 8
	}
	return (max(1, p.count)-1)*p.stride() + p.typ.Size(p.chars)
}

// end returns the byte behind the point, or the number behind its last counter or timer.
func (p *s7Point) end() int {
	if p.area.Numbered() {
		return p.at + max(1, p.count)
	}
	return p.at + p.bytes()
}

// isArray says whether the values are arrays. Characters that follow one another are one text.
func (p *s7Point) isArray() bool { return p.count > 0 && !isChars(p.typ) }

// kind returns the kind of the values.
func (p *s7Point) kind() tag.Kind {
	k := s7Kinds[p.typ]
	if p.isArray() {
		k |= tag.Array
	}
	return k
}

// letter returns what stands between area and number: the size, or B for what has none of its own.
func (p *s7Point) letter() string {
	if p.area.Numbered() {
		return ""
	}
	if p.typ == s7.TypeBool {
		return "X"
	}
	if !isHeaded(p.typ) {
		switch p.typ.Size(0) {
		case 2:
			return "W"
		case 4:
			return "D"
		}
	}
	return "B"
}

// plainType returns the type that an address has without saying so.
func plainType(letter string) s7.DataType {
	switch letter {
	case "X":
		return s7.TypeBool
	case "B":
		return s7.TypeByte
	case "W":
		return s7.TypeWord
	case "D":
		return s7.TypeDWord
	}
	return 0
}

// place returns area, size and number: DB1.DBW4, MW4, M4.0, T5.
func (p *s7Point) place(letter string) string {
	b := make([]byte, 0, 32)
	switch {
	case p.area == s7.AreaDB:
		b = strconv.AppendUint(append(b, "DB"...), uint64(p.db), 10)
		b = append(append(b, ".DB"...), letter...)
	case letter == "X":
		b = append(b, p.areaName()...)
	default:
		b = append(append(b, p.areaName()...), letter...)
	}
	b = strconv.AppendInt(b, int64(p.at), 10)
	if letter == "X" {
		b = strconv.AppendInt(append(b, '.'), int64(p.bit), 10)
	}
	return string(b)
}

func (p *s7Point) areaName() string {
	switch {
	case p.area != s7.AreaPeripheral:
		return p.area.String()
	case p.output:
		return "PQ"
	}
	return "PI"
}

// typeName returns what the type is called where the point lies.
func (p *s7Point) typeName() string {
	if p.area == s7.AreaTimer {
		return "TIMER"
	}
	return p.typ.String()
}

// String returns the canonical form: DB1.DBD4:REAL, DB1.DBX0.0, MW20:INT, T5, DB1.DBB10:STRING[20], DB1.DBD0:REAL[5]. A type that the letter says already
// (BOOL, BYTE, WORD, DWORD, timers and counters) is left out. Parsing it gives p back.
func (p *s7Point) String() string {
	letter := p.letter()
	s := p.place(letter)
	if p.count == 0 && (p.typ == plainType(letter) || p.area.Numbered()) {
		return s
	}
	s += ":" + p.typeName()
	if isHeaded(p.typ) {
		s += "[" + strconv.Itoa(p.chars) + "]"
	}
	if p.count > 0 {
		s += "[" + strconv.Itoa(p.count) + "]"
	}
	return s
}

// Canonical returns the one form of an address that every dialect is turned into.
func (S7) Canonical(address string) (string, error) {
	p, err := parseS7(address)
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// Describe returns what address is in its one form, and the kind of its values.
func (S7) Describe(address string) (Description, error) {
	p, err := parseS7(address)
	if err != nil {
		return Description{}, err
	}
	return Description{Address: p.String(), Kind: p.kind()}, nil
}

// parseS7 reads an address in any of the dialects:
//
//	DB1.DBX0.0  DB1.DBW2  DB1.DBD4:REAL  M10.5  MW20:INT  E0.0  AB1  PEW256  T5  Z3  DB1.DBB10:STRING[20]   STEP 7, TIA, python-snap7
//	DB1,REAL4  DB1,R4  DB1,X0.1  DB1,S10.20  DB1,REAL0.5  MR4  ISTRING24.50                                Kepware, Node-RED, Ignition
//	DB1.R4  DB1.X2.1  DB2.S1.32  DB3.LR12  PE.W0  MK.X1.2  C.W3                                            Telegraf, benthos-umh
//	%I0.0:BOOL  %DB1.DBD0:REAL[5]  %DB1.DBX8:LREAL  DB1:10:STRING(20)  M20:INT                             PLC4X
//	V10.2  VB10  VW100  VD4:REAL                                                                           S7-200 and LOGO!: V is DB1
func parseS7(s string) (s7Point, error) {
	a := s7Parser{rest: strings.ToUpper(strings.TrimSpace(s)), bit: -1}
	a.rest = strings.TrimPrefix(a.rest, "%")
	a.whole = a.rest
	if a.rest == "" {
		return s7Point{}, &AddressError{"the address is empty", "write one such as DB1.DBD4:REAL"}
	}
	for _, step := range []func() error{a.place, a.suffixes, a.finish} {
		if err := step(); err != nil {
			return s7Point{}, err
		}
	}
	return a.p, nil
}
