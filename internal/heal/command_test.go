package heal

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// TestPrograms runs real ones: their output is kept, a failure undoes the run, and one that does not end is ended with what it has started.
func TestPrograms(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh here")
	}
	t.Setenv("SECRET", "swordfish")
	for _, c := range []struct {
		script, output, err string
	}{
		{`echo "$MILLRACE_RULE $MILLRACE_DEVICE $1 [$SECRET]"`, "slow press03 it's; fine []", ""},
		{`echo out; exit 3`, "out", "exit status 3"},
		{`echo begun; sleep 600 & wait`, "begun", "it did not end within 200ms"},
		{`echo out; sleep 3 &`, "out", ""}, // what it leaves behind holds its output
		{`printf '\033]0;title\007\033[31mred\r\n\tGr\303\274\303\237e\302\233\377'`, "\uFFFD]0;title\uFFFD\uFFFD[31mred\n\tGrüße\uFFFD\uFFFD", ""}, // no control characters
		{`yes | head -c 100000`, strings.TrimSpace(strings.Repeat("y\n", maxOutput/2)), ""},
	} {
		d := Do{Run: 7, Argv: []string{"/bin/sh", "-c", c.script, "sh", "it's; fine"}, Env: []string{"MILLRACE_RULE=slow", "MILLRACE_DEVICE=press03"}, Timeout: 10 * time.Second}
		if strings.Contains(c.err, "within") {
			d.Timeout = 200 * time.Millisecond
		}
		res := program(d).run(t.Context())
		said := ""
		if res.Err != nil {
			said = res.Err.Error()
		}
		if res.Output != c.output || said != c.err {
			t.Errorf("%s: %.80q, %v", c.script, res.Output, res.Err)
		}
	}
}

// TestAProgramIsPartOfARun follows one from the rule to the record.
func TestAProgramIsPartOfARun(t *testing.T) {
	p, disk := newFakePlant(3), newFakeHistory()
	lossOf(0.1, time.Second)(p)
	c, err := NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	policy, errs := c.Compile(Rule{Name: "slow", When: "device.loss > 0.05", Do: []Action{{Type: Stretch, Factor: 3}, {Type: Run, Argv: []string{"echo", "{device} of {region}"}}}})
	if errs != nil {
		t.Fatal(errs)
	}
	events := make(chan Event, 10)
	r, err := NewRunner(RunnerConfig{Compiler: c, Plant: p, History: disk, OnEvent: func(e Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	r.SetPolicies([]*Policy{policy}, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	for e := range events {
		if e.Kind == string(Done) {
			break
		}
	}
	cancel()
	<-ended
	x := disk.all()[0]
	if x.Outcome != Done || x.Steps[1].Output != "press03 of 10.0.0.0/24" || x.Steps[1].Action != `run ["echo" "press03 of 10.0.0.0/24"]` {
		t.Errorf("%+v", x)
	}
}
