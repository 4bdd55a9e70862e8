package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"millrace/ctxguard"
	"millrace/internal/config"
	"millrace/internal/notify"
)

// notes tells the receivers of notifications, and changes them while the gateway runs.
type notes struct {
	log   *slog.Logger
	guard *ctxguard.Guard

	mu    sync.Mutex
	hooks []*notify.Webhook
	end   context.CancelFunc
	wg    sync.WaitGroup
}

// makeHooks makes the webhooks of cfg. Nothing runs yet.
func (n *notes) makeHooks(cfg *config.Config) ([]*notify.Webhook, error) {
	var hooks []*notify.Webhook
	var errs []error
	for _, c := range cfg.Notify {
		w, err := notify.New(notify.Config{
			Gateway: cfg.Gateway.Name, URL: c.URL.Reveal(), On: c.On,
			OnFailed: func(e notify.Event, err error) {
				n.log.Warn("notification given up", "receiver", c.ID, "event", e.Kind, "device", e.Device, "error", err)
			},
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("notify %s: %w", c.ID, err))
			continue
		}
		hooks = append(hooks, w)
	}
	return hooks, errors.Join(errs...)
}

// start runs the webhooks of cfg. They end by stop, not by ctx. Those that ran are stopped first, unless cfg's cannot be made.
func (n *notes) start(ctx context.Context, cfg *config.Config) error {
	hooks, err := n.makeHooks(cfg)
	if err != nil {
		return err
	}
	n.stop()
	life, end := n.guard.WithCancel(context.WithoutCancel(ctx))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hooks, n.end = hooks, end
	for _, h := range hooks {
		n.wg.Go(func() {
			as(life, "webhook", func() {
				if err := h.Run(life); err != nil {
					n.log.Warn("notifications ended", "error", err)
				}
			})
		})
	}
	return nil
}

// stop ends the webhooks; each has a moment for what it is sending.
func (n *notes) stop() {
	n.mu.Lock()
	end := n.end
	n.hooks, n.end = nil, nil
	n.mu.Unlock()
	if end != nil {
		end()
	}
	n.wg.Wait()
}

// send tells everybody who wants to hear of kind.
func (n *notes) send(kind, device, reason string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.hooks {
		h.Notify(notify.Event{Kind: kind, Device: device, Reason: reason})
	}
}
