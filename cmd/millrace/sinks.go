package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"millrace/ctxguard"
	"millrace/internal/config"
	"millrace/internal/sink"
)

// sinkSet runs one worker a sink, and changes them while the gateway runs.
type sinkSet struct {
	g     *gateway
	guard *ctxguard.Guard

	mu      sync.Mutex
	phase   sinkPhase
	running []*runningSink // in the order of the configuration
	alarms  map[string]alarmState
}

// sinkPhase is how far a sinkSet is: workers are started by start, and changed only between start and stop.
type sinkPhase uint8

const (
	sinksWait sinkPhase = iota
	sinksRun
	sinksEnded
)

// runningSink is a worker and the goroutine that runs it.
type runningSink struct {
	cfg    config.Sink
	worker *sink.Worker
	cancel context.CancelFunc // nil until it runs
	done   chan struct{}      // closed when the worker has ended
}

func newSinkSet(g *gateway) *sinkSet {
	return &sinkSet{g: g, guard: g.guard.In(ctxguard.Scope{Name: "sink", Lease: -1}), alarms: map[string]alarmState{}}
}

// start runs a worker for each of cfgs. They end by stop, not by ctx.
func (s *sinkSet) start(ctx context.Context, cfgs []config.Sink) error {
	made, err := s.makeAll(cfgs)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = sinksRun
	for _, r := range made {
		s.launch(ctx, r)
	}
	return nil
}

// makeAll makes a worker for each of cfgs. Nothing of it runs, or has touched anything, yet.
func (s *sinkSet) makeAll(cfgs []config.Sink) ([]*runningSink, error) {
	var made []*runningSink
	var errs []error
	for _, c := range cfgs {
		r, err := s.make(c)
		made, errs = append(made, r), append(errs, err)
	}
	return made, errors.Join(errs...)
}

func (s *sinkSet) make(c config.Sink) (*runningSink, error) {
	gw := s.g.config().Gateway
	to, err := sinkOf(gw.Name, c, s.g.name)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", c.ID, err)
	}
	w, err := sink.New(sink.Config{
		ID: c.ID, Log: sink.FromJournal(s.g.journal), Sink: to, Account: s.g.ledger.Sink(c.ID), Names: s.g.name,
		DataDir: gw.Data, FromOldest: c.From == "oldest", DrainTimeout: drainSinks, Alarm: func(text string) { s.alarm(c.ID, text) },
	})
	if err != nil {
		return nil, err
	}
	return &runningSink{cfg: c, worker: w, done: make(chan struct{})}, nil
}

// launch runs r until it is cancelled. s.mu is held.
func (s *sinkSet) launch(ctx context.Context, r *runningSink) {
	life, cancel := s.guard.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	s.running = append(s.running, r)
	go func() {
		defer close(r.done)
		as(life, "sink", func() {
			if err := r.worker.Run(life); err != nil {
				s.g.log.Error("sink stopped", "sink", r.cfg.ID, "error", err)
			}
		}, "sink", r.cfg.ID)
	}()
}

// alarm keeps the last thing that a person should hear of a sink.
func (s *sinkSet) alarm(id, text string) {
	s.g.log.Warn(text, "sink", id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarms[id] = alarmState{since: time.Now(), text: text}
}

// stop lets every sink take what the journal still has, for d at most, and ends the workers. None is started after it.
func (s *sinkSet) stop(d time.Duration) {
	s.mu.Lock()
	s.phase = sinksEnded
	all := slices.Clone(s.running)
	s.mu.Unlock()
	for _, r := range all {
		r.cancel()
	}
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for _, r := range all {
		select {
		case <-r.done:
		case <-deadline.C:
			s.g.log.Warn("a sink does not end; waiting for it", "sink", r.cfg.ID)
			<-r.done // its own deadlines end it
		}
	}
}

// prepare makes the workers that a change to cfgs needs.
func (s *sinkSet) prepare(cfgs []config.Sink, c config.Changes) ([]*runningSink, error) {
	return s.makeAll(slices.DeleteFunc(slices.Clone(cfgs), func(k config.Sink) bool {
		return !slices.Contains(c.SinksAdded, k.ID) && !slices.Contains(c.SinksChanged, k.ID)
	}))
}

// change makes cfgs the sinks: those that are gone or differ are ended, and those in made, which prepare has returned, run. Before start,
// which runs what the configuration says then, and after stop it does nothing.
func (s *sinkSet) change(ctx context.Context, cfgs []config.Sink, c config.Changes, made []*runningSink) {
	s.mu.Lock()
	phase := s.phase
	s.mu.Unlock()
	if phase != sinksRun {
		return
	}
	for _, id := range append(slices.Clone(c.SinksRemoved), c.SinksChanged...) {
		s.remove(id)
	}
	for _, id := range c.SinksRemoved {
		s.g.ledger.Close(id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != sinksRun { // stopped in the meantime
		return
	}
	for _, r := range made {
		s.launch(ctx, r)
	}
	place := func(r *runningSink) int {
		return slices.IndexFunc(cfgs, func(k config.Sink) bool { return k.ID == r.cfg.ID })
	}
	slices.SortFunc(s.running, func(a, b *runningSink) int { return place(a) - place(b) })
}

// remove ends the worker of sink id. Its cursor stays in the journal until it is forgotten.
func (s *sinkSet) remove(id string) {
	s.mu.Lock()
	i := slices.IndexFunc(s.running, func(r *runningSink) bool { return r.cfg.ID == id })
	var r *runningSink
	if i >= 0 {
		r = s.running[i]
		s.running = slices.Delete(s.running, i, i+1)
	}
	delete(s.alarms, id)
	s.mu.Unlock()
	if r != nil {
		r.cancel()
		<-r.done
	}
}

// stats returns the workers' states in the order of the configuration.
func (s *sinkSet) stats() []sinkStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]sinkStats, len(s.running))
	for i, r := range s.running {
		out[i] = sinkStats{cfg: r.cfg, Stats: r.worker.Stats(), alarm: s.alarms[r.cfg.ID]}
	}
	return out
}

type sinkStats struct {
	cfg config.Sink
	sink.Stats
	alarm alarmState
}
