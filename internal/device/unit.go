package device

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// unit is one device that runs: its machine, its groups, its values. A device borrows turns from its endpoint.
type unit struct {
	spec   *Spec  // shared with Runtime.specs; nobody changes it
	key    string // of its endpoint; the shard changes it, under mu
	made   time.Time
	driver Driver
	groups []*group
	table  *table

	// Owned by the shard.
	moving  bool // it goes to target when the job that runs has ended
	tended  bool // in shard.tending
	known   bool // active told so when it was read last
	waiting bool // for its endpoint's dial
	sign    resilience.Sign

	machine  machine
	endpoint *endpoint
	lanes    []lane    // its addresses, when it has several
	target   int       // the one that it is going to, or at
	arrived  time.Time // at its address
	standby  timer     // when a standby is no longer wanted
	watch    timer     // when its silence is to be looked at
	leftFor  string    // what failed on the address that was left last
	scout    scout     // of another unit; of is nil for all others
	active   *TagSpec  // tells who is in charge of a redundant pair, nil for none; never changes
	passive  int       // reads in a row that said that the other one is
	timer    timer     // the end of Cooling, or of Draining
	stretch  float64   // of its intervals, by name; 0 is 1

	stretchWhy, shedWhy string
	ladder              resilience.Ladder
	lastOK              time.Time
	cause               error // the failure heard of last

	// Owned by the endpoint's jobs.
	addr    Addr   // the one that it is at; the shard changes it while none of them runs
	session uint64 // the endpoint's session whose limits it has learned
	offset  int64  // of the wall clock at its last batch

	facts   *facts        // of the Runtime
	altered atomic.Uint64 // the number of the last change of a fact

	mu        sync.Mutex // guards what follows; held for a few instructions
	reckoned  bool       // a silence was found when somebody asked
	wishless  bool       // no wishes any more
	untold    bool       // learned holds news
	shared    bool       // of them, some are of the connection: for the others on it too
	rto       resilience.RTO
	predictor resilience.Predictor
	waited    time.Duration // by the request that timed out last
	health    health
	cost      resilience.Cost
	priced    int     // samples of cost when it was looked at last
	limits    Limits  // configured, negotiated and learned: what plans are made for
	learned   *Limits // without what was configured: what OnLearned gets; nil while nothing was learned
	life      life
	link      *link      // of its endpoint; nil until it has one
	count     *slotCount // of its endpoint, nil before it has one
	rtts      rtts
	notes     *notes    // nil: it had no trouble yet
	retryAt   time.Time // when it is tried again, of one that is down
}

// life is what Status says of a unit beyond its state.
type life struct {
	state                                            State
	outOfService, pinned, barren                     bool // pinned to its route; a scout to whom no value is given
	reason, outReason                                string
	since, downSince                                 time.Time
	route                                            int // which of lanes it is at
	routeSince                                       time.Time
	suspicion                                        string
	switches                                         uint64 // of its route
	outages, timeouts, late, foreign, refused, reads uint64
	lastRecovery, longestRecovery                    time.Duration
	load, stretch                                    float64 // of its endpoint; of its intervals, 0 is 1
	loadWhy, stretchWhy                              string
	asked                                            float64 // by name, and why
	askedWhy                                         string
}

// group is a set of tags of a unit that are read together.
type group struct {
	unit  *unit
	spec  Group
	stats *groupHistograms

	awake      atomic.Bool // in the mail as one that has values waiting
	subscribed atomic.Bool // its last turn was with a session that makes subscriptions anew
	renew      atomic.Bool // the next one does

	// Owned by the shard.
	timer  timer
	every  time.Duration // the interval that is kept: the configured one, or that stretched
	busy   time.Duration // that a turn keeps its endpoint, smoothed
	vain   time.Duration // that turns without an answer have kept it since the last one with; not those that took the device down
	waste  time.Duration // vain for each turn that came, smoothed
	shed   uint8         // doublings of its interval
	due    time.Time     // zero before the first
	queued bool          // in the endpoint's queue, or running
	owed   bool          // its values are older than they should be
	failed int           // turns in a row of which nothing came
	loss   float32       // share of turns of which nothing came before one of the same size did, smoothed
	less   bool          // its next turn asks for one tag
	again  bool          // values came while it was queued, or running
	mine   bool          // its last turn timed out for the gateway's own fault

	// Owned by the endpoint's turns.
	plan      Plan
	wake      func() // what a Subscriber calls
	planned   uint64 // the Generation plan was made for
	largest   int    // tags of the largest request when all may be asked for at once
	one       uint32 // counts turns that ask for one tag
	cached    bool   // each turn asks for one tag
	unplanned []tag.ID

	// Under unit.mu.
	wishes   []*errand // values to be written with the next turn
	active   int       // tags that are in plan
	requests int
	missed   uint64
	kept     time.Duration // every
	refusal  error         // what the device refused of it last, nil once all of it came
	lag      time.Duration // of the last scheduled turn
	lastRead time.Time
	took     time.Duration // by a turn that came back whole, smoothed
}

// newUnit compiles the plans of spec, which has its defaults. A tag that cannot be planned is an error.
func newUnit(spec *Spec, driver Driver, rt *Runtime) (*unit, error) {
	u := &unit{spec: spec, driver: driver, key: spec.Driver + " " + driver.Endpoint(spec.Addr), made: time.Now(), facts: &rt.facts}
	u.rto = resilience.NewRTO(spec.Profile.Floor, spec.Profile.Ceiling)
	seed := rand.New(rand.NewPCG(rt.cfg.Seed, uint64(spec.Number)))
	u.machine = newMachine(spec.Profile, seed, time.Now())
	u.ladder = resilience.NewLadder(spec.Profile)
	u.offset = rt.clock.look(time.Now())
	u.life = life{since: u.machine.since, outOfService: spec.OutOfService, outReason: spec.Reason}
	u.timer = timer{owner: u, order: uint64(spec.Number) << 16}
	for i, g := range spec.Groups {
		u.groups = append(u.groups, &group{unit: u, spec: g, every: g.Interval, kept: g.Interval, stats: rt.groupStats(g.Name)})
		u.groups[i].wake = func() { rt.mail.woken(u.groups[i]) }
		u.groups[i].timer = timer{owner: u.groups[i], order: uint64(spec.Number)<<16 | uint64(i+1)}
	}
	u.table = newTable(spec.Groups, &rt.seq)
	u.table.wall = u.offset
	u.addr = spec.Addr
	learned := u.ofThis(spec.Learned)
	err := u.begin(learned)
	if err != nil && !learned.equal(Limits{}) {
		err = u.begin(Limits{}) // what was learned keeps no tag out of the configuration: it is learned again, of the tags as they are now
	}
	return u, errors.Join(err, u.makeLanes())
}

// begin plans all groups anew, with what was learned before.
func (u *unit) begin(learned Limits) error {
	if u.learned = nil; !learned.equal(Limits{}) {
		l := merge(Limits{}, Limits{}, learned)
		u.learned = &l
	}
	u.limits = merge(u.spec.Limits, u.spec.Limits, learned)
	u.limits.Generation = 1
	var errs []error
	for _, g := range u.groups {
		g.planned = 0
		if err := g.replan(); err != nil {
			errs = append(errs, fmt.Errorf("device %s: group %s: %w", u.spec.Name, g.spec.Name, err))
		}
	}
	return errors.Join(errs...)
}

// replan compiles the group's plan anew when limits or service have changed since. The error names the tags that have no place in it.
func (g *group) replan() error {
	u := g.unit
	u.mu.Lock()
	lim, level := u.limits, u.health.level
	u.mu.Unlock()
	if g.planned == lim.Generation {
		return nil
	}
	lim.MaxTags = g.atOnce(level)
	tags := u.table.inService(g.spec.Tags)
	if len(tags) == 0 {
		g.plan, g.planned, g.unplanned = nil, lim.Generation, nil
		g.planHas(0, 0)
		return nil
	}
	plan, err := u.driver.Compile(u.addr, tags, lim)
	g.planned = lim.Generation
	if plan == nil && err == nil {
		err = errors.New("the driver made no plan")
	}
	if plan == nil {
		return err // an older plan, if there is one, stays
	}
	g.plan = plan
	g.unplanned = missing(tags, plan.Tags())
	requests := plan.Requests()
	if level == DegradeNone {
		g.largest = largestOf(requests)
	}
	if level == DegradeCached {
		requests = requests[:min(len(requests), 1)]
	}
	g.planHas(len(plan.Tags()), len(requests))
	return err
}

func (g *group) planHas(tags, requests int) {
	g.unit.mu.Lock()
	defer g.unit.mu.Unlock()
	if g.active != tags || g.requests != requests {
		g.active, g.requests = tags, requests
		g.unit.alter()
	}
}

// missing returns the IDs of those of want that are not in have.
func missing(want, have []TagSpec) []tag.ID {
	if len(want) == len(have) {
		return nil
	}
	in := make(map[tag.ID]bool, len(have))
	for _, t := range have {
		in[t.ID] = true
	}
	var out []tag.ID
	for _, t := range want {
		if !in[t.ID] {
			out = append(out, t.ID)
		}
	}
	return out
}

// phi spreads numbers that count up evenly over a turn: frac(n*phi), as 64-bit fixed point.
const phi = 0x9E3779B97F4A7C15

// Due times lie on a grid, so that what falls due together shares the wake-ups of scheduler, poller, journal and sinks. Ten thousand devices are twenty a beat where they are read each second. Read once
// a minute they are 125: by beats of 100 ms they cost 3.3 % of a core in place of less than 2.
const (
	beats       = 500 // that an interval has at most
	rareFrom    = 30 * time.Second
	rareBeats   = 80 // that such an interval has, or a longer one
	longestBeat = time.Second
)

// beat returns the grid of due times of an interval, 0 when it has none.
func beat(interval time.Duration) time.Duration {
	n := time.Duration(beats)
	if interval >= rareFrom {
		n = rareBeats
	}
	return min((interval / n).Truncate(time.Millisecond), longestBeat)
}

// phase is where in its interval the group is polled. It depends on the device's number alone, so that neither other devices nor a
// restart move it.
func (g *group) phase() time.Duration {
	n := uint64(g.unit.spec.Number) + uint64(slices.Index(g.unit.groups, g))<<20
	at := time.Duration(float64(n*phi) / (1 << 64) * float64(g.every))
	return at.Truncate(max(beat(g.every), 1))
}

// firstDue returns the first due time of the group after now.
func (g *group) firstDue(now time.Time) time.Time {
	past := (now.UnixNano() - int64(g.phase())) % int64(g.every)
	if past < 0 {
		past += int64(g.every)
	}
	return now.Add(g.every - time.Duration(past))
}

// skip moves due behind now and returns how many due times that were not after now it left behind.
func (g *group) skip(now time.Time) uint64 {
	if g.due.After(now) {
		return 0
	}
	n := now.Sub(g.due)/g.every + 1
	g.due = g.due.Add(n * g.every)
	return uint64(n)
}

// miss counts n periods in which the group was not read.
func (g *group) miss(n uint64) {
	if n == 0 {
		return
	}
	g.unit.mu.Lock()
	g.missed += n
	g.unit.mu.Unlock()
	g.stats.missed.Add(n)
}

// actives returns how many tags the unit's plans read.
func (u *unit) actives() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, g := range u.groups {
		n += g.active
	}
	return n
}

// smallest returns the group with the fewest requests, nil when none has any: a probe disturbs least.
func (u *unit) smallest() *group {
	u.mu.Lock()
	defer u.mu.Unlock()
	var best *group
	for _, g := range u.groups {
		if g.requests > 0 && (best == nil || g.requests < best.requests || g.requests == best.requests && g.active < best.active) {
			best = g
		}
	}
	return best
}

// reads says whether g has anything to read.
func (g *group) reads() bool {
	g.unit.mu.Lock()
	defer g.unit.mu.Unlock()
	return g.active > 0
}

// asks says whether g's plan has requests.
func (g *group) asks() bool {
	g.unit.mu.Lock()
	defer g.unit.mu.Unlock()
	return g.requests > 0
}
