package driver

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"time"

	"millrace/internal/tag"
	"millrace/s7"
)

// ParseValue reads a value for address as people type it: 42, -1.5, 0x1F, true, [1,2,3], a text; 1m30s for a duration, 12:30:00 for a time of
// day, 2025-03-01 or 2025-03-01T12:30:00 for what has a date. The unit of a plain number is that of the kind: milliseconds, or nanoseconds.
func (S7) ParseValue(address, value string) (tag.Value, error) {
	p, err := parseS7(address)
	if err != nil {
		return tag.Value{}, err
	}
	if err := p.canBeWritten(); err != nil {
		return tag.Value{}, err
	}
	v, err := p.parseValue(value)
	if err != nil {
		return tag.Value{}, err
	}
	_, err = p.encode(nil, v)
	return v, err
}

// CheckValue says why v cannot be written to an address.
func (S7) CheckValue(address string, v tag.Value) error {
	p, err := parseS7(address)
	if err == nil {
		err = p.canBeWritten()
	}
	if err == nil {
		_, err = p.encode(nil, v)
	}
	return err
}

func (p *s7Point) parseValue(s string) (tag.Value, error) {
	if !p.isArray() {
		return p.parseElem(s)
	}
	if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") {
		return tag.Value{}, &ValueError{p.String(), s, "an array is written [1,2,3]"}
	}
	out := tag.Value{Kind: p.kind()}
	for _, word := range elements(s) {
		e, err := p.parseElem(word)
		if err != nil {
			return out, err
		}
		if e.Kind == tag.String {
			out.Aux = append(binary.AppendUvarint(out.Aux, uint64(len(e.Aux))), e.Aux...)
			continue
		}
		bits, err := p.convert(e, e)
		if err != nil {
			return out, err
		}
		out.Aux = tag.AppendElem(out.Aux, s7Kinds[p.typ], bits)
	}
	return out, nil
}

// elements splits [a,b] and ["a","b"], as values are printed.
func elements(s string) []string {
	var words []string
	if json.Unmarshal([]byte(s), &words) == nil {
		return words
	}
	words = strings.Split(s[1:len(s)-1], ",")
	for i, w := range words {
		words[i] = strings.TrimSpace(w)
	}
	return words
}

func (p *s7Point) parseElem(s string) (tag.Value, error) {
	switch p.typ.Class() {
	case s7.ClassText:
		return tag.Value{Kind: tag.String, Aux: []byte(s)}, nil
	case s7.ClassBool:
		if v, ok := parseBool(s); ok {
			return v, nil
		}
		return tag.Value{}, &ValueError{p.String(), s, "it is true or false"}
	case s7.ClassTime:
		return p.parseTime(s)
	case s7.ClassDuration:
		if d, ok := p.parseDuration(s); ok {
			return tag.Value{Kind: tag.Int64, Bits: uint64(d / unitOf(p.typ))}, nil
		}
	}
	if v, ok := parseNumber(s); ok {
		return v, nil
	}
	return tag.Value{}, &ValueError{p.String(), s, "it is no number"}
}

// withoutIEC removes what IEC 61131-3 puts before a literal: T#, S5T#, TOD#, D#, DT#.
func withoutIEC(s string) string {
	if before, after, ok := strings.Cut(s, "#"); ok && len(before) <= len("LTIME_OF_DAY") {
		return after
	}
	return s
}

// parseDuration reads 1m30s, T#1m30s, and for a time of day 12:30:00.5.
func (p *s7Point) parseDuration(s string) (time.Duration, bool) {
	s = withoutIEC(s)
	if p.typ == s7.TypeTOD || p.typ == s7.TypeLTOD {
		for _, layout := range [...]string{"15:04:05", "15:04"} {
			if t, err := time.Parse(layout, s); err == nil {
				return t.Sub(t.Truncate(24 * time.Hour)), true
			}
		}
		return 0, false
	}
	d, err := time.ParseDuration(strings.ToLower(strings.ReplaceAll(s, "_", "")))
	if err != nil || strings.Trim(s, "+-0.") == "" {
		return 0, false // a plain 0 is a number
	}
	return d, true
}

// parseTime reads a date with or without a time of day. The PLC's clock has no zone: what is written is what it gets.
func (p *s7Point) parseTime(s string) (tag.Value, error) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02-15:04:05", "2006-01-02"} {
		t, err := time.Parse(layout, withoutIEC(s))
		if err != nil {
			continue
		}
		if !inNanoseconds(t) {
			break
		}
		return tag.Value{Kind: tag.DateTime, Bits: uint64(t.UnixNano())}, nil
	}
	return tag.Value{}, &ValueError{p.String(), s, "a date is written 2025-03-01, with a time of day 2025-03-01T12:30:00"}
}

// canBeWritten says why nothing can be written to p.
func (p *s7Point) canBeWritten() error {
	switch {
	case p.area == s7.AreaPeripheral && !p.output:
		return &WriteError{p.String(), "peripheral inputs are the module's"}
	case p.area == s7.AreaPeripheral && p.typ == s7.TypeBool:
		return &WriteError{p.String(), "peripheral outputs have no bits: their state cannot be read to keep the others"}
	}
	return nil
}
