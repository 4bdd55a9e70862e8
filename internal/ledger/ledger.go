// Package ledger holds the account of the values: what came in is what went out, plus what waits, plus what was dropped for a reason
// that is written down. What does not add up is the residue, and a residue is an alarm.
//
//	read = filtered + queued + journaled + dropped            for the gateway
//	opening + journaled = delivered + waiting + dropped       for each sink
//
// queued and waiting are not computed from the other terms but measured: by what the journal's queue holds and by the distance of
// offsets. All counts are of this run of the process.
package ledger

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Ledger is the account of one gateway. All methods are safe for concurrent use and never block for long; New makes one.
type Ledger struct {
	queued func() uint64

	mu        sync.Mutex
	read      uint64
	filtered  uint64
	journaled uint64
	dropped   map[string]uint64
	sinks     map[string]*Account
	checked   []int64 // residues of the last checks while Run runs, at most standing-1
}

// New returns an empty ledger. queued measures how many values were offered to the journal and are not synced yet; it is called
// without a lock held. nil means that nothing is ever queued.
func New(queued func() uint64) *Ledger {
	if queued == nil {
		queued = func() uint64 { return 0 }
	}
	return &Ledger{queued: queued, dropped: map[string]uint64{}, sinks: map[string]*Account{}}
}

// Offered counts values that were read, of which filtered were not passed on. It is called before the rest is offered to the journal.
func (l *Ledger) Offered(read, filtered int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read += uint64(read)
	l.filtered += uint64(filtered)
}

// Journaled counts queued values that were synced.
func (l *Ledger) Journaled(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.journaled += uint64(n)
}

// Dropped counts queued values, or values that found no room in the queue, that were given up.
func (l *Ledger) Dropped(reason string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped[reason] += uint64(n)
}

// Sink returns the account of the sink called id and makes it if need be. It is in no snapshot until it is opened.
func (l *Ledger) Sink(id string) *Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.sinks[id]
	if a == nil {
		a = &Account{l: l, dropped: map[string]uint64{}}
		l.sinks[id] = a
	}
	return a
}

// Close takes the account of a sink that was removed out of the ledger.
func (l *Ledger) Close(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sinks, id)
}

// Account is the part of one sink.
type Account struct {
	l *Ledger // whose mutex guards the rest

	open      bool
	waiting   func() uint64
	opening   uint64
	since     uint64 // Ledger.journaled at the opening
	delivered uint64
	dropped   map[string]uint64
}

// Open begins the account before the journal runs: backlog values wait for the sink. waiting measures how many do later; it is called
// without a lock held. Opening again begins anew.
func (a *Account) Open(backlog uint64, waiting func() uint64) { a.OpenAt(backlog, 0, waiting) }

// OpenAt begins the account while the journal runs: backlog values waited for the sink at the moment when the journal had synced
// journaled values in all since it was opened (journal.Backlog gives both).
func (a *Account) OpenAt(backlog, journaled uint64, waiting func() uint64) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.open, a.waiting = true, waiting
	a.opening, a.since, a.delivered = backlog, journaled, 0
	clear(a.dropped)
}

// Delivered counts values that the sink has taken.
func (a *Account) Delivered(n int) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.delivered += uint64(n)
}

// Dropped counts values that the sink will never get: trimmed, damaged, or poison.
func (a *Account) Dropped(reason string, n uint64) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.dropped[reason] += n
}

// Snapshot is the ledger at one moment. Its JSON form is the one that scripts read.
type Snapshot struct {
	Values  Values `json:"values"`
	Sinks   []Sink `json:"sinks"`   // by id
	Residue int64  `json:"residue"` // the sum of the magnitudes of all residues: 0 only when every equation holds
}

// Values is the gateway's equation.
type Values struct {
	Read      uint64            `json:"read"`
	Filtered  uint64            `json:"filtered"`
	Queued    uint64            `json:"queued"`
	Journaled uint64            `json:"journaled"`
	Dropped   map[string]uint64 `json:"dropped"` // by reason
	Residue   int64             `json:"-"`       // values that were read and are nowhere; negative: values that are twice
}

// Sink is the equation of one sink.
type Sink struct {
	ID        string            `json:"id"`
	Opening   uint64            `json:"-"` // waited when the account was opened
	Journaled uint64            `json:"-"` // since then
	Delivered uint64            `json:"delivered"`
	Waiting   uint64            `json:"waiting"`
	Dropped   map[string]uint64 `json:"dropped"`
	Residue   int64             `json:"-"`
}

// Snapshot takes the account. Values on their way between two counts while it is taken show as a residue for that moment, so it looks
// again, some ten times, while there is one. On a busy machine a value may be on its way for longer than that: while Run runs, a residue
// counts only as far as the last checks found it too.
func (l *Ledger) Snapshot() Snapshot {
	s := l.take()
	if s.Residue != 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, r := range l.checked {
			s.Residue = min(s.Residue, r)
		}
	}
	return s
}

func (l *Ledger) take() Snapshot {
	best := l.look()
	for range looks - 1 {
		if best.Residue == 0 {
			break
		}
		if s := l.look(); s.Residue < best.Residue {
			best = s
		}
	}
	return best
}

const looks = 10

func (l *Ledger) look() Snapshot {
	queued := l.queued()
	waiting := l.measure()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{Values: l.values(queued), Sinks: []Sink{}}
	s.Residue = magnitude(s.Values.Residue)
	for id, a := range l.sinks {
		w, ok := waiting[id]
		if !ok || !a.open {
			continue
		}
		k := a.sink(id, w)
		s.Sinks = append(s.Sinks, k)
		s.Residue += magnitude(k.Residue)
	}
	slices.SortFunc(s.Sinks, func(a, b Sink) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// measure asks every open account how many values wait, without the lock.
func (l *Ledger) measure() map[string]uint64 {
	l.mu.Lock()
	ask := make(map[string]func() uint64, len(l.sinks))
	for id, a := range l.sinks {
		if a.open {
			ask[id] = a.waiting
		}
	}
	l.mu.Unlock()
	got := make(map[string]uint64, len(ask))
	for id, f := range ask {
		got[id] = f()
	}
	return got
}

func (l *Ledger) values(queued uint64) Values {
	v := Values{Read: l.read, Filtered: l.filtered, Queued: queued, Journaled: l.journaled, Dropped: maps.Clone(l.dropped)}
	v.Residue = int64(l.read - l.filtered - queued - l.journaled - sum(l.dropped))
	return v
}

func (a *Account) sink(id string, waiting uint64) Sink {
	journaled := a.l.journaled - a.since
	return Sink{
		ID: id, Opening: a.opening, Journaled: journaled, Delivered: a.delivered, Waiting: waiting, Dropped: maps.Clone(a.dropped),
		Residue: int64(a.opening + journaled - a.delivered - waiting - sum(a.dropped)),
	}
}

func sum(m map[string]uint64) uint64 {
	var n uint64
	for _, v := range m {
		n += v
	}
	return n
}

func magnitude(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
