package device

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/internal/resilience"
)

var update = flag.Bool("update", false, "write the transcripts in testdata anew")

// halfRand is a random source that always gives the middle.
type halfRand struct{}

func (halfRand) Int64N(n int64) int64 { return n / 2 }

// TestMachine runs the transcripts in testdata/machine. A line is a command: "profile NAME [FIELD=VALUE...]", "routes N", or "+AFTER EVENT [until=+AFTER] [asked|slow|less|anew|quick]
// [to=ROUTE] [pin]" with the
// time since the line before; behind => stands what followed: the state and the actions with their times since the beginning.
func TestMachine(t *testing.T) {
	files, err := filepath.Glob("testdata/machine/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := transcript(t, want)
			if *update {
				if err := os.WriteFile(f, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("the transcript is now\n%s", got)
			}
		})
	}
}

func transcript(t *testing.T, in []byte) []byte {
	start := time.Unix(0, 0)
	now := start
	m := newMachine(resilience.LAN(), halfRand{}, now)
	var out bytes.Buffer
	sc := bufio.NewScanner(bytes.NewReader(in))
	for sc.Scan() {
		cmd, _, _ := strings.Cut(sc.Text(), "=>")
		cmd = strings.TrimRight(cmd, " ")
		words := strings.Fields(cmd)
		switch {
		case len(words) == 0 || words[0] == "#":
			fmt.Fprintln(&out, cmd)
			continue
		case words[0] == "routes":
			m.choice.routes = number(t, words[1])
			fmt.Fprintln(&out, cmd)
			continue
		case words[0] == "profile":
			p, ok := resilience.ProfileNamed(words[1])
			if !ok {
				t.Fatalf("%q", cmd)
			}
			setProfile(t, &p, words[2:])
			m = newMachine(p, halfRand{}, now)
			fmt.Fprintln(&out, cmd)
			continue
		}
		now = now.Add(duration(t, words[0]))
		ev := event{kind: parseEvent(t, words[1]), at: now}
		for _, w := range words[2:] {
			what, value, _ := strings.Cut(w, "=")
			switch what {
			case "until":
				ev.until = now.Add(duration(t, value))
			case "to":
				ev.route = number(t, value)
			case "pin":
				ev.pin = true
			case "asked":
				ev.asked = true
			case "slow":
				ev.slow = true
			case "anew":
				ev.anew = true
			case "less":
				ev.less = true
			case "quick":
				ev.quick = true
			default:
				t.Fatalf("%q", cmd)
			}
		}
		acts := m.Step(ev)
		fmt.Fprintf(&out, "%-28s => %s%s\n", cmd, m.state, describe(acts, start))
	}
	return out.Bytes()
}

// setProfile sets single fields of p: slow_call=1s, probes=4.
func setProfile(t *testing.T, p *resilience.Profile, fields []string) {
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		var err error
		switch name {
		case "slow_call":
			p.SlowCall = duration(t, value)
		case "slow_rate":
			p.SlowRate, err = strconv.ParseFloat(value, 64)
		case "failures":
			p.Failures, err = strconv.Atoi(value)
		case "probes":
			p.Probes, err = strconv.Atoi(value)
		default:
			t.Fatalf("profile has no %s here", name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func describe(acts []action, start time.Time) string {
	var b strings.Builder
	for _, a := range acts {
		b.WriteString("; " + [...]string{"open", "read", "probe", "probe less", "arm", "down", "up", "out", "close", "route"}[a.kind])
		if a.kind == actRoute {
			fmt.Fprintf(&b, " %d", a.route)
		}
		if !a.at.IsZero() {
			fmt.Fprintf(&b, " %v", a.at.Sub(start))
		}
	}
	return b.String()
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(strings.TrimPrefix(s, "+"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parseEvent(t *testing.T, s string) eventKind {
	for k, name := range [...]string{"tick", "opened", "refused", "replied", "partial", "timedout", "lost", "out", "in", "drain", "gone", "route"} {
		if name == s {
			return eventKind(k)
		}
	}
	t.Fatalf("unknown event %q", s)
	return 0
}

// Any event in any state leads to a state that exists, and Step allocates nothing.
func TestMachineTakesEverything(t *testing.T) {
	for s := range states {
		for k := evTick; k <= evRoute; k++ {
			m := newMachine(resilience.LAN(), halfRand{}, time.Unix(0, 0))
			m.state = s
			m.Step(event{kind: k, at: time.Unix(1, 0)})
			if m.state >= states {
				t.Errorf("event %d in %v leads to %v", k, s, m.state)
			}
			if s >= Draining && m.state < Draining {
				t.Errorf("event %d brings %v back to %v", k, s, m.state)
			}
		}
	}
	m := newMachine(resilience.LAN(), halfRand{}, time.Unix(0, 0))
	at := time.Unix(0, 0)
	if n := testing.AllocsPerRun(100, func() {
		for _, k := range []eventKind{evTick, evOpened, evReplied, evTimedOut, evReplied, evTimedOut, evTimedOut, evTimedOut, evTick, evOpened, evReplied, evOut, evIn} {
			at = at.Add(time.Second)
			m.Step(event{kind: k, at: at})
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
