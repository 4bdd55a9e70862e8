//go:build unix

package main //ctxguard:allow // these tests plant leaks for the gateway's detector to find

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace/ctxguard"
	"millrace/internal/device"
	"millrace/internal/driver"
)

// planted is the Modbus driver with a bug, or without it.
type planted struct {
	driver.Modbus
	bug    string
	mended bool
	root   context.Context //nolint:containedctx // the long-lived root that leaks hang on
	guard  atomic.Pointer[ctxguard.Guard]
	wg     sync.WaitGroup

	mu      sync.Mutex
	cancel  context.CancelFunc // of the last connection's keep-alive
	checked func()             // ends the last check of tags
}

// Open has the bugs of an outage and of a reconnect.
func (p *planted) Open(ctx context.Context, a device.Addr, lim device.Limits, o device.Observer) (device.Session, error) {
	if p.bug == "outage" {
		stop := p.watchDial()
		s, err := p.Modbus.Open(ctx, a, lim, o)
		if err != nil && !p.mended {
			return nil, err // the bug: the way out on which nobody stops the watch
		}
		stop()
		return s, err
	}
	s, err := p.Modbus.Open(ctx, a, lim, o)
	if err == nil && p.bug == "reconnect" {
		p.keepAlive()
	}
	return s, err
}

// watchDial starts what would warn of a dial that takes long.
//
//go:noinline
func (p *planted) watchDial() (stop func()) {
	ctx, cancel := p.guard.Load().WithCancel(p.root)
	done := ctx.Done()
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		<-done
	}()
	return cancel
}

// keepAlive starts what keeps a connection alive. The bug: the cancel function of the connection before is overwritten.
//
//go:noinline
func (p *planted) keepAlive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil && p.mended {
		p.cancel()
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(p.root) // by package context: only a census sees it
	p.loop(ctx)
}

// Compile has the bug of a reload: what checks the new tags in the background is never told to stop.
func (p *planted) Compile(a device.Addr, tags []device.TagSpec, lim device.Limits) (device.Plan, error) {
	if p.bug == "reload" {
		p.checkTags()
	}
	return p.Modbus.Compile(a, tags, lim)
}

//go:noinline
func (p *planted) checkTags() {
	ctx, cancel := p.guard.Load().In(ctxguard.Scope{Name: "check of tags", Lease: time.Millisecond}).WithCancel(p.root)
	p.loop(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.checked = cancel; p.mended {
		cancel()
	}
}

func (p *planted) loop(ctx context.Context) {
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		every := time.NewTicker(time.Hour)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
			}
		}
	}()
}

// children is how many keep-alives there should be.
func (p *planted) children() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel == nil {
		return 0
	}
	return 1
}

// What kills gateways over a weekend: a leak at each try of an outage, at each reconnect, at each reload. Each is planted into the driver of a whole
// gateway, and the gateway's own detector has to find it, name the line and raise the alarm, and has to say nothing of the same code mended.
func TestPlantedLeaksAreFound(t *testing.T) {
	const times = 5
	interval := 50 // ms; a reload changes it
	for _, c := range []struct {
		bug     string
		repeat  func(*rig, *network) // makes the bug happen once more
		finding ctxguard.Finding
		line    string
	}{
		{"outage", func(r *rig, n *network) {
			mark := r.events.mark()
			n.shut()
			n.cut(true)
			until(r.t, "it was tried in vain", func() bool { return r.events.since(mark, "victim", device.Cooling) >= 2 })
			n.open()
			r.reads("victim", 1)
		}, ctxguard.Dropped, "(*planted).watchDial"},
		{"reconnect", func(r *rig, n *network) {
			mark := r.events.mark()
			n.cut(true)
			until(r.t, "it is connected anew", func() bool { return r.events.since(mark, "victim", device.Opening) >= 1 })
			r.reads("victim", 1)
		}, ctxguard.Excess, "keep-alives"},
		{"reload", func(r *rig, n *network) {
			interval++
			if _, err := r.Reload(r.t.Context(), loadText(r.t, r.t.TempDir(), leakConfig(filepath.Dir(r.path), n.addr, interval))); err != nil {
				r.t.Fatal(err)
			}
			r.reads("victim", 1)
		}, ctxguard.Overdue, "(*planted).checkTags"},
	} {
		for _, mended := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, mended %v", c.bug, mended), func(t *testing.T) {
				root, end := context.WithCancel(context.Background())
				p := &planted{bug: c.bug, mended: mended, root: root}
				t.Cleanup(func() { end(); p.wg.Wait() })
				net := startNetwork(t, startPLC(t).addr)
				dir := t.TempDir()
				o := rigOptions{early: func(g *gateway) { p.guard.Store(g.guard); g.guard.Watch(root, "keep-alives", p.children) }}
				o.seams.drivers = drivers()
				o.seams.drivers["modbus"] = p
				r := startRig(t, dir, leakConfig(dir, net.addr, interval), o)
				r.leaks = !mended
				r.reads("victim", 1)
				for range times {
					c.repeat(r, net)
				}
				if mended {
					for range 20 {
						r.sweep()
					}
					if n := r.guard.Counts(); n.Findings() != 0 {
						t.Errorf("of the mended driver it says %+v: %+v", n, r.guard.Summary().Sites)
					}
					return
				}
				// A keep-alive counts once for the root, however many there are; of the others each counts.
				want := uint64(times)
				if c.finding == ctxguard.Excess {
					want = 1
				}
				until(t, "the detector finds it", func() bool { r.sweep(); return found(r.guard.Counts(), c.finding) >= want })
				site := r.guard.Summary().Sites[0]
				if !strings.Contains(site.Top()+" "+site.Scope, c.line) {
					t.Errorf("it was found at %s, scope %s", site.Top(), site.Scope)
				}
				if a, ok := r.alarm("leaks"); !ok || !strings.Contains(a.Text, c.finding.String()) || !strings.Contains(a.Text, c.line) {
					t.Errorf("alarm %+v", a)
				}
				if r.log.find("contexts leak ") == "" {
					t.Error("the log says nothing")
				}
			})
		}
	}
}

func leakConfig(dir, addr string, interval int) string {
	return configText(dir) + fmt.Sprintf(`
devices:
  - {id: victim, address: "modbus://%s/1", groups: {g: {interval: %dms, tags: {a: 'holding:100:uint16'}}}, profile: {base: lan, floor: 150ms, ceiling: 300ms, failures: 2, cap: 300ms}}
sinks:
  - {id: files, type: file, dir: %q}
`, addr, interval, filepath.Join(dir, "out"))
}

func found(c ctxguard.Counts, f ctxguard.Finding) uint64 {
	switch f {
	case ctxguard.Dropped:
		return c.Dropped
	case ctxguard.Overdue:
		return c.Overdue
	}
	return c.Excess
}
