// Package analyzers finds leaks of contexts, goroutines and resources in Go source, before they happen.
//
// It is a set of analyzers for golang.org/x/tools/go/analysis and imports nothing of the gateway. `millrace vet` runs them all, `go vet
// -vettool` takes any program whose main calls [Main], and any driver of go/analysis takes what [New] returns.
//
// A finding says what leaks, the path on which it leaks, and what mends it. What a finding is wrong about, or what is meant, is marked on its line
// or the line above with its reason; a mark without a reason does not count:
//
//	ctx, _ := context.WithCancel(parent) //ctxguard:allow // ends with parent, which this function owns
package analyzers

import (
	"fmt"
	"reflect" //nolint:depguard // go/analysis wants the type of a result as a reflect.Type
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/ctrlflow"
)

// Config says what the analyzers look for beyond their own table. The zero value is the default.
type Config struct {
	// Pairs are further functions that acquire, each with what releases their result: "example.com/pool.Get=Put,Close". A method is named as
	// "(*example.com/pool.Pool).Get=Put", and what must be called itself as "example.com/pool.Lease=()". The result meant is the first that has
	// one of the methods, or that is a function.
	Pairs []string

	// FactsOnly is for packages that others depend on and that nobody asked about: what other packages need to know of them is
	// worked out, nothing is reported.
	FactsOnly bool
}

// check is one analyzer: its name is its flag, doc its help, run looks at one package.
type check struct {
	name string
	doc  string
	run  func(*reporter)
}

func checks() []check {
	return []check{
		{"release", "what is acquired is released on every path: cancel functions, transactions, rows, connections, files, locks, semaphores", checkRelease},
		{"cancelfield", "a cancel function in a field is called by somebody, and before another takes its place", checkCancelFields},
		{"ctxstore", "no context or cancel function is put into a global, a map or another long-lived place that nothing removes it from", checkStores},
		{"ctxparent", "a context is the child of the one that the caller gave", checkParents},
		{"ctxrequest", "no goroutine works on with a request's context after its handler returned", checkRequests},
		{"ctxwait", "nothing waits for the end of a context that never ends", checkWaits},
		{"chanleak", "no goroutine waits on a channel that nobody serves any more", checkChannels},
		{"loopexit", "an endless loop has a way out", checkLoops},
		{"readdeadline", "a read from a connection has a deadline, or somebody who closes the connection", checkDeadlines},
		{"rowserr", "rows that are read to their end are asked for the error that ended them", checkRowsErr},
		{"lockorder", "no lock is taken twice in a row, nor two in both orders, nor kept while waiting for who needs it", checkLocks},
		{"groupwait", "what a WaitGroup waits for reports itself done on every path", checkGroups},
		{"httpserve", "an http.Server that is started is shut down by somebody", checkServers},
	}
}

// New returns the analyzers. They share what they learn about a package, so a driver is best given all of them at once.
func New(c Config) ([]*analysis.Analyzer, error) {
	table, err := newTable(c.Pairs)
	if err != nil {
		return nil, err
	}
	base := &analysis.Analyzer{
		Name:       "ctxguardfacts",
		Doc:        "works out what the other analyzers of ctxguard, and other packages, need to know of a package",
		Requires:   []*analysis.Analyzer{ctrlflow.Analyzer},
		FactTypes:  []analysis.Fact{new(acquires), new(borrows)},
		ResultType: reflect.TypeFor[*unit](),
		Run: func(pass *analysis.Pass) (any, error) {
			u := newUnit(pass, table)
			if u.mayHaveFacts() {
				return u, u.exportFacts()
			}
			return u, nil
		},
	}
	all := []*analysis.Analyzer{base}
	for _, ch := range checks() {
		all = append(all, &analysis.Analyzer{
			Name:     ch.name,
			Doc:      ch.doc,
			Requires: []*analysis.Analyzer{base},
			Run: func(pass *analysis.Pass) (any, error) {
				if c.FactsOnly {
					return nil, nil
				}
				u := pass.ResultOf[base].(*unit)
				u.mu.Lock() // drivers run analyzers side by side, and what they learn they share
				defer u.mu.Unlock()
				if err := u.build(); err != nil {
					return nil, err
				}
				ch.run(&reporter{unit: u, pass: pass, name: ch.name})
				return nil, nil
			},
		})
	}
	return all, nil
}

// acquires is the fact that a function hands something over that its caller has to release.
type acquires struct{ Results []handover }

// handover is one result of such a function.
type handover struct {
	Index   int
	Err     int // index of the error result that says it was not acquired, -1 for none
	What    string
	Release []string // methods; none when the result is called itself
	EndedBy string   // a method that releases it when it answers false
	Fix     string
	Ends    string // what becomes of it when nobody releases it
}

func (*acquires) AFact() {}

func (a *acquires) String() string {
	var out []string
	for _, h := range a.Results {
		out = append(out, fmt.Sprintf("%d:%s", h.Index, strings.Join(h.Release, "|")))
	}
	return "acquires " + strings.Join(out, " ")
}

// borrows is the fact that a function only looks at some of its parameters: who passes something to it still has to release it.
type borrows struct{ Params []int }

func (*borrows) AFact() {}

func (b *borrows) String() string { return fmt.Sprint("borrows ", b.Params) }
