package analyzers

import (
	"fmt"
	"go/token"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// blocking are names of functions and methods that wait for the world outside.
var blocking = []string{
	"Sleep", "Do", "Get", "Head", "Post", "PostForm", "RoundTrip", "Send", "Recv", "Receive", "SendMsg", "RecvMsg", "Query", "QueryContext", "QueryRow", "QueryRowContext", "Exec", "ExecContext",
	"Begin", "BeginTx", "Ping", "PingContext", "Open", "OpenFile", "ReadFile", "WriteFile", "Read", "Write", "ReadFrom", "WriteTo", "ReadByte", "ReadString", "ReadLine", "ReadMessage", "WriteMessage",
	"Accept", "Dial", "DialContext", "Wait", "Lock", "RLock", "Flush", "Run", "Next", "Poll", "Fetch",
}

// checkLoops looks for endless loops without a way out: in functions that were given a context, and in goroutines.
func checkLoops(r *reporter) {
	for _, f := range r.functions {
		ctx := ownContext(f)
		starter := r.starter(f)
		if ctx == nil && starter == nil || processEnds(f) {
			continue
		}
		for _, loop := range endlessLoops(f) {
			what, pos := waitsIn(loop)
			switch {
			case what == "":
			case ctx != nil && what == "call":
				r.report(pos, nil, fmt.Sprintf("this loop never ends, not even when %s does: it has no way out; return when %s.Done() is closed", ctx.Name(), ctx.Name()))
			case starter != nil && !r.once(starter.Parent()) && !exits(loop):
				r.report(pos, nil, fmt.Sprintf("this goroutine (started in line %d) loops for ever: nothing can end it; give it a context and return when Done is closed", r.line(starter.Pos())))
			}
		}
	}
}

// once says whether what f starts is started once in a process, to stay: by main, by an initializer or by a sync.Once.
func (u *unit) once(f *ssa.Function) bool {
	for g := f; g != nil; g = g.Parent() {
		if processEnds(g) || g.Synthetic != "" || g.Name() == "init" {
			return true
		}
	}
	for _, g := range u.functions {
		for in := range instructions(g) {
			c, ok := in.(*ssa.Call)
			if !ok || !isCallTo(&c.Call, "(*sync.Once).Do") {
				continue
			}
			arg := c.Call.Args[1]
			if mc, ok := arg.(*ssa.MakeClosure); ok {
				arg = mc.Fn
			}
			if arg == f {
				return true
			}
		}
	}
	return false
}

// exits says whether a loop may end the process.
func exits(loop []*ssa.BasicBlock) bool {
	for _, b := range loop {
		for _, s := range b.Succs {
			for _, in := range s.Instrs {
				if c, ok := in.(*ssa.Call); ok && isCallTo(&c.Call, "os.Exit") {
					return true
				}
			}
		}
	}
	return false
}

func ownContext(f *ssa.Function) *ssa.Parameter {
	for _, p := range f.Params {
		if isContext(p.Type()) {
			return p
		}
	}
	return nil
}

// starter is a go statement that starts f.
func (u *unit) starter(f *ssa.Function) ssa.Instruction {
	if f.Parent() != nil {
		for in := range instructions(f.Parent()) {
			if spawned(in) == f {
				return in
			}
		}
		return nil
	}
	for _, c := range u.callers[f] {
		if g, ok := c.(*ssa.Go); ok {
			return g
		}
	}
	return nil
}

// endlessLoops are the loops of f that no edge leaves. A range over the channel of a ticker is one: that is never closed.
func endlessLoops(f *ssa.Function) [][]*ssa.BasicBlock {
	var out [][]*ssa.BasicBlock
	done := map[*ssa.BasicBlock]bool{}
	for _, b := range f.Blocks {
		if done[b] || b.Preds == nil && b != f.Blocks[0] || !inLoop(b) {
			continue
		}
		var loop []*ssa.BasicBlock
		for _, x := range f.Blocks {
			if x == b || reaches(b, x) && reaches(x, b) {
				loop = append(loop, x)
				done[x] = true
			}
		}
		if !leaves(loop) {
			out = append(out, loop)
		}
	}
	return out
}

func leaves(loop []*ssa.BasicBlock) bool {
	for _, b := range loop {
		for _, s := range b.Succs {
			if _, panics := last(s).(*ssa.Panic); !panics && !slices.Contains(loop, s) && !tickerEnd(b, s) {
				return true
			}
		}
	}
	return false
}

// tickerEnd says whether the edge is the one out of a range over a ticker's channel.
func tickerEnd(b, s *ssa.BasicBlock) bool {
	if b.Comment != "rangechan.loop" || s.Comment != "rangechan.done" {
		return false
	}
	for _, in := range b.Instrs {
		recv, ok := isReceive(in)
		if !ok {
			continue
		}
		switch x := recv.X.(type) {
		case *ssa.Call:
			return isCallTo(&x.Call, "time.Tick")
		case *ssa.UnOp:
			fa, ok := x.X.(*ssa.FieldAddr)
			return ok && isType(fa.X.Type(), "time", "Ticker")
		}
	}
	return false
}

// waitsIn says what a loop waits in: "call" for a call of something that waits, "channel" for channels alone, "" when it waits for nothing.
func waitsIn(loop []*ssa.BasicBlock) (what string, pos token.Pos) {
	for _, b := range loop {
		for _, in := range b.Instrs {
			switch in := in.(type) {
			case ssa.CallInstruction:
				if f := callee(in.Common()); f != nil && slices.Contains(blocking, f.Name()) {
					return "call", in.Pos()
				}
			case *ssa.Select:
				if what == "" {
					what, pos = "channel", in.Pos()
				}
			case *ssa.Send:
				if what == "" {
					what, pos = "channel", in.Pos()
				}
			case *ssa.UnOp:
				if what == "" && in.Op == token.ARROW {
					what, pos = "channel", in.Pos()
				}
			}
		}
	}
	return what, pos
}
