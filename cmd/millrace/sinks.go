package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"millrace/internal/config"
	"millrace/internal/sink"
)

// sinkSet runs one worker a sink, and changes them while the gateway runs.
type sinkSet struct {
	g *gateway

	mu      sync.Mutex
	running []*runningSink // in the order of the configuration
	alarms  map[string]alarmState
}

// runningSink is a worker and the goroutine that runs it.
type runningSink struct {
	cfg    config.Sink
	worker *sink.Worker
	cancel context.CancelFunc
	done   chan struct{} // closed when the worker has ended
}

func newSinkSet(g *gateway) *sinkSet { return &sinkSet{g: g, alarms: map[string]alarmState{}} }

// start runs a worker for each of cfgs. They end by stop, not by ctx.
func (s *sinkSet) start(ctx context.Context, cfgs []config.Sink) error {
	var errs []error
	for _, c := range cfgs {
		errs = append(errs, s.add(ctx, c))
	}
	return errors.Join(errs...)
}

func (s *sinkSet) add(ctx context.Context, c config.Sink) error {
	to, err := sinkOf(s.g.config().Gateway.Name, c, s.g.name)
	if err != nil {
		return fmt.Errorf("sink %s: %w", c.ID, err)
	}
	w, err := sink.New(sink.Config{
		ID: c.ID, Log: sink.FromJournal(s.g.journal), Sink: to, Account: s.g.ledger.Sink(c.ID), Names: s.g.name,
		DataDir: s.g.config().Gateway.Data, FromOldest: c.From == "oldest", Alarm: func(text string) { s.alarm(c.ID, text) },
	})
	if err != nil {
		return err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &runningSink{cfg: c, worker: w, cancel: cancel, done: make(chan struct{})}
	s.mu.Lock()
	s.running = append(s.running, r)
	s.mu.Unlock()
	go func() {
		defer close(r.done)
		if err := w.Run(life); err != nil {
			s.g.log.Error("sink stopped", "sink", c.ID, "error", err)
		}
	}()
	return nil
}

// alarm keeps the last thing that a person should hear of a sink.
func (s *sinkSet) alarm(id, text string) {
	s.g.log.Warn(text, "sink", id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarms[id] = alarmState{since: time.Now(), text: text}
}

// stop lets every sink take what the journal still has, for d at most, and ends the workers.
func (s *sinkSet) stop(d time.Duration) {
	s.mu.Lock()
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

// change makes cfgs the sinks: those that are gone or differ are ended, and what is new is started.
func (s *sinkSet) change(ctx context.Context, cfgs []config.Sink, c config.Changes) error {
	for _, id := range append(slices.Clone(c.SinksRemoved), c.SinksChanged...) {
		s.remove(id)
	}
	for _, id := range c.SinksRemoved {
		s.g.ledger.Close(id)
	}
	var errs []error
	for _, cfg := range cfgs {
		if slices.Contains(c.SinksAdded, cfg.ID) || slices.Contains(c.SinksChanged, cfg.ID) {
			errs = append(errs, s.add(ctx, cfg))
		}
	}
	return errors.Join(errs...)
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
