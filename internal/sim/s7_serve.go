package sim

import (
	"context"
	"slices"
	"time"

	"millrace/s7"
)

// s7Session is one connection to a CPU: its memory for s7.Server, the services of s7.CPU, and the faults on the way back.
type s7Session struct {
	*s7.CPU // has no memory: what is asked of it comes here
	visit
	m   *S7
	own *s7CPU
}

// open is s7.ServerConfig.Open: the CR came. A CPU without a free connection resource, and a slot without a CPU, refuse it.
func (m *S7) open(c *s7.ServerConn) (s7.Service, error) {
	if !m.model.isAt(c.Called()) {
		return s7.Service{}, &s7.HangUpError{Reason: "no cpu in this slot", Disconnect: s7.DisconnectAddressUnknown}
	}
	d := m.deviceAt(c.LocalAddr())
	s := &s7Session{visit: visit{f: &m.fleet, d: d}, m: m, own: &m.cpus[d.number-1]}
	pdu, ok, err := s.takeResource()
	switch {
	case err != nil:
		return s7.Service{}, err
	case !ok:
		return s7.Service{}, &s7.HangUpError{Reason: "no connection resource", Disconnect: s7.DisconnectRemoteCongestion}
	}
	remote := c.RemoteAddr()
	return s7.Service{Handler: s, Intercept: s, PDU: pdu, Closed: func() {
		s.end()
		s.giveResource()
		d.leave(remote)
	}}, nil
}

// isAt says whether a TSAP leads to the CPU: a connection type, then rack 0 and a slot that it may be in.
func (m *s7Model) isAt(tsap []byte) bool {
	return len(tsap) == 2 && tsap[0] >= byte(s7.ConnectPG) && tsap[0] <= byte(s7.ConnectBasic) && slices.Contains(m.slots, tsap[1])
}

// takeResource takes a connection resource, if one is free, and says how long a PDU may be.
func (s *s7Session) takeResource() (pdu int, ok bool, err error) {
	s.now = time.Now()
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.own.services == nil {
		if s.own.services, err = s.m.newServices(s.d.number); err != nil {
			return 0, false, err
		}
	}
	s.CPU = s.own.services
	pdu, ok = s.m.model.pdu, s.own.taken < s.m.model.resources
	for i := range s.d.faults {
		switch f := &s.d.faults[i]; f.Kind {
		case Slots:
			ok = ok && !(s.own.taken >= f.Count && s.d.hits(f, s.elapsed()))
		case PDUShrink:
			if s.own.served > 0 && f.Count < pdu && s.d.hits(f, s.elapsed()) {
				pdu = f.Count
			}
		}
	}
	if !ok {
		s.d.refused++
		return 0, false, nil
	}
	s.own.taken++
	s.own.served++
	return pdu, true, nil
}

func (s *s7Session) giveResource() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.own.taken--
}

// What of a frame tells which request it is.
const (
	frameKind     = s7.FrameBytes + 1
	frameRef      = s7.FrameBytes + 4
	frameFunction = s7.FrameBytes + 10 // of a Job
	frameItems    = frameFunction + 1
	frameAnswered = s7.FrameBytes + 12 // the function in the answer
)

// isJob says whether a frame is a Job of function fn.
func isJob(frame []byte, fn s7.Function) bool {
	return len(frame) > frameFunction && s7.Kind(frame[frameKind]) == s7.KindJob && s7.Function(frame[frameFunction]) == fn
}

// Request decides what is to become of the request. Setup, and answers to what the CPU asked, are let alone: a device that nobody could connect to
// would have no faults to show.
func (s *s7Session) Request(_ context.Context, c *s7.ServerConn, frame []byte) (s7.ErrorCode, error) {
	if k := s7.Kind(frame[frameKind]); isJob(frame, s7.FuncSetup) || k == s7.KindAck || k == s7.KindAckData {
		s.let()
		return 0, nil
	}
	if code := s.asked(c); code != 0 {
		return s7.ErrorCode(code), nil
	}
	if !isJob(frame, s7.FuncRead) && !isJob(frame, s7.FuncWrite) || len(frame) <= frameItems {
		return 0, nil
	}
	return s.denyAll(int(frame[frameItems])), nil
}

// let lets a request pass that no fault is for; a black hole swallows its answer too.
func (s *s7Session) let() {
	s.now = time.Now()
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.effect = effect{silence: s.d.mode == BlackHole}
}

// denyAll returns why a read or write with so many items is refused as a whole, or 0.
func (s *s7Session) denyAll(items int) s7.ErrorCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for i := range s.d.faults {
		switch f := &s.d.faults[i]; {
		case f.Kind == Denied && f.Area == "" && s.d.hits(f, s.elapsed()):
			return s7.ErrServiceUnknown
		case f.Kind == MaxItems && items > f.Count && s.d.hits(f, s.elapsed()):
			return s7.ErrFrame
		}
	}
	return 0
}

// Answer sends the answer as the faults will have it.
func (s *s7Session) Answer(ctx context.Context, c *s7.ServerConn, _, answer []byte) error {
	if s.effect.wrongID {
		// The highest bit: a reference near the one asked for might be another request's, and then no client could tell.
		answer[frameRef] ^= 0x80
	}
	if s.effect.wrongFunc && len(answer) > frameAnswered && s7.Kind(answer[frameKind]) == s7.KindAckData {
		answer[frameAnswered] ^= 0x01 // reads and writes change places
	}
	return s.answer(ctx, c, answer, s7HangUp)
}

func s7HangUp(reset bool) error { return &s7.HangUpError{Reason: "fault", Reset: reset} }
