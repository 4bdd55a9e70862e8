// Package driver makes device sessions of protocol clients: it parses addresses, plans requests, and decodes replies into batches.
package driver

import (
	"fmt"
	"strconv"
	"strings"
)

// modbusArea is one of the four tables of a Modbus device, by its Modicon digit.
type modbusArea uint8

// The areas. The numbers are those of device.Span.Area.
const (
	areaCoil     modbusArea = 0
	areaDiscrete modbusArea = 1
	areaInput    modbusArea = 3
	areaHolding  modbusArea = 4
)

func (a modbusArea) String() string {
	switch a {
	case areaCoil:
		return "coil"
	case areaDiscrete:
		return "discrete"
	case areaInput:
		return "input"
	case areaHolding:
		return "holding"
	}
	return "area " + strconv.Itoa(int(a))
}

func (a modbusArea) isBits() bool { return a == areaCoil || a == areaDiscrete }

func (a modbusArea) isWritable() bool { return a == areaCoil || a == areaHolding }

// noun returns what one address of the area is.
func (a modbusArea) noun() string {
	switch a {
	case areaDiscrete:
		return "discrete input"
	case areaInput, areaHolding:
		return a.String() + " register"
	}
	return a.String()
}

// noUnit stands for the unit id of the device that has the tag.
const noUnit = -1

// modbusPoint is a parsed address: what to read, and what it means.
type modbusPoint struct {
	unit   int // 0-255, or noUnit
	area   modbusArea
	addr   int // counts from 0, as on the wire
	bit    int // of a register, 0 the least significant; -1 none
	typ    modbusType
	order  byteOrder
	layout textLayout
	count  int // elements of an array, 0 for a single value
	length int // characters of a text
	scale  float64
}

// AddressError says what is wrong with an address and what to write instead.
type AddressError struct {
	Problem string
	Hint    string // "" or what to do
}

func (e *AddressError) Error() string {
	if e.Hint == "" {
		return e.Problem
	}
	return e.Problem + "; " + e.Hint
}

// span returns how many addresses the point covers.
func (p *modbusPoint) span() int {
	n := 1
	switch {
	case p.typ.isText():
		n = p.layout.registers(p.length)
	case !p.area.isBits():
		n = p.typ.words()
	}
	return n * max(1, p.count)
}

// end returns the address behind the point.
func (p *modbusPoint) end() int { return p.addr + p.span() }

// String returns the canonical form: [unit!]area:address[.bit][:type[[n]][:order or layout]]. Addresses count from 0. Parsing it
// gives p back, but for scale, which is the tag's.
func (p *modbusPoint) String() string {
	b := make([]byte, 0, 32)
	if p.unit != noUnit {
		b = append(strconv.AppendInt(b, int64(p.unit), 10), '!')
	}
	b = append(append(b, p.area.String()...), ':')
	b = strconv.AppendInt(b, int64(p.addr), 10)
	if p.bit >= 0 {
		return string(strconv.AppendInt(append(b, '.'), int64(p.bit), 10))
	}
	if p.area.isBits() && p.count == 0 {
		return string(b)
	}
	b = append(append(b, ':'), p.typ.String()...)
	if n := max(p.count, p.length); n > 0 {
		b = append(strconv.AppendInt(append(b, '['), int64(n), 10), ']')
	}
	switch {
	case p.typ.isText() && p.layout != highFirst:
		b = append(append(b, ':'), layoutNames[p.layout]...)
	case p.order != 0:
		b = append(append(b, ':'), orderNames[p.typ.words()][p.order]...)
	}
	return string(b)
}

// Canonical returns the one form of an address that every dialect is turned into. A dialect that carries a scale gives it as the
// attribute of the tag that it is: "holding:100:int16 scale=0.1".
func (Modbus) Canonical(address string) (string, error) {
	p, err := parseModbus(address)
	if err != nil {
		return "", err
	}
	s := p.String()
	if p.scale != 0 {
		s += " scale=" + strconv.FormatFloat(p.scale, 'g', -1, 64)
	}
	return s, nil
}

// parseModbus reads an address in any of the dialects:
//
//	holding:100:float32:cdab  holding:20.3  input:40:string[20]:lowbyte  coil:7:bool[8]  hr100  di:3     from 0
//	holding.100.INT16:scale=0.1                                                                          from 0
//	40001  400001  4x0001  40001.3  40001:float32                                                        from 1
//	holding-register:1:REAL[2]                                                                           from 1
//	1!400001#LB  1!40001.15  1!40001.10H                                                                 from 1, of unit 1
//
// "unit!" may stand before each of them.
func parseModbus(s string) (modbusPoint, error) {
	a := addressParser{rest: strings.TrimSpace(s), p: modbusPoint{unit: noUnit, bit: -1}}
	if a.rest == "" {
		return a.p, &AddressError{"the address is empty", "write one such as holding:100:float32"}
	}
	for _, step := range []func() error{a.unit, a.place, a.postfix, a.suffixes, a.finish} {
		if err := step(); err != nil {
			return modbusPoint{}, err
		}
	}
	return a.p, nil
}

// addressParser works through an address from left to right.
type addressParser struct {
	rest     string
	p        modbusPoint
	base     int    // what the dialect counts from
	orderBy  string // name of the order, known only once the type is
	brackets bool   // [n] was given
	dotted   int    // number behind the dot, -1 none
	fromRef  bool   // a Modicon reference
}

func bad(format string, args ...any) *AddressError {
	return &AddressError{Problem: fmt.Sprintf(format, args...)}
}

func (e *AddressError) hint(format string, args ...any) *AddressError {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// unit takes "7!".
func (a *addressParser) unit() error {
	before, after, ok := strings.Cut(a.rest, "!")
	if !ok {
		return nil
	}
	n, err := strconv.ParseUint(before, 10, 8)
	if err != nil {
		return bad("%q is no unit id", before).hint("the unit before ! is a number from 0 to 255")
	}
	a.p.unit, a.rest = int(n), after
	return nil
}

// place takes area and address.
func (a *addressParser) place() error {
	if a.rest != "" && a.rest[0] >= '0' && a.rest[0] <= '9' {
		return a.reference()
	}
	return a.named()
}

// digits takes the decimal digits that stand next.
func (a *addressParser) digits() string {
	n := 0
	for n < len(a.rest) && a.rest[n] >= '0' && a.rest[n] <= '9' {
		n++
	}
	d := a.rest[:n]
	a.rest = a.rest[n:]
	return d
}

var areaByDigit = map[byte]modbusArea{'0': areaCoil, '1': areaDiscrete, '3': areaInput, '4': areaHolding}

// reference takes 40001, 400001 and 4x1: the digit of the area, then a number that counts from 1.
func (a *addressParser) reference() error {
	a.base, a.fromRef = 1, true
	whole := a.rest
	d := a.digits()
	area, ok := areaByDigit[d[0]]
	number := d[1:]
	if len(d) == 1 && a.rest != "" && (a.rest[0] == 'x' || a.rest[0] == 'X') {
		a.rest = a.rest[1:]
		number = a.digits()
	} else if len(d) != 5 && len(d) != 6 {
		return bad("%s names no area", d).hint("did you mean holding:%s, which counts from 0? A reference has 5 or 6 digits, such as 40001, and counts from 1", d)
	}
	if !ok {
		return bad("%s begins with %c, which is no area", whole, d[0]).hint("0 is coils, 1 discrete inputs, 3 input registers, 4 holding registers")
	}
	a.p.area = area
	return a.number(number)
}

// areaNames are the names accepted before an address, and what their dialect counts from.
var areaNames = map[string]struct {
	area modbusArea
	base int
}{
	"holding": {areaHolding, 0}, "hr": {areaHolding, 0}, "holding_register": {areaHolding, 0}, "holdingregister": {areaHolding, 0},
	"input": {areaInput, 0}, "ir": {areaInput, 0}, "input_register": {areaInput, 0}, "inputregister": {areaInput, 0},
	"coil": {areaCoil, 0}, "co": {areaCoil, 0}, "coils": {areaCoil, 0},
	"discrete": {areaDiscrete, 0}, "di": {areaDiscrete, 0}, "discrete_input": {areaDiscrete, 0}, "discreteinput": {areaDiscrete, 0},
	// PLC4X counts from 1. Its coil:1 is spelled like ours and means coil 1 of the wire here.
	"holding-register": {areaHolding, 1}, "input-register": {areaInput, 1}, "discrete-input": {areaDiscrete, 1},
}

// named takes holding:100, hr100, holding.100.INT16 and temperature.holding.100.INT16.
func (a *addressParser) named() error {
	word := a.word()
	known, ok := areaNames[strings.ToLower(word)]
	if !ok && strings.HasPrefix(a.rest, ".") {
		// A tag's name may stand first; the tag has one already.
		saved := a.rest
		a.rest = a.rest[1:]
		if known, ok = areaNames[strings.ToLower(a.word())]; !ok || !strings.HasPrefix(a.rest, ".") {
			a.rest, ok = saved, false
		}
	}
	if !ok {
		e := bad("%q is no area", word)
		if m := didYouMean(word, []string{"holding", "input", "coil", "discrete", "hr", "ir", "co", "di"}); m != "" {
			return e.hint("did you mean %s%s?", m, a.rest)
		}
		return e.hint("an address begins with holding, input, coil or discrete, or is a reference such as 40001")
	}
	a.p.area, a.base = known.area, known.base
	dots := strings.HasPrefix(a.rest, ".")
	if a.rest != "" && (a.rest[0] == ':' || a.rest[0] == '.') {
		a.rest = a.rest[1:]
	}
	if err := a.namedNumber(); err != nil || !dots {
		return err
	}
	// holding.100.INT16: what follows the second dot is a type, as if a colon stood there.
	if strings.HasPrefix(a.rest, ".") && len(a.rest) > 1 && (a.rest[1] < '0' || a.rest[1] > '9') {
		a.rest = ":" + a.rest[1:]
	}
	return nil
}

// word takes letters, - and _.
func (a *addressParser) word() string {
	n := 0
	for n < len(a.rest) && (a.rest[n]|0x20 >= 'a' && a.rest[n]|0x20 <= 'z' || a.rest[n] == '-' || a.rest[n] == '_') {
		n++
	}
	w := a.rest[:n]
	a.rest = a.rest[n:]
	return w
}

// namedNumber takes a number that may be hexadecimal.
func (a *addressParser) namedNumber() error {
	if len(a.rest) > 2 && a.rest[0] == '0' && a.rest[1]|0x20 == 'x' {
		n := 2
		for n < len(a.rest) && strings.IndexByte("0123456789abcdefABCDEF", a.rest[n]) >= 0 {
			n++
		}
		hex := a.rest[2:n]
		a.rest = a.rest[n:]
		v, err := strconv.ParseUint(hex, 16, 32)
		if err != nil {
			return bad("0x%s is no address", hex).hint("addresses end at 0xFFFF")
		}
		return a.setAddr(int(v))
	}
	return a.number(a.digits())
}

func (a *addressParser) number(d string) error {
	if d == "" {
		return bad("there is no number behind the area").hint("did you mean %s:0?", a.p.area)
	}
	v, err := strconv.ParseUint(d, 10, 32)
	if err != nil {
		return a.outside(d)
	}
	return a.setAddr(int(v))
}

func (a *addressParser) setAddr(v int) error {
	if v < a.base || v-a.base > 65535 {
		return a.outside(strconv.Itoa(v))
	}
	a.p.addr = v - a.base
	return nil
}

func (a *addressParser) outside(d string) error {
	if a.base == 1 {
		return bad("there is no %s %s", a.p.area, d).hint("numbers of this dialect go from 1 to 65536")
	}
	return bad("there is no %s %s", a.p.area, d).hint("addresses go from 0 to 65535")
}
