package s7

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// Memory is the memory of a PLC: areas and data blocks. It is a Handler and an ItemChecker. An item is read in one snapshot, and written, bits
// included, under the same lock of its area or DB. The zero value has no memory at all; areas and DBs are added, replaced and taken away while it is
// served, and any goroutine may call its methods. It must not be copied.
//
// DB and DI are the same blocks. V of an S7-200 is DB 1. Counters and timers have two bytes each, those of an S7-200 three and five.
type Memory struct {
	// OnWrite, when set before the memory is served, hears of each write of a client, when it is done and no lock is held. src is what was written,
	// as Handler.WriteItem has it, and valid during the call only. It is called from the connections' goroutines.
	OnWrite func(ctx context.Context, r *Request, it *Item, src []byte)

	mu    sync.Mutex // of whoever changes which areas and DBs there are
	areas [AreaPreviousLocal + 1]atomic.Pointer[store]
	// Two levels find a DB in two loads, and a memory of few DBs stays small: a page has 256 numbers and takes 2 KB.
	dbs [256]atomic.Pointer[dbPage]
}

type dbPage [256]atomic.Pointer[store]

// store is the bytes of an area or a DB. Its length never changes: another length is another store.
type store struct {
	mu       sync.RWMutex
	data     []byte
	readOnly bool
}

// maxStore is how many bytes an address of 24 bits reaches.
const maxStore = maxByte + 1

// SetArea gives the memory the area a, or another one in place of it; data nil takes it away. data is the memory's from then on. DBs are not set
// this way: it fails, and so does an area that does not exist in the protocol.
func (m *Memory) SetArea(a Area, data []byte) error {
	if !a.Known() || a.hasDB() {
		return fmt.Errorf("s7: memory: %v is not an area that can be set", a)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if data == nil {
		m.areas[a].Store(nil)
	} else {
		m.areas[a].Store(&store{data: data})
	}
	return nil
}

// AddDB adds the DB n, which is not there yet. data is the memory's from then on.
func (m *Memory) AddDB(n uint16, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(AreaDB, n) != nil {
		return fmt.Errorf("s7: memory: DB %d is there already", n)
	}
	return m.putDB(n, data)
}

// ReplaceDB puts data, of any length, in the place of DB n, or adds it. data is the memory's from then on. A client that is reading reads all
// of the old or all of the new.
func (m *Memory) ReplaceDB(n uint16, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.putDB(n, data)
}

// DeleteDB takes DB n away and reports whether it was there.
func (m *Memory) DeleteDB(n uint16) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	page := m.dbs[n>>8].Load()
	return page != nil && page[n&0xFF].Swap(nil) != nil
}

// DBs appends the numbers of all DBs in ascending order.
func (m *Memory) DBs(into []uint16) []uint16 {
	m.eachDB(0, func(number uint16) bool {
		into = append(into, number)
		return true
	})
	return into
}

// SetReadOnly lets clients only read an area or DB, or write it again. It reports whether it is there. What replaces it can be written.
func (m *Memory) SetReadOnly(a Area, db uint16, readOnly bool) bool {
	s := m.find(a, db)
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readOnly = readOnly
	return true
}

// Size returns the bytes of an area or DB, and whether it is there. db is looked at for DBs alone, here and below.
func (m *Memory) Size(a Area, db uint16) (n int, ok bool) {
	s := m.find(a, db)
	if s == nil {
		return 0, false
	}
	return len(s.data), true
}

// View calls f with the bytes of an area or DB, which nobody changes meanwhile, and reports whether it is there. f must not keep or change them.
func (m *Memory) View(a Area, db uint16, f func(data []byte)) bool {
	s := m.find(a, db)
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(s.data)
	return true
}

// Update calls f with the bytes of an area or DB, which nobody reads meanwhile, and reports whether it is there. f must not keep them.
func (m *Memory) Update(a Area, db uint16, f func(data []byte)) bool {
	s := m.find(a, db)
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.data)
	return true
}

// ReadItem is Handler's: 0A when there is no such area or DB, 05 when the item goes beyond its end.
func (m *Memory) ReadItem(_ context.Context, _ *Request, it *Item, dst []byte) ReturnCode {
	s, from, code := m.locate(it)
	if code != ReturnOK {
		return code
	}
	s.mu.RLock()
	copy(dst, s.data[from:])
	s.mu.RUnlock()
	if it.Size == SizeBit {
		dst[0] = dst[0] >> it.Bit() & 1
	}
	return ReturnOK
}

// WriteItem is Handler's: 0A and 05 as ReadItem, and 03 where clients may only read.
func (m *Memory) WriteItem(ctx context.Context, r *Request, it *Item, src []byte) ReturnCode {
	s, from, code := m.locate(it)
	if code == ReturnOK {
		code = s.write(it, from, src)
	}
	if code == ReturnOK && m.OnWrite != nil {
		m.OnWrite(ctx, r, it, src)
	}
	return code
}

// CheckItem is ItemChecker's.
func (m *Memory) CheckItem(_ context.Context, _ *Request, it *Item) ReturnCode {
	_, _, code := m.locate(it)
	return code
}

func (s *store) write(it *Item, from int, src []byte) ReturnCode {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readOnly {
		return ReturnAccess
	}
	if it.Size == SizeBit {
		mask := byte(1) << it.Bit()
		s.data[from] = s.data[from]&^mask | src[0]&1<<it.Bit()
		return ReturnOK
	}
	copy(s.data[from:], src)
	return ReturnOK
}

// locate finds the bytes of an item.
func (m *Memory) locate(it *Item) (s *store, from int, code ReturnCode) {
	if s = m.find(it.Area, it.DB); s == nil {
		return nil, 0, ReturnNoObject
	}
	from, n := it.Range()
	if n > len(s.data)-from {
		return nil, 0, ReturnAddress
	}
	return s, from, ReturnOK
}

// find returns nil when there is no such area or DB.
func (m *Memory) find(a Area, db uint16) *store {
	if a.hasDB() {
		if page := m.dbs[db>>8].Load(); page != nil {
			return page[db&0xFF].Load()
		}
		return nil
	}
	if int(a) >= len(m.areas) {
		return nil
	}
	return m.areas[a].Load()
}

// eachDB calls f with the number of each DB from one on, in ascending order, until it returns false.
func (m *Memory) eachDB(from uint16, f func(number uint16) bool) {
	for i := int(from); i <= math.MaxUint16; i++ {
		page := m.dbs[i>>8].Load()
		if page == nil {
			i |= 0xFF
			continue
		}
		if page[i&0xFF].Load() != nil && !f(uint16(i)) {
			return
		}
	}
}

// hasDB reports whether addresses in a name a DB.
func (a Area) hasDB() bool { return a == AreaDB || a == AreaInstanceDB }

// putDB is for who holds m.mu.
func (m *Memory) putDB(n uint16, data []byte) error {
	if n == 0 || len(data) > maxStore {
		return fmt.Errorf("s7: memory: DB %d of %d bytes cannot be: numbers are 1..65535, and addresses reach %d bytes", n, len(data), maxStore)
	}
	page := m.dbs[n>>8].Load()
	if page == nil {
		page = new(dbPage)
		m.dbs[n>>8].Store(page)
	}
	page[n&0xFF].Store(&store{data: data})
	return nil
}
