package write

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/device"
	"millrace/internal/journal/faultfs"
	"millrace/internal/tag"
	"millrace/internal/write/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plant is a Plant with a register a tag. Its hooks may be nil.
type plant struct {
	mu       sync.Mutex
	regs     map[tag.ID]device.Last
	sent     []tag.Value                              // in order
	onWrite  func(v tag.Value) (device.Result, error) // nil: the register takes it
	onRead   func() error
	refuse   string // why nothing is sent
	hold     chan struct{}
	late     time.Duration // from the end of all waiting to the check
	readings int
}

func newPlant() *plant { return &plant{regs: map[tag.ID]device.Last{}} }

func (p *plant) put(id tag.ID, v tag.Value, q tag.Quality) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.regs[id] = device.Last{ID: id, Value: v, Quality: q, Received: time.Now().UnixNano()}
}

func (p *plant) WriteIf(ctx context.Context, name string, w []device.Write, res []device.Result, check func() error) error {
	if p.hold != nil {
		select {
		case <-p.hold:
		case <-ctx.Done():
			res[0].Err = &device.NotSentError{Device: name, Reason: "it waited too long", Err: ctx.Err()}
			return res[0].Err
		}
	}
	if p.refuse != "" {
		res[0].Err = &device.NotSentError{Device: name, Reason: p.refuse}
		return res[0].Err
	}
	time.Sleep(p.late)
	if err := check(); err != nil {
		res[0].Err = &device.NotSentError{Device: name, Reason: err.Error(), Err: err}
		return res[0].Err
	}
	p.mu.Lock()
	p.sent = append(p.sent, w[0].Value)
	on := p.onWrite
	p.mu.Unlock()
	if on != nil {
		var err error
		res[0], err = on(w[0].Value)
		if err != nil || res[0].Err != nil {
			return err
		}
		return nil
	}
	p.put(w[0].Tag.ID, engineeringOf(&w[0]), tag.Good)
	return nil
}

func engineeringOf(w *device.Write) tag.Value { return (&Target{Spec: &w.Tag}).engineering(w.Value) }

func (p *plant) Wish(ctx context.Context, name string, w device.Write, newest func() bool, check func() error) (device.Result, error) {
	if !newest() {
		err := &device.NotSentError{Device: name, Reason: device.Superseded}
		return device.Result{Err: err}, err
	}
	var res [1]device.Result
	err := p.WriteIf(ctx, name, []device.Write{w}, res[:], func() error {
		if !newest() {
			return &refusal{Overtaken, device.Superseded}
		}
		return check()
	})
	return res[0], err
}

func (p *plant) Doubt(_ context.Context, _ string, ids []tag.ID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		l := p.regs[id]
		l.Quality = tag.UncertainLastUsable
		p.regs[id] = l
	}
	return nil
}

func (p *plant) ReadBack(_ context.Context, _ string, ids []tag.ID) error {
	p.mu.Lock()
	p.readings++
	on := p.onRead
	p.mu.Unlock()
	if on != nil {
		if err := on(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		l := p.regs[id]
		l.Received = time.Now().UnixNano()
		p.regs[id] = l
	}
	return nil
}

func (p *plant) Last(ids []tag.ID, dst []device.Last) []device.Last {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		l, ok := p.regs[id]
		if !ok {
			l = device.Last{ID: id, Quality: tag.BadWaitingForInitialData}
		}
		dst = append(dst, l)
	}
	return dst
}

// rig is a Path over a plant, with an audit log in memory.
type rig struct {
	*Path
	t     *testing.T
	plant *plant
	fs    *faultfs.FS
	log   *audit.Log
}

const auditDir = "/data/audit"

// newRig returns a Path whose tag press/temp has rule r.
func newRig(t *testing.T, r Rule) *rig {
	return newRigOn(t, faultfs.New(), newPlant(), r)
}

func newRigOn(t *testing.T, fs *faultfs.FS, p *plant, r Rule) *rig {
	t.Helper()
	var m Memory
	l, _, err := audit.Open(audit.Config{Dir: auditDir, FS: fs, Since: time.Now().Add(-24 * time.Hour), Visit: m.Visit})
	if err != nil {
		t.Fatal(err)
	}
	path, err := New(Config{Plant: p, Audit: l, Memory: &m})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{Path: path, t: t, plant: p, fs: fs, log: l}
	g.Set([]*Target{g.target(&r)})
	return g
}

func (g *rig) target(r *Rule) *Target {
	t := &Target{Device: "press", Spec: &device.TagSpec{ID: 1, Name: "press/temp", Address: "x", Writable: true}, Kind: tag.Float32, Rule: r}
	known := map[string]Known{"press/door": {2, tag.Bool, "press"}, "press/level": {3, tag.Int16, "press"}, "press/any": {4, tag.Null, "press"}, "press/list": {5, tag.Int16 | tag.Array, "press"}}
	var err error
	c := Compiler{Find: func(name string) (Known, bool) { k, ok := known[name]; return k, ok }}
	t.Interlock, err = c.Compile(r, "press")
	if err != nil {
		g.t.Fatal(err)
	}
	return t
}

var shift = Caller{User: "shift", Role: RoleWrite, Via: "api", From: "10.0.0.1"}

func order(f float64) Order {
	return Order{Tag: "press/temp", Value: tag.Float64Value(f), Caller: shift, Why: "recipe 7"}
}

// stages returns the records of the audit log as "stage end".
func (g *rig) stages() []string {
	g.t.Helper()
	var out []string
	r, err := audit.Verify(g.fs, auditDir, func(r audit.Record) {
		if r.Stage != audit.File {
			out = append(out, strings.TrimSpace(string(r.Stage)+" "+r.End))
		}
	})
	if err != nil || len(r.Found) > 0 {
		g.t.Errorf("audit: %v, %v", r.Found, err)
	}
	return out
}

func (g *rig) want(out Outcome, end End, reason string, stages ...string) {
	g.t.Helper()
	if out.End != end || !strings.Contains(out.Reason, reason) {
		g.t.Errorf("%s: %q, want %s: %q", out.End, out.Reason, end, reason)
	}
	if got := g.stages(); stages != nil && !slices.Equal(got, stages) {
		g.t.Errorf("audited: %q, want %q", got, stages)
	}
}

// bubble runs f with the clock of its own.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
