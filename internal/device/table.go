package device

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"millrace/internal/tag"
)

// Last is what is known of a tag now. It is a copy: the caller keeps it.
type Last struct {
	ID       tag.ID
	Seq      uint64 // grows with every change of any tag's value or quality; 0 for a tag that was never read
	TS       int64  // ns since 1970, as in tag.Batch
	Received int64  // gateway clock when it came, 0 for a tag that was never read
	Quality  tag.Quality
	Value    tag.Value // scaled
}

// table holds the last values of one device, and what of them passed the deadband. One goroutine writes at a time, by turns or
// by marks; readers hold the lock for as long as copying takes.
type table struct {
	clock *atomic.Uint64 // sequence numbers, shared by all tables of a Runtime

	mu    sync.RWMutex
	specs []TagSpec // sorted by ID; only OutOfService changes
	cells []cell    // by position in specs
	seq   uint64    // the highest of any cell
	turn  uint32    // counts takes, to know which rows one of them had
}

type cell struct {
	seq     uint64
	ts      int64
	recv    int64
	bits    uint64
	aux     []byte // of kinds without a width; owned
	quality tag.Quality
	kind    tag.Kind
	passed  passed
	turn    uint32 // the take that wrote it last
}

// passed is what a consumer was told last.
type passed struct {
	any     bool
	kind    tag.Kind
	quality tag.Quality
	bits    uint64
	aux     []byte // owned
}

func newTable(tags []TagSpec, clock *atomic.Uint64) *table {
	t := &table{clock: clock, specs: slices.Clone(tags), cells: make([]cell, len(tags))}
	slices.SortFunc(t.specs, func(a, b TagSpec) int { return cmp.Compare(a.ID, b.ID) })
	for i := range t.cells {
		t.cells[i].quality = tag.BadWaitingForInitialData
	}
	return t
}

// inherit takes over what o knows of the tags that both have.
func (t *table) inherit(o *table) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.specs {
		if j := o.index(t.specs[i].ID, i); j >= 0 {
			t.cells[i] = o.cells[j]
			t.cells[i].turn = 0
			t.cells[i].aux = slices.Clone(o.cells[j].aux)
			t.cells[i].passed.aux = slices.Clone(o.cells[j].passed.aux)
			t.seq = max(t.seq, t.cells[i].seq)
		}
	}
}

// index returns the position of id, -1 when there is none. hint is where it probably is: rows come in the order of IDs as a rule.
func (t *table) index(id tag.ID, hint int) int {
	if hint < len(t.specs) && t.specs[hint].ID == id {
		return hint
	}
	i, ok := slices.BinarySearchFunc(t.specs, id, func(s TagSpec, id tag.ID) int { return cmp.Compare(s.ID, id) })
	if !ok {
		return -1
	}
	return i
}

// put writes row i of b into the cell at pos and numbers it seq when something but the time changed.
func (t *table) put(pos int, b *tag.Batch, i int, seq uint64) {
	c := &t.cells[pos]
	v := b.Value(i)
	if c.recv == 0 || c.quality != b.Quality[i] || c.kind != v.Kind || c.bits != v.Bits || string(c.aux) != string(v.Aux) {
		c.seq, t.seq = seq, seq
	}
	c.ts, c.recv, c.quality, c.kind, c.bits = b.TS[i], b.Received, b.Quality[i], v.Kind, v.Bits
	c.aux = append(c.aux[:0], v.Aux...)
	c.turn = t.turn
}

// last copies the cell at pos. The caller holds the lock.
func (t *table) last(pos int) Last {
	c := &t.cells[pos]
	l := Last{ID: t.specs[pos].ID, Seq: c.seq, TS: c.ts, Received: c.recv, Quality: c.quality, Value: tag.Value{Kind: c.kind, Bits: c.bits}}
	if len(c.aux) > 0 {
		l.Value.Aux = slices.Clone(c.aux)
	}
	return l
}

func (t *table) get(id tag.ID) (Last, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if i := t.index(id, 0); i >= 0 {
		return t.last(i), true
	}
	return Last{}, false
}

// appendSince appends the cells whose number is above since; all of them when all is set.
func (t *table) appendSince(dst []Last, since uint64, all bool) []Last {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !all && t.seq <= since {
		return dst
	}
	for i := range t.cells {
		if all || t.cells[i].seq > since {
			dst = append(dst, t.last(i))
		}
	}
	return dst
}

// forget makes the rows of b pass again when they are next read: they were let pass and then there was no room for them.
func (t *table) forget(b *tag.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, id := range b.ID {
		if pos := t.index(id, i); pos >= 0 {
			t.cells[pos].passed.any = false
		}
	}
}

// setOut takes tag id out of service or puts it back, and says whether that was a change.
func (t *table) setOut(id tag.ID, out bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.index(id, 0)
	if i < 0 || t.specs[i].OutOfService == out {
		return false
	}
	t.specs[i].OutOfService = out
	return true
}

// inService returns those of tags that are not out of service.
func (t *table) inService(tags []TagSpec) []TagSpec {
	t.mu.RLock()
	defer t.mu.RUnlock()
	in := make([]TagSpec, 0, len(tags))
	for _, s := range tags {
		if i := t.index(s.ID, 0); i >= 0 && !t.specs[i].OutOfService {
			in = append(in, s)
		}
	}
	return in
}

// outOfService returns the IDs of the tags that are out of service.
func (t *table) outOfService() []tag.ID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []tag.ID
	for i := range t.specs {
		if t.specs[i].OutOfService {
			out = append(out, t.specs[i].ID)
		}
	}
	return out
}

// appendIfSince appends tag id when its number is above since.
func (t *table) appendIfSince(dst []Last, id tag.ID, since uint64) []Last {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.seq <= since {
		return dst
	}
	if i := t.index(id, 0); i >= 0 && t.cells[i].seq > since {
		dst = append(dst, t.last(i))
	}
	return dst
}
