package opcua

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/opcua/ua"
)

var updateSubscriptions = flag.Bool("update", false, "write the transcripts in testdata/subscription anew")

// TestSubscriptions runs the transcripts in testdata/subscription. A line is a command; behind => stands what followed: the answers to Publish requests, by their
// number, and the state of the subscription that the command was for.
//
//	limit NAME=N                                    before anything else
//	session NAME [user=U] [app=URI] [signed]        without user an anonymous one
//	sub SESSION [alive=N] [life=N] [most=N] [priority=N] [off]
//	item SUB [queue=N] [newest] [sampling] [disabled] [trigger=status|time] [band=X] [stamps=source|server|both]
//	link SUB ITEM TO | unlink SUB ITEM TO
//	value SUB ITEM X... [status=S] [at=N]           samples; X is a number, a text or [a,b]
//	mode SUB ITEM disabled|sampling|reporting
//	drop SUB ITEM
//	tick SUB [N]                                    N intervals of a second pass
//	wait D
//	publish SESSION [ack=SUB:N,...] [timeout=D]
//	on SUB | off SUB | modify SUB [alive=N] [life=N] [most=N] [priority=N]
//	republish SESSION SUB N | delete SESSION SUB | move SUB SESSION [initial] | cancel SESSION N | lost SESSION | end SESSION [delete] | resend SUB
func TestSubscriptions(t *testing.T) {
	files, err := filepath.Glob("testdata/subscription/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := newScene(t).play(want)
			if *updateSubscriptions {
				if err := os.WriteFile(f, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("the transcript is now\n%s", got)
			}
		})
	}
}

// scene is a registry of subscriptions without a server, a socket or a clock.
type scene struct {
	t        *testing.T
	limits   SubscriptionLimits
	p        *subscriptions
	now      time.Time
	sessions map[string]*sessionSubscriptions
	subs     map[uint32]*subscription
	samplers map[*monitoredItem]*sampler
	requests uint32
	said     []string
}

func newScene(t *testing.T) *scene {
	return &scene{
		t: t, limits: SubscriptionLimits{MinLifetime: 1}, now: time.Unix(0, 0),
		sessions: map[string]*sessionSubscriptions{}, subs: map[uint32]*subscription{}, samplers: map[*monitoredItem]*sampler{},
	}
}

func (s *scene) begin(l late) *outgoing { return &outgoing{} }

func (s *scene) room(l late) int { return 1 << 20 }

func (s *scene) fault(l late, status ua.StatusCode) {
	s.said = append(s.said, fmt.Sprintf("%d: %v", l.id, status))
}

// send decodes a PublishResponse from behind its header on.
func (s *scene) send(l late, m *outgoing, _ *sendTurns) {
	d := ua.NewDecoder(m.b, ua.Limits{})
	said := fmt.Sprintf("%d: sub %d", l.id, d.U32())
	var numbers []string
	for range d.Count(4) {
		numbers = append(numbers, fmt.Sprint(d.U32()))
	}
	more := d.Bool()
	var n ua.NotificationMessage
	n.DecodeFrom(&d)
	said += fmt.Sprintf(" #%d", n.SequenceNumber)
	for i := range n.NotificationData {
		said += " " + s.describe(&n.NotificationData[i])
	}
	if len(n.NotificationData) == 0 {
		said += " alive"
	}
	if more {
		said += " more"
	}
	if len(numbers) > 0 {
		said += " kept " + strings.Join(numbers, ",")
	}
	for i := range d.Count(4) {
		said += [2]string{" acks ", ","}[min(i, 1)] + d.StatusCode().String()
	}
	d.Count(1)
	if err := d.Done(); err != nil {
		s.t.Errorf("response %x: %v", m.b, err)
	}
	s.said = append(s.said, said)
}

func (s *scene) describe(x *ua.ExtensionObject) string {
	var data ua.DataChangeNotification
	var change ua.StatusChangeNotification
	switch {
	case x.Is(&data):
		if err := x.Decode(&data, ua.Limits{}); err != nil {
			s.t.Error(err)
		}
		var list []string
		for i := range data.MonitoredItems {
			list = append(list, describeNotice(&data.MonitoredItems[i]))
		}
		return strings.Join(list, " ")
	case x.Is(&change):
		if err := x.Decode(&change, ua.Limits{}); err != nil {
			s.t.Error(err)
		}
		return "status " + change.Status.String()
	}
	return fmt.Sprint("unknown ", x.TypeId)
}

func describeNotice(n *ua.MonitoredItemNotification) string {
	v := &n.Value
	out := fmt.Sprintf("%d=%v", n.ClientHandle, v.Value)
	if code := v.Status &^ statusOverflow; code != ua.Good {
		out += "!" + code.String()
	}
	if v.Status&statusOverflow == statusOverflow {
		out += "!overflow"
	}
	if v.SourceTimestamp != 0 {
		out += fmt.Sprintf("@%d", v.SourceTimestamp)
	}
	if v.ServerTimestamp != 0 {
		out += fmt.Sprintf("@@%d", v.ServerTimestamp)
	}
	return out
}

func (s *scene) play(in []byte) []byte {
	var out bytes.Buffer
	sc := bufio.NewScanner(bytes.NewReader(in))
	for sc.Scan() {
		line, _, _ := strings.Cut(sc.Text(), "=>")
		line = strings.TrimRight(line, " ")
		if line == "" || line[0] == '#' {
			fmt.Fprintln(&out, line)
			continue
		}
		s.said = nil
		after := s.do(strings.Fields(line))
		if after != "" {
			s.said = append(s.said, after)
		}
		if len(s.said) == 0 {
			fmt.Fprintln(&out, line)
			continue
		}
		fmt.Fprintf(&out, "%-44s => %s\n", line, strings.Join(s.said, "; "))
	}
	return out.Bytes()
}

// words are what stands behind a command.
type words []string

func (w words) has(name string) bool { return slices.Contains(w, name) }

func (w words) text(name string) (string, bool) {
	for _, x := range w {
		if v, ok := strings.CutPrefix(x, name+"="); ok {
			return v, true
		}
	}
	return "", false
}

func (w words) number(name string, def uint32) uint32 {
	v, ok := w.text(name)
	if !ok {
		return def
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		panic(err)
	}
	return uint32(n)
}

func (w words) at(i int) uint32 {
	n, err := strconv.ParseUint(w[i], 10, 32)
	if err != nil {
		panic(err)
	}
	return uint32(n)
}

// registry makes what is not there before the first session.
func (s *scene) registry() *subscriptions {
	if s.p == nil {
		limits, err := s.limits.withDefaults()
		if err != nil {
			s.t.Fatal(err)
		}
		s.p = newSubscriptionRegistry(limits, s)
		s.p.samplers.init(nil, time.Second, s.p.started)
		s.p.last = 0
	}
	return s.p
}

func (s *scene) do(w words) string {
	switch cmd := w[0]; cmd {
	case "limit":
		for name, f := range map[string]*int{
			"PublishRequests": &s.limits.PublishRequests, "Retransmissions": &s.limits.Retransmissions, "MessageBytes": &s.limits.MessageBytes,
			"PerSession": &s.limits.PerSession, "QueueBytes": &s.limits.QueueBytes, "PerUser": &s.limits.PerUser, "Subscriptions": &s.limits.Subscriptions,
		} {
			*f = int(w.number(name, uint32(*f)))
		}
		return ""
	case "session":
		user, ok := w.text("user")
		app, _ := w.text("app")
		s.sessions[w[1]] = s.registry().newOwner(ua.NodeId{}, subscriber{user: user, anonymous: !ok, application: app, signed: w.has("signed")})
		return ""
	case "wait":
		s.now = s.now.Add(s.duration(w[1]))
		return ""
	case "sub":
		return s.subscribe(w)
	case "publish", "republish", "delete", "cancel", "lost", "end":
		return s.session(s.sessions[w[1]], w)
	}
	sub := s.subs[w.at(1)]
	if after := s.subscription(sub, w); after != "" {
		return after
	}
	return s.state(sub)
}

func (s *scene) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *scene) state(sub *subscription) string {
	m := &sub.machine
	if sub.owner.Load() == nil {
		return "gone"
	}
	return fmt.Sprintf("%v alive %d/%d life %d/%d", m.state, m.keepAliveLeft, m.keepAliveCount, m.lifetimeLeft, m.lifetimeCount)
}

func (s *scene) subscribe(w words) string {
	o := s.sessions[w[1]]
	life, alive := s.p.limits.reviseCounts(time.Second, w.number("life", 9), w.number("alive", 3))
	sub := &subscription{budget: subBudget{all: &s.p.budget}, machine: newSubMachine(alive, life, !w.has("off")), most: s.p.limits.reviseMost(w.number("most", 0))}
	sub.rank.Store(rankOf(uint8(w.number("priority", 0)), 0))
	o.mu.Lock()
	defer o.mu.Unlock()
	if status := s.p.add(o, sub); status != ua.Good {
		return status.String()
	}
	s.subs[sub.id] = sub
	return fmt.Sprintf("sub %d: %s", sub.id, s.state(sub))
}

// session does what is for a session.
func (s *scene) session(o *sessionSubscriptions, w words) string {
	switch w[0] {
	case "delete":
		status := s.p.remove(o, w.at(2))
		o.mu.Lock()
		defer o.mu.Unlock()
		o.refuseIdle()
		return status.String()
	case "end":
		s.p.end(o, w.has("delete"))
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch w[0] {
	case "publish":
		s.requests++
		r := subPublish{late: late{id: s.requests, handle: s.requests}}
		if d, ok := w.text("timeout"); ok {
			r.deadline = s.now.Add(s.duration(d))
		}
		if list, ok := w.text("ack"); ok {
			for _, a := range strings.Split(list, ",") {
				id, number, _ := strings.Cut(a, ":")
				r.acks.add(o.acknowledge(words{id}.at(0), words{number}.at(0)))
			}
		}
		if status := o.publish(r, s.now); status != ua.Good {
			s.fault(r.late, status)
		}
		return fmt.Sprintf("%d wait", o.queue.n)
	case "republish":
		body, status := o.republish(w.at(2), w.at(3))
		if status != ua.Good {
			return status.String()
		}
		d := ua.NewDecoder(body, ua.Limits{})
		var n ua.NotificationMessage
		n.DecodeFrom(&d)
		return fmt.Sprintf("#%d %s", n.SequenceNumber, s.describe(&n.NotificationData[0]))
	case "cancel":
		return fmt.Sprint(o.cancel(w.at(2)), " cancelled")
	default: // lost
		o.detach(nil)
		return fmt.Sprintf("%d wait", o.queue.n)
	}
}

// subscription does what is for a subscription; what it does not answer is answered by the state.
func (s *scene) subscription(sub *subscription, w words) string {
	switch w[0] {
	case "tick":
		n := uint32(1)
		if len(w) > 2 {
			n = w.at(2)
		}
		for range n {
			s.now = s.now.Add(time.Second)
			s.p.tick(sub, s.now, nil)
		}
		return ""
	case "move":
		_, numbers, status := s.p.move(nil, sub.id, s.sessions[w[2]], s.now)
		if status == ua.Good && w.has("initial") {
			s.resend(sub)
		}
		return strings.TrimSpace(fmt.Sprintf("%v %d kept", status, max(0, len(numbers)/4-1)))
	case "resend":
		s.resend(sub)
		return ""
	case "on", "off", "modify":
		o := sub.lockOwner()
		defer o.mu.Unlock()
		if w[0] != "modify" {
			sub.enable(w[0] == "on")
			return ""
		}
		life, alive := s.p.limits.reviseCounts(time.Second, w.number("life", 9), w.number("alive", 3))
		sub.machine.modify(alive, life)
		sub.setMost(s.p.limits.reviseMost(w.number("most", 0)))
		sub.rank.Store(uint64(w.number("priority", 0))<<56 | sub.rank.Load()&rankTurns)
		return ""
	case "item":
		return s.item(sub, w)
	}
	return s.items(sub, w)
}

// resend does what samplers do.
func (s *scene) resend(sub *subscription) {
	for _, it := range sub.items {
		s.samplers[it].resend(it)
	}
}

func (s *scene) item(sub *subscription, w words) string {
	it := &monitoredItem{sub: sub, place: -1, handle: uint32(len(sub.items)+1) * 10, mode: ua.MonitoringModeReporting, timestamps: ua.TimestampsToReturnNeither, discardOldest: !w.has("newest")}
	it.queue.size = s.p.limits.reviseQueue(w.number("queue", 1))
	it.filter.trigger = ua.DataChangeTriggerStatusValue
	for name, trigger := range map[string]ua.DataChangeTrigger{"trigger=status": ua.DataChangeTriggerStatus, "trigger=time": ua.DataChangeTriggerStatusValueTimestamp} {
		if w.has(name) {
			it.filter.trigger = trigger
		}
	}
	for name, stamps := range map[string]ua.TimestampsToReturn{"stamps=source": ua.TimestampsToReturnSource, "stamps=server": ua.TimestampsToReturnServer, "stamps=both": ua.TimestampsToReturnBoth} {
		if w.has(name) {
			it.timestamps = stamps
		}
	}
	for name, mode := range map[string]ua.MonitoringMode{"sampling": ua.MonitoringModeSampling, "disabled": ua.MonitoringModeDisabled} {
		if w.has(name) {
			it.mode = mode
		}
	}
	if band, ok := w.text("band"); ok {
		it.filter.banded = true
		it.filter.deadband, _ = strconv.ParseFloat(band, 64)
	}
	status := sub.insert(it, s.p.limits.ItemsPerSubscription)
	s.samplers[it] = &sampler{mu: new(samplerLock), items: []*monitoredItem{it}}
	if status != ua.Good {
		return status.String()
	}
	return fmt.Sprintf("item %d: handle %d", it.id, it.handle)
}

// items does what is for an item.
func (s *scene) items(sub *subscription, w words) string {
	id := w.at(2)
	it := sub.item(id)
	switch w[0] {
	case "value":
		for _, x := range w[3:] {
			if !strings.Contains(x, "=") {
				s.value(it, x, w)
			}
		}
	case "mode":
		it.setMode(map[string]ua.MonitoringMode{"disabled": ua.MonitoringModeDisabled, "sampling": ua.MonitoringModeSampling, "reporting": ua.MonitoringModeReporting}[w[3]])
	case "drop":
		sub.delete(id)
		sub.compact()
	case "link":
		return sub.link(it, w.at(3)).String()
	case "unlink":
		return sub.unlink(it, w.at(3)).String()
	default:
		s.t.Fatalf("what is %q?", w)
	}
	return fmt.Sprintf("%d wait", it.queue.n)
}

func (s *scene) value(it *monitoredItem, text string, w words) {
	v := ua.DataValue{Value: ua.String(text), ServerTimestamp: 1}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		v.Value = ua.Double(f)
	}
	if list, ok := strings.CutPrefix(text, "["); ok {
		var array []float64
		for _, x := range strings.Split(strings.TrimSuffix(list, "]"), ",") {
			f, _ := strconv.ParseFloat(x, 64)
			array = append(array, f)
		}
		v.Value = ua.DoubleArray(array)
	}
	v.Status = ua.StatusCode(w.number("status", 0))
	v.SourceTimestamp = ua.DateTime(w.number("at", 0))
	m := s.samplers[it]
	m.mu.Lock()
	defer m.mu.Unlock()
	var l subLock
	m.take(&v, ua.DateTimeOf(s.now), &l)
	l.unlock()
}
