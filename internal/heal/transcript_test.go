package heal

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the transcripts anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTranscripts runs the commands of testdata/*.txt, the lines that begin with "> ", and compares what then happened:
//
//	> devices press 10              ten devices, press01 to press10, all ready
//	> rule slow; when: ...; do: reconnect, stretch 4; verify: ...
//	> set press01 loss=0.1          changes how a device is
//	> node cpu=0.95
//	> tick 5s                       so much later, a Step
//	> fail reconnect TEXT           from now on what begins so fails; > fail ends that
//	> pause TEXT, > resume
//	> explain slow, > dry slow, > counts
//	> unused jitter                  explains a rule that comes along and is not in use
//	> topology press03, > record 3  how a device is, what the disk says of a run
//	> after 3                       how the devices of a run were at its end, as the disk says
//	> lost                          the gateway ends after the next save, before anything of it is done
//	> restart                       another Engine takes up what was kept on the disk
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newBench(t).transcript(string(b))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(b) {
				t.Errorf("the transcript differs; run with -update and look at the diff\n%s", got)
			}
		})
	}
}

// bench is an Engine with a plant that does at once what it is told.
type bench struct {
	t      testing.TB
	c      *Compiler
	e      *Engine
	now    time.Time
	w      World
	rules  []*Policy
	disk   map[uint64][]byte // records, as JSON
	fail   string
	why    string
	out    strings.Builder
	lost   bool // what is saved is not done any more
	manual bool // results are given by "> done"
	wait   []Result
}

func newBench(t testing.TB) *bench {
	t.Helper()
	c, err := NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, c: c, e: NewEngine(c, 0), now: time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC), disk: map[uint64][]byte{}}
}

func (b *bench) transcript(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&b.out, line)
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&b.out, line)
			b.command(strings.TrimPrefix(line, "> "))
		}
	}
	return b.out.String()
}

func (b *bench) command(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "devices":
		name, n, _ := strings.Cut(rest, " ")
		b.devices(name, n)
	case "rule":
		b.rule(rest)
	case "norules":
		b.rules = nil
		b.e.SetPolicies(nil)
	case "set":
		b.set(rest)
	case "remove":
		b.w.Devices = slices.DeleteFunc(slices.Clone(b.w.Devices), func(d Device) bool { return d.Name == rest })
	case "node":
		b.assign(strings.Fields(rest), &b.w.Node, nil)
	case "tick":
		d, err := time.ParseDuration(rest)
		if err != nil {
			b.t.Fatal(err)
		}
		b.tick(d)
	case "fail":
		b.fail, b.why, _ = strings.Cut(rest, " ")
	case "manual":
		b.manual = true
	case "lost":
		b.lost = true
	case "done":
		b.step(b.world(), b.wait)
	case "pause":
		b.w.Paused = rest
	case "resume":
		b.w.Paused = ""
	case "explain":
		b.explain(rest)
	case "unused":
		shipped := Shipped()
		i := slices.IndexFunc(shipped, func(r Rule) bool { return r.Name == rest })
		p, errs := b.c.Compile(shipped[i])
		if errs != nil {
			b.t.Fatal(errs)
		}
		x := b.e.ExplainUnused(p, b.world())
		fmt.Fprintf(&b.out, "  %s: %s, %s; tried for %d\n", x.Name, x.State, x.Why, x.Watched)
	case "dry":
		name, subject, _ := strings.Cut(rest, " ")
		b.dry(name, subject)
	case "counts":
		for _, s := range b.e.Summaries(b.world()) {
			rest := ""
			if s.Resting > 0 {
				rest = fmt.Sprintf("; %d rest until %s", s.Resting, s.Rested.Format(time.TimeOnly))
			}
			fmt.Fprintf(&b.out, "  %s: %s, %s; runs %v, held %v, success %.2f%s\n", s.Name, s.State, s.Why, s.Runs, s.Held, s.Success, rest)
		}
	case "record":
		id, _ := strconv.ParseUint(rest, 10, 64)
		var r Record
		if err := json.Unmarshal(b.disk[id], &r); err != nil {
			b.t.Fatal(err)
		}
		fmt.Fprintf(&b.out, "  %s: %s; undone %s\n", r.Outcome, r.Reason, r.Undone.Format(time.TimeOnly))
	case "after":
		id, _ := strconv.ParseUint(rest, 10, 64)
		var r Record
		if err := json.Unmarshal(b.disk[id], &r); err != nil {
			b.t.Fatal(err)
		}
		for _, a := range r.After {
			fmt.Fprintf(&b.out, "  %s %+v\n", a.Device, a.Topology)
		}
	case "topology":
		fmt.Fprintf(&b.out, "  %+v\n", b.w.Device(rest).Topology)
	case "restart":
		b.restart()
	default:
		b.t.Fatalf("no command %q", word)
	}
}

func (b *bench) devices(name, count string) {
	n, err := strconv.Atoi(count)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range n {
		d := Device{Name: fmt.Sprintf("%s%02d", name, i+1), Region: name, State: "ready", Up: true, Address: fmt.Sprintf("modbus://10.0.0.%d:502", i+1), RTT: 2 * time.Millisecond, Routes: 1}
		d.Stretch = 1
		b.w.Devices = append(b.w.Devices, d)
	}
	slices.SortFunc(b.w.Devices, func(a, b Device) int { return strings.Compare(a.Name, b.Name) })
}

// set changes devices: "press01 loss=0.1 rtt=300ms down=true". A name that ends with * is all that begin so.
func (b *bench) set(rest string) {
	words := strings.Fields(rest)
	b.w.Devices = slices.Clone(b.w.Devices)
	for i := range b.w.Devices {
		if ok, _ := filepath.Match(words[0], b.w.Devices[i].Name); ok {
			b.assign(words[1:], nil, &b.w.Devices[i])
		}
	}
}

func (b *bench) assign(words []string, n *Node, d *Device) {
	for _, w := range words {
		name, v, _ := strings.Cut(w, "=")
		number, _ := strconv.ParseFloat(v, 64)
		duration, _ := time.ParseDuration(v)
		switch name {
		case "cpu":
			n.CPU = number
		case "loss":
			d.Loss = number
		case "rtt":
			d.RTT = duration
		case "jitter":
			d.Jitter = duration
		case "routes":
			d.Routes = int(number)
		case "route":
			d.Route = int(number)
		case "stretch":
			d.Stretch = number
		case "out":
			d.OutOfService = v == "true"
		case "byrule":
			d.ByRule = v == "true"
		case "region":
			d.Region = v
		case "site":
			d.Labels = map[string]string{"site": v}
		case "outages":
			d.Outages = int64(number)
		case "down":
			if d.Down, d.Up, d.State = v == "true", v != "true", "ready"; d.Down {
				d.State = "cooling"
			}
		default:
			b.t.Fatalf("no field %q", name)
		}
	}
}

// rule adds a rule: "name; key: value; key: value".
func (b *bench) rule(text string) {
	parts := strings.Split(text, "; ")
	r := Rule{Name: parts[0]}
	for _, p := range parts[1:] {
		key, v, _ := strings.Cut(p, ": ")
		duration, _ := time.ParseDuration(v)
		switch key {
		case "each":
			r.Each = Each(v)
		case "on":
			r.On = strings.Fields(v)
		case "when":
			r.When = v
		case "which":
			r.Which = v
		case "for":
			r.For = duration
		case "verify":
			r.Verify = v
		case "within":
			r.Within = duration
		case "hold":
			r.Hold = duration
		case "keep":
			r.Keep = duration
		case "manual":
			r.Manual = true
		case "dry":
			r.Dry = true
		case "limit":
			r.Limit = b.limit(v)
		case "do":
			for a := range strings.SplitSeq(v, ", ") {
				r.Do = append(r.Do, action(a))
			}
		default:
			b.t.Fatalf("no key %q", key)
		}
	}
	p, errs := b.c.Compile(r)
	if errs != nil {
		for _, e := range errs {
			fmt.Fprintf(&b.out, "  %v\n", e)
		}
		return
	}
	b.rules = append(slices.DeleteFunc(b.rules, func(o *Policy) bool { return o.Name == p.Name }), p)
	b.e.SetPolicies(b.rules)
}

func (b *bench) limit(text string) (l Limit) {
	for w := range strings.FieldsSeq(text) {
		name, v, _ := strings.Cut(w, "=")
		number, _ := strconv.ParseFloat(v, 64)
		switch name {
		case "devices":
			l.Devices = int(number)
		case "percent":
			l.Percent = number
		case "min_healthy":
			l.MinHealthy = number
		case "per_hour":
			l.PerHour = int(number)
		case "cooldown":
			l.Cooldown, _ = time.ParseDuration(v)
		default:
			b.t.Fatalf("no limit %q", name)
		}
	}
	return l
}

func action(text string) Action {
	name, arg, _ := strings.Cut(text, " ")
	a := Action{Type: name, Text: arg, Route: ""}
	switch name {
	case Reroute:
		a.Route = arg
	case Stretch:
		a.Factor, _ = strconv.ParseFloat(arg, 64)
	case Run:
		a.Argv = strings.Fields(arg)
	}
	return a
}

func (b *bench) world() *World {
	w := b.w
	w.Now = b.now
	return &w
}

func (b *bench) tick(d time.Duration) {
	b.now = b.now.Add(d)
	fmt.Fprintf(&b.out, "  %s\n", b.now.Format(time.TimeOnly))
	b.step(b.world(), nil)
}

// step steps, and does what that says, until nothing more is to be done.
func (b *bench) step(w *World, results []Result) {
	for {
		o := b.e.Step(w, results)
		results = nil
		for _, e := range o.Events {
			fmt.Fprintf(&b.out, "    event %s %s %s: %s\n", e.Kind, e.Rule, e.Subject, e.Text)
		}
		for _, r := range o.Save {
			text, err := json.Marshal(r)
			if err != nil {
				b.t.Fatal(err)
			}
			b.disk[r.ID] = text
			fmt.Fprintf(&b.out, "    save %d %s, %d steps\n", r.ID, r.Outcome, len(r.Steps))
		}
		if b.lost {
			return
		}
		for _, d := range o.Do {
			results = append(results, b.do(d))
		}
		if b.manual {
			b.wait = results
			return
		}
		if len(o.Do) == 0 {
			return
		}
	}
}

func (b *bench) do(d Do) Result {
	text := d.Type + " " + d.Device
	switch d.Type {
	case Reroute:
		text += fmt.Sprintf(" route=%d", d.Route)
	case Stretch:
		text += fmt.Sprintf(" factor=%g", d.Factor)
	case Degrade, OutOfService:
		text += fmt.Sprintf(" on=%v", d.On)
	case Notify:
		text += fmt.Sprintf(" %q", d.Text)
	case Run:
		text += fmt.Sprintf(" %q %q %v", d.Argv, d.Env, d.Timeout)
	}
	res := Result{Run: d.Run, Step: d.Step}
	if b.fail != "" && strings.HasPrefix(text, b.fail) {
		res.Err = fmt.Errorf("%s", b.why)
		text += " fails"
	} else {
		b.obey(d)
	}
	fmt.Fprintf(&b.out, "    do %d.%d %s\n", d.Run, d.Step, text)
	return res
}

// obey makes the plant what it was told to be.
func (b *bench) obey(d Do) {
	b.w.Devices = slices.Clone(b.w.Devices)
	x := b.w.Device(d.Device)
	switch {
	case x == nil:
	case d.Type == Reroute && d.Route < 0:
		x.Pinned = false
	case d.Type == Reroute:
		x.Route, x.Pinned = d.Route, true
	case d.Type == Stretch:
		x.Stretch = d.Factor
	case d.Type == Degrade:
		x.Degraded = d.On
	case d.Type == OutOfService:
		x.OutOfService, x.ByRule = d.On, d.On
	case d.Type == Standby:
		x.Standby = true
	}
}

func (b *bench) explain(name string) {
	x, ok := b.e.Explain(name, b.world())
	if !ok {
		fmt.Fprintln(&b.out, "  there is none")
		return
	}
	fmt.Fprintf(&b.out, "  %s: %s; %s\n  do %q; %s; %s\n  %s\n", x.State, x.Why, x.For, x.Do, x.Verify, x.After, x.Limit)
	for _, t := range x.Terms {
		fmt.Fprintf(&b.out, "  term %s holds for %d of %d\n", t.Source, t.Holds, x.Watched)
	}
	for _, t := range x.Told {
		fmt.Fprintf(&b.out, "  %s: %s (%s)\n", t.Subject, t.Why, factText(t.Values))
	}
	if x.Untold > 0 {
		fmt.Fprintf(&b.out, "  and %d more\n", x.Untold)
	}
}

func (b *bench) dry(name, subject string) {
	for _, p := range b.e.DryRun(name, subject, b.world()) {
		fmt.Fprintf(&b.out, "  %s for %s, holds %v, against %q, devices %v, %d left\n", p.Rule, p.Subject, p.Holds, p.Against, p.Devices, p.Left)
		for _, s := range p.Steps {
			fmt.Fprintf(&b.out, "    %s: %s %s\n", s.Device, s.Action, s.Note)
		}
		for _, u := range p.Undo {
			fmt.Fprintf(&b.out, "    undo %s\n", u)
		}
		if p.More > 0 {
			fmt.Fprintf(&b.out, "  and for %d more\n", p.More)
		}
	}
}

// restart is what a gateway does that comes up again: the plant is as it is configured, but for the marks on the disk.
func (b *bench) restart() {
	b.lost = false
	b.w.Devices = slices.Clone(b.w.Devices)
	for i := range b.w.Devices {
		d := &b.w.Devices[i]
		d.Topology = Topology{Stretch: 1, OutOfService: d.OutOfService}
	}
	last := uint64(0)
	for id := range b.disk {
		last = max(last, id)
	}
	b.e = NewEngine(b.c, last)
	b.e.SetPolicies(b.rules)
	for id := range last + 1 {
		var r Record
		if text, ok := b.disk[id]; ok && json.Unmarshal(text, &r) == nil && r.Unfinished() {
			b.e.Resume(r)
		}
	}
	b.step(b.world(), nil)
}
