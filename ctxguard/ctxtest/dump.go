package ctxtest

import (
	"runtime"
	"strconv"
	"strings"
)

// goroutine is one of a stack dump.
type goroutine struct {
	id      uint64
	state   string // "chan receive", "select", "running"
	durable bool   // as synctest has it
	bubble  uint64 // 0 outside
	calls   []call // innermost first
	creator call
	parent  uint64 // that started it
}

// call is one frame of a dump.
type call struct {
	name string
	file string
	line int
}

// dump returns all goroutines, this one first.
func dump() []goroutine {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			return parseDump(string(buf[:n]))
		}
		buf = make([]byte, 2*len(buf))
	}
}

func selfID() uint64 {
	buf := make([]byte, 4<<10)
	return parseDump(string(buf[:runtime.Stack(buf, false)]))[0].id
}

func parseDump(text string) []goroutine {
	var out []goroutine
	for _, part := range strings.Split(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(part, "\n")
		if g, ok := parseHead(lines[0]); ok {
			g.parseCalls(lines[1:])
			out = append(out, g)
		}
	}
	return out
}

// parseHead reads "goroutine 12 [select (durable), synctest bubble 5]:".
func parseHead(line string) (g goroutine, ok bool) {
	rest, ok := strings.CutPrefix(line, "goroutine ")
	if !ok {
		return g, false
	}
	id, rest, _ := strings.Cut(rest, " ")
	g.id, _ = strconv.ParseUint(id, 10, 64)
	from, to := strings.Index(rest, "["), strings.LastIndex(rest, "]")
	if from < 0 || to < from {
		return g, false
	}
	for i, word := range strings.Split(rest[from+1:to], ", ") {
		if n, ok := strings.CutPrefix(word, "synctest bubble "); ok {
			g.bubble, _ = strconv.ParseUint(n, 10, 64)
		} else if i == 0 {
			g.state, g.durable = strings.CutSuffix(word, " (durable)")
		}
	}
	return g, g.id != 0
}

// parseCalls reads pairs of lines: a function with its arguments, and its place behind a tab.
func (g *goroutine) parseCalls(lines []string) {
	for i := 0; i+1 < len(lines); i += 2 {
		c := parseCall(lines[i], lines[i+1])
		if by, ok := strings.CutPrefix(c.name, "created by "); ok {
			by, parent, _ := strings.Cut(by, " in goroutine ")
			c.name = by
			g.creator = c
			g.parent, _ = strconv.ParseUint(parent, 10, 64)
			return
		}
		g.calls = append(g.calls, c)
	}
}

func parseCall(name, place string) call {
	c := call{name: name}
	if i := strings.LastIndex(name, "("); i > 0 && strings.HasSuffix(name, ")") {
		c.name = name[:i]
	}
	place, _, _ = strings.Cut(strings.TrimSpace(place), " +0x")
	if i := strings.LastIndex(place, ":"); i > 0 {
		c.file = place[:i]
		c.line, _ = strconv.Atoi(place[i+1:])
	}
	return c
}

// place is what a person looks for: the innermost call that is not the standard library's or ours.
func (g *goroutine) place() (call, bool) {
	root := goRoot()
	for _, c := range g.calls {
		if !inGo(root, c.file) && !ours(c.name) {
			return c, true
		}
	}
	return call{}, false
}

// goRoot is where the source of the standard library lies, "" when the binary does not say (-trimpath). Every goroutine begins in it.
func goRoot() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	root := ""
	for {
		f, more := frames.Next()
		if strings.HasPrefix(f.Function, "runtime.") {
			root, _, _ = strings.Cut(f.File, "runtime/")
		}
		if !more {
			return root
		}
	}
}

func inGo(root, file string) bool {
	if root != "" {
		return strings.HasPrefix(file, root)
	}
	first, _, _ := strings.Cut(file, "/")
	switch first {
	case "bufio", "context", "crypto", "database", "internal", "io", "net", "os", "runtime", "sync", "syscall", "testing", "time":
		return true
	}
	return false
}

// ours says whether a function is this package's.
func ours(name string) bool { return strings.HasPrefix(name, "millrace/ctxguard/ctxtest.") }

// machinery says whether g is synctest's own or testing's.
func (g *goroutine) machinery() bool {
	for _, c := range g.calls {
		switch c.name {
		case "internal/synctest.Run", "testing/synctest.testingSynctestTest", "testing.(*T).Run", "testing.(*T).Parallel", "testing.runTests":
			return true
		}
	}
	return false
}
