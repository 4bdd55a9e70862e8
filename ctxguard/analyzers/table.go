package analyzers

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// release is how one kind of thing is given back.
type release struct {
	methods []string // any of them; none: the thing is a function and is called
	endedBy string   // a method that gives it back when it answers false, as Rows.Next does
}

func (r *release) byCall() bool { return len(r.methods) == 0 }

func (r *release) has(method string) bool { return slices.Contains(r.methods, method) }

func (r *release) key() string { return strings.Join(r.methods, "|") }

// acquire is a line of the table: what a function, or any function with such a result, hands to its caller.
type acquire struct {
	release
	what   string
	result int // index of what is handed over
	fix    string
	ends   string // what becomes of it when nobody releases it
}

// table has the pairs of acquiring and releasing.
type table struct {
	funcs map[string]acquire // by types.Func.FullName
	types map[string]acquire // by the result's type, for functions that return an error beside it
}

func cancelOf(what string) acquire {
	return acquire{what: "the cancel function of " + what, result: 1, fix: "call it, best by defer right behind this line", ends: "the context stays with its parent"}
}

func closed(what string) acquire {
	return acquire{release: release{methods: []string{"Close"}}, what: what, fix: "Close it on this path, best by defer behind the error check", ends: "it stays open"}
}

func rows(what string) acquire {
	a := closed(what)
	a.endedBy = "Next"
	a.ends = "its connection never comes back to the pool"
	return a
}

func transaction(what string) acquire {
	return acquire{
		release: release{methods: []string{"Commit", "Rollback"}}, what: what,
		fix: "defer its Rollback behind the error check: after a Commit it does nothing", ends: "the transaction keeps its connection and its locks",
	}
}

// newTable is the table of the standard library and of the libraries that most services use, and further pairs.
func newTable(pairs []string) (*table, error) {
	t := &table{funcs: map[string]acquire{}, types: map[string]acquire{}}
	for _, f := range []string{"WithCancel", "WithCancelCause"} {
		t.funcs["context."+f] = cancelOf("context." + f)
		t.funcs["millrace/ctxguard."+f] = cancelOf("ctxguard." + f)
		t.funcs["(*millrace/ctxguard.Guard)."+f] = cancelOf("a Guard's " + f)
	}
	for _, f := range []string{"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause"} {
		for path, name := range map[string]string{"context.": "context.", "millrace/ctxguard.": "ctxguard.", "(*millrace/ctxguard.Guard).": "a Guard's "} {
			a := cancelOf(name + f)
			a.ends = "the context and its timer stay with its parent until the deadline"
			t.funcs[path+f] = a
		}
	}
	notify := cancelOf("signal.NotifyContext")
	notify.ends = "the signals stay caught and the context stays with its parent"
	t.funcs["os/signal.NotifyContext"] = notify
	t.funcs["context.AfterFunc"] = acquire{
		what: "the stop function of context.AfterFunc", fix: "keep it and call it when the work is done", ends: "the function stays registered until the context ends",
	}
	for _, f := range []string{"iter.Pull", "iter.Pull2"} {
		t.funcs[f] = acquire{what: "the stop function of " + f, result: 1, fix: "call it, best by defer right behind this line", ends: "the sequence never finishes"}
	}
	t.funcs["database/sql.Open"] = closed("a database from sql.Open")
	for _, f := range []string{
		"(*database/sql.DB).QueryRow", "(*database/sql.DB).QueryRowContext", "(*database/sql.Tx).QueryRow", "(*database/sql.Tx).QueryRowContext",
		"(*database/sql.Conn).QueryRowContext", "(*database/sql.Stmt).QueryRow", "(*database/sql.Stmt).QueryRowContext",
	} {
		t.funcs[f] = acquire{release: release{methods: []string{"Scan"}}, what: "a row", fix: "Scan it: nothing else gives its connection back", ends: "its connection never comes back to the pool"}
	}
	const pgx = "github.com/jackc/pgx/v5"
	t.types["*database/sql.Rows"] = rows("a result set")
	t.types[pgx+".Rows"] = rows("a result set")
	t.types["*database/sql.Stmt"] = closed("a prepared statement")
	t.types["*database/sql.Tx"] = transaction("a transaction")
	t.types[pgx+".Tx"] = transaction("a transaction")
	t.types["*"+pgx+"/pgxpool.Tx"] = transaction("a transaction")
	t.types[pgx+".BatchResults"] = closed("the results of a batch")
	t.types["*database/sql.Conn"] = closed("a connection out of the pool")
	t.types["*"+pgx+"/pgxpool.Conn"] = acquire{
		release: release{methods: []string{"Release", "Hijack"}}, what: "a connection out of the pool", fix: "Release it on this path, best by defer behind the error check",
		ends: "it never comes back to the pool",
	}
	t.types["*"+pgx+".Conn"] = closed("a connection")
	for _, n := range []string{"net.Conn", "*net.TCPConn", "*net.UDPConn", "*net.UnixConn", "*net.IPConn", "*crypto/tls.Conn", "net.PacketConn"} {
		t.types[n] = closed("a connection")
	}
	for _, n := range []string{"net.Listener", "*net.TCPListener", "*net.UnixListener"} {
		t.types[n] = closed("a listener")
	}
	t.types["*os.File"] = closed("a file")
	t.types["*os.Root"] = closed("a directory")
	for _, n := range []string{"io.ReadCloser", "io.WriteCloser", "io.ReadWriteCloser"} {
		t.types[n] = closed("an " + n)
	}
	return t, t.add(pairs)
}

// add takes the pairs of a Config.
func (t *table) add(pairs []string) error {
	for _, p := range pairs {
		name, methods, ok := strings.Cut(p, "=")
		if !ok || name == "" || methods == "" {
			return fmt.Errorf("ctxguard: pair %q: want pkg.Func=Method,Method or pkg.Func=()", p)
		}
		a := acquire{what: "what " + name + " returned", result: -1, fix: "release it on this path", ends: "it stays"}
		if methods != "()" {
			a.methods = strings.Split(methods, ",")
		}
		t.funcs[name] = a
	}
	return nil
}

// resultOf is the index of what a hands over among the results of sig, -1 when none fits.
func (a *acquire) resultOf(sig *types.Signature) int {
	if a.result >= 0 {
		return a.result
	}
	for i := range sig.Results().Len() {
		t := sig.Results().At(i).Type()
		if a.byCall() && isFuncNoArgs(t) {
			return i
		}
		for _, m := range a.methods {
			if methodNamed(t, m) {
				return i
			}
		}
	}
	return -1
}

// byType are the results of sig that its table of types has, when sig returns an error too.
func (t *table) byType(sig *types.Signature) []handover {
	err := errorResult(sig)
	if err < 0 {
		return nil
	}
	var out []handover
	for i := range sig.Results().Len() {
		if a, ok := t.types[types.TypeString(sig.Results().At(i).Type(), nil)]; ok {
			out = append(out, a.handover(i, err))
		}
	}
	return out
}

func (a *acquire) handover(index, err int) handover {
	return handover{Index: index, Err: err, What: a.what, Release: a.methods, Fix: a.fix, EndedBy: a.endedBy, Ends: a.ends}
}

func (h *handover) rel() *release { return &release{methods: h.Release, endedBy: h.EndedBy} }

// errorResult is the index of the last result when it is an error, or -1.
func errorResult(sig *types.Signature) int {
	n := sig.Results().Len()
	if n > 0 && types.Identical(sig.Results().At(n-1).Type(), types.Universe.Lookup("error").Type()) {
		return n - 1
	}
	return -1
}

// isFuncNoArgs says whether t is a function that cancels, stops or cleans up by its shape: no results that matter, at most an error as
// argument, as context.CancelCauseFunc has it.
func isFuncNoArgs(t types.Type) bool {
	sig, ok := t.Underlying().(*types.Signature)
	if !ok || sig.Results().Len() > 1 {
		return false
	}
	switch sig.Params().Len() {
	case 0:
		return true
	case 1:
		return types.Identical(sig.Params().At(0).Type(), types.Universe.Lookup("error").Type())
	}
	return false
}

func methodNamed(t types.Type, name string) bool {
	var pkg *types.Package
	if n := named(t); n != nil {
		pkg = n.Obj().Pkg() // it may be a method of its package's own
	}
	obj, _, _ := types.LookupFieldOrMethod(t, true, pkg, name)
	_, ok := obj.(*types.Func)
	return ok
}

// borrowers are packages whose functions look at what they get and neither close nor keep it.
var borrowers = []string{
	"bufio", "bytes", "encoding/binary", "encoding/csv", "encoding/gob", "encoding/json", "encoding/xml", "errors", "fmt", "io", "io/ioutil", "log", "log/slog", "strings",
	"compress/gzip", "compress/zlib", "compress/flate", "archive/tar", "archive/zip", "crypto/rand", "hash/crc32",
}
