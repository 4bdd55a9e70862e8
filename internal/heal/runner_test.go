package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakePlant is a plant of the tests: what it is told changes it, and change is asked for the rest.
type fakePlant struct {
	mu     sync.Mutex
	w      World
	did    []string
	refuse error
	change func(did string, d *Device) // after each action; nil for nothing
	node   func() Node
}

func newFakePlant(n int) *fakePlant {
	p := &fakePlant{}
	for i := range n {
		d := Device{Name: fmt.Sprintf("press%02d", i+1), Region: "10.0.0.0/24", State: "ready", Up: true, RTT: 2 * time.Millisecond, Routes: 2}
		d.Stretch = 1
		p.w.Devices = append(p.w.Devices, d)
	}
	return p
}

func (p *fakePlant) World() World {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := World{Node: p.w.Node, Devices: slices.Clone(p.w.Devices)}
	if p.node != nil {
		w.Node = p.node()
	}
	return w
}

func (p *fakePlant) set(name string, f func(d *Device)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.w.Devices {
		if ok, _ := filepath.Match(name, p.w.Devices[i].Name); ok {
			f(&p.w.Devices[i])
		}
	}
}

func (p *fakePlant) act(text, device string, f func(d *Device)) error {
	if p.refuse != nil {
		return p.refuse
	}
	p.set(device, func(d *Device) {
		f(d)
		if p.change != nil {
			p.change(text, d)
		}
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.did = append(p.did, text+" "+device)
	return nil
}

func (p *fakePlant) done() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.did)
}

func (p *fakePlant) Reconnect(device, _ string) error {
	return p.act("reconnect", device, func(*Device) {})
}
func (p *fakePlant) Degrade(device string, on bool, _ string) error {
	return p.act(fmt.Sprint("degrade ", on), device, func(d *Device) { d.Degraded = on })
}
func (p *fakePlant) Stretch(device string, factor float64, _ string) error {
	return p.act(fmt.Sprint("stretch ", factor), device, func(d *Device) { d.Stretch = factor })
}
func (p *fakePlant) UseRoute(device string, route int, _ string) error {
	return p.act(fmt.Sprint("route ", route), device, func(d *Device) {
		if d.Pinned = route >= 0; d.Pinned {
			d.Route = route
		}
	})
}
func (p *fakePlant) OpenStandby(device, _ string) error {
	return p.act("standby", device, func(d *Device) { d.Standby = true })
}
func (p *fakePlant) Resubscribe(device, _ string) error {
	return p.act("resubscribe", device, func(*Device) {})
}
func (p *fakePlant) SetOutOfService(_ context.Context, device string, out bool, _ string) error {
	return p.act(fmt.Sprint("out ", out), device, func(d *Device) { d.OutOfService = out })
}
func (p *fakePlant) Notify(device, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.did = append(p.did, "notify "+text)
}

// fakeHistory keeps records as the disk does: as JSON.
type fakeHistory struct {
	mu    sync.Mutex
	runs  map[uint64][]byte
	pause Pause
	full  error
	syncs int
}

func newFakeHistory() *fakeHistory { return &fakeHistory{runs: map[uint64][]byte{}} }

func (h *fakeHistory) SaveRuns(_ context.Context, runs []Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full != nil {
		return h.full
	}
	h.syncs++
	for _, r := range runs {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		h.runs[r.ID] = text
	}
	return nil
}

func (h *fakeHistory) all() (out []Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, text := range h.runs {
		var r Record
		if json.Unmarshal(text, &r) == nil {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return int(a.ID) - int(b.ID) })
	return out
}

func (h *fakeHistory) Unfinished(context.Context) ([]Record, error) {
	return slices.DeleteFunc(h.all(), func(r Record) bool { return !r.Unfinished() }), nil
}

func (h *fakeHistory) Recent(context.Context) ([]Record, error) { return h.all(), nil }

func (h *fakeHistory) LastRun(context.Context) (uint64, error) {
	var last uint64
	for _, r := range h.all() {
		last = max(last, r.ID)
	}
	return last, nil
}

func (h *fakeHistory) Pause(context.Context) (Pause, error) { return h.pause, nil }
func (h *fakeHistory) SetPause(_ context.Context, p Pause) error {
	h.pause = p
	return nil
}

// heals is a Runner under test, in a bubble of synctest.
type heals struct {
	*Runner
	t      *testing.T
	plant  *fakePlant
	disk   *fakeHistory
	end    func()
	mu     sync.Mutex
	events []string
	errs   []error
}

func (h *heals) told() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.events, "\n")
}

func startHealing(t *testing.T, plant *fakePlant, disk *fakeHistory, rules ...Rule) *heals {
	t.Helper()
	h := &heals{t: t, plant: plant, disk: disk}
	c, err := NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	var policies []*Policy
	for _, r := range rules {
		p, errs := c.Compile(r)
		if errs != nil {
			t.Fatal(errs[0])
		}
		policies = append(policies, p)
	}
	h.Runner, err = NewRunner(RunnerConfig{Compiler: c, Plant: plant, History: disk, OnEvent: func(e Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, e.Kind+" "+e.Rule+" "+e.Subject+": "+e.Text)
	}, OnError: func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.errs = append(h.errs, err)
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.SetPolicies(policies, 0)
	if err := h.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Run(ctx)
	}()
	h.end = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(h.end)
	return h
}

// after lets d pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (h *heals) want(outcomes ...Outcome) {
	h.t.Helper()
	var got []Outcome
	for _, r := range h.disk.all() {
		got = append(got, r.Outcome)
	}
	if !slices.Equal(got, outcomes) {
		h.t.Errorf("the runs ended %v, want %v\n%s", got, outcomes, h.told())
	}
}

// TestShippedPolicies provokes each of the rules that come with the gateway, lets it help, and sees it undone when its time is over.
func TestShippedPolicies(t *testing.T) {
	for _, c := range []struct {
		name    string
		provoke func(p *fakePlant)
		relief  func(p *fakePlant)
		wait    time.Duration // until it acts
		did     string        // what then was done to the first device that it touched
		undone  string
	}{
		{"jitter", jitterOf(150 * time.Millisecond), jitterOf(10 * time.Millisecond), 32 * time.Second, "route 1 press03, stretch 2 press03", "stretch 1 press03, route 0 press03, route -1 press03"},
		{"latency_loss", lossOf(0.08, 300*time.Millisecond), lossOf(0, time.Millisecond), 32 * time.Second, "standby press03, route 1 press03, degrade true press03", "degrade false press03, route 0 press03, route -1 press03"},
		{"node_cpu", cpuOf(0.95), cpuOf(0.5), 5*time.Minute + 2*time.Second, "stretch 2 press01", "stretch 1 press01"},
		{"region_latency", regionOf(1500 * time.Millisecond), regionOf(3 * time.Millisecond), time.Minute + 2*time.Second, "route 1 press01, route 1 press02", "stretch 1 press02, stretch 1 press01, route 0 press02, route -1 press02, route 0 press01, route -1 press01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := slices.IndexFunc(Shipped(), func(r Rule) bool { return r.Name == c.name })
				r := Shipped()[i]
				p := newFakePlant(4)
				h := startHealing(t, p, newFakeHistory(), r)
				after(10 * time.Second)
				h.want() // nothing is wrong
				c.provoke(p)
				after(r.For - 2*time.Second)
				h.want() // not for long enough
				after(c.wait - r.For + 2*time.Second)
				h.want(Running)
				if did := strings.Join(p.done(), ", "); !strings.HasPrefix(did, c.did) {
					t.Errorf("it did %s", did)
				}
				c.relief(p)
				after(r.Hold + 2*time.Second)
				h.want(Healed)
				x := h.disk.all()[0]
				if len(x.Before) == 0 || len(x.After) != len(x.Before) || x.After[0].Topology == x.Before[0].Topology {
					t.Errorf("the result is not kept: before %+v, after %+v", x.Before, x.After)
				}
				n := len(p.done())
				after(r.Keep + 2*time.Second)
				if did := strings.Join(p.done()[n:], ", "); did != c.undone {
					t.Errorf("undone: %s", did)
				}
			})
		})
		t.Run(c.name+" that does not help", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := slices.IndexFunc(Shipped(), func(r Rule) bool { return r.Name == c.name })
				r := Shipped()[i]
				p := newFakePlant(4)
				h := startHealing(t, p, newFakeHistory(), r)
				c.provoke(p)
				after(r.For + r.Within + 5*time.Second)
				h.want(RolledBack)
				if did := strings.Join(p.done(), ", "); !strings.HasSuffix(did, c.undone) {
					t.Errorf("it did %s", did)
				}
			})
		})
	}
}

func jitterOf(j time.Duration) func(*fakePlant) {
	return func(p *fakePlant) { p.set("press03", func(d *Device) { d.Jitter = j }) }
}

func lossOf(loss float64, rtt time.Duration) func(*fakePlant) {
	return func(p *fakePlant) { p.set("press03", func(d *Device) { d.Loss, d.RTT = loss, rtt }) }
}

func cpuOf(cpu float64) func(*fakePlant) {
	return func(p *fakePlant) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.w.Node.CPU = cpu
	}
}

func regionOf(rtt time.Duration) func(*fakePlant) {
	return func(p *fakePlant) { p.set("*", func(d *Device) { d.RTT = rtt }) }
}

func lossRule(do ...Action) Rule {
	return Rule{Name: "slow", When: "device.loss > 0.05", Do: do, Verify: "device.loss < 0.01", Within: 10 * time.Second}
}

// TestNothingIsDoneUnsaved holds that a run that cannot be written down does nothing.
func TestNothingIsDoneUnsaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, disk := newFakePlant(3), newFakeHistory()
		h := startHealing(t, p, disk, lossRule(Action{Type: Reconnect}))
		disk.mu.Lock()
		disk.full = errors.New("no space left")
		disk.mu.Unlock()
		lossOf(0.1, time.Second)(p)
		after(3 * time.Second)
		if did := p.done(); len(did) > 0 || !strings.Contains(h.told(), "rolled_back slow press03: reconnect of press03: it was not done, since the history cannot be written: no space left") {
			t.Errorf("it did %v\n%s", did, h.told())
		}
	})
}

func TestARefusalIsRolledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFakePlant(3)
		p.refuse = errors.New("the device has no slot for that")
		h := startHealing(t, p, newFakeHistory(), lossRule(Action{Type: Stretch, Factor: 2}))
		lossOf(0.1, time.Second)(p)
		after(3 * time.Second)
		h.want(RolledBack)
		if r := h.disk.all()[0]; r.Reason != "stretch intervals by 2 of press03: the device has no slot for that" {
			t.Error(r.Reason)
		}
	})
}

// TestARestartInTheMiddle ends the gateway while a run waits for its verification, and starts it again on the same disk and the same plant.
func TestARestartInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, disk := newFakePlant(3), newFakeHistory()
		rule := lossRule(Action{Type: OutOfService})
		h := startHealing(t, p, disk, rule)
		lossOf(0.1, time.Second)(p)
		after(3 * time.Second)
		h.want(Running)
		h.end()
		lossOf(0, time.Millisecond)(p)
		h = startHealing(t, p, disk, rule)
		after(2 * time.Second)
		h.want(Interrupted)
		if did := strings.Join(p.done(), ", "); did != "out true press03, out false press03" {
			t.Errorf("it did %s", did)
		}
		lossOf(0.1, time.Second)(p)
		after(16 * time.Minute)
		if all := disk.all(); len(all) != 2 || all[1].ID != 2 {
			t.Errorf("%d runs", len(all))
		}
	})
}

// TestAPauseOutlivesARestart holds that nothing is begun while healing is paused, and that its end is kept.
func TestAPauseOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, disk := newFakePlant(3), newFakeHistory()
		h := startHealing(t, p, disk, lossRule(Action{Type: Reconnect}))
		if err := h.SetPause(t.Context(), Pause{Reason: "rebuilding", Since: time.Now(), Until: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		lossOf(0.1, time.Second)(p)
		after(10 * time.Second)
		h.end()
		h = startHealing(t, p, disk, lossRule(Action{Type: Reconnect}))
		after(10 * time.Second)
		h.want()
		if s := h.Rules()[0]; s.State != "paused" || s.Why != "rebuilding" {
			t.Errorf("%+v", s)
		}
		after(time.Minute)
		h.want(RolledBack)
	})
}

// TestBoundsOutliveARestart holds that a gateway that is started anew knows how often its rules have run, and who rests.
func TestBoundsOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, disk := newFakePlant(4), newFakeHistory()
		rule := lossRule(Action{Type: Reconnect})
		rule.Limit = Limit{PerHour: 2, Cooldown: 20 * time.Minute}
		lossOf(0.1, time.Second)(p)
		for range 4 {
			h := startHealing(t, p, disk, rule)
			after(15 * time.Second)
			h.end()
		}
		if all := disk.all(); len(all) != 1 {
			t.Errorf("%d runs of a device that rests", len(all))
		}
		h := startHealing(t, p, disk, rule)
		after(21 * time.Minute)
		h.want(RolledBack, RolledBack)
		h.end()
		lossOf(0, time.Millisecond)(p)
		p.set("press01", func(d *Device) { d.Loss = 0.1 })
		h = startHealing(t, p, disk, rule)
		after(10 * time.Second)
		if x, _ := h.Explain("slow"); !strings.Contains(fmt.Sprint(x.Told), "the rule ran 2 times in the last hour") {
			t.Errorf("%+v", x.Told)
		}
		h.want(RolledBack, RolledBack)
	})
}

// TestARollbackNeedsNoHistory holds that what did not help is undone although that cannot be written down.
func TestARollbackNeedsNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, disk := newFakePlant(3), newFakeHistory()
		h := startHealing(t, p, disk, lossRule(Action{Type: Stretch, Factor: 4}))
		lossOf(0.1, time.Second)(p)
		after(3 * time.Second)
		disk.mu.Lock()
		disk.full = errors.New("no space left")
		disk.mu.Unlock()
		after(10 * time.Second)
		if did := strings.Join(p.done(), ", "); did != "stretch 4 press03, stretch 1 press03" || !strings.Contains(h.told(), "rolled_back slow press03") {
			t.Errorf("it did %s\n%s", did, h.told())
		}
	})
}

// TestAPauseThatIsOver holds that nobody is told of a pause that has ended by itself.
func TestAPauseThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startHealing(t, newFakePlant(1), newFakeHistory())
		want := Pause{Reason: "rebuilding", Since: time.Now(), Until: time.Now().Add(time.Minute)}
		if err := h.SetPause(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got := h.Paused(); got != want {
			t.Errorf("%+v", got)
		}
		after(time.Minute)
		if got := h.Paused(); got != (Pause{}) {
			t.Errorf("%+v", got)
		}
	})
}
