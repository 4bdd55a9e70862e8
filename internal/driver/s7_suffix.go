package driver

import (
	"strconv"
	"strings"

	"millrace/s7"
)

// suffixes takes brackets at the number, and what follows each colon: a type with its sizes, or P.
func (a *s7Parser) suffixes() error {
	if err := a.brackets(); err != nil {
		return err
	}
	for a.rest != "" {
		if !a.takes(":") {
			return bad("%q does not belong to an address", a.rest).hint("a type is written behind a colon, as in DB1.DBD4:REAL")
		}
		name := ""
		if n := strings.IndexAny(a.rest, ":[("); n >= 0 {
			name, a.rest = a.rest[:n], a.rest[n:]
		} else {
			name, a.rest = a.rest, ""
		}
		if err := a.suffix(name); err != nil {
			return err
		}
		if err := a.brackets(); err != nil {
			return err
		}
	}
	return nil
}

func (a *s7Parser) suffix(name string) error {
	if name == "P" && (a.p.area == s7.AreaInputs || a.p.area == s7.AreaOutputs) {
		a.p.output = a.p.area == s7.AreaOutputs
		a.p.area = s7.AreaPeripheral
		return nil
	}
	t, ok := s7TypeNamed(name)
	switch {
	case !ok:
		e := bad("%q is no type", name)
		if m := s7MeantType(name); m != "" {
			return e.hint("did you mean %s?", m)
		}
		return e.hint("types are BOOL, BYTE, WORD, DWORD, LWORD, SINT, INT, DINT, LINT, USINT, UINT, UDINT, ULINT, REAL, LREAL, CHAR, WCHAR, STRING[n], " +
			"WSTRING[n], DATE, TOD, TIME, LTIME, LTOD, LDT, DT, DTL, S5TIME, COUNTER and TIMER")
	case a.p.typ != 0 && a.p.typ != t:
		return bad("there are two types, %s and %s", a.p.typ, t).hint("leave one of them out")
	}
	a.p.typ = t
	return nil
}

// brackets takes [n] and (n), as often as they stand there.
func (a *s7Parser) brackets() error {
	for a.rest != "" && (a.rest[0] == '[' || a.rest[0] == '(') {
		end := map[byte]string{'[': "]", '(': ")"}[a.rest[0]]
		inside, after, ok := strings.Cut(a.rest[1:], end)
		n, err := strconv.ParseUint(inside, 10, 17)
		if !ok || err != nil || n == 0 {
			return bad("%q is no length", a.rest).hint("an array is written REAL[5], a text STRING[20], an array of texts STRING[20][3]")
		}
		a.sizes, a.rest = append(a.sizes, int(n)), after
	}
	return nil
}

// finish fills in what was not said and refuses what does not fit together.
func (a *s7Parser) finish() error {
	for _, step := range []func() error{a.finishType, a.finishBit, a.finishSize, a.finishCount} {
		if err := step(); err != nil {
			return err
		}
	}
	p := &a.p
	if p.end() > s7Space {
		return bad("%s ends behind the last address, %d", p, s7Space-1).hint("it takes %d bytes", p.bytes())
	}
	return nil
}

func (a *s7Parser) finishType() error {
	p := &a.p
	if p.area.Numbered() {
		return a.finishNumbered()
	}
	if p.typ == 0 {
		p.typ = plainType(a.letter)
	}
	if p.typ != 0 {
		return nil
	}
	switch {
	case a.bit >= 0:
		p.typ = s7.TypeBool
	case a.v:
		p.typ = s7.TypeByte
	case p.area == s7.AreaDB:
		return bad("%s has no type", a.whole).hint("did you mean DB%d:%d:INT?", p.db, p.at)
	default:
		name := p.areaName()
		return bad("%s is neither a bit nor a byte", a.whole).hint("did you mean %s%d.0, %sB%d or %sW%d?", name, p.at, name, p.at, name, p.at)
	}
	return nil
}

// finishNumbered sees to counters and timers, which have one type.
func (a *s7Parser) finishNumbered() error {
	p := &a.p
	t, name := s7.TypeCounter, "COUNTER"
	if p.area == s7.AreaTimer {
		t, name = s7.TypeS5Time, "TIMER"
	}
	if a.bit >= 0 {
		return bad("a %s has no bits", strings.ToLower(name)).hint("did you mean %s%d?", p.area, p.at)
	}
	if p.typ != 0 && p.typ != t {
		return bad("%s%d is a %s, not %s", p.area, p.at, name, p.typ).hint("leave the type out")
	}
	p.typ = t
	return nil
}

// finishBit puts the bit in its place.
func (a *s7Parser) finishBit() error {
	p := &a.p
	switch {
	case p.typ == s7.TypeBool && a.bit < 0:
		p.bit = 0
		return bad("a BOOL needs a bit").hint("did you mean %s?", p.place("X"))
	case a.bit < 0:
		return nil
	case a.letter == "B" || a.letter == "W" || a.letter == "D":
		return a.bitOf(plainType(a.letter).Size(0))
	case a.bit > 7:
		return bad("a byte has no bit %d", a.bit).hint("bits go from .0 to .7")
	case p.typ == s7.TypeBool:
		p.bit = a.bit
	case a.bit > 0: // TIA writes byte 8 as 8.0
		return bad("a %s begins at a byte, not at bit %d", p.typ, a.bit).hint("did you mean %s:%s?", p.place(p.letter()), p.typ)
	}
	return nil
}

// bitOf refuses a bit of a word, and says which one of which byte it is.
func (a *s7Parser) bitOf(size int) error {
	p := a.p
	if a.bit >= 8*size {
		return bad("%s has no bit %d", a.letter, a.bit).hint("a bit is written DB1.DBX0.7 or M0.7")
	}
	p.at += size - 1 - a.bit/8
	p.bit = a.bit % 8
	return bad("%s has a size and a bit", a.whole).hint("did you mean %s?", p.place("X"))
}

// finishSize holds the letter against the type.
func (a *s7Parser) finishSize() error {
	p := &a.p
	want := p.letter()
	switch {
	case a.typed, a.letter == "", a.letter == want, a.letter == "B" && p.typ != s7.TypeBool:
		return nil
	case a.letter == "X" && p.typ != s7.TypeBool: // PLC4X, for what has no size of its own
		return nil
	case a.letter == "D" && p.typ.Size(0) == 8 && !isHeaded(p.typ):
		return nil
	case p.typ == s7.TypeBool:
		return bad("one bit is no %s", plainType(a.letter)).hint("did you mean %s?", p.place("X"))
	}
	return bad("a %s does not lie in a %s", p.typ, plainType(a.letter)).hint("did you mean %s:%s?", p.place(want), p.typ)
}

// finishCount says what the numbers in brackets, or behind the dots, are.
func (a *s7Parser) finishCount() error {
	p := &a.p
	if isHeaded(p.typ) {
		p.chars = defaultText
		if len(a.sizes) > 0 {
			if a.sizes[0] > 0 { // Ignition writes 0 for a text that is as long as can be
				p.chars = a.sizes[0]
			}
			a.sizes = a.sizes[1:]
		}
		if p.chars > longestText(p.typ) {
			return bad("a %s has at most %d characters", p.typ, longestText(p.typ))
		}
	}
	switch {
	case len(a.sizes) > 1:
		return bad("there are %d lengths", len(a.sizes)).hint("arrays have one dimension here; multiply them")
	case len(a.sizes) == 0:
		return nil
	case a.sizes[0] == 0:
		return bad("an array has no elements")
	}
	p.count = a.sizes[0]
	return a.ambiguous()
}

// ambiguous refuses DB1,W0.3, which is bit 3 to Kepware and an array of three to Node-RED.
func (a *s7Parser) ambiguous() error {
	p := &a.p
	class := p.typ.Class()
	if !a.typed || class != s7.ClassInt && class != s7.ClassUint || strings.Contains(a.whole, "[") || p.count >= 8*p.typ.Size(0) {
		return nil
	}
	bit := *p
	bit.at += p.typ.Size(0) - 1 - p.count/8
	bit.bit = p.count % 8
	return bad("%s is a bit to Kepware and an array to Node-RED", a.whole).hint("did you mean %s, or %s?", bit.place("X"), p)
}
