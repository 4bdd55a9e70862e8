package analyzers

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/unitchecker"
)

// IsVetCall says whether a command line is one of the three that `go vet -vettool` gives its tool: -V=full, -flags, or flags and the .cfg file
// of one package. A command with verbs of its own asks this before it looks at its arguments.
func IsVetCall(args []string) bool {
	if len(args) == 0 {
		return false
	}
	for _, a := range args[:len(args)-1] {
		if !strings.HasPrefix(a, "-") {
			return false
		}
	}
	end := args[len(args)-1]
	return len(args) == 1 && (end == "-V=full" || end == "-flags") || strings.HasSuffix(end, ".cfg")
}

// Main answers a command line for which [IsVetCall] is true, and ends the process.
func Main() {
	end := os.Args[len(os.Args)-1]
	all, err := New(Config{Pairs: pairsOf(os.Args[1:]), FactsOnly: factsOnly(end)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	addFlags(all)
	unitchecker.Main(all...)
}

// factsOnly says whether go vet wants nothing but facts of a package: those of a dependency that nobody asked about.
func factsOnly(config string) bool {
	data, err := os.ReadFile(config)
	if err != nil {
		return false // -V=full or -flags
	}
	var c struct{ VetxOnly bool }
	return json.Unmarshal(data, &c) == nil && c.VetxOnly
}

const pairsFlag = "ctxguardfacts.pairs"

// pairsOf reads the further pairs out of the command line, since they are needed before flags are parsed.
func pairsOf(args []string) []string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(strings.TrimLeft(a, "-"), pairsFlag+"="); ok && v != "" {
			return strings.Split(v, ";")
		}
	}
	return nil
}

// addFlags declares the flag of the pairs with the first analyzer, so that go vet knows of it and hands it on.
func addFlags(all []*analysis.Analyzer) {
	all[0].Flags = flag.FlagSet{}
	all[0].Flags.String("pairs", "", "further functions that acquire, with what releases their result: pkg.Func=Method,Method;pkg.Func=()")
}
