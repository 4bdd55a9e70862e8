package analyzers

import (
	"fmt"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// checkDeadlines looks at connections that a function opened or was started for, that it reads from, and that nothing ever stops reading from.
func checkDeadlines(r *reporter) {
	for _, f := range r.functions {
		if r.inTest(f.Pos()) || processEnds(f) {
			continue
		}
		for in := range instructions(f) {
			call, ok := in.(*ssa.Call)
			if !ok {
				continue
			}
			for _, h := range r.acquired(&call.Call) {
				if h.What != "a connection" {
					continue
				}
				for _, ref := range *call.Referrers() {
					if ex, ok := ref.(*ssa.Extract); ok && ex.Index == h.Index && isConn(ex) {
						r.readsFrom(f, ex)
					}
				}
			}
		}
		if r.starter(f) == nil {
			continue
		}
		for _, p := range f.Params {
			if isConn(p) {
				r.readsFrom(f, p)
			}
		}
	}
}

func isConn(v ssa.Value) bool {
	for _, n := range []string{"Conn", "TCPConn", "UnixConn"} {
		if isType(v.Type(), "net", n) {
			return true
		}
	}
	return isType(v.Type(), "crypto/tls", "Conn")
}

// readsFrom follows a connection through its function, the closures in it and the helpers that get it.
func (r *reporter) readsFrom(f *ssa.Function, conn ssa.Value) {
	c := &connUse{u: r.unit, seen: map[ssa.Value]bool{}, owner: f}
	c.follow(conn, 0)
	if c.read == nil || c.bounded {
		return
	}
	r.report(c.read.Pos(), nil, "this read has no deadline, and nothing closes the connection meanwhile: when the other side falls silent it waits for ever; set a read deadline before, or close the connection from context.AfterFunc")
}

type connUse struct {
	u       *unit
	owner   *ssa.Function
	seen    map[ssa.Value]bool
	read    ssa.Instruction
	bounded bool // it has a deadline, somebody closes it from aside, or nobody knows where it goes
}

func (c *connUse) follow(v ssa.Value, depth int) {
	if c.seen[v] || c.bounded {
		return
	}
	c.seen[v] = true
	if depth > maxDepth || v.Referrers() == nil {
		c.bounded = true
		return
	}
	for _, ref := range *v.Referrers() {
		switch ref := ref.(type) {
		case *ssa.DebugRef, *ssa.BinOp, *ssa.FieldAddr:
		case *ssa.ChangeInterface:
			c.follow(ref, depth+1)
		case *ssa.MakeInterface:
			c.follow(ref, depth+1)
		case *ssa.Phi:
			c.follow(ref, depth+1)
		case *ssa.TypeAssert:
			c.follow(ref, depth+1)
		case *ssa.Extract:
			c.follow(ref, depth+1)
		case *ssa.UnOp:
			c.follow(ref, depth+1)
		case *ssa.Store:
			if a, ok := ref.Addr.(*ssa.Alloc); ok && ref.Val == v {
				c.follow(a, depth+1)
			} else if ref.Addr != v {
				c.bounded = true
			}
		case *ssa.MakeClosure:
			fn := ref.Fn.(*ssa.Function)
			if boundName(fn) != "" {
				c.bounded = c.bounded || !onlyDeferred(ref)
				continue
			}
			for i, b := range ref.Bindings {
				if b == v && i < len(fn.FreeVars) {
					c.follow(fn.FreeVars[i], depth+1)
				}
			}
		case ssa.CallInstruction:
			c.call(ref, v, depth)
		default:
			c.bounded = true
		}
	}
}

func (c *connUse) call(in ssa.CallInstruction, v ssa.Value, depth int) {
	com := in.Common()
	f, g := callee(com), com.StaticCallee()
	if receiver(com) == v && f != nil {
		c.method(in, f.Name())
		if g == nil || g.Blocks == nil {
			return
		}
	}
	switch {
	case f != nil && f.Pkg() != nil && c.reads(in, f.FullName(), v):
	case f != nil && f.Pkg() != nil && slices.Contains(borrowers, f.Pkg().Path()):
	case g == nil || g.Blocks == nil:
		c.bounded = true // nobody knows what it does
	default:
		for i, a := range com.Args {
			if a == v {
				c.follow(g.Params[i], depth+1)
			}
		}
	}
}

// method notes a method of the connection itself.
func (c *connUse) method(in ssa.CallInstruction, name string) {
	switch name {
	case "SetDeadline", "SetReadDeadline":
		c.bounded = true
	case "Close", "CloseRead":
		if _, deferred := in.(*ssa.Defer); !deferred && in.Parent() != c.owner {
			c.bounded = true // from another function, which may run while this one reads
		}
	case "Read":
		c.read = in
	}
}

// reads notes a function of the standard library that reads from the connection, and says whether this is one.
func (c *connUse) reads(in ssa.CallInstruction, name string, v ssa.Value) bool {
	from := 0
	switch name {
	case "io.ReadFull", "io.ReadAll", "io.ReadAtLeast":
	case "io.Copy":
		from = 1
	case "bufio.NewReader", "bufio.NewReaderSize", "bufio.NewScanner":
		if call, ok := in.(*ssa.Call); ok {
			c.reader(call)
		}
		return true
	default:
		return false
	}
	if slices.Index(in.Common().Args, v) == from {
		c.read = in
	}
	return true
}

// reader notes the first read of a bufio reader around the connection.
func (c *connUse) reader(call *ssa.Call) {
	for _, ref := range *call.Referrers() {
		switch ref := ref.(type) {
		case ssa.CallInstruction:
			if f := callee(ref.Common()); f != nil && receiver(ref.Common()) == call {
				switch f.Name() {
				case "Read", "ReadByte", "ReadString", "ReadLine", "ReadBytes", "ReadSlice", "ReadRune", "Peek", "Scan":
					c.read = ref
				}
				continue
			}
			if f := callee(ref.Common()); f == nil || f.Pkg() == nil || !slices.Contains(borrowers, f.Pkg().Path()) {
				c.bounded = true
			} else {
				c.read = ref
			}
		case *ssa.DebugRef, *ssa.MakeInterface:
		default:
			c.bounded = true
		}
	}
}

// checkRowsErr looks at loops over rows that are not asked afterwards what ended them.
func checkRowsErr(r *reporter) {
	for _, f := range r.functions {
		for in := range instructions(f) {
			call, ok := in.(*ssa.Call)
			if !ok {
				continue
			}
			for _, h := range r.acquired(&call.Call) {
				if h.EndedBy != "Next" {
					continue
				}
				for _, ref := range *call.Referrers() {
					if ex, ok := ref.(*ssa.Extract); ok && ex.Index == h.Index {
						r.rowsOf(f, ex, r.line(call.Pos()))
					}
				}
			}
		}
	}
}

func (r *reporter) rowsOf(f *ssa.Function, v ssa.Value, line int) {
	s := &spread{values: map[ssa.Value]bool{v: true}, cells: map[ssa.Value]bool{}}
	r.spreadAll(f, s)
	var next *ssa.Call
	for in := range instructions(f) {
		switch in := in.(type) {
		case ssa.CallInstruction:
			c := in.Common()
			if recv := receiver(c); recv != nil && s.values[recv] {
				switch callee(c).Name() {
				case "Err":
					return
				case "Next":
					if call, ok := in.(*ssa.Call); ok && inLoop(in.Block()) {
						next = call
					}
				}
				continue
			}
			for _, a := range c.Args {
				if s.values[a] {
					return // somebody else looks at them
				}
			}
		case *ssa.MakeClosure:
			for _, b := range in.Bindings {
				if (s.values[b] || s.cells[b]) && !onlyDeferred(in) {
					return
				}
			}
		case *ssa.Return:
			for _, res := range in.Results {
				if s.values[res] {
					return
				}
			}
		}
	}
	if next != nil {
		r.report(next.Pos(), nil, fmt.Sprintf("the rows of line %d are never asked for their Err: a connection that broke looks like the last row; check Err() behind the loop", line))
	}
}
