package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
	"millrace/internal/tag"
	"millrace/internal/why"
)

// trial tries an address step by step, without a gateway.
type trial struct {
	url     string
	speaks  protocol
	addr    device.Addr
	timeout time.Duration
	own     bool // the question is ours, and not the user's

	steps  []whyStep
	heard  trialObserver
	facts  why.Facts
	failed error
}

// whyStep is one step of the way to a device, and what came of it.
type whyStep struct {
	Step   string        `json:"step"`
	Took   time.Duration `json:"-"`
	TookMS float64       `json:"took_ms"`
	Said   string        `json:"said"`
	Failed bool          `json:"failed"`
}

// trialJSON is what `millrace why URL --json` prints.
type trialJSON struct {
	Steps []whyStep `json:"steps"`
	why.Explanation
}

// trialObserver hears of the requests of a trial.
type trialObserver struct {
	timeout time.Duration

	mu                      sync.Mutex
	rtt                     time.Duration // of the last reply
	timeouts, late, foreign uint64
	refused                 []error
}

func (o *trialObserver) hear(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *trialObserver) Timeout() time.Duration    { return o.timeout }
func (o *trialObserver) Replied(rtt time.Duration) { o.hear(func() { o.rtt = rtt }) }
func (o *trialObserver) TimedOut(time.Duration)    { o.hear(func() { o.timeouts++ }) }
func (o *trialObserver) Late(time.Duration)        { o.hear(func() { o.late++ }) }
func (o *trialObserver) Foreign()                  { o.hear(func() { o.foreign++ }) }
func (o *trialObserver) Refused(_ device.Span, e error) {
	o.hear(func() { o.refused = append(o.refused, e) })
}
func (*trialObserver) Served(int, int, time.Duration) {}
func (*trialObserver) Learned(device.Limits)          {}

// question is what is asked for where the user does not say: it is there on most devices, and a refusal is a sign of life too.
func question(scheme string) string {
	switch {
	case scheme == "s7":
		return "MB0"
	case scheme == "opc.tcp":
		return "i=2258" // the server's time
	}
	return "holding:0"
}

// tryAddress resolves, connects, shakes hands and asks, and explains where that ends. An error is that of what was typed.
func tryAddress(ctx context.Context, url string, addresses []string, timeout time.Duration) (trialJSON, error) {
	d, a, err := dialectOf(url)
	if err != nil {
		return trialJSON{}, usageError(err)
	}
	own := len(addresses) == 0
	if own {
		addresses = []string{question(a.Scheme)}
	}
	t := &trial{url: url, speaks: d, addr: a, timeout: timeout, own: own, heard: trialObserver{timeout: timeout}}
	specs, err := t.specs(addresses)
	if err != nil {
		return trialJSON{}, usageError(err)
	}
	plan, err := d.Compile(a, specs, device.Limits{})
	if err != nil {
		return trialJSON{}, usageError(err)
	}
	t.begin()
	t.run(ctx, plan)
	t.end()
	return trialJSON{Steps: t.steps, Explanation: why.Make(t.facts)}, nil
}

func (t *trial) specs(addresses []string) ([]device.TagSpec, error) {
	var out []device.TagSpec
	for i, address := range addresses {
		what, err := t.speaks.Describe(address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", address, err)
		}
		out = append(out, device.TagSpec{ID: tag.ID(i + 1), Name: address, Address: what.Address})
		t.facts.Tags = append(t.facts.Tags, why.TagState{Name: address, Group: "once", Address: what.Address, Quality: tag.BadNoCommunication})
	}
	return out, nil
}

func (t *trial) begin() {
	now := time.Now()
	t.facts.Now, t.facts.Gateway = now, why.Gateway{CPU: -1, Free: -1}
	t.facts.Spec = device.Spec{Profile: resilience.LAN()}
	t.facts.Device = device.Status{Name: t.url, Protocol: t.addr.Scheme, Endpoint: t.addr.String(), State: device.Opening, Since: now, Shares: t.url, Slots: 1, Timeout: t.timeout}
	if t.addr.Scheme == "opc.tcp" {
		t.facts.Device.Protocol = "opcua"
	}
}

// step does f and notes what it says. It answers whether to go on.
func (t *trial) step(name string, dialling bool, f func() (said string, err error)) bool {
	began := time.Now()
	said, err := f()
	s := whyStep{Step: name, Took: time.Since(began), Said: said, Failed: err != nil}
	s.TookMS = float64(s.Took.Microseconds()) / 1000
	if err != nil {
		s.Said = err.Error()
		t.fail(err, dialling)
	}
	t.steps = append(t.steps, s)
	return err == nil
}

func (t *trial) fail(err error, dialling bool) {
	t.failed = err
	now := time.Now()
	if k, is := device.FaultOf(err, dialling); is {
		t.facts.Evidence.Faults = append(t.facts.Evidence.Faults, device.Fault{Kind: k, Count: 1, Total: 1, First: now, Last: now, Err: err})
	}
}

func (t *trial) run(ctx context.Context, plan device.Plan) {
	host, _, _ := net.SplitHostPort(t.addr.Host)
	if net.ParseIP(host) == nil && !t.step("resolve "+host, true, func() (string, error) { return t.resolve(ctx, host) }) {
		return
	}
	var s device.Session
	if !t.step("connect to "+t.addr.Host+" and shake hands", true, func() (said string, err error) {
		s, said, err = t.open(ctx)
		return said, err
	}) {
		return
	}
	defer s.Close()
	t.facts.Device.SlotsUsed = 1
	t.step("ask for "+t.facts.Tags[0].Address+more(len(t.facts.Tags)-1), false, func() (string, error) { return t.ask(ctx, s, plan) })
	if i, ok := s.(device.Inspector); ok {
		if info, known := i.TCPInfo(); known {
			t.facts.Evidence.TCP = device.TCPSample{At: time.Now(), TCPInfo: info, Sent: info.Segments, Resent: info.Retransmits}
		}
	}
}

func more(n int) string {
	if n < 1 {
		return ""
	}
	return " and " + strconv.Itoa(n) + " more"
}

func (t *trial) resolve(ctx context.Context, host string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(found), nil
}

func (t *trial) open(ctx context.Context) (device.Session, string, error) {
	wait := t.timeout
	if p, ok := t.speaks.(device.Patient); ok {
		wait = max(wait, p.Patience(t.addr))
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	s, err := t.speaks.Open(ctx, t.addr, device.Limits{}, &t.heard)
	if err != nil {
		return nil, "", err
	}
	said := "connected"
	if l := s.Limits(); l.PDU > 0 {
		said = fmt.Sprintf("connected: PDU %d bytes, %d requests in flight", l.PDU, l.Window)
	}
	return s, said, nil
}

func (t *trial) ask(ctx context.Context, s device.Session, plan device.Plan) (string, error) {
	var b tag.Batch
	err := s.Read(ctx, plan, &b)
	good := 0
	for i := range b.ID {
		o := &t.facts.Tags[b.ID[i]-1]
		o.Quality, o.At = b.Quality[i], time.Now()
		if o.Quality.IsGood() {
			o.Value = b.Value(i).String()
			good++
		}
		o.Told = o.Value
	}
	switch {
	case err != nil:
		return "", err
	case good == 0 && len(b.ID) > 0:
		return "it answers, and refuses: " + t.facts.Tags[b.ID[0]-1].Quality.String(), nil
	}
	return fmt.Sprintf("%d values of %d", good, len(t.facts.Tags)), nil
}

// end makes of what was heard the facts.
func (t *trial) end() {
	now := time.Now()
	d, ev := &t.facts.Device, &t.facts.Evidence
	d.State, d.Reads = device.Ready, 1
	if t.failed != nil {
		d.State, d.DownSince, d.Reads = device.Suspect, t.facts.Now, 0
	}
	if t.own && missing(t.facts.Tags[0].Quality) {
		t.facts.Tags, t.heard.refused = nil, nil // that it has no such address is no fault, and it answers
	}
	t.heard.hear(func() {
		d.RTT, d.Timeouts, d.Late, d.Foreign, d.Refused = t.heard.rtt, t.heard.timeouts, t.heard.late, t.heard.foreign, uint64(len(t.heard.refused))
		add := func(k device.FaultKind, n uint64, err error) {
			if n > 0 {
				ev.Faults = append(ev.Faults, device.Fault{Kind: k, Count: n, Total: n, First: now, Last: now, Err: err})
			}
		}
		if n := len(t.heard.refused); n > 0 {
			add(device.FaultRefusal, uint64(n), t.heard.refused[n-1])
		}
		add(device.FaultForeign, d.Foreign, nil)
		add(device.FaultLate, d.Late, nil)
	})
	d.Groups = []device.GroupStatus{{Name: "once", Interval: time.Second, Tags: len(t.facts.Tags), Active: len(t.facts.Tags), LastRead: now}}
	t.facts.Now, t.facts.All = now, func(yield func(*device.Status) bool) { yield(d) }
}

// missing says whether a device has no such address.
func missing(q tag.Quality) bool {
	return q == tag.BadNodeIDUnknown || q == tag.BadOutOfRange || q == tag.BadNotSupported
}

// printTrial writes the steps and the explanation.
func printTrial(w io.Writer, t *trialJSON, all bool) error {
	for _, s := range t.Steps {
		mark := "ok  "
		if s.Failed {
			mark = "FAIL"
		}
		fmt.Fprintf(w, "%s  %s (%s): %s\n", mark, s.Step, s.Took.Round(10*time.Microsecond), s.Said)
	}
	return printFindings(w, &t.Explanation, all)
}

// errNotAddressable says that addresses go with a URL alone.
var errNotAddressable = errors.New("addresses belong behind a URL; for a tag of a running gateway write DEVICE/TAG")
