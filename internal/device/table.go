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
	tags  []tableTag // sorted by ID; only out changes
	cells []cell     // by position in tags
	seq   uint64     // the highest of any cell
	turn  uint32     // counts takes, to know which rows one of them had
	wall  int64      // wallClock's offset by which the times of the gateway in here are

	changes                 uint64 // turns that brought something new
	firstChange, lastChange int64  // when, ns since 1970

	asked map[int]asked // by position: tags that were read back, and not read in their turn since

	bequeathed bool // another table has inherited: nothing passes any more
}

// tableTag is a tag of a table. Its spec is the configuration's own: with a hundred thousand tags a copy would be 12 MB.
type tableTag struct {
	spec *TagSpec
	id   tag.ID
	out  bool // of service, now
}

// cell is 64 bytes, a line of the cache.
type cell struct {
	seq     uint64
	ts      int64
	recv    int64
	bits    uint64
	aux     *cellAux // of kinds without a width; nil until there was one
	passed  passed
	quality tag.Quality
	turn    uint32 // the take that wrote it last
	kind    tag.Kind
}

// passed is what a consumer was told last.
type passed struct {
	bits    uint64
	quality tag.Quality
	kind    tag.Kind
	any     bool
}

// cellAux is the bytes of a cell's value, and of the one that passed. Both are the cell's own.
type cellAux struct{ value, passed []byte }

// value returns the bytes of c's value.
func (c *cell) value() []byte {
	if c.aux == nil {
		return nil
	}
	return c.aux.value
}

// told returns the bytes of the value that passed last.
func (c *cell) told() []byte {
	if c.aux == nil {
		return nil
	}
	return c.aux.passed
}

// room returns c's cellAux for b to be kept in, and nil when nothing is to be kept and there is none.
func (c *cell) room(b []byte) *cellAux {
	if c.aux == nil && len(b) > 0 {
		c.aux = &cellAux{}
	}
	return c.aux
}

func (c *cell) setValue(b []byte) {
	if a := c.room(b); a != nil {
		a.value = append(a.value[:0], b...)
	}
}

func (c *cell) setTold(b []byte) {
	if a := c.room(b); a != nil {
		a.passed = append(a.passed[:0], b...)
	}
}

// newTable makes a table of the tags of groups, which stay as they are.
func newTable(groups []Group, clock *atomic.Uint64) *table {
	n := 0
	for _, g := range groups {
		n += len(g.Tags)
	}
	t := &table{clock: clock, tags: make([]tableTag, 0, n), cells: make([]cell, n)}
	for _, g := range groups {
		for i := range g.Tags {
			s := &g.Tags[i]
			t.tags = append(t.tags, tableTag{spec: s, id: s.ID, out: s.OutOfService})
		}
	}
	slices.SortFunc(t.tags, func(a, b tableTag) int { return cmp.Compare(a.id, b.id) })
	for i := range t.cells {
		t.cells[i].quality = tag.BadWaitingForInitialData
	}
	return t
}

// inherit takes over what o knows of the tags that both have, and lets nothing pass o any more: a turn that still runs would tell consumers
// what t does not know that they were told. The value of a tag that is read in another way now is not a value of that tag.
func (t *table) inherit(o *table) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	o.bequeathed = true
	for i := range t.tags {
		j := o.index(t.tags[i].id, i)
		if j < 0 {
			continue
		}
		c, from := &t.cells[i], &o.cells[j]
		if !sameSource(t.tags[i].spec, o.tags[j].spec) {
			c.seq = t.clock.Add(1)
			t.seq = c.seq
			continue
		}
		*c = *from
		c.recv = moveTime(c.recv, t.wall-o.wall)
		c.turn, c.aux = 0, nil
		c.setValue(from.value())
		c.setTold(from.told())
		t.seq = max(t.seq, c.seq)
	}
}

// sameSource says whether a and b make the same value of what the device has.
func sameSource(a, b *TagSpec) bool {
	x, y := a.Terms(), b.Terms()
	return a.Address == b.Address && x.Scale == y.Scale && x.Bias == y.Bias
}

// index returns the position of id, -1 when there is none. hint is where it probably is: rows come in the order of IDs as a rule.
func (t *table) index(id tag.ID, hint int) int {
	if hint < len(t.tags) && t.tags[hint].id == id {
		return hint
	}
	i, ok := slices.BinarySearchFunc(t.tags, id, func(s tableTag, id tag.ID) int { return cmp.Compare(s.id, id) })
	if !ok {
		return -1
	}
	return i
}

// put writes row i of b into the cell at pos and numbers it seq when something but the time changed.
func (t *table) put(pos int, b *tag.Batch, i int, seq uint64) {
	c := &t.cells[pos]
	v := b.Value(i)
	if c.recv == 0 || c.quality != b.Quality[i] || c.kind != v.Kind || c.bits != v.Bits || string(c.value()) != string(v.Aux) {
		c.seq, t.seq = seq, seq
	}
	c.ts, c.recv, c.quality, c.kind, c.bits = b.TS[i], b.Received, b.Quality[i], v.Kind, v.Bits
	c.setValue(v.Aux)
	c.turn = t.turn
}

// last copies the cell at pos. The caller holds the lock.
func (t *table) last(pos int) Last {
	c := &t.cells[pos]
	l := Last{ID: t.tags[pos].id, Seq: c.seq, TS: c.ts, Received: c.recv, Quality: c.quality, Value: tag.Value{Kind: c.kind, Bits: c.bits}}
	if v := c.value(); len(v) > 0 {
		l.Value.Aux = slices.Clone(v)
	}
	return l
}

// get returns what is known of id, Received by the wall clock as it is set now.
func (t *table) get(id tag.ID, wall int64) (Last, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if i := t.index(id, 0); i >= 0 {
		l := t.last(i)
		l.Received = moveTime(l.Received, wall-t.wall)
		return l, true
	}
	return Last{}, false
}

// setClock moves the gateway's own times when its clock was set: how long ago something was does not change with that.
func (t *table) setClock(wall int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	by := wall - t.wall
	t.wall = wall
	for i := range t.cells {
		t.cells[i].recv = moveTime(t.cells[i].recv, by)
	}
	t.firstChange, t.lastChange = moveTime(t.firstChange, by), moveTime(t.lastChange, by)
}

// moveTime moves a time, but not the zero one, which is none.
func moveTime(at, by int64) int64 {
	if at == 0 {
		return 0
	}
	return at + by
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
	if i < 0 || t.tags[i].out == out {
		return false
	}
	t.tags[i].out = out
	return true
}

// inService returns those of tags that are not out of service: tags itself when that is all of them.
func (t *table) inService(tags []TagSpec) []TagSpec {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !slices.ContainsFunc(tags, func(s TagSpec) bool { return s.OutOfService || t.isOut(s.ID) }) {
		return tags
	}
	in := make([]TagSpec, 0, len(tags))
	for _, s := range tags {
		if t.isOut(s.ID) {
			continue
		}
		s.OutOfService = false // it may have been when the spec was made
		in = append(in, s)
	}
	return in
}

// isOut says whether id is out of service or unknown. The caller holds the lock.
func (t *table) isOut(id tag.ID) bool {
	i := t.index(id, 0)
	return i < 0 || t.tags[i].out
}

// anyGood says whether the value of any of tags is good.
func (t *table) anyGood(tags []TagSpec) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.ContainsFunc(tags, func(s TagSpec) bool {
		i := t.index(s.ID, 0)
		return i >= 0 && t.cells[i].quality.IsGood()
	})
}

// turns returns how many takes there were, for readSince.
func (t *table) turns() uint32 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.turn
}

// readSince says whether id was read, and well, behind the take turn. One that was left out, and keeps its last value, is uncertain.
func (t *table) readSince(id tag.ID, turn uint32) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i := t.index(id, 0)
	return i >= 0 && t.turn != turn && t.cells[i].turn == t.turn && t.cells[i].quality.IsGood()
}

// outOfService returns the IDs of the tags that are out of service.
func (t *table) outOfService() []tag.ID {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []tag.ID
	for i := range t.tags {
		if t.tags[i].out {
			out = append(out, t.tags[i].id)
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
