package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// figure is what one contestant reached of something of which less is better, beside what it was to reach and what the best known does.
type figure struct {
	name         string
	target, best string
	values       []float64 // one a round
	notes        []string  // what else was measured, the last round's
}

// printFigures writes a table of medians with the spread, and the ratio of each contestant to the first, round by round.
func printFigures(w io.Writer, title, unit string, all []*figure) {
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	fmt.Fprintf(w, "%-36s %14s %24s %8s %12s %18s\n", "", unit, "(min..max)", "ratio", "target", "best known")
	for _, f := range all {
		if len(f.values) == 0 {
			continue
		}
		ratios := make([]float64, 0, len(f.values))
		for i := range min(len(f.values), len(all[0].values)) {
			ratios = append(ratios, f.values[i]/all[0].values[i])
		}
		fmt.Fprintf(w, "%-36s %14s %24s %8.2f %12s %18s  %s\n", f.name, short(median(f.values)),
			"("+short(slices.Min(f.values))+".."+short(slices.Max(f.values))+")", median(ratios), f.target, f.best, strings.Join(f.notes, ", "))
	}
}

// short writes three digits of small numbers and all of large ones.
func short(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.0f", v)
}
