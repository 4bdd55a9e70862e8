package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"millrace/ctxguard"
	"millrace/internal/config"
	"millrace/internal/web"
)

func newRunCommand() *cobra.Command {
	var path, level string
	var logJSON bool
	var tap int
	var debug debugOptions
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the gateway",
		Long: `Run reads the devices of the configuration until it gets SIGINT or SIGTERM; then it closes the devices, syncs what is queued and
delivers what the sinks still take.

When the configuration or a file that it names changes, or on SIGHUP, it is loaded again: only what changed restarts, and a file with a
mistake leaves the last good configuration running. At the start a mistake ends the program with exit code 2.`,
		Example: "  millrace run -c gateway.yaml",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLog(cmd.ErrOrStderr(), level, logJSON)
			if err != nil {
				return err
			}
			if err := debug.check(); err != nil {
				return usageError(err)
			}
			sparingHeap()
			cfg, err := loadConfig(path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return run(cmd.Context(), cfg, log, tap, debug)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.Flags().BoolVar(&logJSON, "log-json", false, "log as JSON")
	debug.flags(cmd)
	cmd.Flags().IntVar(&tap, "tap", 0, "write each synced record as a JSON line to this file descriptor")
	if err := cmd.Flags().MarkHidden("tap"); err != nil {
		panic(err) // the flag is two lines above
	}
	return cmd
}

// run is the whole life of a gateway.
func run(ctx context.Context, cfg *config.Config, log *slog.Logger, tap int, debug debugOptions) error {
	// From here on a SIGHUP asks for a reload, at the latest when the gateway runs; it ends nothing.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, reloadSignals()...)
	defer signal.Stop(hup)
	if err := checkDescriptors(cfg); err != nil {
		return usageError(err)
	}
	g, err := openGateway(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer ctxguard.SetDefault(ctxguard.SetDefault(g.guard)) // for the servers of protocols
	return errors.Join(g.serve(ctx, hup, tap, debug), g.Close())
}

// serve runs the gateway with its page, follows its configuration file (hup asks for a reload too), and returns when ctx ends or one of them cannot go on.
func (g *gateway) serve(ctx context.Context, hup <-chan os.Signal, tap int, debug debugOptions) error {
	cfg, log := g.config(), g.log
	life, end := context.WithCancel(ctx)
	defer end()
	var wg sync.WaitGroup
	var errs errorList
	if cfg.Gateway.Listen != "" {
		srv, ln, err := g.listen(ctx)
		if err != nil {
			return err
		}
		// The log may be read by more people than the token is for.
		log.Info("page and API", "address", "http://"+ln.Addr().String()+"/", "token", filepath.Join(cfg.Gateway.Data, tokenFile))
		wg.Go(func() {
			as(life, "page", func() { errs.add(srv.Run(life, ln)) })
			end()
		})
	}
	if err := g.serveOthers(ctx, life, &wg, &errs, end); err != nil {
		end()
		wg.Wait()
		return err
	}
	if debug.addr != "" {
		ln, err := debug.listen(ctx)
		if err != nil {
			end()
			wg.Wait()
			return err
		}
		log.Info("debug", "address", "http://"+ln.Addr().String()+"/")
		wg.Go(func() { as(life, "debug", func() { errs.add(serveDebug(life, ln, debugHandler(g.guard, g.forcer))) }) })
	}
	wg.Go(func() { as(life, "reload", func() { g.follow(life, cfg.Path, hup) }) })
	wg.Go(func() { as(life, "heap", func() { keepHeap(life) }) })
	if tap > 0 {
		wg.Go(func() { errs.add(g.tap(life, os.NewFile(uintptr(tap), "tap"))) })
	}
	log.Info("running", "gateway", cfg.Gateway.Name, "devices", len(cfg.Devices), "sinks", len(cfg.Sinks), "data", cfg.Gateway.Data)
	errs.add(g.Run(life))
	end()
	wg.Wait()
	g.sayGoodbye()
	return errs.join()
}

// serveOthers starts the servers that offer the tags, until life ends.
func (g *gateway) serveOthers(ctx, life context.Context, wg *sync.WaitGroup, errs *errorList, end func()) error {
	n, err := g.openNorthbound(ctx, g.config())
	if n == nil || err != nil {
		return err
	}
	g.mu.Lock()
	g.serving = n
	g.mu.Unlock()
	for _, s := range n.servers {
		g.log.Info("serving tags", "server", s.id, "address", "opc.tcp://"+s.ln.Addr().String())
	}
	n.run(life, wg, errs, end)
	return nil
}

// listen opens the page's listener.
func (g *gateway) listen(ctx context.Context) (*web.Server, net.Listener, error) {
	srv, err := g.server()
	if err != nil {
		return nil, nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", g.config().Gateway.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("page: %w; set gateway.listen to another address, or to off", err)
	}
	return srv, ln, nil
}

// server makes the page's server, with the metrics beside it.
func (g *gateway) server() (*web.Server, error) {
	var srv *web.Server
	metrics, err := g.metrics(func() web.Stats { return srv.Stats() })
	if err != nil {
		return nil, err
	}
	var hosts []string
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name) // by which Prometheus may ask
	}
	srv, err = web.New(web.Config{Token: g.token, Hosts: hosts, Metrics: metrics, Writer: g.writes, Audit: g.readAudit, Identify: g.tokens.identify, Log: g.log, Guard: g.guard, Forcer: g.forcer}, g)
	return srv, err
}

// sayGoodbye logs the account of the run.
func (g *gateway) sayGoodbye() {
	s := g.ledger.Snapshot()
	g.log.Info("stopped", "read", s.Values.Read, "filtered", s.Values.Filtered, "journaled", s.Values.Journaled, "queued", s.Values.Queued, "residue", s.Residue)
	for _, k := range s.Sinks {
		g.log.Info("sink", "id", k.ID, "delivered", k.Delivered, "waiting", k.Waiting)
	}
}

// follow reloads the configuration when its files change, and on SIGHUP where there is one, until ctx ends.
func (g *gateway) follow(ctx context.Context, path string, hup <-chan os.Signal) {
	changed := make(chan struct{}, 1) // one reload for all changes that wait
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	watch, stopWatch := context.WithCancel(ctx)
	defer stopWatch()
	wg.Go(func() { config.Watch(watch, g.seams.look, g.watched, poke) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		case <-changed:
		}
		g.reloadFile(ctx, path)
	}
}

// watched returns the files that the running configuration, or the last attempt at a new one, was made from.
func (g *gateway) watched() []config.File {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.files
}

func (g *gateway) reloadFile(ctx context.Context, path string) {
	next, err := load(path)
	g.mu.Lock()
	g.files = next.Files
	g.mu.Unlock()
	var changes config.Changes
	if err == nil {
		changes, err = g.Reload(ctx, next)
	}
	text := ""
	if err != nil {
		text = fmt.Sprintf("the new configuration was refused: %v", err)
		g.log.Error("reload refused, the last good configuration keeps running", "error", err)
	} else {
		g.log.Info("reload: " + changes.String())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reloads.set(text, time.Now())
}
