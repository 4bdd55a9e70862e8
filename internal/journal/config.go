package journal

import (
	"fmt"
	"time"

	"millrace/internal/journal/vfs"
)

// Config says where the journal lies and how much of it is kept. All but Dir has a default.
type Config struct {
	Dir string // made if need be
	FS  vfs.FS // default vfs.OS{}

	SegmentBytes int64         // size of a segment file; default 64 MiB, at least 16 KiB
	QueueBytes   int64         // most bytes that wait to be written; default 64 MiB, at least 64 KiB. A batch that finds no room is refused
	FlushEvery   time.Duration // longest wait of a batch for others to share its sync; default 20 ms, negative means none
	CursorEvery  time.Duration // least time between two syncs of the cursors; default 100 ms

	MaxBytes int64         // most bytes in the directory, spare and reserve segments included; default 10 GiB, at least 4 segments
	MaxAge   time.Duration // records that every cursor has passed are removed when older; default 24 h, negative means at once

	// OnSynced is told of rows that were synced, and OnDropped of rows that were refused or given up, with a reason (see Reason).
	// OnTrimmed is told of rows removed before the cursor of that name had passed them. They are called without any lock held,
	// OnDropped by callers of Offer too, and must not block.
	OnSynced  func(rows int)
	OnDropped func(reason string, rows int)
	OnTrimmed func(cursor string, rows uint64)
	// OnError is told of each error of the disk that the journal lived through. Same conditions.
	OnError func(error)
}

// The reasons that OnDropped gets.
const (
	ReasonFull     = "journal_full"      // the queue had no room
	ReasonTooLarge = "journal_too_large" // the batch does not fit a segment
	ReasonClosed   = "journal_closed"    // offered after the end
	ReasonLost     = "journal_lost"      // queued, and the disk took nothing until the end
)

const (
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = 16 << 10
	defaultQueueBytes   = 64 << 20
	minQueueBytes       = 64 << 10
	defaultMaxBytes     = 10 << 30
	minSegments         = 4 // the active one, one behind it, the spare, the reserve
)

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, fmt.Errorf("journal: no directory given")
	}
	if c.FS == nil {
		c.FS = vfs.OS{}
	}
	setDefault(&c.SegmentBytes, defaultSegmentBytes)
	setDefault(&c.QueueBytes, defaultQueueBytes)
	setDefault(&c.FlushEvery, 20*time.Millisecond)
	setDefault(&c.CursorEvery, 100*time.Millisecond)
	setDefault(&c.MaxBytes, max(defaultMaxBytes, minSegments*c.SegmentBytes))
	setDefault(&c.MaxAge, 24*time.Hour)
	if c.SegmentBytes < minSegmentBytes || c.SegmentBytes > 1<<30 {
		return c, fmt.Errorf("journal: segment of %d bytes; from %d to %d are possible", c.SegmentBytes, minSegmentBytes, 1<<30)
	}
	if c.QueueBytes < minQueueBytes {
		return c, fmt.Errorf("journal: queue of %d bytes; at least %d are needed", c.QueueBytes, minQueueBytes)
	}
	if c.MaxBytes < minSegments*c.SegmentBytes {
		return c, fmt.Errorf("journal: max_bytes %d is less than %d segments of %d", c.MaxBytes, minSegments, c.SegmentBytes)
	}
	if c.OnSynced == nil {
		c.OnSynced = func(int) {}
	}
	if c.OnDropped == nil {
		c.OnDropped = func(string, int) {}
	}
	if c.OnTrimmed == nil {
		c.OnTrimmed = func(string, uint64) {}
	}
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	return c, nil
}

func setDefault[T int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
