package driver

import (
	"strconv"
	"strings"
)

// postfix takes what stands at the number itself: .bit, or .10H for a text, #LB for an order, [n] for an array.
func (a *addressParser) postfix() error {
	a.dotted = -1
	if strings.HasPrefix(a.rest, ".") {
		a.rest = a.rest[1:]
		if err := a.dot(); err != nil {
			return err
		}
	}
	if strings.HasPrefix(a.rest, "#") {
		a.rest = a.rest[1:]
		if err := a.endian(a.word()); err != nil {
			return err
		}
	}
	return a.takeBrackets()
}

// dot takes the bit of a register, or the length of a text with its layout.
func (a *addressParser) dot() error {
	d := a.digits()
	n, err := strconv.ParseUint(d, 10, 16)
	if err != nil {
		return bad("%q behind the dot is no bit", d+a.rest).hint("bits go from .0 to .15")
	}
	a.dotted = int(n)
	layouts := map[string]textLayout{"H": highFirst, "L": lowFirst, "D": lowOnly, "E": highOnly}
	w := a.word()
	if w == "" {
		return nil
	}
	l, ok := layouts[strings.ToUpper(w)]
	if !ok {
		return bad("%q behind the dot is neither a bit nor a length", d+w).hint("a text is written .10H, .10L, .10D or .10E")
	}
	a.p.typ, a.p.length, a.p.layout, a.dotted = typeString, int(n), l, -1
	return nil
}

// endian takes the order as Neuron names it. Two letters are of 32 bits; without a type the value is a uint32.
func (a *addressParser) endian(w string) error {
	names := map[string]string{"L": "ab", "B": "ba", "LL": "abcd", "LB": "badc", "BL": "cdab", "BB": "dcba"}
	o, ok := names[strings.ToUpper(w)]
	if !ok {
		return bad("#%s is no byte order", w).hint("these are #L and #B for 16 bits, #LL, #LB, #BL and #BB for 32")
	}
	a.orderBy = o
	return nil
}

// takeBrackets takes [n].
func (a *addressParser) takeBrackets() error {
	if !strings.HasPrefix(a.rest, "[") {
		return nil
	}
	inside, after, ok := strings.Cut(a.rest[1:], "]")
	n, err := strconv.ParseUint(inside, 10, 17)
	if !ok || err != nil || n == 0 {
		return bad("%q is no length", a.rest).hint("an array is written float32[4], a text string[20]")
	}
	if a.brackets {
		return bad("there are two lengths").hint("arrays of arrays and of texts are not read; make a tag for each")
	}
	a.brackets, a.p.count, a.rest = true, int(n), after
	return a.takeBrackets()
}

// suffixes takes what follows each colon: type, order, layout and the options of the unified form.
func (a *addressParser) suffixes() error {
	for a.rest != "" {
		if a.rest[0] != ':' {
			return bad("%q does not belong to an address", a.rest).hint("a type is written behind a colon, as in holding:100:float32")
		}
		a.rest = a.rest[1:]
		n := strings.IndexAny(a.rest, ":[")
		if n < 0 {
			n = len(a.rest)
		}
		w := strings.ToLower(a.rest[:n])
		a.rest = a.rest[n:]
		if err := a.suffix(w); err != nil {
			return err
		}
		if err := a.takeBrackets(); err != nil {
			return err
		}
	}
	return nil
}

func (a *addressParser) suffix(w string) error {
	if key, value, ok := strings.Cut(w, "="); ok {
		return a.option(key, value)
	}
	if t, ok := typeNames[w]; ok {
		if a.p.typ != typeNone && a.p.typ != t {
			return bad("there are two types, %s and %s", a.p.typ, t).hint("leave one of them out")
		}
		a.p.typ = t
		return nil
	}
	if l, ok := parseLayout(w); ok {
		a.p.layout = l
		return nil
	}
	if isOrder(w) {
		return a.setOrder(w)
	}
	e := bad("%q is neither a type nor a byte order", w)
	if m := didYouMean(w, suffixNames()); m != "" {
		return e.hint("did you mean %s?", m)
	}
	return e.hint("types are bool, int16, uint16, int32, uint32, int64, uint64, float16, float32, float64, string[n], bytes[n]")
}

func (a *addressParser) setOrder(w string) error {
	if a.orderBy != "" && a.orderBy != w {
		return bad("there are two byte orders, %s and %s", a.orderBy, w).hint("leave one of them out")
	}
	a.orderBy = w
	return nil
}

// option takes key=value of the unified form.
func (a *addressParser) option(key, value string) error {
	switch key {
	case "scale":
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || f == 0 || f-f != 0 {
			return bad("scale=%s is no number to multiply with", value).hint("write one such as scale=0.1")
		}
		a.p.scale = f
		return nil
	case "order":
		if !isOrder(value) {
			return bad("order=%s is no byte order", value).hint("these are abcd, cdab, badc, dcba, and eight letters for 64 bits")
		}
		return a.setOrder(value)
	case "bit":
		n, err := strconv.ParseUint(value, 10, 4)
		if err != nil {
			return bad("bit=%s is no bit", value).hint("bits go from 0 to 15")
		}
		a.dotted = int(n)
		return nil
	case "length":
		n, err := strconv.ParseUint(value, 10, 17)
		if err != nil || n == 0 || a.brackets {
			return bad("length=%s is no length", value).hint("write one such as string[20]")
		}
		a.brackets, a.p.count = true, int(n)
		return nil
	}
	e := bad("%s is no option of an address", key)
	if m := didYouMean(key, []string{"scale", "order", "bit", "length"}); m != "" {
		return e.hint("did you mean %s?", m)
	}
	return e.hint("the options are scale, order, bit and length")
}

// finish fills in what was not said and refuses what does not fit together.
func (a *addressParser) finish() error {
	p := &a.p
	if err := a.finishDot(); err != nil {
		return err
	}
	if p.area.isBits() {
		return a.finishBits()
	}
	if p.bit >= 0 {
		return a.finishBit()
	}
	if p.typ == typeNone {
		p.typ = defaultType(a.orderBy)
	}
	if p.typ == typeBool {
		return bad("a %s register is no bool", p.area).hint("did you mean one bit of it, %s:%d.0?", p.area, p.addr)
	}
	if err := a.finishText(); err != nil {
		return err
	}
	if err := a.finishOrder(); err != nil {
		return err
	}
	return a.checkEnd()
}

func defaultType(order string) modbusType {
	switch len(order) {
	case 4:
		return typeUint32
	case 8:
		return typeUint64
	}
	return typeUint16
}

// finishDot decides what the number behind the dot is: the length of a text, else a bit.
func (a *addressParser) finishDot() error {
	if a.dotted < 0 {
		return nil
	}
	if a.p.typ.isText() && a.fromRef && !a.brackets {
		a.p.length = a.dotted
		if a.p.layout == highFirst {
			a.p.layout = lowFirst // the dialect's own default
		}
		return nil
	}
	if a.dotted > 15 {
		return bad("a register has no bit %d", a.dotted).hint("bits go from .0 to .15")
	}
	a.p.bit = a.dotted
	return nil
}

func (a *addressParser) finishBits() error {
	p := &a.p
	if p.bit >= 0 {
		return bad("a %s has no bits", p.area).hint("did you mean %s:%d, or bit %d of a register, holding:%d.%d?", p.area, p.addr, p.bit, p.addr, p.bit)
	}
	if p.typ != typeNone && p.typ != typeBool {
		return bad("a %s is a bool, not %s", p.area, p.typ).hint("did you mean holding:%d:%s?", p.addr, p.typ)
	}
	p.typ = typeBool
	if a.orderBy != "" || p.layout != highFirst {
		return bad("a %s has no byte order", p.area).hint("leave it out")
	}
	if p.scale != 0 {
		return bad("a bool has no scale").hint("leave it out")
	}
	return a.checkEnd()
}

func (a *addressParser) finishBit() error {
	p := &a.p
	if p.typ != typeNone && p.typ != typeBool {
		return bad("one bit is a bool, not %s", p.typ).hint("did you mean %s:%d:%s?", p.area, p.addr, p.typ)
	}
	p.typ = typeBool
	if a.orderBy != "" || p.layout != highFirst || p.count != 0 || p.scale != 0 {
		return bad("one bit of a register has no order, length or scale").hint("did you mean %s:%d.%d?", p.area, p.addr, p.bit)
	}
	return nil
}

func (a *addressParser) finishText() error {
	p := &a.p
	if !p.typ.isText() {
		if p.layout != highFirst {
			return bad("%s is for texts", layoutNames[p.layout]).hint("the order of the bytes in a %s is written :%s", p.typ, orderNames[p.typ.words()][swapBytes])
		}
		return nil
	}
	if a.brackets {
		if p.length != 0 && p.length != p.count {
			return bad("the text has two lengths").hint("leave one of them out")
		}
		p.length, p.count = p.count, 0
	}
	if p.length == 0 {
		return bad("how long is the %s?", p.typ).hint("did you mean %s:%d:%s[20]?", p.area, p.addr, p.typ)
	}
	if p.scale != 0 {
		return bad("a text has no scale").hint("leave it out")
	}
	return nil
}

func (a *addressParser) finishOrder() error {
	p := &a.p
	if a.orderBy == "" {
		return nil
	}
	if p.typ.isText() {
		return bad("a text has no byte order").hint("did you mean :lowbyte (the first character in the low byte)?")
	}
	o, ok := parseOrder(a.orderBy, p.typ.words())
	if !ok {
		return bad("%s is no byte order of %s", a.orderBy, p.typ).hint("these are %s", strings.Join(orderNames[p.typ.words()], ", "))
	}
	p.order = o
	return nil
}

func (a *addressParser) checkEnd() error {
	p := &a.p
	if p.end() > 65536 {
		return bad("%s ends behind the last address, 65535", p).hint("it takes %d addresses", p.span())
	}
	return nil
}
