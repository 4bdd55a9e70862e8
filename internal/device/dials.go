package device

import (
	"cmp"
	"errors"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"millrace/internal/resilience"
)

// subnet is the addresses that are dialled at a common rate: those of one protocol in a /24, or in a /64 of IPv6; a name is one alone, since what it stands for is not
// known before the dial. Its rate adapts to what is borne there (resilience.AIMD). Who wants to dial waits for its turn here, and then for one in the queue of all dials.
type subnet struct {
	turns
	key     string
	rate    resilience.AIMD
	given   float64 // the rate of bucket
	members int     // endpoints
	slowed  bool    // the world was told of a rate below the limit
}

// SubnetStats is dials of one subnet whose rate is below that of all dials.
type SubnetStats struct {
	Subnet string  // the protocol and the prefix, or the name
	Rate   float64 // dials a second that it gets
}

// slowed is the subnets whose rate is below the limit. Safe for concurrent use.
type slowed struct {
	mu    sync.Mutex
	rates map[string]float64
}

func (l *slowed) set(key string, rate float64, slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slow {
		delete(l.rates, key)
		return
	}
	if l.rates == nil {
		l.rates = map[string]float64{}
	}
	l.rates[key] = rate
}

// all returns the subnets by name.
func (l *slowed) all() []SubnetStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []SubnetStats
	for k, r := range l.rates {
		out = append(out, SubnetStats{k, r})
	}
	slices.SortFunc(out, func(a, b SubnetStats) int { return cmp.Compare(a.Subnet, b.Subnet) })
	return out
}

// Prefixes that are one subnet.
const (
	subnetBits4 = 24
	subnetBits6 = 64
)

// subnetOf names the subnet of an address: host:port.
func subnetOf(driver, host string) string {
	h, _, err := net.SplitHostPort(host)
	if err != nil {
		h = host
	}
	ip, err := netip.ParseAddr(h)
	if err != nil {
		return driver + " " + h
	}
	ip = ip.Unmap().WithZone("")
	bits := subnetBits4
	if ip.Is6() {
		bits = subnetBits6
	}
	p, _ := ip.Prefix(bits) // it has as many bits
	return driver + " " + p.String()
}

// askDial queues e for a dial on behalf of u.
func (s *shard) askDial(e *endpoint, u *unit, now time.Time) {
	n := e.subnet
	if n == nil {
		n = s.join(e, u)
	}
	e.dialling = true
	s.rt.counters.dialsWaiting.Add(1)
	if n.join(e) {
		s.armTurn(n, now)
	}
}

// join makes e one of its subnet.
func (s *shard) join(e *endpoint, u *unit) *subnet {
	key := subnetOf(u.spec.Driver, u.addr.Host)
	n := s.subnets[key]
	if n == nil {
		rate := s.rt.cfg.DialRate
		n = &subnet{key: key, rate: resilience.NewAIMD(rate), turns: turns{bucket: resilience.NewBucket(rate, s.rt.cfg.DialBurst)}, given: max(rate, 0)}
		n.timer = timer{owner: n, order: uint64(u.spec.Number) << 16}
		s.subnets[key] = n
	}
	n.members++
	e.subnet = n
	return n
}

// quit is the end of join.
func (s *shard) quit(e *endpoint) {
	n := e.subnet
	if n == nil {
		return
	}
	s.forgoTurn(e)
	e.subnet = nil
	if n.members--; n.members == 0 {
		s.rt.slowed.set(n.key, 0, false)
		delete(s.subnets, n.key)
	}
}

// forgoTurn takes e out of the queue in which it waits.
func (s *shard) forgoTurn(e *endpoint) {
	if n := e.subnet; n != nil && (n.leave(s, e) || s.dials.leave(s, e)) {
		s.rt.counters.dialsWaiting.Add(-1)
	}
}

// forgoDial gives up e's dial, on its way or still to come, when no device waits for it.
func (s *shard) forgoDial(e *endpoint) {
	switch {
	case !e.dialling || slices.ContainsFunc(e.units, func(u *unit) bool { return u.waiting }):
	case e.busy && e.job.kind == jobOpen:
		e.forgone = true
		s.interrupt(e)
	default:
		e.queue = slices.DeleteFunc(e.queue, func(j job) bool { return j.kind == jobOpen })
		s.forgoTurn(e)
		e.dialling = false
	}
}

// armTurn reserves the turn of who waits first, from from on.
func (s *shard) armTurn(n *subnet, from time.Time) {
	if r := n.rate.Rate(); r != n.given {
		n.given = r
		n.bucket.SetRate(r) // from here on without a burst: it is for the start
	}
	n.arm(s, from)
}

// fire gives a turn to who is next.
func (n *subnet) fire(s *shard, now time.Time) {
	e := n.pop()
	if len(n.waiting) > 0 {
		s.armTurn(n, n.at) // not from now on: a turn that was given late would move all that follow
	}
	if s.dials.join(e) {
		s.dials.arm(s, now)
	}
}

// lateAfter is the share of the time that an open may take after which it is one of a queue that grows: a quarter.
const lateAfter = 4

// opened counts an open that succeeded.
func (s *shard) openedIn(e *endpoint, now time.Time) {
	n := e.subnet
	if n == nil || s.rt.cfg.DialRate <= 0 {
		return
	}
	n.rate.OK(e.dialAt, now, now.Sub(e.dialAt) > time.Duration(e.patience.Load())/lateAfter)
	s.tellRate(n)
}

// notOpened counts an open that timed out, or whose session says nothing from the first request on. A refusal says that somebody is there and has time to say so.
func (s *shard) notOpened(e *endpoint, began, now time.Time) {
	n := e.subnet
	if n == nil || s.rt.cfg.DialRate <= 0 {
		return
	}
	s.rt.counters.dialTimeouts.Add(1)
	if n.rate.TimedOut(began, now) {
		s.rt.counters.dialCuts.Add(1)
	}
	s.tellRate(n)
}

func (s *shard) tellRate(n *subnet) {
	slow := n.rate.Rate() < s.rt.cfg.DialRate
	if slow || n.slowed {
		s.rt.slowed.set(n.key, n.rate.Rate(), slow)
	}
	n.slowed = slow
}

// dialled takes what became of a dial.
func (s *shard) dialled(e *endpoint) {
	now := e.outcome.ended
	if e.outcome.err != nil {
		s.giveSlots(e)
		if s.forgiven(e, e.outcome.err, now) {
			s.redial(e, now)
			return
		}
		if timedOut(e.outcome.err) {
			s.notOpened(e, e.dialAt, now)
		}
		s.dialFailed(e, e.outcome.err, now)
		return
	}
	s.openedIn(e, now)
	e.mine = false
	e.dialling, e.open, e.opened, e.proven, e.growAt = false, true, now, false, time.Time{}
	s.interrupt(e) // nothing runs: what the dial has hung on its context goes with it
	e.notBefore = now.Add(e.pause)
	for _, u := range e.units {
		if u.waiting {
			s.post(u, event{kind: evOpened, at: now}, nil)
		}
	}
	s.stepAll()
	if !slices.ContainsFunc(e.units, func(u *unit) bool { return u.machine.state.connected() }) {
		s.hangUp(e, nil, now, false)
	}
}

// redial has e dialled as if the dial that ended had not been, where somebody waits for it.
func (s *shard) redial(e *endpoint, now time.Time) {
	e.dialling = false
	if i := slices.IndexFunc(e.units, func(u *unit) bool { return u.waiting }); i >= 0 {
		s.askDial(e, e.units[i], now)
	}
}

// dialFailed tells those who wait, and when e may be dialled again.
func (s *shard) dialFailed(e *endpoint, cause error, now time.Time) {
	cause = e.whose(cause, now)
	e.dialling, e.proven, e.cause = false, false, cause
	e.retryAt = now.Add(e.pauseAfter(cause, now))
	for _, u := range e.units {
		if u.waiting {
			s.post(u, event{kind: evRefused, at: now, until: e.retryAt}, cause)
		}
	}
}

// The breaker of an endpoint counts its sessions as that of a device counts its reads: one that cannot be had, or breaks before it has proven itself, has failed. What is open is
// retryAt, and half-open is the one dial behind it: the machines of the devices that wait for that are the automaton. Requests without an answer are none of its business, for behind a
// gateway they are those of single units; when nothing on a session answers, leave ends it.

// ofSessions is p for sessions: there is no number of failures in a row, since each of them has a pause after it anyway.
func ofSessions(p resilience.Profile) resilience.Profile {
	p.Failures = math.MaxInt32
	p.Window *= sessionWindow
	return p
}

// sessionWindow is how many windows of reads make one of sessions: with their pauses these are fewer.
const sessionWindow = 3

// unproven says whether the session is too young to count as one that works.
func (e *endpoint) unproven(now time.Time) bool { return now.Sub(e.opened) < e.profile.Floor }

// pauseAfter returns how long e is not dialled after a dial that failed: by the back-off, and at least half of the cap when sessions fail more often than not, or when a connection of our own
// is in the way: that comes free when the device gives it up, whose time-outs are longer, and each dial before is one more for it to refuse.
func (e *endpoint) pauseAfter(cause error, now time.Time) time.Duration {
	r := e.units[0].machine.rand
	wait := e.backoff.Next(r)
	broken := !errors.Is(cause, errSessions) && e.breaker.Fail(now, false)
	if held := (*heldError)(nil); broken || errors.As(cause, &held) && !errors.Is(cause, syscall.ECONNREFUSED) { // which a device that starts says too
		half := e.profile.Cap / 2
		wait = max(wait, half+time.Duration(r.Int64N(int64(half)+1)))
	}
	return wait
}
