package ctxguard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// book is an audit that a test reads.
type book struct {
	lines []Record
	err   error
	hook  func(Record)
}

func (b *book) write(r Record) error {
	if b.hook != nil {
		b.hook(r)
	}
	if b.err != nil {
		return b.err
	}
	b.lines = append(b.lines, r)
	return nil
}

// String writes the audit as one line a record: since the start, action, key, stage.
func (b *book) String() string {
	var s strings.Builder
	for _, r := range b.lines {
		what := r.Key
		if what == "" {
			what = r.Detail
		}
		fmt.Fprintf(&s, "%v %s %s (%s)\n", r.Time.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), r.Action, what, r.Stage)
	}
	return s.String()
}

func (b *book) count(action string) int {
	n := 0
	for _, r := range b.lines {
		if r.Action == action {
			n++
		}
	}
	return n
}

func newForcer(t *testing.T, b *book, cfg ForceConfig) *Forcer {
	t.Helper()
	cfg.Audit = b.write
	f, err := NewForcer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// at once is an enforced policy without rehearsal and stages.
func atOnce() Policy {
	return Policy{Version: "v1", Mode: Enforce, Rehearse: -1, Grace: -1, Stages: []Stage{{Percent: 100}}}
}

func TestForceCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		p := atOnce()
		p.Grace = 10 * time.Second
		f := newForcer(t, &b, ForceConfig{Policy: p, Node: "n1"})
		ctx, cancel := f.WithForce(t.Context(), "session-7", time.Minute, About{TraceID: "4bf92f", Type: "read", Zone: "hall-2", Labels: map[string]string{"device": "press"}})
		defer cancel()
		child, cancelChild := context.WithTimeout(ctx, time.Hour)
		defer cancelChild()
		time.Sleep(70*time.Second - 1)
		if n := f.Sweep(); n != 0 {
			t.Fatal("within its grace")
		}
		time.Sleep(time.Nanosecond)
		if n := f.Sweep(); n != 1 || child.Err() == nil {
			t.Fatalf("%d cancelled, the child %v", n, child.Err())
		}
		var why *ForceError
		if !errors.As(context.Cause(child), &why) || why.Key != "session-7" || why.TraceID != "4bf92f" || why.Age != 70*time.Second || !why.Retryable() || !why.MayHaveHappened() ||
			!errors.Is(why, context.Canceled) || why.Error() != "ctxguard: TIMEOUT_FORCE: session-7 was registered for 1m0s and is 1m10s old" {
			t.Errorf("cause %+v", context.Cause(child))
		}
		if f.Sweep() != 0 || len(b.lines) != 1 {
			t.Errorf("cancelled twice: %v", &b)
		}
		r := b.lines[0]
		if r.Action != "cancel" || r.Reason != ReasonForced || r.TraceID != "4bf92f" || r.AgeSec != 70 || r.TTLSec != 60 || r.GraceSec != 10 || r.PolicyVersion != "v1" ||
			r.Stage != "stage 1 of 1" || r.Node != "n1" || r.Labels["device"] != "press" || !strings.HasPrefix(r.AllocStack[0], "millrace/ctxguard.TestForceCancel") {
			t.Errorf("%+v", r)
		}
		if s := f.Status(); s.Registered != 0 || s.Forced != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestReleaseAndRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		f := newForcer(t, &b, ForceConfig{Policy: atOnce()})
		calls := 0
		var all []*Registration
		for i := range 4 {
			all = append(all, f.Register(fmt.Sprint(i), time.Minute, func(error) { calls++ }, About{}))
		}
		if first, second := all[1].Release(), all[1].Release(); !first || !second {
			t.Error("a task in time is not released")
		}
		time.Sleep(30 * time.Second)
		all[2].Renew(time.Hour)
		all[1].Renew(time.Hour) // too late, and no harm
		time.Sleep(30 * time.Second)
		if n := f.Sweep(); n != 2 || calls != 2 {
			t.Errorf("%d cancelled, %d calls", n, calls)
		}
		if all[0].Release() || !all[2].Release() {
			t.Error("Release says the wrong thing")
		}
		if s := f.Status(); s.Registered != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// The whole way of a policy: rehearsal, 1, 5, 25, 100 percent of 1,000 tasks, with an illness on the way.
func TestStagedRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		var ill error
		f := newForcer(t, &b, ForceConfig{Policy: Policy{Version: "v2", Mode: Enforce, PerMinute: 100_000}, Healthy: func() error { return ill }})
		for i := range 1000 {
			f.Register(fmt.Sprintf("task-%d", i), time.Second, func(error) {}, About{})
		}
		var got strings.Builder
		forced := 0
		for minute := range 61 {
			switch minute {
			case 23:
				ill = errors.New("P99 over 2 s")
			case 26:
				ill = nil
			}
			if n := f.Sweep(); n > 0 {
				forced += n
				fmt.Fprintf(&got, "minute %d: %d cancelled, %d in all\n", minute, n, forced)
			}
			time.Sleep(time.Minute)
		}
		want := `minute 10: 6 cancelled, 6 in all
minute 20: 41 cancelled, 47 in all
minute 36: 210 cancelled, 257 in all
minute 46: 743 cancelled, 1000 in all
`
		if got.String() != want {
			t.Errorf("got\n%s", &got)
		}
		if n := b.count("would cancel"); n != 1000 {
			t.Errorf("the rehearsal told of %d", n)
		}
		var stages []string
		for _, r := range b.lines {
			if r.Action == "stage" {
				stages = append(stages, r.Detail)
			}
		}
		if got := strings.Join(stages, "; "); got != "stage 1 of 4; stage 2 of 4; suspended: P99 over 2 s; stage 2 of 4; stage 3 of 4; stage 4 of 4" {
			t.Error(got)
		}
		if s := f.Status(); s.Suspended != 1 || s.WouldCancel != 1000 || s.Forced != 1000 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPolicyCovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
		tasks := []struct {
			key   string
			about About
		}{
			{"plc-7/1", About{Type: "read", Zone: "east", Labels: map[string]string{"shift": "day"}}}, {"plc-7/2", About{Type: "write", Zone: "east"}},
			{"plc-8/1", About{Type: "read", Zone: "west", Labels: map[string]string{"shift": "night"}}}, {"plc-9/1", About{Type: "export", Zone: "west"}},
		}
		for name, c := range map[string]struct {
			change func(*Policy)
			want   string
		}{
			"all":    {func(*Policy) {}, "plc-7/1 plc-7/2 plc-8/1 plc-9/1"},
			"types":  {func(p *Policy) { p.Types = []string{"read", "export"} }, "plc-7/1 plc-8/1 plc-9/1"},
			"zones":  {func(p *Policy) { p.Zones = []string{"east"} }, "plc-7/1 plc-7/2"},
			"labels": {func(p *Policy) { p.Labels = map[string]string{"shift": "night"} }, "plc-8/1"},
			"spare":  {func(p *Policy) { p.Spare = []string{"plc-7/*", "plc-9/1"} }, "plc-8/1"},
			"stage":  {func(p *Policy) { p.Stages = []Stage{{Types: []string{"write"}}} }, "plc-7/2"},
			"nodes":  {func(p *Policy) { p.Stages = []Stage{{Nodes: 10}} }, "plc-7/1 plc-7/2 plc-8/1 plc-9/1"},
			"dry":    {func(p *Policy) { p.Mode = DryRun }, ""},
			"off":    {func(p *Policy) { p.Mode = Off }, ""},
			"minute": {func(p *Policy) { p.PerMinute = 3 }, "plc-7/1 plc-7/2 plc-8/1"}, // the oldest first
		} {
			var b book
			p := atOnce()
			c.change(&p)
			f := newForcer(t, &b, ForceConfig{Policy: p, Node: "c", Nodes: nodes})
			var got []string
			for _, x := range tasks {
				f.Register(x.key, time.Minute, func(error) { got = append(got, x.key) }, x.about)
				time.Sleep(time.Nanosecond)
			}
			time.Sleep(time.Minute)
			f.Sweep()
			f.Sweep()
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s: cancelled %s, want %s\n%v", name, s, c.want, &b)
			}
			switch name {
			case "dry":
				if b.count("would cancel") != 4 {
					t.Errorf("the dry run told\n%v", &b)
				}
			case "spare":
				if b.count("spare") != 3 || f.Status().Spared != 3 {
					t.Errorf("those that were spared\n%v", &b)
				}
			case "off":
				if len(b.lines) != 0 {
					t.Errorf("off, and told\n%v", &b)
				}
			case "minute":
				time.Sleep(20 * time.Second)
				if f.Sweep() != 1 {
					t.Error("no turn for the fourth after a third of a minute")
				}
			}
		}
		// Of ten nodes exactly two are the first two, whoever reckons.
		in := 0
		for _, n := range nodes {
			if newForcer(t, &book{}, ForceConfig{Node: n, Nodes: nodes}).among(2) {
				in++
			}
		}
		if in != 2 {
			t.Errorf("2 of 10 nodes are %d", in)
		}
	})
}

// Shares are even, and the same in every process: a release would otherwise be another one on each node.
func TestShares(t *testing.T) {
	var tenth [10]int
	for i := range 10_000 {
		tenth[int(shareOf(fmt.Sprint(i))*10)]++
	}
	for i, n := range tenth {
		if n < 900 || n > 1100 {
			t.Errorf("%d of 10,000 keys are in the %d. tenth", n, i+1)
		}
	}
	if got := fmt.Sprintf("%.6f", shareOf("session-7")); got != "0.844799" {
		t.Errorf("session-7 stands at %s", got)
	}
}

// What is not on record does not happen, and what was released or killed between record and cancel is put right on record.
func TestAuditFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		f := newForcer(t, &b, ForceConfig{Policy: atOnce()})
		cancelled := 0
		r := f.Register("x", time.Second, func(error) { cancelled++ }, About{})
		time.Sleep(time.Second)
		b.err = errors.New("disk full")
		if f.Sweep() != 0 || cancelled != 0 || f.Status().AuditErrors != 1 {
			t.Errorf("cancelled without a record: %+v", f.Status())
		}
		b.err, b.hook = nil, func(x Record) {
			if x.Action == "cancel" && !r.Release() {
				t.Error("not released in that moment")
			}
		}
		if f.Sweep() != 0 || cancelled != 0 || b.String() != "1s cancel x (stage 1 of 1)\n1s not cancelled x (stage 1 of 1)\n" {
			t.Errorf("cancelled %d, record\n%v", cancelled, &b)
		}
	})
}

func TestKillSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		p := atOnce()
		p.Rehearse, p.Settle = time.Minute, time.Minute
		f := newForcer(t, &b, ForceConfig{Policy: p})
		cancelled := 0
		for i := range 3 {
			f.Register(fmt.Sprint(i), time.Second, func(error) { cancelled++ }, About{})
		}
		time.Sleep(time.Minute)
		n, killed := 0, make(chan error, 1)
		b.hook = func(x Record) {
			if n++; x.Action == "cancel" && n == 3 { // the stage, the first, the second: in the middle of a look
				go func() { killed <- f.Kill("operator") }()
				for f.killed.Load() == nil { // Kill waits for the look to end; synctest.Wait would not see that as waiting
					runtime.Gosched()
				}
			}
		}
		f.Sweep()
		if err := <-killed; err != nil || cancelled != 1 {
			t.Errorf("%d cancelled; %v\n%v", cancelled, err, &b)
		}
		b.hook = nil
		if f.Sweep() != 0 || !f.Status().IsKilled || f.Status().Killed != "operator" {
			t.Errorf("%+v", f.Status())
		}
		if err := f.Resume("mended"); err != nil {
			t.Error(err)
		}
		if f.Sweep() != 0 || f.Status().Stage != "rehearsal" {
			t.Errorf("%+v", f.Status())
		}
		time.Sleep(time.Minute)
		if f.Sweep() != 2 || cancelled != 3 {
			t.Errorf("%d cancelled after the resume\n%v", cancelled, &b)
		}
	})
}

func TestForcerRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		f := newForcer(t, &b, ForceConfig{Policy: atOnce()})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		task, release := f.WithForce(ctx, "x", time.Minute, About{})
		defer release()
		<-task.Done()
		if d := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); d != time.Minute {
			t.Errorf("cancelled after %v", d)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestBadPolicies(t *testing.T) {
	for _, p := range []Policy{
		{Mode: 9}, {Ratio: 2}, {Ratio: -1}, {PerMinute: -1}, {Settle: -1}, {Stages: []Stage{{Percent: 101}}}, {Stages: []Stage{{Nodes: 2}}}, {Stages: []Stage{{Nodes: -1}}},
	} {
		if _, err := NewForcer(ForceConfig{Policy: p, Audit: (&book{}).write}); err == nil {
			t.Errorf("%+v was taken", p)
		}
	}
	if _, err := NewForcer(ForceConfig{}); err == nil {
		t.Error("no Audit, and no error")
	}
	if _, err := NewForcer(ForceConfig{Audit: (&book{}).write, Every: -1}); err == nil {
		t.Error("a negative Every, and no error")
	}
}

func TestForceHandler(t *testing.T) {
	var b book
	f := newForcer(t, &b, ForceConfig{Policy: Policy{Version: "v1"}})
	h := f.Handler()
	var s ForceStatus
	status := func(method, path, body string) int {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, Path+"/force"+path, strings.NewReader(body)))
		s = ForceStatus{}
		if rec.Code == http.StatusOK {
			if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil {
				t.Fatal(err)
			}
		}
		return rec.Code
	}
	if code := status("GET", "", ""); code != 200 || s.Policy.Version != "v1" || s.Policy.Grace != 30*time.Second || s.Stage != "dry run" {
		t.Errorf("%d %+v", code, s)
	}
	if code := status("POST", "/policy", `{"version": "v2", "mode": "enforce", "grace": "5s", "stages": [{"percent": 10}]}`); code != 200 || s.Policy.Mode != Enforce || s.Stage != "rehearsal" || s.Policy.Grace != 5*time.Second {
		t.Errorf("%d %+v", code, s)
	}
	for _, bad := range []string{`{"mode": "soon"}`, `{"grace": "1"}`, `{"unknown": 1}`, `{"ratio": 3}`, `{`} {
		if code := status("POST", "/policy", bad); code != 400 {
			t.Errorf("%s: %d", bad, code)
		}
	}
	if code := status("POST", "/kill?why=night", ""); code != 200 || !s.IsKilled || s.Killed != "night" {
		t.Errorf("%d %+v", code, s)
	}
	if text := ask(t, h, "GET", Path+"/force/metrics"); !strings.Contains(text, "\nctxguard_force_killed 1\n") {
		t.Error(text)
	}
	if code := status("POST", "/resume", ""); code != 200 || s.IsKilled {
		t.Errorf("%d %+v", code, s)
	}
	b.err = errors.New("disk full")
	if code := status("POST", "/kill", ""); code != 500 || !f.Status().IsKilled {
		t.Errorf("%d %+v", code, s)
	}
}

func TestAuditTo(t *testing.T) {
	var out bytes.Buffer
	write := AuditTo(&out)
	if err := write(Record{Action: "cancel", Key: "x"}); err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Key != "x" || !strings.HasSuffix(out.String(), "}\n") {
		t.Errorf("%s %v", &out, err)
	}
}

// A hundred overdue tasks are put on record sixty a minute in a dry run too, each once.
func TestDryRunTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		f := newForcer(t, b, ForceConfig{Policy: Policy{Version: "v1", Grace: -1}})
		for i := range 100 {
			_, done := f.WithForce(t.Context(), fmt.Sprint("task-", i), time.Second, About{})
			defer done()
		}
		time.Sleep(time.Second)
		for minute, want := range []int{60, 100, 100} {
			f.Sweep()
			if got := b.count("would cancel"); got != want || f.Status().WouldCancel != uint64(want) {
				t.Errorf("after %d minutes %d are on record, not %d", minute, got, want)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestForcerOff(t *testing.T) {
	var off *Forcer
	ctx, done := off.WithForce(t.Context(), "task", time.Nanosecond, About{})
	r := off.Register("task", time.Nanosecond, func(error) { t.Error("cancelled by nobody") }, About{})
	r.Renew(time.Second)
	if off.Sweep() != 0 || ctx.Err() != nil || !r.Release() || off.Status().Policy.Mode != Off {
		t.Error("a nil Forcer does something")
	}
	done()
	if ctx.Err() == nil || off.Run(ctx) != nil {
		t.Error("the context of a nil Forcer does not end")
	}
}
