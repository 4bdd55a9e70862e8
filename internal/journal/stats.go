package journal

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Stats is the state of a journal at one moment, and what it counted since Open.
type Stats struct {
	First, Next Offset // Bounds
	Segments    int
	Bytes       int64     // of the segment files, spare and reserve not counted
	Oldest      time.Time // when the oldest record kept was received; zero when there is none
	QueueBytes  int64     // offered and not yet synced
	QueueRows   int64

	Batches      uint64            // synced
	Rows         uint64            // synced
	Syncs        uint64            // that made batches durable
	BytesWritten uint64            // for them
	Dropped      map[string]uint64 // rows by reason
	Cursors      []CursorStats     // by name

	Full      bool // the disk is full: the reserve is in use or cannot be made
	Failing   bool // the last commit failed, and its batches wait
	Errors    uint64
	LastError error // of the disk; nil when there was none
	LastErrAt time.Time

	CursorsLost bool // the file of cursors could not be read; see Cursor
	Recovery    Recovery
}

// CursorStats is one cursor.
type CursorStats struct {
	Name    string
	Offset  Offset
	Waiting uint64 // rows from Offset to the end
	Trimmed uint64 // rows removed before the cursor passed them, since Open
}

type counters struct {
	batches, rows, syncs, bytes uint64
	dropped                     map[string]uint64
	full                        bool
	errs                        uint64
	lastErr                     error
	lastErrAt                   time.Time
	failing                     bool
}

func (c *counters) synced(batches, rows, bytes int) {
	c.batches, c.rows, c.bytes = c.batches+uint64(batches), c.rows+uint64(rows), c.bytes+uint64(bytes)
	c.syncs++
	c.failing = false
}

func (c *counters) drop(reason string, rows int) {
	if c.dropped == nil {
		c.dropped = map[string]uint64{}
	}
	c.dropped[reason] += uint64(rows)
}

// Stats returns the state now.
func (j *Journal) Stats() Stats {
	qb, qr := j.queue.size()
	j.mu.Lock()
	defer j.mu.Unlock()
	c := &j.stats
	s := Stats{
		First: j.firstLocked(), Next: j.next, Segments: len(j.segs), QueueBytes: qb, QueueRows: qr,
		Batches: c.batches, Rows: c.rows, Syncs: c.syncs, BytesWritten: c.bytes, Dropped: maps.Clone(c.dropped),
		Full: c.full, Failing: c.failing, Errors: c.errs, LastError: c.lastErr, LastErrAt: c.lastErrAt,
		CursorsLost: j.cursors.lost, Recovery: j.recovery,
	}
	for _, g := range j.segs {
		s.Bytes += g.size
		if s.Oldest.IsZero() && g.minRecv <= g.maxRecv {
			s.Oldest = time.Unix(0, g.minRecv)
		}
	}
	for name, k := range j.cursors.by {
		s.Cursors = append(s.Cursors, CursorStats{Name: name, Offset: k.off, Waiting: j.rowsLocked(k.off, j.next), Trimmed: k.trimmed})
	}
	slices.SortFunc(s.Cursors, func(a, b CursorStats) int { return strings.Compare(a.Name, b.Name) })
	return s
}
