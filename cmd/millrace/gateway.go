package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"millrace/ctxguard"
	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/heal"
	"millrace/internal/journal"
	"millrace/internal/journal/vfs"
	"millrace/internal/ledger"
	"millrace/internal/store"
	"millrace/internal/tag"
	"millrace/internal/telemetry"
	writing "millrace/internal/write"
	"millrace/internal/write/audit"
)

// gateway is one running gateway: the parts and the order in which they start and stop.
//
// Lock order: reload, then mu. mu is held for moments only.
type gateway struct {
	log     *slog.Logger
	seams   seams
	started time.Time
	demo    bool                      // the plant is simulated
	servers func() []telemetry.Server // of the simulated plant; nil elsewhere

	token   string
	store   *store.Store
	journal *journal.Journal
	ledger  *ledger.Ledger
	runtime *device.Runtime
	audit   *audit.Log
	writes  *writing.Path
	tokens  tokenBook
	sinks   *sinkSet
	events  *eventQueue
	healing *heal.Runner
	healer  *healer // what healing looks at and acts on
	notes   *notes
	guard   *ctxguard.Guard  // looks after the contexts of sessions, sinks and receivers
	forcer  *ctxguard.Forcer // may cut live streams

	load machineLoad // of the machine; watch looks at it

	reload   sync.Mutex // one reload at a time
	stopping bool       // under reload: no more of them

	mu       sync.Mutex
	serving  *northbound // nil without servers
	cfg      *config.Config
	files    []config.File // what to watch for changes
	view     *view
	residue  alarmState
	downs    downs
	leaks    alarmState
	disk     alarmState
	reloads  alarmState // the last reload that was refused
	tampered alarmState // the audit log
}

// seams are what tests put between the gateway and the machine. The zero value is a gateway as users run it.
type seams struct {
	journal vfs.FS                   // under the journal; nil is the machine's
	audit   vfs.FS                   // under the audit log; nil is the machine's
	event   func(device.Event)       // hears of every event of a device before anybody else; called by the scheduler, must not block
	drivers map[string]device.Driver // in place of the real ones
	look    time.Duration            // how often the configuration's files are looked at; 0 is as config.Watch likes
}

// alarmState is one thing that may be wrong.
type alarmState struct {
	since time.Time
	text  string // empty when nothing is wrong
}

func (a *alarmState) set(text string, now time.Time) {
	if a.text == "" && text != "" {
		a.since = now
	}
	a.text = text
}

const (
	drainSinks  = 10 * time.Second       // at the end, for sinks to take what the journal still got
	ledgerEvery = time.Second            // how often the ledger is checked
	watchEvery  = 500 * time.Millisecond // how often the disk's state is looked at
)

// openGateway opens the data directory and prepares everything. Nothing runs yet; Close gives back what it holds.
func openGateway(ctx context.Context, cfg *config.Config, log *slog.Logger) (*gateway, error) {
	return openGatewayOn(ctx, cfg, log, seams{})
}

func openGatewayOn(ctx context.Context, cfg *config.Config, log *slog.Logger, s seams) (*gateway, error) {
	g := &gateway{log: log, seams: s, started: time.Now(), cfg: cfg, files: cfg.Files}
	if err := g.open(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func (g *gateway) open(ctx context.Context) error {
	data := g.cfg.Gateway.Data
	if err := os.MkdirAll(data, 0o750); err != nil {
		return fmt.Errorf("data directory: %w; gateway.data says where it is to be", err)
	}
	var err error
	if g.guard, err = ctxguard.New(ctxguard.Config{Log: g.log, OnReport: g.leaked}); err != nil {
		return err
	}
	if g.forcer, err = newForcer(data); err != nil {
		return err
	}
	if g.token, err = ensureToken(filepath.Join(data, tokenFile)); err != nil {
		return err
	}
	g.tokens.path, g.tokens.log = filepath.Join(data, tokensFile), g.log
	g.ledger = ledger.New(g.queued)
	// The journal takes the directory's lock, so it opens before the store.
	if err := g.openJournal(); err != nil {
		return err
	}
	if g.store, err = store.Open(ctx, data); err != nil {
		return err
	}
	if err := g.checkNames(); err != nil {
		return err
	}
	if err := g.assign(ctx, g.cfg); err != nil {
		return err
	}
	g.events = newEventQueue()
	g.notes = &notes{log: g.log, guard: g.guard.In(ctxguard.Scope{Name: "notifications", Lease: -1})}
	if _, err := g.notes.makeHooks(g.cfg); err != nil {
		return err
	}
	speak := g.seams.drivers
	if speak == nil {
		speak = driversOf(g.cfg)
	}
	if err := ensureIdentities(g.cfg); err != nil {
		return err
	}
	g.runtime, err = device.New(device.Config{
		Guard: g.guard, Drivers: speak, Output: g.journal, Ledger: deviceLedger{g.ledger}, DialRate: float64(g.cfg.Gateway.DialRate), Shedding: g.cfg.Gateway.Shedding, MaxSessions: mostSessions(g.cfg),
		OnEvent: g.onEvent, OnLearned: g.events.learn,
	})
	if err != nil {
		return err
	}
	g.sinks = newSinkSet(g)
	if _, err := g.runtime.Apply(g.cfg.Devices); err != nil {
		return err
	}
	g.view = newView(g.cfg)
	if err := g.openWrites(); err != nil {
		return err
	}
	return g.newHealing(ctx, g.cfg)
}

// checkNames refuses to give numbers anew while the journal holds values of the old ones: they would be delivered under other names.
func (g *gateway) checkNames() error {
	rows := g.journal.Rows(g.journal.Bounds())
	if rows == 0 || g.store.Catalog().Len() > 0 {
		return nil
	}
	data := g.cfg.Gateway.Data
	return fmt.Errorf("%s holds no tags, but the journal holds %d values, and which tags they are of was written there: "+
		"put the file back, or move %s away and begin anew", filepath.Join(data, store.FileName), rows, filepath.Join(data, "journal"))
}

func (g *gateway) openJournal() error {
	j := g.cfg.Journal
	var err error
	g.journal, err = journal.Open(journal.Config{
		Dir: filepath.Join(g.cfg.Gateway.Data, "journal"), FS: g.seams.journal, SegmentBytes: j.SegmentBytes, QueueBytes: j.QueueBytes, FlushEvery: j.FlushEvery,
		MaxBytes: j.MaxBytes, MaxAge: j.MaxAge,
		OnSynced: g.ledger.Journaled, OnDropped: g.ledger.Dropped,
		OnError: (&quietLog{log: g.log}).error,
	})
	var locked *vfs.LockedError
	if errors.As(err, &locked) {
		return fmt.Errorf("%w: another gateway runs on this data directory", err)
	}
	if err != nil {
		return err
	}
	r := g.journal.Stats().Recovery
	for _, h := range r.Holes {
		g.log.Error("journal: records are damaged", "from", h.From, "to", h.To)
	}
	if r.CursorsAhead || r.EpochFromSegments || g.journal.Stats().CursorsLost {
		g.log.Error("journal: its disk lost what was synced", "cursors_ahead", r.CursorsAhead, "version_file", r.EpochFromSegments, "cursors", g.journal.Stats().CursorsLost)
	}
	return nil
}

// quietLog writes an error of the journal that repeats once a minute.
type quietLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last string
	at   time.Time
}

func (q *quietLog) error(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if text := err.Error(); text != q.last || time.Since(q.at) >= time.Minute {
		q.last, q.at = text, time.Now()
		q.log.Error("journal", "error", err)
	}
}

func (g *gateway) onEvent(e device.Event) {
	if g.seams.event != nil {
		g.seams.event(e)
	}
	g.events.put(e)
}

func (g *gateway) queued() uint64 { return g.journal.Queued() }

// deviceLedger is the ledger as devices see it. What the journal refuses it counts itself, with its own reason.
type deviceLedger struct{ *ledger.Ledger }

func (deviceLedger) Dropped(string, int) {}

// assign gives the devices and tags of cfg their numbers, and puts in what is kept of them: marks and learned limits.
func (g *gateway) assign(ctx context.Context, cfg *config.Config) error {
	numbers, err := g.store.EnsureDevices(ctx, cfg.DeviceNames())
	if err != nil {
		return err
	}
	ids, err := g.store.Ensure(ctx, cfg.TagNames())
	if err != nil {
		return err
	}
	if err := cfg.Assign(numbers, ids); err != nil {
		return err
	}
	marks, err := g.store.Marks(ctx)
	if err != nil {
		return err
	}
	byName := make(map[string]store.Mark, len(marks))
	for _, m := range marks {
		byName[markKey(m)] = m
	}
	learned, err := g.store.Limits(ctx)
	if err != nil {
		return err
	}
	for i := range cfg.Devices {
		g.prepareSpec(&cfg.Devices[i], byName, learned)
	}
	return nil
}

func markKey(m store.Mark) string {
	if m.Tag == "" {
		return m.Device
	}
	return m.Tag
}

// prepareSpec puts in what the store keeps of a device. marks are by device, or device/tag, learned is by device.
func (g *gateway) prepareSpec(s *device.Spec, marks map[string]store.Mark, learned map[string][]byte) {
	if m, ok := marks[s.Name]; ok {
		s.OutOfService, s.Reason = true, m.Reason
	}
	for i := range s.Groups {
		for j := range s.Groups[i].Tags {
			if _, ok := marks[s.Groups[i].Tags[j].Name]; ok {
				s.Groups[i].Tags[j].OutOfService = true
			}
		}
	}
	text, ok := learned[s.Name]
	if !ok {
		return
	}
	var err error
	if s.Learned, err = parseLimits(text); err != nil {
		g.log.Warn("learned limits forgotten", "device", s.Name, "error", err)
	}
}

// Run runs the gateway until ctx ends, and then stops in order: devices, journal, sinks. Everything that was read by then is synced,
// and delivered as far as the sinks take it in time.
func (g *gateway) Run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	after, stopAfter := context.WithCancel(base) // what lives until the end: ledger, events, notifications
	defer stopAfter()
	disk, stopDisk := context.WithCancel(base)
	defer stopDisk()
	var rest, writer sync.WaitGroup
	var errs errorList
	writer.Go(func() { as(base, "journal", func() { errs.add(g.journal.Run(disk)) }) })
	rest.Go(func() { as(base, "ledger", func() { errs.add(g.ledger.Run(after, ledgerEvery, g.residueAlarm)) }) })
	rest.Go(func() {
		as(base, "events", func() { g.events.run(after, g.tell, func(all map[string]device.Limits) { g.learned(base, all) }) })
	})
	rest.Go(func() { as(base, "disk watch", func() { g.watch(after) }) })
	rest.Go(func() { as(base, "writes", func() { g.writes.Run(after) }) })
	rest.Go(func() { as(base, "leak detector", func() { errs.add(g.guard.Run(after)) }) })
	rest.Go(func() { as(base, "leak detector", func() { errs.add(g.forcer.Run(after)) }) })
	rest.Go(func() { as(base, "healing", func() { g.healing.Run(ctx) }) })
	if err := g.startConsumers(base); err != nil {
		errs.add(err)
	} else {
		as(base, "scheduler", func() { errs.add(g.runtime.Run(ctx)) })
	}
	g.log.Info("stopping: devices are closed, the journal takes what is queued")
	g.closeWrites()
	g.endReloads()
	stopDisk()
	writer.Wait()
	g.sinks.stop(drainSinks)
	stopAfter()
	rest.Wait()
	g.notes.stop()
	return errs.join()
}

// startConsumers starts webhooks and sinks. A reload comes before or after it, never between.
func (g *gateway) startConsumers(ctx context.Context) error {
	g.reload.Lock()
	defer g.reload.Unlock()
	cfg := g.config()
	return errors.Join(g.notes.start(ctx, cfg), g.sinks.start(ctx, cfg.Sinks))
}

// Close gives back what the gateway holds on the disk. Run has ended, or never began.
func (g *gateway) Close() error {
	var errs []error
	if g.audit != nil {
		errs = append(errs, g.audit.Close())
	}
	if g.journal != nil {
		errs = append(errs, g.journal.Close())
	}
	if g.store != nil {
		errs = append(errs, g.store.Close())
	}
	return errors.Join(errs...)
}

// Reload makes next the configuration, all of it or none. What runs and is equal is not touched.
func (g *gateway) Reload(ctx context.Context, next *config.Config) (config.Changes, error) {
	g.reload.Lock()
	defer g.reload.Unlock()
	g.mu.Lock()
	old := g.cfg
	g.mu.Unlock()
	changes := config.Diff(old, next)
	if g.stopping {
		return changes, errStopping
	}
	if err := checkParts(next); err != nil {
		return changes, err
	}
	made, err := g.sinks.prepare(next.Sinks, changes)
	if err != nil {
		return changes, err
	}
	if err := g.assign(ctx, next); err != nil {
		return changes, err
	}
	// What takes effect only at start stays what it was.
	kept := *next
	kept.Gateway, kept.Journal, kept.Serve = old.Gateway, old.Journal, old.Serve
	if err := ensureIdentities(&kept); err != nil {
		return changes, err
	}
	targets, err := writeTargets(&kept)
	if err != nil {
		return changes, err
	}
	if _, err := g.runtime.Apply(kept.Devices); err != nil {
		return changes, err
	}
	g.writes.Set(targets)
	g.mu.Lock()
	g.cfg, g.view = &kept, newView(&kept)
	g.mu.Unlock()
	g.north().follow(&kept)
	g.healer.relabelled()
	if changes.Heal {
		g.setHealing(&kept)
	}
	g.sinks.change(ctx, kept.Sinks, changes, made)
	if changes.Notify {
		err = g.notes.start(ctx, &kept)
	}
	return changes, err
}

var errStopping = errors.New("the gateway is stopping")

// endReloads waits for a reload that runs and lets no other begin: nobody would end a sink that it starts.
func (g *gateway) endReloads() {
	g.reload.Lock()
	defer g.reload.Unlock()
	g.stopping = true
}

// config returns the configuration that runs.
func (g *gateway) config() *config.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg
}

// north returns the servers for others, nil without.
func (g *gateway) north() *northbound {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.serving
}

// name returns the name of a tag for what leaves the gateway.
func (g *gateway) name(id tag.ID) string { return g.store.Catalog().Name(id) }

// learned keeps what was found out about devices for the next run.
func (g *gateway) learned(ctx context.Context, all map[string]device.Limits) {
	texts := make(map[string][]byte, len(all))
	for name, l := range all {
		text, err := formatLimits(l)
		if err != nil {
			g.log.Warn("learned limits not kept", "device", name, "error", err)
			continue
		}
		texts[name] = text
	}
	if err := g.store.PutLimits(ctx, texts); err != nil {
		g.log.Warn("learned limits not kept", "devices", len(texts), "error", err)
	}
}

const tokenFile = "token"

// ensureToken returns the bearer token that opens the API's switches, and makes it when there is none.
func ensureToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(b))) >= 16 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	var raw [24]byte
	rand.Read(raw[:])
	token := hex.EncodeToString(raw[:])
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return token, nil
}

// errorList gathers the errors of goroutines.
type errorList struct {
	mu   sync.Mutex
	list []error
}

func (l *errorList) add(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, err)
}

func (l *errorList) join() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.list...)
}
