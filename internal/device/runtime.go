package device

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"millrace/ctxguard"
	"millrace/internal/tag"
)

// Ledger counts the rows that a Runtime makes.
type Ledger interface {
	// Offered: read rows came from devices or say why a tag is not read; filtered of them were held back by a deadband; the others
	// are offered to the Output.
	Offered(read, filtered int)
	// Dropped: n rows that were offered did not get in.
	Dropped(reason string, n int)
}

// DropJournalFull is the reason for Dropped when the Output has no room.
const DropJournalFull = "journal_full"

// Config is what a Runtime needs. Drivers, Output and Ledger must be set.
type Config struct {
	Drivers map[string]Driver // by Spec.Driver
	Output  Output
	Ledger  Ledger

	DialRate  float64 // dials a second over all endpoints, 0 is 400; below 0 no limit
	DialBurst int     // dials that may follow one another at once, 0 is 20
	Seed      uint64  // of the jitter: runs of one seed draw the same

	// MaxSessions is how many connections may be open or being opened at once, 0 for no limit of ours: the limit of descriptors less what else needs
	// them. A device beyond it is down, and says why.
	MaxSessions int

	Shedding Shedding // when intervals are stretched for want of time

	// Guard looks after the contexts that sessions hang on: one for each endpoint, below a root that lives as long as Run. Nil is off.
	Guard *ctxguard.Guard

	// OnEvent hears of every change of state, in order. It is called by the scheduler and must return at once.
	OnEvent func(Event)
	// OnLearned hears of the limits that a device was found to have, when they change: what to put into Spec.Learned in the next run.
	// It is called between two turns of the device and may be called for several devices at once.
	OnLearned func(device string, l Limits)
}

func (c Config) withDefaults() (Config, error) {
	if c.DialRate == 0 {
		c.DialRate = 400 // a second: ten thousand devices are back after 25 s, and no switch notices
	}
	if c.DialBurst == 0 {
		c.DialBurst = 20
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = math.MaxInt
	}
	shedding, err := c.Shedding.withDefaults()
	if err != nil {
		return c, err
	}
	c.Shedding = shedding
	switch {
	case c.MaxSessions < 0:
		return c, fmt.Errorf("device: the most sessions must not be below 0, not %d", c.MaxSessions)
	case len(c.Drivers) == 0:
		return c, errors.New("device: a runtime needs drivers")
	case c.Output == nil:
		return c, errors.New("device: a runtime needs an output")
	case c.Ledger == nil:
		return c, errors.New("device: a runtime needs a ledger")
	}
	return c, nil
}

// Runtime runs devices. All methods are safe for concurrent use.
//
// Locks, outermost first: apply, mu, unit.mu or table.mu, facts.mu. None is held while something blocks or another's code is called.
type Runtime struct {
	cfg      Config
	mail     mail
	seq      atomic.Uint64 // of changes of last values
	counters counters
	pressure atomic.Pointer[string] // why the scheduler is late, "" or nil when it is not
	clock    wallClock
	awake    atomic.Int64 // age at which the scheduler was last up again after it had overslept, 0 before
	slowed   slowed
	facts    facts
	batches  sync.Pool // of *tag.Batch
	running  atomic.Bool
	ended    chan struct{} // closed when Run has returned

	apply sync.Mutex // one change of the device set at a time
	specs map[string]*Spec

	mu     sync.RWMutex // guards what follows
	units  map[string]*unit
	sorted []*unit // by name
	byTag  map[tag.ID]*unit
	groups map[string]*groupHistograms
}

// New returns a Runtime without devices.
func New(c Config) (*Runtime, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Runtime{
		cfg: c, ended: make(chan struct{}), clock: wallClock{start: time.Now()}, mail: mail{wake: make(chan struct{}, 1)}, batches: sync.Pool{New: func() any { return new(tag.Batch) }},
		specs: map[string]*Spec{}, units: map[string]*unit{}, byTag: map[tag.ID]*unit{}, groups: map[string]*groupHistograms{},
	}, nil
}

// Run polls until ctx ends, then drains: turns that run may end, for 10 s at most, sessions are closed in order, and no goroutine is
// left. It runs once.
func (r *Runtime) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errors.New("device: this runtime has run already")
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer r.cfg.Guard.Watch(work, "device sessions", func() int { return int(r.counters.endpoints.Load()) })()
	defer close(r.ended)
	newShard(r, work).run(ctx)
	return nil
}

// batch returns an empty batch.
func (r *Runtime) batch() *tag.Batch {
	b := r.batches.Get().(*tag.Batch)
	b.Reset()
	return b
}

// stamp says whose rows b holds and when they came.
func (r *Runtime) stamp(u *unit, b *tag.Batch) {
	now := time.Now()
	b.Device, b.Received = u.spec.Number, now.UnixNano()
	if offset := r.clock.look(now); offset != u.offset {
		u.offset = offset
		u.table.setClock(offset)
		b.Flags |= tag.FlagClockStepped
	}
}

func (r *Runtime) free(b *tag.Batch) { r.batches.Put(b) }

// errNoRoom is what a device is told whose values the Output had no room for.
var errNoRoom = errors.New("device: the journal has no room")

// hand counts the rows of a turn or a mark and offers those in b, which passed. Those for which there is no room pass again when they
// are next read. done, which may be nil, hears once of what became of them.
func (r *Runtime) hand(u *unit, b *tag.Batch, read, filtered int, done func(error)) {
	if u.scout.of != nil {
		return // nobody waits for its rows, and they are no values of the device
	}
	if read > 0 {
		r.counters.rows.Add(uint64(read))
		r.counters.filtered.Add(uint64(filtered))
		r.cfg.Ledger.Offered(read, filtered)
	}
	if b.Len() == 0 {
		if done != nil {
			done(nil)
		}
		return
	}
	if r.cfg.Output.Offer(b, done) {
		return
	}
	r.counters.dropped.Add(uint64(b.Len()))
	r.cfg.Ledger.Dropped(DropJournalFull, b.Len())
	u.table.forget(b)
	if done != nil {
		done(errNoRoom)
	}
}

// mark writes rows that say why tags of u are not read.
func (r *Runtime) mark(u *unit, k markKind) {
	b := r.batch()
	defer r.free(b)
	r.stamp(u, b)
	var read, filtered int
	switch k {
	case markDown:
		read, filtered = u.table.markDown(b)
	case markOut:
		read, filtered = u.table.markTags(b, tag.BadOutOfService, false)
	case markTagsOut:
		for _, g := range u.groups {
			g.follow()
		}
		read, filtered = u.table.markTags(b, tag.BadOutOfService, true)
	}
	r.hand(u, b, read, filtered, nil)
}

func (r *Runtime) emit(ev Event) {
	if r.cfg.OnEvent != nil {
		r.cfg.OnEvent(ev)
	}
}

// Last appends what is known of each of ids to dst, one Last an id and in that order, Received by the clock as it is set now. An unknown id has BadWaitingForInitialData, as one that
// was never read.
func (r *Runtime) Last(ids []tag.ID, dst []Last) []Last {
	wall := r.clock.look(time.Now())
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, id := range ids {
		l := Last{ID: id, Quality: tag.BadWaitingForInitialData}
		if u := r.byTag[id]; u != nil {
			l, _ = u.table.get(id, wall)
		}
		dst = append(dst, l)
	}
	return dst
}

// LastOf appends what is known of all tags of a device, by ID, and says whether there is such a device.
func (r *Runtime) LastOf(device string, dst []Last) ([]Last, bool) {
	r.mu.RLock()
	u := r.units[device]
	r.mu.RUnlock()
	if u == nil {
		return dst, false
	}
	return u.table.appendSince(dst, 0, true), true
}

// Changes appends the tags whose value or quality changed after sequence since, by device, and returns the sequence to ask with next.
// A change that happens meanwhile may come now and again the next time; none is lost. 0 is before everything.
func (r *Runtime) Changes(since uint64, dst []Last) ([]Last, uint64) {
	now := r.seq.Load() // whoever took a number up to this holds its table's lock until the change is in
	if now == since {
		return dst, now
	}
	r.mu.RLock()
	units := r.sorted // replaced, never changed
	r.mu.RUnlock()
	for _, u := range units {
		dst = u.table.appendSince(dst, since, false)
	}
	return dst, now
}

// ChangesOf is Changes for ids only, in their order.
func (r *Runtime) ChangesOf(ids []tag.ID, since uint64, dst []Last) ([]Last, uint64) {
	now := r.seq.Load()
	if now == since {
		return dst, now
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, id := range ids {
		if u := r.byTag[id]; u != nil {
			dst = u.table.appendIfSince(dst, id, since)
		}
	}
	return dst, now
}

// sortUnits makes the list of all devices by name anew. The caller holds mu.
func (r *Runtime) sortUnits() {
	sorted := make([]*unit, 0, len(r.units))
	for _, u := range r.units {
		sorted = append(sorted, u)
	}
	slices.SortFunc(sorted, func(a, b *unit) int { return strings.Compare(a.spec.Name, b.spec.Name) })
	if !slices.Equal(sorted, r.sorted) {
		r.sorted = sorted
		r.facts.relisted()
	}
}
