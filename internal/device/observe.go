package device

import "time"

// The Observer of e's sessions passes what it hears to the device whose turn it is, or was last.

func (e *endpoint) unit() *unit {
	if g := e.reading.Load(); g != nil {
		return g.unit
	}
	return nil
}

// Timeout is that of the handshake during one, that of writes during one, and else what the replies of the unit make of it.
func (e *endpoint) Timeout() time.Duration {
	u := e.unit()
	if u == nil {
		return e.Handshake()
	}
	if e.writing.Load() {
		return u.spec.Profile.Write
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.rto.Timeout()
}

func (e *endpoint) Replied(rtt time.Duration) {
	g := e.reading.Load()
	if g == nil {
		return
	}
	g.stats.rtt.observe(rtt)
	g.unit.mu.Lock()
	if g.unit.health.silence.quiet() {
		g.unit.alter() // writes go on
	}
	g.unit.health.silence = silence{}
	if !e.writing.Load() { // a write takes as long as it takes, which says nothing of reads
		g.unit.rtts.observe(rtt)
		g.unit.predictor.Replied(rtt)
		g.unit.rto.Sample(rtt, false) // every request has an id of its own, or its connection ends with it: no reply is ambiguous
		g.unit.replied(rtt)
	}
	g.unit.mu.Unlock()
}

func (e *endpoint) Served(requests, bytes int, took time.Duration) {
	if u := e.unit(); u != nil {
		u.mu.Lock()
		u.cost.Sample(requests, bytes, took)
		u.mu.Unlock()
	}
}

func (e *endpoint) TimedOut(after time.Duration) {
	e.rt.counters.timeouts.Add(1)
	e.overdue.Store(e.reading.Load())
	e.written.Store(e.writing.Load())
	if u := e.unit(); u != nil {
		u.mu.Lock()
		u.health.silence.add(after, e.rt.age(time.Now()))
		if !e.writing.Load() {
			u.rto.TimedOut(after)
			u.lost()
		}
		u.waited = after
		u.life.timeouts++
		if u.health.silence.quiet() {
			u.alter()
		}
		u.mu.Unlock()
	}
}

// Late takes a reply that nobody waits for any more. A session does not know whose it is: it is taken for that of the unit whose request timed out last, not for that of the unit whose
// turn it is meanwhile, which did not have to wait.
func (e *endpoint) Late(by time.Duration) {
	e.rt.counters.late.Add(1)
	g := e.overdue.Load()
	if g == nil {
		g = e.reading.Load() // a duplicate
	}
	if g == nil {
		return
	}
	u := g.unit
	u.mu.Lock()
	if !e.written.Load() { // as in TimedOut
		u.rto.Late(by)
		u.cameLate(by)
	}
	u.life.late++
	u.noted().fault(FaultLate, nil, time.Now())
	u.mu.Unlock()
}

func (e *endpoint) Foreign() {
	e.rt.counters.foreign.Add(1)
	if u := e.unit(); u != nil {
		u.mu.Lock()
		u.life.foreign++
		u.noted().fault(FaultForeign, nil, time.Now())
		u.mu.Unlock()
	}
}

func (e *endpoint) Refused(_ Span, err error) {
	e.rt.counters.refused.Add(1)
	if g := e.reading.Load(); g != nil {
		g.unit.mu.Lock()
		g.unit.life.refused++
		if g.refusal == nil {
			g.unit.alter()
		}
		g.refusal = err
		g.unit.noted().fault(FaultRefusal, err, time.Now())
		g.unit.mu.Unlock()
	}
}

func (e *endpoint) Learned(l Limits) {
	if u := e.unit(); u != nil {
		if l.MaxRegisters != 0 || l.MaxBits != 0 || l.MaxItems != 0 {
			l.CapsLearned = time.Now()
		}
		u.learn(l)
	}
}
