package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/sim"
	"millrace/internal/telemetry"
	"millrace/internal/web"
)

// demoOptions are the flags of `millrace demo`.
type demoOptions struct {
	listen   string
	data     string
	duration time.Duration
	headless bool
	json     bool
}

func newDemoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Simulate a plant, run the gateway on it and show the page",
		Long: `Demo simulates a plant of presses (Modbus), ovens (S7) and fillers (OPC UA, encrypted), reads it, keeps and delivers its values, and prints the address of the
page to open. After a while it stops one press: the page shows that device go bad and the others unharmed. Then it brings the press back.

With --headless it runs without the page. With --json it ends with one JSON document on standard output:
{"values":{"read","filtered","queued","journaled","dropped"},"sinks":[{"id","delivered","waiting","dropped"}],"residue",
"devices":[{"id","protocol","state","outages","recovery_ms"}]}. The exit code is 0 only if the ledger's residue is 0 and every device is back.`,
		Example: "  millrace demo\n  millrace demo --headless --duration 30s --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.headless && !cmd.Flags().Changed("listen") {
				o.listen = "off"
			}
			if o.headless && o.duration == 0 {
				o.duration = 30 * time.Second
			}
			if o.duration < 0 || o.duration > 0 && o.duration < minDemo {
				return usageError(fmt.Errorf("--duration %v is too short for the story: at least %v", o.duration, minDemo))
			}
			return demo(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of the page, or off")
	f.StringVar(&o.data, "data", "", "data directory (default: a temporary one, removed at the end)")
	f.DurationVar(&o.duration, "duration", 0, "how long to run (default: until Ctrl-C; 30s with --headless)")
	f.BoolVar(&o.headless, "headless", false, "without the page")
	f.BoolVar(&o.json, "json", false, "end with a JSON document on standard output")
	return cmd
}

const (
	demoPresses = 6
	demoOvens   = 3
	demoFillers = 3
	demoVictim  = 3 // the press that is stopped
	minDemo     = 12 * time.Second

	// The story, when nobody says how long it is to be: stopped after 20 s for 15 s, and again every two minutes.
	storyBegin  = 20 * time.Second
	storyOutage = 15 * time.Second
	storyEvery  = 2 * time.Minute
)

// demoConfig is the plant that the demo reads: template and tags, with the simulator's documented image beneath.
const demoConfig = `gateway: {name: demo, data: %q, listen: %q}
journal: {segment_bytes: 4MiB, max_bytes: 256MiB}
write:
  rules:
    force_limit: {max: 600, interlock: 'tag("./door_closed")', max_age: 15s}
    recipe: {approve: true}
heal:
  use: [jitter, latency_loss]
  rules:
    stays_down:
      doc: Of a device that stays down for five seconds somebody is told.
      when: device.down
      for: 5s
      do: [{type: notify, text: "{device} is down"}]
      verify: device.up
      within: 10m
      limit: {cooldown: 30s}
templates:
  press:
    profile: lan
    groups:
      fast:
        interval: 500ms
        tags:
          temperature: holding:60000:float32 unit=°C deadband=0.5
          pressure: holding:60002:float32 unit=bar deadband=0.5
          force: holding:60004:float32 scale=10 unit=kN deadband=5
          position: holding:60006:float32 unit=mm
          running: coil:6
      slow:
        interval: 5s
        tags:
          oil_level: holding:60100:float32 unit=%% deadband=1
          serial: holding:500:uint32
          force_limit: holding:300:uint16 unit=kN low=0 high=800 rw write=force_limit
          recipe: holding:310:uint16 rw write=recipe
          door_closed: discrete:10
  oven:
    profile: lan
    groups:
      fast:
        interval: 500ms
        tags:
          zone_1: DB2.DBD0:REAL unit=°C scale=9 deadband=2
          zone_2: DB2.DBD4:REAL unit=°C scale=9 deadband=2
          zone_3: DB2.DBD8:REAL unit=°C scale=9 deadband=2
          belt: DB2.DBD12:REAL unit=m/min scale=0.05
          burning: DB3.DBX0.0
      slow:
        interval: 5s
        tags:
          recipe: DB3.DBB62:STRING[20]
          charges: DB3.DBD26:UDINT
          purge: T200 unit=ms
          faults: C7
  filler:
    params: {n: }
    profile: lan
    options: {mode: subscribe, trust: any}
    groups:
      fast:
        interval: 500ms
        tags:
          level: nsu=urn:millrace:sim;s=v{n} unit=%% deadband=1
          weight: nsu=urn:millrace:sim;s=v1{n} scale=0.02 unit=kg deadband=0.02
          speed: nsu=urn:millrace:sim;s=v2{n} scale=5 unit=1/min deadband=5
          running: nsu=urn:millrace:sim;s=static.Boolean
      slow:
        interval: 5s
        tags:
          product: nsu=urn:millrace:sim;s=static.String
          bottles: nsu=urn:millrace:sim;s=static.UInt32
          valves: nsu=urn:millrace:sim;s=static.BooleanArray
          cleaned: nsu=urn:millrace:sim;s=static.DateTime
devices:
`

// demoPlant is what the demo simulates.
type demoPlant struct {
	presses *sim.Modbus
	ovens   *sim.S7
	fillers *sim.OPCUA
}

func newDemoPlant() (p demoPlant, err error) {
	if p.presses, err = sim.NewModbus(sim.ModbusConfig{Listen: "127.0.0.1:0", Devices: demoPresses, ByPort: true}); err != nil {
		return p, err
	}
	if p.ovens, err = sim.NewS7(sim.S7Config{Listen: "127.0.0.1:0", Devices: demoOvens, ByPort: true}); err != nil {
		return p, err
	}
	p.fillers, err = sim.NewOPCUA(sim.OPCUAConfig{Listen: "127.0.0.1:0", Devices: demoFillers, ByPort: true})
	return p, err
}

func (p *demoPlant) all() []sim.Simulator { return []sim.Simulator{p.presses, p.ovens, p.fillers} }

// appendDevices appends the plant's devices to the demo's configuration. All fillers show the same nodes; each is given waves of its own.
func (p *demoPlant) appendDevices(text []byte) []byte {
	for n := 1; n <= demoPresses; n++ {
		text = fmt.Appendf(text, "  - {id: press-%d, template: press, address: \"modbus://%s/1\"}\n", n, p.presses.Addr(n))
	}
	for n := 1; n <= demoOvens; n++ {
		text = fmt.Appendf(text, "  - {id: oven-%d, template: oven, address: \"s7://%s?slot=1\"}\n", n, p.ovens.Addr(n))
	}
	for n := 1; n <= demoFillers; n++ {
		text = fmt.Appendf(text, "  - {id: filler-%d, template: filler, address: \"opc.tcp://%s\", params: {n: %d}}\n", n, p.fillers.Addr(n), n)
	}
	return text
}

func demo(ctx context.Context, o demoOptions, stdout, stderr io.Writer) (err error) {
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "millrace-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.data)) }()
	}
	plant, err := newDemoPlant()
	if err != nil {
		return err
	}
	// Ctrl-C ends the story; the gateway and the plant end after it, so that the account is of devices that run.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	plantLife, endPlant := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	var errs errorList
	defer func() {
		endPlant()
		wg.Wait()
		err = errors.Join(err, errs.join())
	}()
	for _, m := range plant.all() {
		if err := m.Listen(ctx); err != nil {
			return err
		}
		wg.Go(func() { errs.add(m.Run(plantLife)) })
	}

	g, err := openDemo(life, o, &plant, stderr)
	if err != nil {
		return err
	}
	say := func(format string, a ...any) { fmt.Fprintf(stderr, format+"\n", a...) }
	if err := g.showDemo(life, o, &wg, &errs, say); err != nil {
		return errors.Join(err, g.Close())
	}
	var story sync.WaitGroup
	var devices []*web.Device
	story.Go(func() {
		defer end()
		tellStory(ctx, o.duration, plant.presses, say)
		for d := range g.Devices() {
			c := *d
			devices = append(devices, &c)
		}
	})
	runErr := g.Run(life)
	end()
	story.Wait()
	doc := web.NewDocument(g.Ledger(), slices.Values(devices))
	if err := errors.Join(runErr, g.Close()); err != nil {
		return err
	}
	return judgeDemo(doc, o, ctx.Err() != nil, stdout)
}

// openDemo writes the demo's configuration as a user would and opens the gateway with it.
func openDemo(ctx context.Context, o demoOptions, plant *demoPlant, stderr io.Writer) (*gateway, error) {
	data, err := filepath.Abs(o.data)
	if err != nil {
		return nil, err
	}
	text := plant.appendDevices(fmt.Appendf(nil, demoConfig, filepath.Join(data, "state"), o.listen))
	text = fmt.Appendf(text, "sinks:\n  - {id: files, type: file, dir: %q, from: oldest}\n", filepath.Join(data, "out"))
	path := filepath.Join(data, "demo.yaml")
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	cfg, err := config.Load(path, drivers())
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	if !o.json {
		log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	g, err := openGateway(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	g.demo = true
	g.servers = func() []telemetry.Server { return simServers(plant.all()) }
	return g, nil
}

// showDemo serves the page unless it is off. A default address that is taken gives way to a free one.
func (g *gateway) showDemo(ctx context.Context, o demoOptions, wg *sync.WaitGroup, errs *errorList, say func(string, ...any)) error {
	if o.listen == "off" {
		return nil
	}
	srv, ln, err := g.listen(ctx)
	if err != nil && o.listen == "127.0.0.1:8080" {
		if srv, err = g.server(); err == nil {
			var lc net.ListenConfig
			ln, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
		}
	}
	if err != nil {
		return err
	}
	wg.Go(func() { errs.add(srv.Run(ctx, ln)) })
	say("Open http://%s/#token=%s", ln.Addr(), g.token)
	return nil
}

// tellStory stops a press and brings it back, in proportion when the demo has an end, and returns when it is over.
func tellStory(ctx context.Context, duration time.Duration, plant *sim.Modbus, say func(string, ...any)) {
	begin, outage, every := storyBegin, storyOutage, storyEvery
	if duration > 0 {
		begin, outage, every = duration/4, duration/5, 0
	}
	say("%d presses, %d ovens and %d fillers are simulated; press-%d will be stopped in %v", demoPresses, demoOvens, demoFillers, demoVictim, begin)
	started := time.Now()
	for wait := begin; pause(ctx, wait); wait = every - outage {
		say("press-%d is stopped; the others are not disturbed", demoVictim)
		if err := plant.Stop(demoVictim, sim.Refusing); err != nil {
			say("%v", err)
		}
		ok := pause(ctx, outage)
		if err := plant.Start(demoVictim); err != nil {
			say("%v", err)
		}
		say("press-%d is back", demoVictim)
		if !ok || every == 0 {
			break
		}
	}
	if duration > 0 {
		pause(ctx, duration-time.Since(started))
	}
}

// pause waits for d, and says whether ctx lives on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// judgeDemo prints how it went and fails when something is missing. A demo that was interrupted owes nobody a press that is back.
func judgeDemo(doc web.Document, o demoOptions, interrupted bool, stdout io.Writer) error {
	if o.json {
		if err := json.NewEncoder(stdout).Encode(doc); err != nil {
			return err
		}
	} else {
		printDemo(stdout, doc)
	}
	var errs []error
	if doc.Residue != 0 {
		errs = append(errs, fmt.Errorf("the ledger's residue is %d", doc.Residue))
	}
	for _, d := range doc.Devices {
		if !interrupted && d.State != device.Ready.String() {
			errs = append(errs, fmt.Errorf("%s is %s", d.ID, d.State))
		}
	}
	return errors.Join(errs...)
}

func printDemo(w io.Writer, doc web.Document) {
	v := doc.Values
	fmt.Fprintf(w, "\n%d values read, %d filtered by deadband, %d journaled, residue %d\n", v.Read, v.Filtered, v.Journaled, doc.Residue)
	for _, s := range doc.Sinks {
		fmt.Fprintf(w, "sink %s: %d delivered, %d waiting\n", s.ID, s.Delivered, s.Waiting)
	}
	for _, d := range doc.Devices {
		if d.Outages > 0 {
			fmt.Fprintf(w, "%s: %d outages, the longest until it was read again %d ms\n", d.ID, d.Outages, d.RecoveryMS)
		}
	}
}
