package sim

import (
	"context"
	"time"

	"millrace/s7"
)

// place is where an item lies.
type place struct {
	region s7Region
	at     int
}

// find returns where the item lies at a time, or why it is not given. The caller holds d.mu.
func (s *s7Session) find(it *s7.Item, now time.Time, writing bool) (place, s7.ReturnCode) {
	r, ok := regionOf(it.Area, it.DB)
	if !ok {
		return place{}, s7.ReturnNoObject
	}
	at, n := it.Range()
	size, elapsed := regions[r].size, s.f.elapsed(now)
	for i := range s.d.faults {
		f := &s.d.faults[i]
		switch {
		case f.Kind == Download && r == regionDB1 && s.d.hits(f, elapsed):
			size = f.Count
		case f.Kind != Unmapped && f.Kind != Denied || !f.covers(r, it) || !s.d.hits(f, elapsed):
		case f.Kind == Denied:
			return place{}, s7.ReturnAccess
		case f.whole():
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

// whole says whether f is of all of an area or DB.
func (f *Fault) whole() bool { return f.From == 0 && f.To == lastAddress }

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

// at returns the time that a request is of. Pushes of cyclic jobs come from another goroutine, and nobody asked for them.
func (s *s7Session) at(r *s7.Request) time.Time {
	if r.Function == s7.FuncRead || r.Function == s7.FuncWrite {
		return s.now
	}
	return time.Now()
}

// CheckItem is of s7.ItemChecker.
func (s *s7Session) CheckItem(_ context.Context, r *s7.Request, it *s7.Item) s7.ReturnCode {
	now := s.at(r)
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	_, code := s.find(it, now, r.Function == s7.FuncWrite)
	return code
}

// ReadItem is of s7.Handler.
func (s *s7Session) ReadItem(ctx context.Context, r *s7.Request, it *s7.Item, dst []byte) s7.ReturnCode {
	if r.Function == 0 {
		s.d.awake(ctx)
	}
	now := s.at(r)
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	p, code := s.find(it, now, false)
	if code != s7.ReturnOK {
		return code
	}
	s.own.read(p.region, s.d.number, p.at, s.lastCycle(now), dst)
	if it.Size == s7.SizeBit {
		dst[0] = dst[0] >> it.Bit() & 1
	}
	return s7.ReturnOK
}

// WriteItem is of s7.Handler.
func (s *s7Session) WriteItem(_ context.Context, r *s7.Request, it *s7.Item, src []byte) s7.ReturnCode {
	now := s.at(r)
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	p, code := s.find(it, now, true)
	switch {
	case code != s7.ReturnOK, s.d.ignores(s.f.elapsed(now)):
		return code
	case it.Size == s7.SizeBit:
		s.d.writes++
		s.own.setBit(p.region, s.d.number, p.at, now, it.Bit(), src[0]&1 != 0)
	default:
		s.d.writes++
		s.own.write(p.region, s.d.number, p.at, now, src)
	}
	return s7.ReturnOK
}

// lastCycle returns the time at which the program ran last, at which the waves are: long past when the CPU is in STOP. The caller holds d.mu.
func (s *s7Session) lastCycle(now time.Time) time.Time {
	if at, ok := s.standstill(now); ok {
		return at
	}
	if at := s.own.stopped; !at.IsZero() {
		return at
	}
	return now
}

// standstill says whether a fault has the CPU in STOP, and since when. The caller holds d.mu.
func (s *s7Session) standstill(now time.Time) (since time.Time, ok bool) {
	elapsed := s.f.elapsed(now)
	for i := range s.d.faults {
		if f := &s.d.faults[i]; f.Kind == Standstill && s.d.hits(f, elapsed) {
			return s.f.started.Add(f.since(elapsed)), true
		}
	}
	return time.Time{}, false
}
