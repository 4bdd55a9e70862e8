package heal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Plant is what a Runner looks at and acts on. Its methods return at once, or after a write to the disk; reason is in plain words.
type Plant interface {
	// World returns the devices and the node as they are. The Runner sets the rest.
	World() World
	Reconnect(device, reason string) error
	Degrade(device string, on bool, reason string) error
	Stretch(device string, factor float64, reason string) error
	UseRoute(device string, route int, reason string) error // -1 is by the device's own rule
	OpenStandby(device, reason string) error
	Resubscribe(device, reason string) error
	SetOutOfService(ctx context.Context, device string, out bool, reason string) error // stays over restarts
	Notify(device, text string)
}

// History keeps runs, and whether healing is paused, over restarts. What is saved is on the disk.
type History interface {
	SaveRuns(ctx context.Context, runs []Record) error // in their order; those of the same ID are replaced. With an error none is kept
	Unfinished(ctx context.Context) ([]Record, error)
	Recent(ctx context.Context) ([]Record, error) // the newest runs, some hundred at least
	LastRun(ctx context.Context) (uint64, error)  // the highest ID, 0 without one
	Pause(ctx context.Context) (Pause, error)
	SetPause(ctx context.Context, p Pause) error
}

// Pause says that nothing is healed. The zero value is that it is.
type Pause struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"` // zero is until somebody ends it
}

// at returns p, or the zero Pause when it is over then.
func (p Pause) at(now time.Time) Pause {
	if !p.Until.IsZero() && !now.Before(p.Until) {
		return Pause{}
	}
	return p
}

// RunnerConfig is what a Runner needs. Compiler, Plant and History must be set.
type RunnerConfig struct {
	Compiler *Compiler
	Plant    Plant
	History  History
	OnEvent  func(Event) // called by Run; nil is nobody
	OnError  func(error) // the history could not be written; called by Run; nil is nobody
}

// Runner looks at a Plant, asks an Engine what is to be done, and does it. All methods are safe for concurrent use; Run is called once.
type Runner struct {
	cfg     RunnerConfig
	results chan Result // of programs; 0: Run takes them, or they are of no interest any more
	wg      sync.WaitGroup

	mu     sync.Mutex // not held while something is done to the plant, but for a look at it
	engine *Engine
	rules  int
	every  time.Duration
	pause  Pause
}

// NewRunner returns a Runner without rules.
func NewRunner(c RunnerConfig) (*Runner, error) {
	if c.Compiler == nil || c.Plant == nil || c.History == nil {
		return nil, errors.New("heal: a runner needs a compiler, a plant and a history")
	}
	if c.OnEvent == nil {
		c.OnEvent = func(Event) {}
	}
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	return &Runner{cfg: c, results: make(chan Result), engine: NewEngine(c.Compiler, 0), every: defaultEvery}, nil
}

// Load takes up what an earlier run of the gateway left in the history. It is called before Run and after SetPolicies.
func (r *Runner) Load(ctx context.Context) error {
	last, err := r.cfg.History.LastRun(ctx)
	if err != nil {
		return err
	}
	open, err := r.cfg.History.Unfinished(ctx)
	if err != nil {
		return err
	}
	recent, err := r.cfg.History.Recent(ctx)
	if err != nil {
		return err
	}
	pause, err := r.cfg.History.Pause(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause = pause
	r.engine.nextID = max(r.engine.nextID, last+1)
	for _, x := range recent {
		r.engine.Remember(x)
	}
	for _, x := range open {
		r.engine.Resume(x)
	}
	return nil
}

// defaultEvery is how often conditions are looked at where nothing is said.
const defaultEvery = time.Second

// SetPolicies makes these the rules, whose conditions are looked at so often: 0 is each second. Where a look takes long it is more seldom.
func (r *Runner) SetPolicies(p []*Policy, every time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules, r.every = len(p), cmp.Or(every, defaultEvery)
	r.engine.SetPolicies(p)
}

// thrift keeps a look at everything below a hundredth of a core: where one takes 50 ms, as with some rules over 10,000 devices, there is one in 5 s. There is one a minute however
// long the last one took: a process that was stopped in the middle of it has not worked for an hour.
const (
	thrift    = 100
	thriftFor = time.Minute
)

// Run heals until ctx ends. Programs that run then are ended.
func (r *Runner) Run(ctx context.Context) {
	tick := time.NewTicker(r.pace(0))
	defer tick.Stop()
	defer r.wg.Wait()
	w, due := new(World), time.Now().Add(r.pace(0))
	rest := func(looked time.Time, d time.Duration) {
		tick.Reset(d)
		due = looked.Add(d)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !r.needed() {
				rest(time.Now(), r.pace(0))
				continue
			}
			began := time.Now()
			w = r.look()
			r.oversleep(w.Now.Sub(due))
			r.step(ctx, w, nil)
			rest(w.Now, r.pace(time.Since(began)))
		case res := <-r.results:
			r.step(ctx, w, []Result{res})
		}
	}
}

// pace is how long to wait for the next look when one took so long.
func (r *Runner) pace(took time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(r.every, min(thrift*took, thriftFor))
}

// needed says whether there is anything to look at the plant for.
func (r *Runner) needed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rules > 0 || len(r.engine.runs) > 0
}

// look returns the state of everything.
func (r *Runner) look() *World {
	x := r.cfg.Plant.World()
	w := &x
	w.Now = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Paused = r.pause.at(w.Now).Reason
	return w
}

// step goes on until nothing more is to be done at once.
func (r *Runner) step(ctx context.Context, w *World, results []Result) {
	for {
		r.mu.Lock()
		out := r.engine.Step(w, results)
		r.mu.Unlock()
		results = r.act(ctx, out)
		if len(results) == 0 {
			return
		}
	}
}

// act saves, tells and does what a Step said, and returns what ended at once.
func (r *Runner) act(ctx context.Context, out Out) []Result {
	unsaved := r.save(ctx, out.Save)
	for _, e := range out.Events {
		r.cfg.OnEvent(e)
	}
	var results []Result
	for _, d := range out.Do {
		if unsaved != nil && !d.Undo { // what is undone needs no record to be undone by
			results = append(results, Result{Run: d.Run, Step: d.Step, Err: fmt.Errorf("it was not done, since the history cannot be written: %w", unsaved)})
			continue
		}
		if d.Type == Run {
			r.wg.Go(func() { r.command(ctx, d) })
			continue
		}
		results = append(results, Result{Run: d.Run, Step: d.Step, Err: r.do(context.WithoutCancel(ctx), d)})
	}
	return results
}

// save keeps runs, all with one sync of the disk: there may be one of each device. A run that begins while the gateway stops is not lost for that.
func (r *Runner) save(ctx context.Context, runs []Record) error {
	if len(runs) == 0 {
		return nil
	}
	err := r.cfg.History.SaveRuns(context.WithoutCancel(ctx), runs)
	if err != nil {
		r.cfg.OnError(fmt.Errorf("heal: run %d of rule %s and %d more: %w", runs[0].ID, runs[0].Rule, len(runs)-1, err))
	}
	return err
}

// do does d to the plant.
func (r *Runner) do(ctx context.Context, d Do) error {
	p := r.cfg.Plant
	switch d.Type {
	case Reroute:
		return p.UseRoute(d.Device, d.Route, d.Reason)
	case Reconnect:
		return p.Reconnect(d.Device, d.Reason)
	case Stretch:
		return p.Stretch(d.Device, d.Factor, d.Reason)
	case Degrade:
		return p.Degrade(d.Device, d.On, d.Reason)
	case Standby:
		return p.OpenStandby(d.Device, d.Reason)
	case Resubscribe:
		return p.Resubscribe(d.Device, d.Reason)
	case OutOfService:
		return p.SetOutOfService(ctx, d.Device, d.On, d.Reason)
	case Notify:
		p.Notify(d.Device, d.Text)
		return nil
	}
	return fmt.Errorf("there is no action %q", d.Type)
}

// command runs a program and gives its result to Run.
func (r *Runner) command(ctx context.Context, d Do) {
	res := program(d).run(ctx)
	res.Run, res.Step = d.Run, d.Step
	select {
	case r.results <- res:
	case <-ctx.Done(): // the run is taken up when the gateway starts again
	}
}

// Rules returns all rules at a glance.
func (r *Runner) Rules() []Summary {
	w := r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine.Summaries(w)
}

// Explain explains the rule called name, also one that comes with the gateway and is not in use, and says whether there is one.
func (r *Runner) Explain(name string) (Explanation, bool) {
	w := r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	if x, ok := r.engine.Explain(name, w); ok {
		return x, true
	}
	shipped := Shipped()
	i := slices.IndexFunc(shipped, func(s Rule) bool { return s.Name == name })
	if i < 0 {
		return Explanation{}, false
	}
	p, errs := r.cfg.Compiler.Compile(shipped[i])
	if len(errs) > 0 {
		return Explanation{}, false
	}
	return r.engine.ExplainUnused(p, w), true
}

// DryRun returns what Engine.DryRun does, and whether there is such a rule.
func (r *Runner) DryRun(name, subject string) ([]Preview, bool) {
	w := r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	if name != "" && !r.engine.HasRule(name) {
		return nil, false
	}
	return r.engine.DryRun(name, subject, w), true
}

// Stop is a rule that does not act since too many are ill.
type Stop struct {
	Rule  string
	Why   string
	Since time.Time
}

// Stopped returns the rules that have stopped.
func (r *Runner) Stopped() []Stop {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Stop
	for _, s := range r.engine.rules {
		if s.stopped != "" {
			out = append(out, Stop{s.Name, s.stopped, s.stoppedAt})
		}
	}
	return out
}

// SetPause pauses healing, or ends that with the zero value. What is under way is verified and undone all the same.
func (r *Runner) SetPause(ctx context.Context, p Pause) error {
	if err := r.cfg.History.SetPause(ctx, p); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pause = p
	return nil
}

// Paused returns why and until when nothing is healed, the zero Pause when that is over.
func (r *Runner) Paused() Pause {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pause.at(time.Now())
}

// Counts returns what was counted of each rule since the start.
func (r *Runner) Counts() map[string]Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine.Counts()
}
