package why

import (
	"errors"
	"fmt"
	"time"

	"millrace/internal/device"
	"millrace/modbus"
	"millrace/s7"
)

// tcp returns what the system knows of the connection that stands, nil when nothing.
func (f *Facts) tcp() *device.TCPSample {
	t := &f.Evidence.TCP
	if t.At.IsZero() || f.Now.Sub(t.At) > time.Minute {
		return nil
	}
	return t
}

// addTCP appends what TCP knows.
func (f *Facts) addTCP(x *Finding) {
	if t := f.tcp(); t != nil {
		x.add("TCP: round trip %s (least %s, deviation %s), %d of %d segments sent again in %s, %d not acknowledged, %s since data came", short(t.RTT), short(t.MinRTT), short(t.RTTVar),
			t.Resent, t.Sent, short(t.Window), t.Unacked, short(t.LastReceived))
	}
}

// addRTT appends the picture of round trips.
func (f *Facts) addRTT(x *Finding) {
	p := &f.Evidence.RTT
	if p.Samples == 0 {
		return
	}
	x.add("answers take %s (deviation %s); of the last %d: least %s, median %s, 99th percentile %s, most %s", short(f.Device.RTT), short(f.Device.Jitter), p.Samples, short(p.Min), short(p.Median),
		short(p.P99), short(p.Max))
	if p.Usual > 0 {
		x.add("usual were %s", short(p.Usual))
	}
}

// findForeign: answers that nobody asked for, or twice.
func findForeign(f *Facts, x *Finding) bool {
	of := f.recent(device.FaultForeign)
	if of == nil {
		return false
	}
	x.Title = "Answers come that nobody asked for: another device has the same address, or two masters share one line"
	x.fault(f, of)
	x.Since = of.First
	x.add("%s so far", many(int(f.Device.Foreign), "foreign answer"))
	var m *modbus.ForeignError
	for _, o := range f.Evidence.Faults {
		if errors.As(o.Err, &m) {
			x.add("the last one: %s", m.Error())
			x.first(foreignHint(m)...)
			if isMalformed(m) {
				x.Title = "The device answers what it is asked, and not as Modbus has it: the connection is ended each time"
			}
			break
		}
	}
	return true
}

func foreignHint(m *modbus.ForeignError) []string {
	switch {
	case m.Why == "transaction":
		return []string{"when it happens at the first request already, the device does not repeat transaction ids: option echo_id: false"}
	case isMalformed(m):
		return []string{"the reason names the address: ask the device for it alone (millrace read), and leave the tag out when that fails, too: some devices answer so where they have nothing"}
	}
	return nil
}

// isMalformed says whether an answer has the id, unit and function of a request, and what it holds cannot be: that is the device itself, and no other one.
func isMalformed(m *modbus.ForeignError) bool {
	return m.Why == "length" || m.Why == "echo" || m.Why == "exception code"
}

// isSlow says whether answers take much longer than they did: three times as long, and 50 ms more. In its first minutes what is usual is what was quickest, and answers that vary take
// much longer than that without being slower than ever.
func (f *Facts) isSlow() bool {
	p := &f.Evidence.RTT
	if len(p.History) == 0 && f.varies() {
		return false
	}
	return p.Usual > 0 && f.Device.RTT >= 3*p.Usual && f.Device.RTT-p.Usual >= 50*time.Millisecond
}

// byNetwork is the share of a round trip that TCP's must have for the network to be what is slow. A device's system may hold an acknowledgement back until
// the answer, for 200 ms at most, so that nothing below is told by it.
const byNetwork = 0.7

// findLossy: segments have to be sent again.
func findLossy(f *Facts, x *Finding) bool {
	t := f.tcp()
	if t == nil || !(t.Resent >= 3 && t.Loss() >= 0.03 || t.Backoff >= 2) {
		return false
	}
	x.Title = fmt.Sprintf("The network loses packets: %s of what is sent to %s has to be sent again", percent(t.Loss()), f.address())
	x.Since = t.At.Add(-t.Window)
	f.addTCP(x)
	if t.Backoff >= 2 {
		x.add("the segment that waits now was sent again %s in a row", times(uint64(t.Backoff)))
	}
	f.addRTT(x)
	if f.Device.Loss > 0 {
		x.add("%s of the last requests had no answer", percent(f.Device.Loss))
	}
	return true
}

// findSlowNetwork: answers are slow, and so are TCP's own.
func findSlowNetwork(f *Facts, x *Finding) bool {
	t := f.tcp()
	if t == nil || !f.isSlow() || float64(t.RTT) < byNetwork*float64(f.Device.RTT) {
		return false
	}
	x.Title = fmt.Sprintf("The way to %s has become slow: %s a round trip, usual were %s", f.address(), short(t.RTT), short(f.Evidence.RTT.Usual))
	x.Since = f.slowSince()
	f.addRTT(x)
	f.addTCP(x)
	x.add("%s of an answer's time is the network's", percent(min(1, float64(t.RTT)/float64(f.Device.RTT))))
	return true
}

// lateFor is how long answers that came too late say something of now.
const lateFor = 30 * time.Second

// findSlowDevice: answers are slow, and TCP's own are not.
func findSlowDevice(f *Facts, x *Finding) bool {
	t := f.tcp()
	late := f.recent(device.FaultLate)
	if late != nil && f.Now.Sub(late.Last) > lateFor {
		late = nil // it was slow for a while, and is not now
	}
	slow := f.isSlow()
	always := t != nil && f.Device.RTT >= 300*time.Millisecond && 5*t.RTT < f.Device.RTT
	if !slow && !always && (late == nil || late.Count < 3) || f.away() && late == nil {
		return false
	}
	x.Title = fmt.Sprintf("The device itself is slow: it takes %s to answer", short(f.Device.RTT))
	x.Since = f.slowSince()
	if slow {
		x.Title += fmt.Sprintf(", usual were %s", short(f.Evidence.RTT.Usual))
	}
	if late != nil {
		x.add("%s too late, the last %s ago", many(int(late.Count), "answer"), short(f.Now.Sub(late.Last)))
		if x.Since.IsZero() {
			x.Since = late.First
		}
	}
	f.addRTT(x)
	f.addTCP(x)
	if t == nil {
		x.Confidence = Possible
		x.add("what TCP measures is not known, so that it may be the network too")
	}
	return true
}

// slowSince returns when answers became slow, zero when that is not known.
func (f *Facts) slowSince() time.Time {
	p := &f.Evidence.RTT
	since := p.Began
	for i := len(p.History) - 1; i >= 0; i-- {
		if p.History[i].Median < 2*p.Usual {
			break
		}
		since = p.History[i].Began
	}
	return since
}

// varies says whether answers take now short and now long: by 25 ms and a third of the mean.
func (f *Facts) varies() bool {
	d := &f.Device
	return d.Jitter >= 25*time.Millisecond && d.Jitter >= d.RTT/3
}

// someLoss is the share of requests without an answer that is no accident any more.
const someLoss = 0.03

// findUnanswered: it answers some requests, and others not.
func findUnanswered(f *Facts, x *Finding) bool {
	of := f.recent(device.FaultTimeout)
	if of == nil || f.Device.Loss < someLoss || of.Count < 3 || f.Now.Sub(of.Last) > lateFor || notReached(of.Err) != nil || f.Device.State == device.Cooling {
		return false
	}
	x.Title = fmt.Sprintf("%s leaves %s of the requests unanswered", f.address(), percent(f.Device.Loss))
	x.fault(f, of)
	x.Since = of.First
	x.add("%s of the last requests had no answer", percent(f.Device.Loss))
	f.addRTT(x)
	f.addTCP(x)
	if f.tcp() == nil {
		x.Confidence = Possible
		x.add("what TCP measures is not known, so that it may be the network too")
	}
	return true
}

// findJitter: answers take now short and now long.
func findJitter(f *Facts, x *Finding) bool {
	d := &f.Device
	if !f.varies() && (!d.JitterRule || d.Loss >= someLoss) { // the rule is in force for losses too
		return false
	}
	x.Title = fmt.Sprintf("Round trips vary: %s on average, with a deviation of %s", short(d.RTT), short(d.Jitter))
	x.Since = f.Evidence.RTT.Began
	f.addRTT(x)
	f.addTCP(x)
	if d.Loss > 0 {
		x.add("%s of the last requests had no answer", percent(d.Loss))
	}
	if d.JitterRule {
		x.add("timeouts follow the rule for links that vary: a request is repeated soon, and waits %s", short(d.Timeout))
	}
	return true
}

// findDrops: connections break again and again, and can be had again.
func findDrops(f *Facts, x *Finding) bool {
	if f.away() {
		return false
	}
	var of *device.Fault
	total := uint64(0)
	for _, k := range []device.FaultKind{device.FaultReset, device.FaultClosed, device.FaultUnheard, device.FaultOther} {
		if o := f.recent(k); o != nil {
			total += o.Count
			if of == nil || o.Count > of.Count {
				of = o
			}
		}
	}
	if total < 2 {
		return false
	}
	x.Title = fmt.Sprintf("Connections to %s break: %s lately, and each could be had again", f.address(), times(total))
	x.fault(f, of)
	x.Since = of.First
	x.add("%s since the gateway runs, the longest took %s", many(int(f.Device.Outages), "outage"), short(f.Device.LongestRecovery))
	return true
}

// findStop: the CPU says that it is in STOP, or its values stand still.
func findStop(f *Facts, x *Finding) bool {
	if of := f.recent(device.FaultRefusal); of != nil && stopped(of.Err) {
		x.Title = "The CPU is in STOP, or in a state that forbids what is asked"
		x.fault(f, of)
		x.Since, x.Confidence = of.First, Certain
		return true
	}
	m := f.Evidence.Moved
	if !f.polled() || m.Changes < 20 {
		return false
	}
	gap := m.Last.Sub(m.First) / time.Duration(m.Changes-1)
	still := f.Now.Sub(m.Last)
	if still < max(20*gap, 10*time.Second) || f.goodTags() == 0 {
		return false
	}
	x.Title = fmt.Sprintf("All values stand still for %s although the device answers: is its program running?", short(still))
	x.Since = m.Last
	x.add("values changed %s, every %s on average, and then no more", times(m.Changes), short(gap))
	x.add("the last read was %s ago and brought %s", short(f.Now.Sub(f.lastRead())), many(f.goodTags(), "good value"))
	return true
}

// stopped says whether a refusal is that of a CPU in the wrong state.
func stopped(err error) bool {
	var e *s7.Error
	if errors.As(err, &e) {
		return e.Refused == s7.ErrObjectStatus || e.Refused == s7.ErrNotPerformed
	}
	return false
}

func (f *Facts) goodTags() (n int) {
	for i := range f.Tags {
		if f.Tags[i].Quality.IsGood() {
			n++
		}
	}
	return n
}

// lastRead returns when the device was read last.
func (f *Facts) lastRead() (at time.Time) {
	for _, g := range f.Device.Groups {
		if g.LastRead.After(at) {
			at = g.LastRead
		}
	}
	return at
}
