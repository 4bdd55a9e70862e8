package sim

import (
	"context"
	"slices"
	"time"

	"millrace/s7"
)

// s7Session is one connection to a CPU: its memory for s7.Server, and the faults on the way back.
type s7Session struct {
	visit
	m   *S7
	cpu *s7CPU
}

// open is s7.ServerConfig.Open: the CR came. A CPU without a free connection resource, and a slot without a CPU, refuse it.
func (m *S7) open(c *s7.ServerConn) (s7.Service, error) {
	if !m.model.isAt(c.Called()) {
		return s7.Service{}, &s7.HangUpError{Reason: "no cpu in this slot", Disconnect: s7.DisconnectAddressUnknown}
	}
	d := m.deviceAt(c.LocalAddr())
	s := &s7Session{visit: visit{f: &m.fleet, d: d}, m: m, cpu: &m.cpus[d.number-1]}
	pdu, ok := s.takeResource()
	if !ok {
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
func (s *s7Session) takeResource() (pdu int, ok bool) {
	s.now = time.Now()
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	pdu, ok = s.m.model.pdu, s.cpu.taken < s.m.model.resources
	for i := range s.d.faults {
		switch f := &s.d.faults[i]; f.Kind {
		case Slots:
			ok = ok && !(s.cpu.taken >= f.Count && s.d.hits(f, s.elapsed()))
		case PDUShrink:
			if s.cpu.served > 0 && f.Count < pdu && s.d.hits(f, s.elapsed()) {
				pdu = f.Count
			}
		}
	}
	if !ok {
		s.d.refused++
		return 0, false
	}
	s.cpu.taken++
	s.cpu.served++
	return pdu, true
}

func (s *s7Session) giveResource() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.cpu.taken--
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

// place is where an item lies.
type place struct {
	region s7Region
	at     int
}

// find returns where the item lies, or why it is not given. The caller holds d.mu.
func (s *s7Session) find(it *s7.Item, writing bool) (place, s7.ReturnCode) {
	r, ok := regionOf(it.Area, it.DB)
	if !ok {
		return place{}, s7.ReturnNoObject
	}
	at, n := it.Range()
	size := regions[r].size
	for i := range s.d.faults {
		f := &s.d.faults[i]
		switch {
		case f.Kind == Download && r == regionDB1 && s.d.hits(f, s.elapsed()):
			size = f.Count
		case f.Kind != Unmapped && f.Kind != Denied || !f.covers(r, it) || !s.d.hits(f, s.elapsed()):
		case f.Kind == Denied:
			return place{}, s7.ReturnAccess
		case f.From == 0 && f.To == lastAddress:
			return place{}, s7.ReturnNoObject
		default:
			return place{}, s7.ReturnAddress
		}
	}
	switch {
	case at+n > size:
		return place{}, s7.ReturnAddress
	case writing && !regions[r].writable:
		return place{}, s7.ReturnAccess
	}
	return place{r, at}, s7.ReturnOK
}

// covers says whether f is of something that the item, which lies in r, touches.
func (f *Fault) covers(r s7Region, it *s7.Item) bool {
	if f.Area != regions[r].name {
		return false
	}
	at, n := it.Range()
	if it.Area.Numbered() {
		at, n = int(it.Address), int(it.Count)
	}
	return at <= f.To && f.From <= at+n-1
}

// CheckItem is of s7.ItemChecker.
func (s *s7Session) CheckItem(_ context.Context, r *s7.Request, it *s7.Item) s7.ReturnCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	_, code := s.find(it, r.Function == s7.FuncWrite)
	return code
}

// ReadItem is of s7.Handler.
func (s *s7Session) ReadItem(_ context.Context, _ *s7.Request, it *s7.Item, dst []byte) s7.ReturnCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	p, code := s.find(it, false)
	if code != s7.ReturnOK {
		return code
	}
	s.cpu.read(p.region, s.d.number, p.at, s.moment(), dst)
	if it.Size == s7.SizeBit {
		dst[0] = dst[0] >> it.Bit() & 1
	}
	return s7.ReturnOK
}

// WriteItem is of s7.Handler.
func (s *s7Session) WriteItem(_ context.Context, _ *s7.Request, it *s7.Item, src []byte) s7.ReturnCode {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	p, code := s.find(it, true)
	switch {
	case code != s7.ReturnOK:
		return code
	case it.Size == s7.SizeBit:
		s.cpu.setBit(p.region, s.d.number, p.at, s.now, it.Bit(), src[0]&1 != 0)
	default:
		s.cpu.write(p.region, s.d.number, p.at, s.now, src)
	}
	return s7.ReturnOK
}

// moment returns the time of the program's last cycle, at which the waves are: long past when the CPU is in STOP. The caller holds d.mu.
func (s *s7Session) moment() time.Time {
	for i := range s.d.faults {
		if f := &s.d.faults[i]; f.Kind == Standstill && s.d.hits(f, s.elapsed()) {
			return s.f.started.Add(f.since(s.elapsed()))
		}
	}
	return s.now
}
