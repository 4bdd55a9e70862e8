package ctxguard

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ReasonForced is the reason in the records of a forced cancel, and in its cause.
const ReasonForced = "TIMEOUT_FORCE"

// ForceConfig is what a Forcer needs. Audit must be set.
type ForceConfig struct {
	Policy Policy // what may be cancelled; its zero value only says what would be
	// Audit writes a record. It is called before a task is cancelled, and an error leaves the task alone: what is not on record does not happen.
	// Calls come one at a time.
	Audit func(Record) error
	// Healthy says whether the program is well. It is asked at every look while a policy is in force; an error suspends the policy until it is gone,
	// and the stage begins anew. Nil is always well.
	Healthy func() error
	// Node is this process, and Nodes are all of them, for stages that name a number of nodes.
	Node  string
	Nodes []string
	Every time.Duration // how often Run looks: 0 is five seconds
}

// Forcer cancels tasks that are overdue, by policy: those that registered, and no others. Its methods are safe for concurrent use. On a nil *Forcer, which is one
// that is switched off, WithForce, Register and what they return may be used, and Run, Sweep and Status.
//
// Locks: sweep (one look at a time), then mu. mu is not held while Audit, Healthy or a task's function runs.
type Forcer struct {
	cfg    ForceConfig
	start  time.Time
	killed atomic.Pointer[string] // why, nil when not
	sweep  sync.Mutex
	counts forceCounts

	mu      sync.Mutex // guards what follows
	tasks   []held
	policy  Policy
	release release
	budget  budget
}

type forceCounts struct{ forced, would, spared, auditErrors, suspended atomic.Uint64 }

// held repeats due, so that a look runs through memory in order.
type held struct {
	due int64
	r   *Registration
}

// About says more of a task than its key.
type About struct {
	TraceID string
	Type    string            // of task, as policies name them
	Zone    string            // as policies name them
	Labels  map[string]string // as policies name them; not to be changed afterwards
}

// Registration is a task that may be cancelled by force.
type Registration struct {
	f     *Forcer
	key   string
	share float64 // where the key stands between 0 and 1, the same in all processes
	about About
	ttl   time.Duration
	born  int64
	index int // in tasks, -1 when it is not there; guarded by f.mu
	cause func(error)
	state atomic.Uint32
	told  string // version of the policy under which it was last put on record without a cancel; guarded by f.sweep
	depth int
	stack [inlineDepth]uintptr
}

// The states of a Registration.
const (
	regActive uint32 = iota
	regClaimed
	regForced
	regReleased
)

// NewForcer checks cfg and returns a Forcer. Nothing runs yet: Run does the looking.
func NewForcer(cfg ForceConfig) (*Forcer, error) {
	setDefault(&cfg.Every, 5*time.Second)
	if cfg.Audit == nil {
		return nil, errors.New("ctxguard: a Forcer needs an Audit")
	}
	if cfg.Every < 0 {
		return nil, fmt.Errorf("ctxguard: below 0: Every %v", cfg.Every)
	}
	f := &Forcer{cfg: cfg, start: time.Now()}
	p, err := f.check(cfg.Policy)
	if err != nil {
		return nil, err
	}
	f.policy, f.release = p, newRelease(p, f.now())
	return f, nil
}

// Register puts a task under the policy: when it is still there ttl and the policy's grace after now, onForceCancel may be called, once, with a *ForceError,
// in the goroutine that looks. A cancel function of context.WithCancelCause is what is meant. It must not block.
//
//go:noinline
func (f *Forcer) Register(key string, ttl time.Duration, onForceCancel func(cause error), about About) *Registration {
	return f.register(key, ttl, onForceCancel, about)
}

// register is Register for its caller's caller, whose stack goes on record.
//
//go:noinline
func (f *Forcer) register(key string, ttl time.Duration, onForceCancel func(cause error), about About) *Registration {
	if f == nil {
		return nil
	}
	r := &Registration{f: f, key: key, share: shareOf(key), about: about, ttl: ttl, born: f.now(), cause: onForceCancel}
	r.depth = runtime.Callers(3, r.stack[:])
	f.mu.Lock()
	r.index = len(f.tasks)
	f.tasks = append(f.tasks, held{r.born + int64(ttl), r})
	f.mu.Unlock()
	return r
}

// WithForce returns a context below parent that is registered, and the function that cancels and releases it.
//
//go:noinline
func (f *Forcer) WithForce(parent context.Context, key string, ttl time.Duration, about About) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	r := f.register(key, ttl, cancel, about)
	return ctx, func() {
		r.Release()
		cancel(nil)
	}
}

// Release takes the task out: it is done. It says false when the task was cancelled by force before.
func (r *Registration) Release() bool {
	if r == nil {
		return true
	}
	for {
		s := r.state.Load()
		if s == regForced {
			return false
		}
		if r.state.CompareAndSwap(s, regReleased) {
			r.f.forget(r)
			return true
		}
	}
}

// Renew gives the task another ttl from now on: it has shown a sign of life.
func (r *Registration) Renew(ttl time.Duration) {
	if r == nil {
		return
	}
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.index >= 0 {
		r.ttl = ttl
		f.tasks[r.index].due = f.now() + int64(ttl)
	}
}

func (f *Forcer) forget(r *Registration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.index < 0 {
		return
	}
	last := len(f.tasks) - 1
	moved := f.tasks[last]
	f.tasks[r.index] = moved
	moved.r.index = r.index
	f.tasks[last] = held{}
	f.tasks = f.tasks[:last]
	r.index = -1
}

func (f *Forcer) now() int64 { return int64(time.Since(f.start)) }

// SetPolicy puts a new policy in the place of the old one. It begins with its rehearsal.
func (f *Forcer) SetPolicy(p Policy) error {
	p, err := f.check(p)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.policy, f.release = p, newRelease(p, f.now())
	return nil
}

// Kill stops all forced cancels at once, also in a look that runs now but for the task that is just being cancelled, until Resume. why is on record and in
// the status. Not to be called by Audit, Healthy or a task's function: it waits for the look to end, to put itself on record behind it.
func (f *Forcer) Kill(why string) error {
	f.killed.Store(&why)
	return f.note("kill", why)
}

// Resume undoes Kill. The policy begins with its rehearsal again.
func (f *Forcer) Resume(why string) error {
	f.mu.Lock()
	f.release = newRelease(f.policy, f.now())
	f.mu.Unlock()
	f.killed.Store(nil)
	return f.note("resume", why)
}

// note puts something on record that is not about one task.
func (f *Forcer) note(action, why string) error {
	f.sweep.Lock()
	defer f.sweep.Unlock()
	f.mu.Lock()
	r := Record{Time: time.Now(), Action: action, Detail: why, PolicyVersion: f.policy.Version, Node: f.cfg.Node, Stage: f.release.String()}
	f.mu.Unlock()
	return f.write(r)
}

// write hands r to Audit. sweep is held.
func (f *Forcer) write(r Record) error {
	err := f.cfg.Audit(r)
	if err != nil {
		f.counts.auditErrors.Add(1)
	}
	return err
}

// Run looks for overdue tasks until ctx ends, and returns nil.
func (f *Forcer) Run(ctx context.Context) error {
	if f == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(f.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.Sweep()
		}
	}
}

// Sweep looks once, and returns how many tasks it cancelled.
func (f *Forcer) Sweep() int {
	if f == nil {
		return 0
	}
	f.sweep.Lock()
	defer f.sweep.Unlock()
	if f.killed.Load() != nil {
		return 0
	}
	phase, p := f.advance()
	if p.Mode == Off {
		return 0
	}
	n := 0
	for _, r := range f.overdue(p.Grace) {
		if f.deal(r, p, phase) {
			n++
		}
	}
	return n
}

// overdue lists the tasks whose grace is over, those that are it longest first.
func (f *Forcer) overdue(grace time.Duration) []*Registration {
	limit := f.now() - int64(grace)
	f.mu.Lock()
	var late []held
	for _, x := range f.tasks {
		if x.due <= limit {
			late = append(late, x)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(late, func(a, b held) int { return int(min(max(a.due-b.due, -1), 1)) })
	out := make([]*Registration, len(late))
	for i, x := range late {
		out[i] = x.r
	}
	return out
}

// deal does with an overdue task what the policy says, and says whether that was to cancel it.
func (f *Forcer) deal(r *Registration, p Policy, phase phase) bool {
	switch {
	case p.spares(r.key):
		if f.once(r, p, "spare") {
			f.counts.spared.Add(1)
		}
		return false
	case !p.covers(r) || !phase.covers(f, r, p):
		return false
	case phase.dry:
		if f.once(r, p, "would cancel") {
			f.counts.would.Add(1)
		}
		return false
	}
	return f.takeTurn(p.PerMinute) && f.force(r, p)
}

// once puts on record what is not done, once for each policy. It takes a turn as a cancel does: a hundred thousand tasks that are overdue together
// are not a hundred thousand synced records in one look.
func (f *Forcer) once(r *Registration, p Policy, action string) bool {
	if r.told == p.Version+action || !f.takeTurn(p.PerMinute) {
		return false
	}
	if f.write(f.record(r, p, action)) != nil {
		return false
	}
	r.told = p.Version + action
	return true
}

// force cancels r: it is claimed, put on record, and then cancelled, unless it was released or everything was killed in between.
func (f *Forcer) force(r *Registration, p Policy) bool {
	if !r.state.CompareAndSwap(regActive, regClaimed) {
		return false
	}
	if f.killed.Load() != nil || f.write(f.record(r, p, "cancel")) != nil {
		r.state.CompareAndSwap(regClaimed, regActive)
		return false
	}
	if f.killed.Load() != nil || !r.state.CompareAndSwap(regClaimed, regForced) {
		r.state.CompareAndSwap(regClaimed, regActive)
		_ = f.write(f.record(r, p, "not cancelled")) // it corrects the record before it; when even that fails, it is counted
		return false
	}
	f.forget(r)
	f.counts.forced.Add(1)
	r.cause(&ForceError{Key: r.key, TraceID: r.about.TraceID, TTL: r.ttl, Age: time.Duration(f.now() - r.born), Policy: p.Version})
	return true
}

// budget is a bucket of forced cancels, one minute's worth.
type budget struct {
	left float64
	at   int64
	size int
}

// takeTurn takes one of perMinute turns, and says false when there is none now.
func (f *Forcer) takeTurn(perMinute int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, now := &f.budget, f.now()
	if b.size != perMinute {
		*b = budget{left: float64(perMinute), at: now, size: perMinute}
	}
	b.left = min(b.left+time.Duration(now-b.at).Minutes()*float64(perMinute), float64(perMinute))
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// ForceError is the cause of a context that was cancelled by force.
type ForceError struct {
	Key     string
	TraceID string
	TTL     time.Duration
	Age     time.Duration
	Policy  string // its version
}

func (e *ForceError) Error() string {
	return fmt.Sprintf("ctxguard: %s: %s was registered for %v and is %v old", ReasonForced, e.Key, e.TTL, e.Age.Round(time.Millisecond))
}

// Unwrap makes it a context.Canceled.
func (e *ForceError) Unwrap() error { return context.Canceled }

// Retryable says that the task may be tried again.
func (e *ForceError) Retryable() bool { return true }

// MayHaveHappened says that what the task was writing may have been written.
func (e *ForceError) MayHaveHappened() bool { return true }
