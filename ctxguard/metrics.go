package ctxguard

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// sitesInMetrics bounds the series of one scrape.
const sitesInMetrics = 20

// WriteMetrics writes what g knows in the text format of Prometheus. Sites with findings are the twenty with most.
func (g *Guard) WriteMetrics(w io.Writer) error {
	s, b := g.Summary(), bufio.NewWriter(w)
	for _, m := range []struct {
		name, kind, help string
		value            any
	}{
		{"sample", "gauge", "One context in so many is looked after; -1 none.", s.Sample},
		{"contexts_tracked_total", "counter", "Contexts that were looked after.", s.Tracked},
		{"contexts_live", "gauge", "Contexts looked after that are not over.", s.Live},
		{"contexts_overdue", "gauge", "Contexts that are alive after their lease.", s.Overdue},
		{"contexts_dropped_total", "counter", "Contexts that were collected and never cancelled.", s.Dropped},
		{"contexts_overdue_total", "counter", "Contexts that were found alive after their lease.", s.OverdueEver},
		{"contexts_healed_total", "counter", "Dropped contexts that the guard has cancelled.", s.Healed},
		{"contexts_lapsed_total", "counter", "Contexts collected uncancelled after their deadline or parent had ended them.", s.Lapsed},
		{"handlers_left_behind_total", "counter", "Children that HTTP handlers left uncancelled.", s.LeftBehind},
		{"roots_excess_total", "counter", "Times that a watched root was found with too many children.", s.Excess},
	} {
		fmt.Fprintf(b, "# HELP ctxguard_%s %s\n# TYPE ctxguard_%s %s\nctxguard_%s %v\n", m.name, m.help, m.name, m.kind, m.name, m.value)
	}
	writeRoots(b, s.Roots)
	writeSites(b, s.Sites)
	return b.Flush()
}

func writeRoots(b *bufio.Writer, roots []Root) {
	if len(roots) == 0 {
		return
	}
	fmt.Fprint(b, "# HELP ctxguard_root_children Contexts that hang on a watched root.\n# TYPE ctxguard_root_children gauge\n")
	for _, r := range roots {
		fmt.Fprintf(b, "ctxguard_root_children{root=%s} %d\n", quoted(r.Name), r.Children)
	}
	fmt.Fprint(b, "# HELP ctxguard_root_expected Children that a watched root should have.\n# TYPE ctxguard_root_expected gauge\n")
	for _, r := range roots {
		fmt.Fprintf(b, "ctxguard_root_expected{root=%s} %d\n", quoted(r.Name), r.Expected)
	}
}

func writeSites(b *bufio.Writer, sites []Site) {
	head := "# HELP ctxguard_site_findings_total Findings by the line that made the context.\n# TYPE ctxguard_site_findings_total counter\n"
	for i := range min(len(sites), sitesInMetrics) {
		s := &sites[i]
		for f, n := range [findings]uint64{Dropped: s.Dropped, Overdue: s.Overdue, Excess: s.Excess, LeftBehind: s.LeftBehind} {
			if n > 0 {
				fmt.Fprintf(b, "%sctxguard_site_findings_total{scope=%s,site=%s,finding=%q} %d\n", head, quoted(s.Scope), quoted(s.Top()), findingNames[f], n)
				head = ""
			}
		}
	}
}

// Top is the line that made the context, "" when it is not known.
func (s *Site) Top() string {
	for _, f := range s.AllocStack {
		if !strings.HasPrefix(f, "context.") && !strings.HasPrefix(f, "runtime.") {
			return f
		}
	}
	return ""
}

// quoted writes a label's value: the format knows three escapes.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
