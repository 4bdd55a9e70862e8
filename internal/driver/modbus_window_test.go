package driver

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

// spread returns n addresses that no request joins, and what a fake whose memory counts up has there.
func spread(n int) (addresses, want []string) {
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("holding:%d", 1000*i))
		want = append(want, fmt.Sprint(1000*i))
	}
	return addresses, want
}

// pupil reads a fake over pipes, within synctest, as the runtime does: what was learned is in the next plan, and what ends is opened again.
type pupil struct {
	t         *testing.T
	f         *fake
	a         device.Addr
	w         *watcher
	s         *modbusSession
	lim       device.Limits
	plan      device.Plan // for lim
	addresses []string
	want      []string
	disturbed int // Reads that were not whole
	last      time.Time
	largest   int // window that was set
}

func newPupil(t *testing.T, f *fake, requests int, options map[string]string) *pupil {
	t.Helper()
	for i := range f.mem.regs[areaHolding] {
		f.mem.regs[areaHolding][i] = uint16(i)
	}
	f.addr = "plc:502"
	p := &pupil{t: t, f: f, a: f.addrOf("1", options), w: newWatcher()}
	p.w.timeout = 5 * time.Second
	p.addresses, p.want = spread(requests)
	t.Cleanup(p.close)
	return p
}

func (p *pupil) close() {
	if p.s != nil {
		_ = p.s.Close()
		p.s = nil
	}
}

// silence makes f mute, and the wait for it short meanwhile.
func (p *pupil) silence(f *fake, on bool) {
	f.mu.Lock()
	f.mute = on
	f.mu.Unlock()
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.timeout = 5 * time.Second
	if on {
		p.w.timeout = 10 * time.Millisecond
	}
}

func (p *pupil) open() {
	p.t.Helper()
	opts, err := parseModbusOptions(p.a)
	if err != nil {
		p.t.Fatal(err)
	}
	s, cfg, err := newModbusSession(&opts, p.lim, p.w)
	if err != nil {
		p.t.Fatal(err)
	}
	near, far := net.Pipe()
	go p.f.serve(far)
	if s.client, err = modbus.NewClient(near, cfg); err != nil {
		p.t.Fatal(err)
	}
	s.learner.open(opts.limit(p.lim), time.Now(), 0) // else the first Reads would not count
	p.s = s
}

func (p *pupil) read(n int) {
	p.t.Helper()
	var b tag.Batch
	for range n {
		if p.s == nil {
			p.open()
		}
		b.Reset()
		if p.plan == nil {
			p.plan = mustPlan(p.t, p.a, p.lim, p.addresses...)
		}
		err := p.s.Read(context.Background(), p.plan, &b)
		p.largest = max(p.largest, p.s.window)
		for id, v := range rows(p.t, &b) {
			if v != p.want[id-1] {
				p.t.Fatalf("WRONG VALUE: %s is %s, want %s", p.addresses[id-1], v, p.want[id-1])
			}
		}
		if err != nil || b.Len() != len(p.addresses) {
			p.disturbed++
			p.t.Logf("disturbed with a window of %d, %v after the last Read: %v", p.s.window, time.Since(p.last), err)
		}
		p.last = time.Now()
		if errors.Is(err, net.ErrClosed) {
			p.close()
		}
		for ; len(p.w.learned) > 0; p.w.learned = p.w.learned[1:] {
			l := p.w.learned[0]
			p.lim.Window, p.plan = l.Window, nil
			if !l.WindowTried.IsZero() {
				p.lim.WindowTried = l.WindowTried
			}
		}
	}
}

func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestLearnsTheWindow(t *testing.T) {
	for name, c := range map[string]struct {
		bears     int
		beyond    burstMode
		options   map[string]string
		window    int
		fails     bool // the last trial does
		disturbed int
		conns     int
	}{
		"takes 16, tried with 4":            {0, answersSome, nil, 4, false, 0, 1},
		"takes 16, tried with 16":           {0, answersSome, map[string]string{"max_window": "16"}, 16, false, 0, 1},
		"takes 16, tried with 6":            {0, answersSome, map[string]string{"max_window": "6", "window": "auto"}, 6, false, 0, 1},
		"one at a time by option":           {1, hangsUp, map[string]string{"max_window": "1"}, 0, false, 0, 1},
		"answers only the first":            {1, answersSome, nil, 1, true, 0, 1},
		"answers only the first two":        {2, answersSome, nil, 2, true, 0, 1},
		"answers in reverse order":          {1, reverses, nil, 1, true, 0, 1},
		"reverses more than two":            {2, reverses, nil, 2, true, 0, 1},
		"hangs up on the second":            {1, hangsUp, nil, 1, true, 1, 2},
		"hangs up on the third":             {2, hangsUp, nil, 2, true, 1, 2},
		"hangs after the second":            {1, hangs, nil, 1, true, 1, 2},
		"refuses the second, which is busy": {1, isBusy, nil, 1, true, 0, 1},
		"answers the second twice":          {1, repeats, nil, 1, true, 0, 1},
	} {
		inBubble(t, name, func(t *testing.T) {
			f := fakeOfPipes()
			f.bears, f.beyond = c.bears, c.beyond
			p := newPupil(t, f, max(5, c.window+1), c.options)
			p.read(130 + 125*bits.Len(uint(c.window)))
			if p.lim.Window != c.window || p.lim.WindowTried.IsZero() == c.fails || p.disturbed != c.disturbed || f.conns != c.conns {
				t.Errorf("learned %+v, %d Reads disturbed, %d connections; want %d, %v, %d, %d", p.lim, p.disturbed, f.conns, c.window, c.fails, c.disturbed, c.conns)
			}
			if c.fails && p.largest > 2*c.window || !c.fails && p.largest > max(1, c.window) {
				t.Errorf("up to %d were tried", p.largest)
			}
		})
	}
}

// A trial that failed is not made again on the same day, on no connection, and once on the next.
func TestOneTrialADay(t *testing.T) { synctest.Test(t, oneTrialADay) }

func oneTrialADay(t *testing.T) {
	f := fakeOfPipes()
	f.bears, f.beyond = 1, answersSome
	p := newPupil(t, f, 3, nil)
	for range 4 {
		p.read(300)
		p.close()
	}
	if f.bursts != 1 || p.w.timedOut != 1 || p.disturbed != 0 {
		t.Fatalf("%d bursts, %d timeouts, %d disturbed on the first day", f.bursts, p.w.timedOut, p.disturbed)
	}
	p.lim.WindowTried = p.lim.WindowTried.Add(-trialRest)
	p.read(400)
	if f.bursts != 2 || p.lim.Window != 1 || time.Since(p.lim.WindowTried) > time.Hour {
		t.Errorf("%d bursts, %+v on the second", f.bursts, p.lim)
	}
}

// What an earlier run learned holds after the first whole Read. When it does not any more, that is learned at the cost of no value.
func TestALearnedWindowIsTriedAgain(t *testing.T) { synctest.Test(t, aLearnedWindowIsTriedAgain) }

func aLearnedWindowIsTriedAgain(t *testing.T) {
	f := fakeOfPipes()
	p := newPupil(t, f, 9, nil)
	p.lim.Window = 4
	p.read(1)
	if f.inFlight != 1 {
		t.Errorf("greeted with %d", f.inFlight)
	}
	p.read(30)
	if f.inFlight != 4 || len(p.w.learned) != 0 {
		t.Errorf("then %d, %+v", f.inFlight, p.lim)
	}
	p.close()
	f.mu.Lock()
	f.bears, f.beyond = 1, answersSome
	f.mu.Unlock()
	p.read(60)
	if p.lim.Window != 1 || p.disturbed != 0 || f.bursts > 9*30+3 {
		t.Errorf("%+v, %d disturbed", p.lim, p.disturbed)
	}
}

// A device that is away teaches nothing of its window.
func TestADeadDeviceTeachesNothing(t *testing.T) { synctest.Test(t, aDeadDeviceTeachesNothing) }

func aDeadDeviceTeachesNothing(t *testing.T) {
	f := fakeOfPipes()
	p := newPupil(t, f, 9, nil)
	p.read(300)
	if p.lim.Window != 4 {
		t.Fatalf("%+v", p.lim)
	}
	for range 3 {
		p.silence(f, true)
		p.read(3)
		p.close()
		p.read(2)
		p.silence(f, false)
		p.read(30)
	}
	if p.lim.Window != 4 || !p.lim.WindowTried.IsZero() || p.disturbed != 3*5 {
		t.Errorf("%+v, %d disturbed", p.lim, p.disturbed)
	}
}

func TestNoWindowIsLearnedWithoutIDs(t *testing.T) {
	for _, a := range []device.Addr{
		{Scheme: "modbus+rtu", Host: "h:1"},
		{Scheme: "modbus", Host: "h:1", Options: map[string]string{"echo_id": "false"}},
		{Scheme: "modbus", Host: "h:1", Options: map[string]string{"window": "4", "echo_id": "false"}},
	} {
		p := mustPlan(t, a, device.Limits{Window: 4}, "holding:0")
		if p.auto || p.window != 1 || p.Pace() != (device.Pace{Window: 1, MaxWindow: 1, Connections: 1}) {
			t.Errorf("%v: %+v", a, p.Pace())
		}
	}
}

func TestWindowOptions(t *testing.T) {
	for options, want := range map[string]string{
		"window=0": "neither auto nor", "window=17": "neither auto nor", "window=some": "neither auto nor", "max_window=0": "from 1 to 16", "max_window=17": "from 1 to 16",
		"window=4 max_window=8": "no effect", "window=auto max_window=8": "", "window=auto": "", "window=1": "",
	} {
		a := device.Addr{Scheme: "modbus", Host: "h", Options: map[string]string{}}
		for o := range strings.FieldsSeq(options) {
			k, v, _ := strings.Cut(o, "=")
			a.Options[k] = v
		}
		_, err := parseModbusOptions(a)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", options, err, want)
		}
	}
	_, err := parseModbusOptions(device.Addr{Scheme: "modbus+rtu", Host: "h", Options: map[string]string{"max_window": "2"}})
	if err == nil {
		t.Error("RTU with a window was taken")
	}
}

// A trial that costs the connection waits until the connection is old enough that its end is no outage.
func TestNoTrialOnAYoungConnection(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var l windowLearner
	l.open(device.Limits{}, now, 10*time.Second)
	plan := &modbusPlan{planBase: planBase{auto: true, most: 4}}
	for range 10 * cleanReads {
		if w := l.begin(plan, 9); w != 1 {
			t.Fatalf("window %d", w)
		}
		l.end(false, now.Add(9*time.Second))
	}
	l.end(false, now.Add(10*time.Second))
	if w := l.begin(plan, 9); w != 2 || !l.onTrial() {
		t.Errorf("later %d", w)
	}
}

// Units learn each for itself; what one of them found to be too much the others do not try.
func TestUnitsShareTheirLesson(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var l windowLearner
	l.open(device.Limits{}, now, 0)
	plans := [2]*modbusPlan{}
	for u := range plans {
		plans[u] = &modbusPlan{planBase: planBase{auto: true, most: 4, unit: uint8(u)}}
	}
	for range cleanReads + 1 {
		for _, p := range plans {
			if l.begin(p, 9) != 1 {
				t.Fatal("too early")
			}
			l.end(false, now)
		}
	}
	for _, p := range plans {
		if l.begin(p, 9) != 2 {
			t.Fatal("no trial")
		}
		l.end(false, now)
	}
	now = now.Add(time.Second)
	l.begin(plans[0], 9)
	if got := l.end(true, now); got.Window != 1 || !got.WindowTried.Equal(now) {
		t.Errorf("%+v", got)
	}
	if w := l.begin(plans[1], 9); w != 1 || l.onTrial() {
		t.Errorf("the other unit still tries %d", w)
	}
}
