package sink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"millrace/internal/journal"
	"millrace/internal/journal/vfs"
	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// Log is the journal as a worker uses it; FromJournal makes one.
type Log interface {
	Epoch() uint64
	Bounds() (first, next journal.Offset)
	Rows(from, to journal.Offset) uint64
	Backlog(from journal.Offset) (waiting, synced uint64)
	Cursor(name string) (journal.Offset, bool)
	SetCursor(name string, off journal.Offset) error
	SkipTo(ctx context.Context, next journal.Offset) error
	NewReader(from journal.Offset) Reader
}

// Reader reads records in order; see journal.Reader.
type Reader interface {
	NextInto(ctx context.Context, b *tag.Batch) (journal.Offset, error)
	TryNextInto(b *tag.Batch) (journal.Offset, bool, error)
	Close() error
}

// FromJournal returns j as a Log.
func FromJournal(j *journal.Journal) Log { return journalLog{j} }

type journalLog struct{ *journal.Journal }

func (l journalLog) NewReader(from journal.Offset) Reader { return l.Journal.NewReader(from) }

// Account is the sink's part of the ledger; *ledger.Account is one.
type Account interface {
	OpenAt(backlog, journaled uint64, waiting func() uint64)
	Delivered(n int)
	Dropped(reason string, n uint64)
}

// Config says what a worker delivers, where to, and how.
type Config struct {
	ID         string              // of the sink: the name of its cursor in the journal and of its dead-letter file. Required
	Log        Log                 // required
	Sink       Sink                // the worker's: Run closes it. Required
	Account    Account             // required
	Names      func(tag.ID) string // for the dead-letter file. Required
	DataDir    string              // rows that the sink can never take go to DataDir/dead-letter/ID.jsonl. Required
	FromOldest bool                // where a sink without any cursor begins: at the oldest row of the journal, else behind the newest at New

	MaxRows  int           // most rows in one write; 0 is 10,000
	MaxBytes int           // most bytes of values in one write, unless a single value is larger; 0 is 4 MiB
	Linger   time.Duration // how long a row waits for others to fill a write; 0 is 200 ms, negative none

	WriteTimeout time.Duration // of one call of the sink; 0 is 2 min
	DrainTimeout time.Duration // for what is on its way, and what the journal still has, when Run's context ends; 0 is 5 s
	RetryFloor   time.Duration // the first wait between two tries is up to it, each further one up to twice the last; 0 is 500 ms
	RetryCap     time.Duration // the longest; 0 is 30 s

	MaxDeadLetters int64             // bytes of the dead-letter file: rows beyond it are counted and alarmed, but not kept; 0 is 256 MiB
	FS             vfs.FS            // of the dead-letter file; nil is the machine's
	Rand           resilience.Rand   // for the waits; nil is a generator of its own. Only Run uses it
	Alarm          func(text string) // what a person should hear of, from Run's goroutine; must not block. nil is nobody
}

func (c Config) withDefaults() (Config, error) {
	if c.ID == "" || c.Log == nil || c.Sink == nil || c.Account == nil || c.Names == nil || c.DataDir == "" {
		return c, errors.New("sink: id, log, sink, account, names and data directory are required")
	}
	if filepath.Base(c.ID) != c.ID {
		return c, fmt.Errorf("sink %q: an id is a file's name too: no / or \\ in it", c.ID)
	}
	setDefault(&c.MaxRows, 10_000)
	setDefault(&c.MaxBytes, 4<<20)
	setDefault(&c.Linger, 200*time.Millisecond)
	setDefault(&c.WriteTimeout, 2*time.Minute)
	setDefault(&c.DrainTimeout, 5*time.Second)
	setDefault(&c.RetryFloor, 500*time.Millisecond)
	setDefault(&c.RetryCap, 30*time.Second)
	setDefault(&c.MaxDeadLetters, 256<<20)
	if c.MaxRows < 1 || c.MaxBytes < 1 || c.WriteTimeout < 0 || c.DrainTimeout < 0 || c.RetryFloor < 0 || c.RetryCap < c.RetryFloor {
		return c, fmt.Errorf("sink %s: limits and times must be positive, and the longest wait not below the first", c.ID)
	}
	if c.FS == nil {
		c.FS = vfs.OS{}
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if c.Alarm == nil {
		c.Alarm = func(string) {}
	}
	return c, nil
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Worker moves values from the journal to one sink. Run does the work; Stats may be called by any goroutine.
type Worker struct {
	cfg     Config
	backoff resilience.Backoff
	dead    deadLetters
	boot    uint64 // the journal's end when the worker was made

	// Run's goroutine only.
	cursor  uint64 // the sink has everything before it
	started bool   // the sink has answered
	batches []*tag.Batch
	carry   Rows // of batches[0]: what did not fit the last range
	rows    []Rows
	gaps    []gap

	mu       sync.Mutex
	counting bool   // the account is open
	counted  uint64 // the account has everything before it; beyond cursor after the sink went back
	stats    Stats
}

// gap is a run of offsets that the sink will not get.
type gap struct {
	from, to uint64
	rows     uint64 // that were there: some offsets never had one
	reason   string
}

// The reasons for which rows are dropped.
const (
	ReasonRetention = "retention" // removed from the journal before they were delivered
	ReasonDamaged   = "damaged"   // unreadable in the journal
	ReasonPoison    = "poison"    // refused by the sink for good; they are in the dead-letter file
	ReasonSkipped   = "skipped"   // the cursor that the sink stores was moved over them
)

var reasonWords = map[string]string{
	ReasonRetention: "were removed from the journal before they were delivered",
	ReasonDamaged:   "cannot be read from the journal",
	ReasonPoison:    "were refused and are in the dead-letter file",
	ReasonSkipped:   "were skipped: the cursor that the sink stores lies behind them",
}

// New returns a worker that has touched nothing yet. It is made before the journal takes new rows, as far as the sink was there before.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, backoff: resilience.NewBackoff(resilience.Profile{Floor: cfg.RetryFloor, Cap: cfg.RetryCap})}
	_, next := cfg.Log.Bounds()
	w.boot = uint64(next)
	w.dead = deadLetters{fs: cfg.FS, dir: cfg.DataDir, id: cfg.ID, max: cfg.MaxDeadLetters, names: cfg.Names}
	w.stats = Stats{State: Starting, Since: time.Now(), Dropped: map[string]uint64{}, Rows: newHistogram(rowBounds), Seconds: newHistogram(secondBounds)}
	return w, nil
}

// Run delivers until ctx ends or the journal closes; then what the journal still has is delivered within DrainTimeout, and the sink
// closed. The error is nil unless the sink cannot be closed, or another process has taken its cursor over: then nothing can be
// delivered any more.
func (w *Worker) Run(ctx context.Context) error {
	life, end := outlive(ctx, w.cfg.DrainTimeout)
	err := w.run(ctx, life)
	end()
	if err != nil {
		w.cfg.Alarm(fmt.Sprintf("sink %s: %v", w.cfg.ID, err))
	}
	w.setState(Stopped, err)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.DrainTimeout)
	defer cancel()
	return errors.Join(err, w.dead.close(), w.cfg.Sink.Close(closing))
}

// outlive returns a context that ends d after ctx does.
func outlive(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-life.Done():
		}
	})
	return life, func() { stop(); cancel() }
}

// run starts at the cursor and delivers, again and again when the sink's cursor is not where it was thought to be.
func (w *Worker) run(ctx, life context.Context) error {
	if err := w.reserve(); err != nil {
		return err
	}
	for ready := false; ; {
		var err error
		if !ready {
			err = w.start(ctx, life)
			ready = err == nil
		}
		if err == nil {
			err = w.deliverAll(ctx, life)
		}
		var moved *CursorError
		var ahead *journal.AheadError
		switch {
		case err == nil, errors.Is(err, journal.ErrClosed):
			return nil
		case errors.As(err, &moved) && moved.Fenced:
			return err
		case moved != nil, errors.As(err, &ahead):
			ready = false
		}
		if !w.again(ctx, err) {
			return nil
		}
	}
}

// reserve puts the journal's cursor where the sink begins as far as that is known without asking it: what comes while it cannot be
// reached is kept for it, and is in the ledger.
func (w *Worker) reserve() error {
	at, _ := w.place(Cursor{}, false)
	if err := w.cfg.Log.SetCursor(w.cfg.ID, journal.Offset(at)); err != nil {
		return err
	}
	w.open(at)
	return nil
}

// start finds out where to begin and tells everybody.
func (w *Worker) start(ctx, life context.Context) error {
	call, cancel := context.WithTimeout(life, w.cfg.WriteTimeout)
	defer cancel()
	own, found, err := w.cfg.Sink.Cursor(call)
	if err != nil {
		return err
	}
	at, alarm := w.place(own, found)
	if _, next := w.cfg.Log.Bounds(); at > uint64(next) {
		// The sink has rows that the journal has not: the disk lied, or an old copy was put back. New rows must not get their offsets.
		if err := w.cfg.Log.SkipTo(ctx, journal.Offset(at)); err != nil {
			return err
		}
		alarm = fmt.Sprintf("sink %s: its cursor %d lay behind the journal's end %d: rows were lost by the journal's disk; going on behind them", w.cfg.ID, at, next)
	}
	if s, ok := w.cfg.Sink.(Seeker); ok {
		if err := s.Seek(call, Cursor{Epoch: w.cfg.Log.Epoch(), Offset: at}); err != nil {
			return err
		}
	}
	if err := w.cfg.Log.SetCursor(w.cfg.ID, journal.Offset(at)); err != nil {
		return err
	}
	w.begin(at)
	if alarm != "" {
		w.cfg.Alarm(alarm)
	}
	w.setState(OK, nil)
	return nil
}

// place decides where to begin: at the sink's own cursor, else at the journal's.
func (w *Worker) place(own Cursor, found bool) (at uint64, alarm string) {
	log := w.cfg.Log
	first, _ := log.Bounds()
	off, known := log.Cursor(w.cfg.ID)
	switch {
	case found && own.Epoch == log.Epoch():
		return own.Offset, ""
	case found:
		return uint64(first), fmt.Sprintf("sink %s: its cursor is of another journal (epoch %016x, not %016x): starting at the oldest row", w.cfg.ID, own.Epoch, log.Epoch())
	case w.started: // before, it had one
		return w.cursor, fmt.Sprintf("sink %s: its cursor is gone; going on at %d", w.cfg.ID, w.cursor)
	case known:
		return uint64(off), ""
	case w.cfg.FromOldest:
		return uint64(first), ""
	}
	return w.boot, ""
}

// begin puts the cursor at at. The account is opened when the sink answers first: when the sink has gone back since, rows that were
// counted as delivered are sent again and not counted again.
func (w *Worker) begin(at uint64) {
	if !w.started {
		w.open(min(at, w.boot))
	}
	if w.started && at < w.cursor {
		w.cfg.Alarm(fmt.Sprintf("sink %s: it went back from %d to %d, as after a fail-over or a restore; sending those rows again", w.cfg.ID, w.cursor, at))
	}
	// Rows that the cursor jumps over: somebody put it there, or it lay behind the journal's end and they got offsets that the sink has.
	if from := w.counted; at > from {
		w.count(at, []gap{{from, at, w.cfg.Log.Rows(journal.Offset(from), journal.Offset(at)), ReasonSkipped}}, nil)
	}
	w.started = true
	w.cursor, w.carry, w.rows, w.gaps = at, Rows{}, nil, nil
}

// open opens the account at at, anew when it is open.
func (w *Worker) open(at uint64) {
	w.mu.Lock()
	w.counting, w.counted = true, at
	w.stats.Cursor = Cursor{w.cfg.Log.Epoch(), at}
	w.mu.Unlock()
	waiting, synced := w.cfg.Log.Backlog(journal.Offset(at))
	w.cfg.Account.OpenAt(waiting, synced, w.waiting)
}

// waiting measures how many rows are not accounted for yet.
func (w *Worker) waiting() uint64 {
	w.mu.Lock()
	counting, counted := w.counting, w.counted
	w.mu.Unlock()
	if !counting {
		return 0
	}
	_, next := w.cfg.Log.Bounds()
	return w.cfg.Log.Rows(journal.Offset(counted), next)
}

// again notes err, waits, and says whether to go on: not when ctx ended.
func (w *Worker) again(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	wait := w.backoff.Next(w.cfg.Rand)
	w.failed(err, wait)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Forgetter is a Sink that stores its own cursor and can remove it.
type Forgetter interface {
	Forget(ctx context.Context) error
}

// Forget removes the cursors of a sink that is not to come back: the one it stores itself (s may be nil when it cannot be reached any
// more), and the one in the journal, so that retention no longer waits for it. No worker runs for it. It says whether the journal had one.
func Forget(ctx context.Context, j *journal.Journal, id string, s Sink) (bool, error) {
	if f, ok := s.(Forgetter); ok {
		if err := f.Forget(ctx); err != nil {
			return false, err
		}
	}
	return j.Forget(id), nil
}
