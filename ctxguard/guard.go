// Package ctxguard finds contexts, and the goroutines and connections that hang on them, which nobody will ever end: while the program runs,
// with the line that made them.
//
// A context that is never cancelled stays in its parent's list of children for as long as the parent lives, with everything below it; a
// goroutine that waits for it never ends. A Guard makes contexts as package context does and keeps an eye on them:
//
//	g, err := ctxguard.New(ctxguard.Config{Log: slog.Default()})
//	go g.Run(ctx) // looks at what it knows every ten seconds
//
//	session := g.In(ctxguard.Scope{Name: "session", Lease: time.Hour})
//	ctx, cancel := session.WithCancel(parent)
//
// It reports contexts that were dropped (collected, and never cancelled), contexts that are still there after their lease, and, of roots that
// it is told to watch, more children than there are reasons for. A nil *Guard is one that is switched off: its methods are those of package context.
//
// The package imports nothing but the standard library.
package ctxguard

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a Guard looks for. The zero value is a good default.
type Config struct {
	// Sample keeps an eye on one in so many contexts: 0 or 1 is each, below 0 none. SetSample changes it while the Guard is in use.
	Sample int
	// StackDepth is how many frames of the creating stack are kept: 0 is 8, at most 32. More than 8 cost an allocation.
	StackDepth int
	// Lease is how long a child of a parent that can be cancelled may live before it is reported: 0 is ten minutes, below 0 for ever. Contexts
	// without such a parent have a lease only by their Scope: a root may live as long as the program.
	Lease time.Duration
	// Every is how often Run looks: 0 is ten seconds.
	Every time.Duration
	// Heal cancels what was dropped, when the next look finds it: whoever still waits for it wakes up. Until its lease is over a context is then
	// kept by the Guard; without Heal the Guard keeps no context alive.
	Heal bool
	// GoroutineID keeps the number of the goroutine that made a context, which costs some microseconds each. The pprof labels of the parent,
	// which are kept always, say more.
	GoroutineID bool
	// MaxSites bounds how many creating lines are told apart: 0 is 1000. What is beyond counts for the site "other".
	MaxSites int

	// OnReport hears of each context that is reported, in the goroutine that looks. It must not block.
	OnReport func(Report)
	// Log hears of each site when something is first reported of it, and then again after LogEvery with what came since. Nil is silent.
	Log      *slog.Logger
	LogEvery time.Duration // 0 is ten minutes
}

const (
	inlineDepth = 8 // frames that need no allocation of their own
	maxDepth    = 32
)

func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Sample, 1)
	setDefault(&c.StackDepth, inlineDepth)
	setDefault(&c.Lease, 10*time.Minute)
	setDefault(&c.Every, 10*time.Second)
	setDefault(&c.MaxSites, 1000)
	setDefault(&c.LogEvery, 10*time.Minute)
	switch {
	case c.StackDepth < 1 || c.StackDepth > maxDepth:
		return c, fmt.Errorf("ctxguard: StackDepth %d is not within 1 and %d", c.StackDepth, maxDepth)
	case c.Every < 0 || c.LogEvery < 0 || c.MaxSites < 0:
		return c, fmt.Errorf("ctxguard: below 0: Every %v, LogEvery %v, MaxSites %d", c.Every, c.LogEvery, c.MaxSites)
	}
	return c, nil
}

func setDefault[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// Guard makes contexts and keeps an eye on them. All methods are safe for concurrent use, also on a nil *Guard, which is switched off.
type Guard struct {
	*core
	scope *scope
}

// core is what all scopes of a Guard share.
//
// Locks: mu; a shard's mu and lost.mu are taken alone or inside it, and never together. None is held while somebody else's code runs.
type core struct {
	cfg    Config
	start  time.Time // ages are distances from here
	census census
	rate   atomic.Uint64 // of Config.Sample
	salt   atomic.Uint64 // of picks
	walks  bool          // along the frame pointers, for stacks
	shards [shards]shard
	lost   dropped
	counts counts
	listed atomic.Int64 // when the middleware last listed everything
	sweep  sync.Mutex   // one look at a time
	leaks  *leakProfiler

	mu    sync.Mutex // guards what follows
	sites map[siteKey]*site
	roots []*root
}

// scope is a Scope in use.
type scope struct {
	Scope
	core *core
	rate *atomic.Uint64 // of core, or its own
}

// Scope is a sort of contexts: what they are called in reports, and what is normal for them.
type Scope struct {
	Name string
	// Lease is how long one may live: 0 is Config.Lease, below 0 for ever.
	Lease time.Duration
	// Sample is Config.Sample for this scope alone: 0 follows Config.Sample and SetSample.
	Sample int
}

// New checks cfg and returns a Guard. Nothing runs yet: Run, or Sweep now and then, does the looking.
func New(cfg Config) (*Guard, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &core{cfg: cfg, start: time.Now(), census: newCensus(), leaks: newLeakProfiler(), sites: map[siteKey]*site{}}
	c.rate.Store(rateOf(cfg.Sample))
	c.salt.Store(rand.Uint64())
	c.walks = walksWell()
	return &Guard{core: c, scope: &scope{core: c, rate: &c.rate}}, nil
}

// In returns g for contexts of one scope. It shares everything else with g; make it once and keep it.
func (g *Guard) In(s Scope) *Guard {
	if g == nil {
		return nil
	}
	in := &scope{Scope: s, core: g.core, rate: &g.core.rate}
	if s.Sample != 0 {
		in.rate = new(atomic.Uint64)
		in.rate.Store(rateOf(s.Sample))
	}
	return &Guard{core: g.core, scope: in}
}

// SetSample changes how many contexts are looked after: one in n, each for 0 and 1, none below 0. On what In returned with a Sample of its own it
// changes that scope alone. Contexts made before stay as they are.
func (g *Guard) SetSample(n int) {
	if g != nil {
		g.scope.rate.Store(rateOf(n))
	}
}

// Sample returns what SetSample or the configuration has set.
func (g *Guard) Sample() int {
	if g == nil {
		return -1
	}
	return sampleOf(g.scope.rate.Load())
}

// always is the rate of one in one: every 32-bit number is below it.
const always = uint64(math.MaxUint32) + 1

// rateOf is the bound below which a random 32-bit number has to be for one in n.
func rateOf(n int) uint64 {
	switch {
	case n < 0:
		return 0
	case n <= 1:
		return always
	}
	return max(always/uint64(n), 1)
}

func sampleOf(rate uint64) int {
	if rate == 0 {
		return -1
	}
	return int(always / rate)
}

// picks says whether ctx, which has just been made, is one to look after. Where it lies is random enough, and costs less than a random number: the
// allocator goes through the addresses in turn, whoever asks. Each look mixes them anew, so that none is left out for ever.
func (g *Guard) picks(ctx context.Context) bool {
	if g == nil {
		return false
	}
	rate := g.scope.rate.Load()
	if rate == always || rate == 0 {
		return rate != 0
	}
	const golden = 0x9e3779b97f4a7c15
	return (uint64(addressOf(ctx))^g.salt.Load())*golden>>32 < rate
}

// picksAny is picks for what is not new, or may lie on the stack.
func (g *Guard) picksAny() bool {
	if g == nil {
		return false
	}
	rate := g.scope.rate.Load()
	return rate == always || rate != 0 && uint64(rand.Uint32()) < rate
}

// now is the time as a distance from the start, in nanoseconds.
func (c *core) now() int64 { return int64(time.Since(c.start)) }
