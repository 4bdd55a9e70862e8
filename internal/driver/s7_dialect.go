package driver

import (
	"strconv"
	"strings"

	"millrace/s7"
)

// s7Parser works through an address from left to right, in capitals.
type s7Parser struct {
	whole  string
	rest   string
	p      s7Point
	letter string // size behind the area: X, B, W, D or none
	typed  bool   // the type stands before the number: DB1,R4
	bit    int    // said, -1 none
	sizes  []int  // numbers in brackets, or behind the dots of a typed address
	v      bool   // V memory, of which a byte needs no letter
}

// letters takes the letters that stand next. S5TIME is the one name of a type that has a digit in it.
func (a *s7Parser) letters() string {
	if a.takes("S5TIME") {
		return "S5TIME"
	}
	n := 0
	for n < len(a.rest) && (a.rest[n] >= 'A' && a.rest[n] <= 'Z' || a.rest[n] == '_') {
		n++
	}
	w := a.rest[:n]
	a.rest = a.rest[n:]
	return w
}

func (a *s7Parser) digits() string {
	n := 0
	for n < len(a.rest) && isDigit(a.rest[n]) {
		n++
	}
	d := a.rest[:n]
	a.rest = a.rest[n:]
	return d
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'A' && c <= 'Z' }

// takes removes prefix when it stands next.
func (a *s7Parser) takes(prefix string) bool {
	rest, ok := strings.CutPrefix(a.rest, prefix)
	a.rest = rest
	return ok
}

// number takes the number of a byte, counter or timer.
func (a *s7Parser) number() error {
	d := a.digits()
	if d == "" {
		return bad("%s has no number", a.whole).hint("an address ends with the number of a byte, as in DB1.DBW2 or MW20")
	}
	n, err := strconv.ParseUint(d, 10, 32)
	if err != nil || n >= s7Space {
		return bad("there is no byte %s", d).hint("bytes, counters and timers go from 0 to %d", s7Space-1)
	}
	a.p.at = int(n)
	return nil
}

// place takes area, size or type, and number.
func (a *s7Parser) place() error {
	word := a.letters()
	if word == "DB" && a.rest != "" && isDigit(a.rest[0]) {
		return a.dataBlock()
	}
	if ok, err := a.telegraf(word); ok {
		return err
	}
	return a.areaAndSize(word)
}

// dataBlock takes what follows DB.
func (a *s7Parser) dataBlock() error {
	d := a.digits()
	n, err := strconv.ParseUint(d, 10, 16)
	if err != nil || n == 0 {
		return bad("there is no DB%s", d).hint("data blocks go from DB1 to DB65535")
	}
	a.p.area, a.p.db = s7.AreaDB, uint16(n)
	switch {
	case a.takes(".DB"):
		return a.sized(a.letters())
	case a.takes(","), a.takes("."):
		return a.typedPlace(a.letters())
	case a.takes(":"):
		return a.sized("")
	}
	return bad("%s does not say which byte of DB%d", a.whole, n).hint("did you mean DB%d.DBW0?", n)
}

// sized takes number and bit behind a size.
func (a *s7Parser) sized(letter string) error {
	a.letter = letter
	if letter != "" && plainType(letter) == 0 {
		e := bad("%q is no size", letter)
		if t, ok := s7TypeCoded(letter); ok && a.p.area == s7.AreaDB && a.rest != "" && isDigit(a.rest[0]) {
			n, _ := strconv.Atoi(a.digits())
			p := s7Point{area: s7.AreaDB, db: a.p.db, at: n, typ: t}
			return e.hint("did you mean %s?", p.place(p.letter())+":"+t.String())
		}
		return e.hint("X is for bits, B for bytes, W for words and D for double words, as in DB1.DBW2")
	}
	if err := a.number(); err != nil {
		return err
	}
	if !a.takes(".") {
		return nil
	}
	d := a.digits()
	n, err := strconv.ParseUint(d, 10, 8)
	if err != nil {
		return bad("%q behind the dot is no bit", d+a.rest).hint("bits go from .0 to .7")
	}
	a.bit = int(n)
	return nil
}

// typedPlace takes number and what belongs to it behind a type: DB1,X0.1 DB1,S10.20 DB1,REAL0.5.
func (a *s7Parser) typedPlace(code string) error {
	t, ok := s7TypeCoded(code)
	if !ok {
		return a.badCode(code)
	}
	a.p.typ, a.typed = t, true
	if err := a.number(); err != nil {
		return err
	}
	for len(a.sizes) < 2 && (a.takes(".") || a.takes(",")) {
		n, err := strconv.ParseUint(a.digits(), 10, 17)
		if err != nil {
			return bad("%s ends without a number", a.whole)
		}
		a.sizes = append(a.sizes, int(n))
	}
	if t == s7.TypeBool && len(a.sizes) > 0 {
		a.bit, a.sizes = a.sizes[0], a.sizes[1:]
	}
	return nil
}

// badCode refuses a type that nobody knows, such as ISTRING.
func (a *s7Parser) badCode(code string) error {
	e := bad("%q is no type", code)
	if code == "" {
		return e.hint("a type stands before the number, as in DB1,REAL4 and DB1.DBD4:REAL")
	}
	if _, ok := s7TypeCoded(code[1:]); ok && code[0] == 'R' {
		return e.hint("values with their bytes the other way round are not read; a PLC's are most significant first, as in %s", strings.Replace(a.whole, code, code[1:], 1))
	}
	if m := s7MeantType(code); m != "" {
		return e.hint("did you mean %s?", strings.Replace(a.whole, code, m, 1))
	}
	return e.hint("types are X, B, W, D, I, DI, R, LR, S and the names in full, such as REAL")
}

// telegrafAreas are the areas of Telegraf and benthos-umh, as gos7 and snap7 call them. Behind them may stand a number that means nothing.
var telegrafAreas = map[string]s7.Area{
	"PE": s7.AreaInputs, "PA": s7.AreaOutputs, "MK": s7.AreaMarkers, "C": s7.AreaCounter, "T": s7.AreaTimer,
}

// telegraf takes PE.W0 and PE0.W0, which are no peripheral inputs, and says whether it did.
func (a *s7Parser) telegraf(word string) (bool, error) {
	area, ok := telegrafAreas[word]
	if !ok {
		return false, nil
	}
	saved := a.rest
	a.digits()
	if !a.takes(".") || a.rest == "" || !isLetter(a.rest[0]) {
		a.rest = saved
		return false, nil
	}
	a.p.area = area
	code := a.letters()
	if area.Numbered() && (code == "W" || code == "I" || code == word) {
		return true, a.sized("")
	}
	return true, a.typedPlace(code)
}

// s7Areas are the names of areas that may stand before a size or a type, longer ones first: E, A and Z are German, F is Kepware's.
var s7Areas = []struct {
	name   string
	area   s7.Area
	output bool
}{
	{"PI", s7.AreaPeripheral, false}, {"PE", s7.AreaPeripheral, false}, {"PQ", s7.AreaPeripheral, true}, {"PA", s7.AreaPeripheral, true},
	{"I", s7.AreaInputs, false}, {"E", s7.AreaInputs, false}, {"Q", s7.AreaOutputs, false}, {"A", s7.AreaOutputs, false},
	{"M", s7.AreaMarkers, false}, {"F", s7.AreaMarkers, false}, {"V", s7.AreaDB, false},
	{"T", s7.AreaTimer, false}, {"C", s7.AreaCounter, false}, {"Z", s7.AreaCounter, false},
}

// areaAndSize takes area and size, or area and type: MW20, M10.5, MR4, ISTRING24.50.
func (a *s7Parser) areaAndSize(word string) error {
	for _, known := range s7Areas {
		size, ok := strings.CutPrefix(word, known.name)
		if !ok || known.area.Numbered() && size != "" {
			continue
		}
		_, typed := s7TypeCoded(size)
		if size != "" && !typed {
			continue
		}
		a.p.area, a.p.output = known.area, known.output
		if known.name == "V" {
			a.p.db, a.v = 1, true
		}
		if size == "" || plainType(size) != 0 {
			return a.sized(size)
		}
		return a.typedPlace(size)
	}
	return a.badArea(word)
}

// s7Foreign are areas that are not read, and what to do instead.
var s7Foreign = map[string]string{
	"AIW": "the analog inputs of an S7-200 are not read; have its program copy them to V memory, such as VW0",
	"AQW": "the analog outputs of an S7-200 are not read; have its program copy them to V memory, such as VW0",
	"SM":  "the special memory of an S7-200 is not read; have its program copy it to V memory, such as VB0",
	"HC":  "high-speed counters are not read; have the program copy them to V memory, such as VD0",
	"DI":  "an instance block is read as the DB that it is: DB5.DBW0",
	"L":   "local data live for one call of a block only",
	"DBX": "say which DB: DB1.DBX0.0", "DBB": "say which DB: DB1.DBB0", "DBW": "say which DB: DB1.DBW0", "DBD": "say which DB: DB1.DBD0",
	"DB": "say which DB: DB1.DBW0",
}

func (a *s7Parser) badArea(word string) error {
	e := bad("%q is no area", word)
	if word == "" {
		e = bad("%s begins with no area", a.whole)
	}
	for n := len(word); n > 0; n-- {
		if h, ok := s7Foreign[word[:n]]; ok {
			return e.hint("%s", h)
		}
	}
	for n := min(2, len(word)); n > 0; n-- { // an area, and a type with a slip
		for _, known := range s7Areas {
			if word[:n] != known.name || known.area.Numbered() {
				continue
			}
			if m := s7MeantType(word[n:]); m != "" && len(word) > n+2 {
				return e.hint("did you mean %s%s%s?", known.name, m, a.rest)
			}
		}
	}
	return e.hint("an address begins with DB1, I, Q, M, PI, PQ, T, C or V, as in DB1.DBD4:REAL or MW20")
}
