package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// series is the figures of one contestant over the rounds.
type series struct {
	name   string
	perCPU []float64 // per CPU second of the process measured
	rate   []float64 // per second of wall time
}

func median(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	if len(s) == 0 {
		return 0
	}
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// print writes a table of medians with the spread, and the ratio of the first contestant to each other, measured round by round.
func print(w io.Writer, title, unit string, all []*series) {
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	fmt.Fprintf(w, "%-24s %16s %22s %14s %8s\n", "", unit+"/CPU s", "(min..max)", unit+"/s", "ratio")
	for _, s := range all {
		ratios := make([]float64, 0, len(s.perCPU))
		for i := range min(len(s.perCPU), len(all[0].perCPU)) {
			ratios = append(ratios, all[0].perCPU[i]/s.perCPU[i])
		}
		fmt.Fprintf(w, "%-24s %16.0f %22s %14.0f %8.2f\n", s.name, median(s.perCPU),
			fmt.Sprintf("(%.0f..%.0f)", slices.Min(s.perCPU), slices.Max(s.perCPU)), median(s.rate), median(ratios))
	}
}
