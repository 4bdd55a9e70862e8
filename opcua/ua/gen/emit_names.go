package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

func emitEnums(m *model) []byte {
	w := new(bytes.Buffer)
	fmt.Fprint(w, header, "package ua\n")
	for _, e := range m.enums {
		emitEnum(w, e)
	}
	return w.Bytes()
}

func emitEnum(w *bytes.Buffer, e *enum) {
	kind := "enumeration"
	if e.option {
		kind = "set of options"
	}
	doc := fmt.Sprintf("%s is an %s of namespace 0.", e.name, kind)
	if e.option {
		doc = fmt.Sprintf("%s is a %s of namespace 0.", e.name, kind)
	}
	if e.doc != "" {
		doc += " " + e.doc
	}
	fmt.Fprintln(w)
	comment(w, doc)
	fmt.Fprintf(w, "type %s %s\n\n// The values of %s.\nconst (\n", e.name, builtins[e.wire()].goType, e.name)
	for _, v := range e.values {
		fmt.Fprintf(w, "\t%s%s %s = %d\n", e.name, v.name, e.name, v.value)
	}
	fmt.Fprint(w, ")\n")
	if e.option {
		return
	}
	fmt.Fprintf(w, "\n// String returns the name, or the number of an unknown value.\nfunc (e %s) String() string {\n\tswitch e {\n", e.name)
	seen := map[int64]bool{}
	for _, v := range e.values {
		if !seen[v.value] {
			fmt.Fprintf(w, "\tcase %d:\n\t\treturn %q\n", v.value, v.name)
		}
		seen[v.value] = true
	}
	fmt.Fprintf(w, "\t}\n\treturn enumNumber(%q, int32(e))\n}\n", e.name)
}

type statusCode struct {
	name  string
	value uint32
	doc   string
}

var statusPattern = regexp.MustCompile(`(?s)name: "(\w+)",\s*value: (0x[0-9A-Fa-f]+|\d+),\s*description:\s*("(?:[^"\\]|\\.)*")`)

// readStatusCodes reads the table of status codes, which the package holds as source.
func readStatusCodes(name string) ([]statusCode, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out []statusCode
	for _, x := range statusPattern.FindAllSubmatch(text, -1) {
		v, err := strconv.ParseUint(string(x[2]), 0, 32)
		if err != nil {
			return nil, err
		}
		doc, err := strconv.Unquote(string(x[3]))
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, x[1], err)
		}
		out = append(out, statusCode{string(x[1]), uint32(v), doc})
	}
	if len(out) < 200 {
		return nil, fmt.Errorf("%s: only %d status codes; has its form changed?", name, len(out))
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].value < out[j].value })
	return out, nil
}

func emitStatusCodes(codes []statusCode) []byte {
	w := new(bytes.Buffer)
	fmt.Fprint(w, header, "package ua\n\n// The status codes of the specification [OPC 10000-6 A.2].\nconst (\n")
	for _, c := range codes {
		fmt.Fprintf(w, "\t%s StatusCode = 0x%08X // %s\n", c.name, c.value, c.doc)
	}
	fmt.Fprint(w, ")\n\nfunc statusName(s StatusCode) string {\n\tswitch s {\n")
	last := ^uint32(0)
	for _, c := range codes {
		if c.value&0xffff == 0 && c.value != last {
			fmt.Fprintf(w, "\tcase 0x%08X:\n\t\treturn %q\n", c.value, c.name)
			last = c.value
		}
	}
	fmt.Fprint(w, "\t}\n\treturn \"\"\n}\n")
	return w.Bytes()
}

// emitIds writes the numeric ids of the nodes of namespace 0, named by their path as NodeIds.csv names them.
func emitIds(m *model) []byte {
	w := new(bytes.Buffer)
	fmt.Fprint(w, header)
	comment(w, "Package ns0 names the numeric ids of the nodes of namespace 0, model "+m.version+", by their paths: Server_ServerStatus_State. "+
		"They are untyped: ua.NumericId(0, ns0.Server).")
	fmt.Fprint(w, "package ns0\n\n// Ids of nodes.\nconst (\n")
	names := m.constantNames()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(w, "\t%s = %d\n", name, names[name])
	}
	fmt.Fprint(w, ")\n")
	return w.Bytes()
}

// constantNames returns the ids by name: of every node in the NodeSet, as the table names it or by its path, and of the binary encodings and the
// data types of all structures. What the table names beyond that are instances that no server needs to have.
func (m *model) constantNames() map[string]int {
	tableNames := map[int]string{}
	for name, id := range m.ids {
		if old, ok := tableNames[id]; !ok || name < old {
			tableNames[id] = name
		}
	}
	out := map[string]int{}
	for i, path := range m.nodeNames() {
		id := m.nodes[i].id
		if name, ok := tableNames[id]; ok {
			path = name
		} else if _, taken := m.ids[path]; taken {
			path = ""
		}
		if path != "" && out[path] == 0 {
			out[path] = id
		}
	}
	for _, s := range m.structures {
		for _, name := range []string{s.name, s.name + binaryEncoding} {
			if id := m.ids[name]; id != 0 {
				out[name] = id
			}
		}
	}
	return out
}

var notIdent = regexp.MustCompile(`[^A-Za-z0-9_]`)

// nodeNames returns the path of every node: the names of its parents and its own. A name that no constant can have is "".
func (m *model) nodeNames() []string {
	byId := map[int]*node{}
	for _, n := range m.nodes {
		byId[n.id] = n
	}
	out := make([]string, len(m.nodes))
	for i, n := range m.nodes {
		parts := []string{}
		for at, depth := n, 0; at != nil && depth < 20; at, depth = byId[at.parent], depth+1 {
			parts = append([]string{clean(at.name)}, parts...)
			if at.parent == at.id {
				break
			}
		}
		name := strings.Join(parts, "_")
		if name != "" && name[0] >= 'A' && name[0] <= 'Z' {
			out[i] = name
		}
	}
	return out
}

func clean(name string) string {
	if inner, ok := strings.CutPrefix(name, "<"); ok {
		name = strings.TrimSuffix(inner, ">") + "_Placeholder"
	}
	return notIdent.ReplaceAllString(name, "")
}
