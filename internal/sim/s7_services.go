package sim

import (
	"context"
	"fmt"
	"time"

	"millrace/s7"
)

// newServices makes what the CPU of device n says and does beside its memory.
func (m *S7) newServices(n int) (*s7.CPU, error) {
	return s7.NewCPU(s7.CPUConfig{
		Model:     m.model.is,
		Identity:  s7.Identity{System: DeviceID(n), Serial: fmt.Sprintf("S MILLRACE %05d", n), PDU: m.model.pdu, Window: m.model.window, Connections: m.model.resources},
		OnControl: func(_ s7.Control, mode s7.Mode) { m.controlled(n, mode) },
	})
}

// controlled hears that a client has started or stopped device n.
func (m *S7) controlled(n int, mode s7.Mode) {
	d, own := &m.devices[n-1], &m.cpus[n-1]
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case mode != s7.ModeStop:
		own.stopped = time.Time{}
	case own.stopped.IsZero():
		own.stopped = time.Now()
	}
}

// stands says whether a fault has the CPU in STOP, and since when on its clock.
func (s *s7Session) stands() (since time.Time, ok bool) {
	now := time.Now()
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	since, ok = s.standstill(now)
	return since.UTC().Add(s.Now().Sub(now)), ok
}

// ReadSZL is of s7.SZLReader: the CPU's lists, but for a fault's mode.
func (s *s7Session) ReadSZL(ctx context.Context, r *s7.Request, id, index uint16, dst []byte) ([]byte, s7.ErrorCode) {
	since, ok := time.Time{}, false
	if id == s7.SZLMode {
		since, ok = s.stands()
	}
	if !ok {
		return s.CPU.ReadSZL(ctx, r, id, index, dst)
	}
	m := s7.SZL{ID: id, Index: index, RecordLen: s7.ModeRecordBytes}
	m.Records = (&s7.ModeRecord{Mode: s7.ModeStop, At: since}).AppendTo(nil)
	return m.AppendTo(dst), 0
}

// Control is of s7.Controller. What a fault has stopped stands as with its switch at STOP: no client can start it.
func (s *s7Session) Control(ctx context.Context, r *s7.Request, what s7.Control) (code s7.ErrorCode, detail uint8) {
	if _, ok := s.stands(); ok {
		switch what {
		case s7.ControlStop:
			return s7.ErrNotPerformed, s7.DetailStopped
		case s7.ControlStart, s7.ControlColdStart:
			return s7.ErrNotPerformed, 0
		}
	}
	return s.CPU.Control(ctx, r, what)
}

// dataBlock is a DB that is there.
type dataBlock struct {
	region s7Region
	number uint16
	size   int
}

// dataBlocks returns the DBs that are there now, in the order of their numbers.
func (s *s7Session) dataBlocks() (all []dataBlock) {
	elapsed := s.f.elapsed(time.Now())
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for r := range s7Regions {
		if b, ok := s.dataBlock(r, elapsed); ok {
			all = append(all, b)
		}
	}
	return all
}

// dataBlock returns the DB that a region is, unless it is none or a fault takes it away. The caller holds d.mu.
func (s *s7Session) dataBlock(r s7Region, elapsed time.Duration) (b dataBlock, ok bool) {
	b = dataBlock{r, regions[r].db, regions[r].size}
	for i := range s.d.faults {
		f := &s.d.faults[i]
		switch {
		case !f.active(elapsed):
		case f.Kind == Download && r == regionDB1:
			b.size = f.Count
		case f.Kind == Unmapped && f.Area == regions[r].name && f.whole():
			return b, false
		}
	}
	return b, b.number != 0
}

// CountBlocks is of s7.BlockKeeper.
func (s *s7Session) CountBlocks(_ context.Context, _ *s7.Request, t s7.BlockType) uint16 {
	if t != s7.BlockDB {
		return 0
	}
	return uint16(len(s.dataBlocks()))
}

// blockFlags is what real CPUs have in an entry of a list.
const blockFlags = 0x22

// ListBlocks is of s7.BlockKeeper.
func (s *s7Session) ListBlocks(_ context.Context, _ *s7.Request, t s7.BlockType, from uint16, into []s7.BlockEntry) (n int) {
	if t != s7.BlockDB {
		return 0
	}
	for _, b := range s.dataBlocks() {
		if b.number >= from && n < len(into) {
			into[n] = s7.BlockEntry{Number: b.number, Flags: blockFlags, Language: s7.LanguageDB}
			n++
		}
	}
	return n
}

// block returns a copy of a DB.
func (s *s7Session) block(f s7.BlockFile) (s7.Block, s7.ErrorCode) {
	for _, b := range s.dataBlocks() {
		if f.Type != s7.BlockDB || f.Number != uint32(b.number) || f.System == s7.FilePassive {
			continue
		}
		now := time.Now()
		data := make([]byte, b.size)
		s.d.mu.Lock()
		s.own.read(b.region, s.d.number, 0, s.lastCycle(now), data)
		s.d.mu.Unlock()
		x := s7.NewDataBlock(b.number, data)
		x.Code = time.Date(2024, 2, 29, 13, 14, 15, 0, time.UTC)
		x.Interface, x.Version = x.Code, 0x01
		copy(x.Author[:], "MILLRACE")
		return x, 0
	}
	return s7.Block{}, s7.ErrBlockNotFound
}

// BlockInfo is of s7.BlockKeeper.
func (s *s7Session) BlockInfo(_ context.Context, _ *s7.Request, f s7.BlockFile) (s7.BlockInfo, s7.ErrorCode) {
	b, code := s.block(f)
	return b.BlockInfo, code
}

// ReadBlock is of s7.BlockKeeper.
func (s *s7Session) ReadBlock(_ context.Context, _ *s7.Request, f s7.BlockFile, dst []byte) ([]byte, s7.ErrorCode) {
	b, code := s.block(f)
	if code != 0 {
		return dst, code
	}
	return b.AppendTo(dst), 0
}
