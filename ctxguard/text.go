package ctxguard

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

func plural(n int, what string) string { return strconv.Itoa(n) + " " + what }

// WriteText prints s for people: what leaks, with stacks, the most first; sites without a finding only as a number. most bounds the sites; 0 is all.
func (s *Summary) WriteText(w io.Writer, most int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "ctxguard since %s, one context in %d looked after: %d in all, %d alive, %d of them overdue\n", clock(s.Since), s.Sample, s.Tracked, s.Live, s.Overdue)
	fmt.Fprintf(&b, "findings: %d dropped, %d overdue, %d roots with too many children, %d left behind by handlers; %d healed\n",
		s.Dropped, s.OverdueEver, s.Excess, s.LeftBehind, s.Healed)
	if !s.Census {
		b.WriteString("children cannot be counted with this version of Go\n")
	}
	for _, r := range s.Roots {
		fmt.Fprintf(&b, "root %s: %d children, %d expected\n", r.Name, r.Children, r.Expected)
	}
	quiet, shown := 0, 0
	for i := range s.Sites {
		x := &s.Sites[i]
		if x.Leaks() == 0 {
			quiet++
		} else if shown++; most == 0 || shown <= most {
			x.write(&b)
		}
	}
	if most > 0 && shown > most {
		fmt.Fprintf(&b, "\nand %d more sites with findings\n", shown-most)
	}
	if quiet > 0 {
		fmt.Fprintf(&b, "\n%d more sites have contexts alive and nothing wrong\n", quiet)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (x *Site) write(b *strings.Builder) {
	var what []string
	for _, c := range []struct {
		n    uint64
		name string
	}{{x.Dropped, "dropped"}, {x.Overdue, "overdue"}, {x.Excess, "too many children"}, {x.LeftBehind, "left behind"}, {x.Healed, "healed"}} {
		if c.n > 0 {
			what = append(what, fmt.Sprintf("%d %s", c.n, c.name))
		}
	}
	fmt.Fprintf(b, "\n%s", strings.Join(what, ", "))
	if x.Scope != "" {
		fmt.Fprintf(b, ", scope %s", x.Scope)
	}
	fmt.Fprintf(b, "; %d alive, oldest leak %v", x.Live, seconds(x.LeakAgeSec))
	if x.FirstSeen != nil && x.LastSeen != nil {
		fmt.Fprintf(b, "; first %s, last %s", clock(*x.FirstSeen), clock(*x.LastSeen))
	}
	if x.Labels != "" {
		fmt.Fprintf(b, "; %s", x.Labels)
	}
	if x.GoroutineID != 0 {
		fmt.Fprintf(b, "; goroutine %d", x.GoroutineID)
	}
	b.WriteByte('\n')
	for _, f := range x.AllocStack {
		fmt.Fprintf(b, "    %s\n", f)
	}
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
