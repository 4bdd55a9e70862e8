package config

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// sheet reads the rows of a CSV file by the names in its first row. Cells are separated by commas, or by semicolons when the first
// row has those and no comma.
type sheet struct {
	l       *loader
	path    string
	r       *csv.Reader
	columns []string
	header  []Place
	row     []string
	line    int
}

// openSheet reads the first row of the CSV file at path, named at place at. It answers nil, and has reported why, when that cannot be.
func (l *loader) openSheet(path string, at Place) *sheet {
	b, err := l.readFile(path, maxConfigBytes)
	if err != nil {
		l.failf(at, "csv: %s: %v", path, err)
		return nil
	}
	s := &sheet{l: l, path: l.relative(path), r: csv.NewReader(bytes.NewReader(b))}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	if bytes.IndexByte(first, ',') < 0 && bytes.IndexByte(first, ';') >= 0 {
		s.r.Comma = ';'
	}
	s.r.TrimLeadingSpace = true
	s.r.Comment = '#'
	s.r.ReuseRecord = true
	row, err := s.r.Read()
	if err != nil {
		s.failed(err)
		return nil
	}
	for i, name := range row {
		s.columns = append(s.columns, strings.TrimSpace(name))
		line, col := s.r.FieldPos(i)
		s.header = append(s.header, Place{s.path, line, col})
	}
	for i, name := range s.columns {
		if slices.Contains(s.columns[:i], name) {
			l.failf(s.header[i], "column %q is there twice", name)
			return nil
		}
	}
	return s
}

// column returns the number of the column of that name, -1 when there is none.
func (s *sheet) column(name string) int { return slices.Index(s.columns, name) }

// known reports the columns that are none of names, and those of need that are missing.
func (s *sheet) known(names []string, need ...string) bool {
	ok := true
	for i, c := range s.columns {
		if !slices.Contains(names, c) {
			s.l.add(&Error{Place: s.header[i], Msg: fmt.Sprintf("unknown column %q; known are %s", c, strings.Join(names, ", ")), Meant: Nearest(c, names)})
			ok = false
		}
	}
	for _, n := range need {
		if s.column(n) < 0 {
			s.l.failf(Place{File: s.path, Line: 1, Column: 1}, "the column %q is missing", n)
			ok = false
		}
	}
	return ok
}

// next moves to the next row. A row that cannot be read is reported; rows after it are read where possible.
func (s *sheet) next() bool {
	for {
		row, err := s.r.Read()
		if err == nil {
			s.row = row
			s.line, _ = s.r.FieldPos(0)
			return true
		}
		if errors.Is(err, io.EOF) {
			return false
		}
		s.failed(err)
		if !errors.Is(err, csv.ErrFieldCount) {
			return false
		}
	}
}

func (s *sheet) failed(err error) {
	var pe *csv.ParseError
	switch {
	case errors.As(err, &pe) && errors.Is(err, csv.ErrFieldCount):
		s.l.failf(Place{s.path, pe.Line, 1}, "the row does not have %d cells as the first one has", len(s.columns))
	case errors.As(err, &pe):
		s.l.failf(Place{s.path, pe.Line, pe.Column}, "%v", pe.Err)
	case errors.Is(err, io.EOF):
		s.l.failf(Place{File: s.path}, "the file is empty; its first row names the columns")
	default:
		s.l.failf(Place{File: s.path}, "%v", err)
	}
}

// cell returns what stands in column i of the row and where, "" when i is -1.
func (s *sheet) cell(i int) (string, Place) {
	if i < 0 {
		return "", Place{s.path, s.line, 1}
	}
	line, col := s.r.FieldPos(i)
	return strings.TrimSpace(strings.Clone(s.row[i])), Place{s.path, line, col}
}

// tagsFromCSV reads the tags of a group from a file.
func (l *loader) tagsFromCSV(path string, at Place) []tagDraft {
	s := l.openSheet(path, at)
	if s == nil || !s.known(append([]string{"name", "address"}, tagKeys.names()...), "name", "address") {
		return nil
	}
	var out []tagDraft
	for s.next() {
		if t, ok := s.tag(); ok {
			out = append(out, t)
		}
	}
	return out
}

func (s *sheet) tag() (t tagDraft, ok bool) {
	name, at := s.cell(s.column("name"))
	if err := checkName(name, true); err != nil {
		s.l.failf(at, "%v", err)
		return t, false
	}
	t.name = name
	var address string
	if address, t.at = s.cell(s.column("address")); address == "" {
		s.l.failf(t.at, "tag %s: the address is missing", name)
		return t, false
	}
	var err error
	if t.address, err = parsePattern(address); err != nil {
		s.l.failf(t.at, "tag %s: %v", name, err)
		return t, false
	}
	var attrs []attr
	for i, c := range s.columns {
		k := tagKeys.index(c)
		text, at := s.cell(i)
		if k < 0 || text == "" {
			continue
		}
		if tagKeys.keys[k].form == formBool {
			text = strings.ToLower(text) // spreadsheets write TRUE
		}
		v, err := parsePattern(text)
		if err != nil {
			s.l.failf(at, "tag %s: %s: %v", name, c, err)
			return t, false
		}
		attrs = append(attrs, attr{c, v, at})
	}
	return t, s.l.setAttrs(&t, attrs)
}

// devicesFromCSV makes a draft of each row of the file that d names.
func (l *loader) devicesFromCSV(d *deviceDraft, params []param) []deviceDraft {
	s := l.openSheet(d.csv, d.csvAt)
	if s == nil {
		return nil
	}
	names := []string{"id", "address", "profile"}
	for _, p := range params {
		if slices.Contains(names, p.name) {
			l.failf(d.csvAt, "the template has a parameter %s, and a CSV file of devices has a column %s of its own; give the parameter another name", p.name, p.name)
			return nil
		}
		names = append(names, p.name)
	}
	if !s.known(names, "id") {
		return nil
	}
	if d.address == "" && s.column("address") < 0 {
		l.failf(s.header[0], "the column %q is missing", "address")
		return nil
	}
	var out []deviceDraft
	for s.next() {
		out = append(out, s.device(d))
	}
	return out
}

// device returns the draft of the current row: d with what the row says.
func (s *sheet) device(d *deviceDraft) deviceDraft {
	one := *d
	one.csv, one.fromCSV = "", true
	one.params = slices.Clone(d.params)
	for i, c := range s.columns {
		text, at := s.cell(i)
		if c == "id" {
			one.id, one.idAt = text, at
			continue
		}
		if text == "" {
			continue
		}
		switch c {
		case "address":
			one.address, one.addressAt = text, at
		case "profile":
			if one.profile = (profileDraft{at: at, base: text}); !slices.Contains(profileNames, text) {
				s.l.wrong(at, "profile", unknownChoice(text, profileNames))
				one.profile = profileDraft{}
			}
		default:
			one.params = slices.DeleteFunc(one.params, func(p param) bool { return p.name == c })
			one.params = append(one.params, param{name: c, at: at, value: text, given: true})
		}
	}
	return one
}
