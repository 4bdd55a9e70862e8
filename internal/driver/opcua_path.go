package driver

import (
	"net/url"
	"strconv"
	"strings"
)

// opcuaStep is one element of a browse path: the browse name of what is a level deeper.
type opcuaStep struct {
	uri       string // of the namespace; "" when namespace is its index
	namespace uint16
	name      string
}

// maxPath is the most elements of a browse path.
const maxPath = 64

// parsePath reads a browse path from the root folder.
func (p *opcuaPoint) parsePath(s string) error {
	steps, err := pathSteps(s)
	if err != nil {
		return err
	}
	if len(steps) > 1 && steps[0] == (opcuaStep{name: "Root"}) {
		steps = steps[1:]
	}
	var b strings.Builder
	for _, st := range steps {
		b.WriteByte('/')
		st.write(&b)
	}
	if p.path = b.String(); len(steps) > maxPath || len(p.path) > maxNodeText { // escaping makes it longer
		return bad("the path is too long: %d elements and %d bytes are the most", maxPath, maxNodeText)
	}
	return nil
}

// pathSteps cuts a browse path into its elements. A & stands before a character that would mean something else.
func pathSteps(s string) ([]opcuaStep, error) {
	var out []opcuaStep
	for rest := s; rest != ""; {
		var st opcuaStep
		var err error
		if st, rest, err = pathStep(rest[1:]); err != nil {
			return nil, bad("%q: %v", s, err).hint("write a path such as /Objects/2:Tank/2:Level, with &/ for a / and &: for a : in a name")
		}
		out = append(out, st)
	}
	return out, nil
}

// pathStep takes one element; rest begins with the / of the next one, or is empty.
func pathStep(s string) (st opcuaStep, rest string, err error) {
	if after, ok := strings.CutPrefix(s, "nsu="); ok {
		uri, name, ok := strings.Cut(after, ";")
		if !ok || uri == "" {
			return st, "", bad("nsu= does not say where its URI ends")
		}
		if st.uri, err = url.PathUnescape(uri); err != nil {
			st.uri = uri
		}
		if st.uri == namespace0 {
			st.uri = ""
		}
		s = name
	} else if n, name, ok := leadingIndex(s); ok {
		st.namespace, s = n, name
	} else if s == "nsu" || strings.HasPrefix(s, "nsu/") {
		return st, "", bad("nsu= stands before a URI; a node of that name is 0:nsu")
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '/':
			st.name = b.String()
			return st, s[i:], emptyName(st.name)
		case s[i] == '&' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	st.name = b.String()
	return st, "", emptyName(st.name)
}

func emptyName(name string) error {
	if name == "" {
		return bad("an element has no name")
	}
	return nil
}

// leadingIndex takes the 2: of 2:Tank.
func leadingIndex(s string) (uint16, string, bool) {
	digits, name, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil || digits[0] == '+' {
		return 0, s, false
	}
	return uint16(n), name, true
}

// write writes st as pathStep reads it.
func (st *opcuaStep) write(b *strings.Builder) {
	switch {
	case st.uri != "":
		b.WriteString("nsu=" + escapeURI(st.uri) + ";")
	case st.namespace != 0 || st.name == "nsu" || strings.HasPrefix(st.name, "nsu="):
		b.WriteString(strconv.Itoa(int(st.namespace)) + ":")
	}
	for i := range len(st.name) {
		if c := st.name[i]; c == '/' || c == ':' || c == '&' {
			b.WriteByte('&')
		}
		b.WriteByte(st.name[i])
	}
}
