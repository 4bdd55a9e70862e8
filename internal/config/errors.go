package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Place is where something stands in a file. Line and Column count from 1; 0 is unknown.
type Place struct {
	File   string
	Line   int
	Column int
}

// String returns file:line:column, without what is unknown.
func (p Place) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
		if p.Column > 0 {
			s += ":" + strconv.Itoa(p.Column)
		}
	}
	return s
}

// Error is one thing wrong with a configuration.
type Error struct {
	Place
	Msg    string // what is wrong, naming the key or name it is wrong with
	Meant  string // the known name nearest to the one found, "" when none is near
	Device string // the device for which a template's text went wrong, "" elsewhere
	More   int    // further devices for which the same text went wrong in the same way
}

// Error returns file:line:column: what; did you mean ...?
func (e *Error) Error() string {
	s := e.Place.String() + ": " + e.Msg
	switch {
	case e.Device != "" && e.More == 1:
		s += fmt.Sprintf(" (device %s and 1 other)", e.Device)
	case e.Device != "" && e.More > 1:
		s += fmt.Sprintf(" (device %s and %d others)", e.Device, e.More)
	case e.Device != "":
		s += " (device " + e.Device + ")"
	}
	if e.Meant != "" {
		s += fmt.Sprintf("; did you mean %q?", e.Meant)
	}
	return s
}

// Errors is everything wrong with a configuration: the main file's errors first, each file's in the order of its lines.
type Errors []*Error

// maxPrinted bounds the message of Errors; the list itself is whole.
const maxPrinted = 100

// Error returns a line for each error, at most 100 and then how many more there are.
func (e Errors) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == maxPrinted {
			fmt.Fprintf(&b, "and %d more errors", len(e)-i)
			break
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// Unwrap lets errors.As find a single *Error.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}

// problems collects errors. The same text at the same place, gone wrong for several devices, is one error.
type problems struct {
	list []*Error
	seen map[problem]*Error
}

type problem struct {
	at  Place
	msg string
}

func (p *problems) add(e *Error) {
	key := problem{e.Place, e.Msg}
	if old, ok := p.seen[key]; ok {
		if e.Device != "" {
			old.More++
		}
		return
	}
	if p.seen == nil {
		p.seen = map[problem]*Error{}
	}
	p.seen[key] = e
	p.list = append(p.list, e)
}

// sorted returns the errors, those of file main first, or nil when there are none.
func (p *problems) sorted(main string) Errors {
	slices.SortStableFunc(p.list, func(a, b *Error) int {
		if a.File != b.File {
			switch main {
			case a.File:
				return -1
			case b.File:
				return 1
			}
		}
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p.list
}
