// Package sink delivers the journal's values to their consumers: a Worker reads ranges of the journal, a Sink writes them, and
// the cursor moves behind what is written.
package sink

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"millrace/internal/tag"
)

// Cursor is the position in front of the next row to deliver.
type Cursor struct {
	Epoch  uint64
	Offset uint64
}

// Range is the rows [From, To) of a journal with that epoch. Write moves the sink's cursor from From to To.
type Range struct {
	Epoch    uint64
	From, To uint64
}

// String returns the range as people write it: [100, 200).
func (r Range) String() string {
	return "[" + strconv.FormatUint(r.From, 10) + ", " + strconv.FormatUint(r.To, 10) + ")"
}

// Rows is a view of consecutive rows of one batch: rows First to End-1 of Batch, the first of which has offset Offset. The batch
// is shared and must not be changed.
type Rows struct {
	Batch      *tag.Batch
	First, End int
	Offset     uint64
}

// Len returns the number of rows in the view.
func (r Rows) Len() int { return r.End - r.First }

// Next returns the offset behind the last row.
func (r Rows) Next() uint64 { return r.Offset + uint64(r.Len()) }

// Count returns the number of rows in all views.
func Count(rows []Rows) int {
	n := 0
	for _, r := range rows {
		n += r.Len()
	}
	return n
}

// Sink is a consumer of values. One goroutine at a time uses it.
type Sink interface {
	// Cursor returns the position that the sink itself stores, and false when it stores none.
	Cursor(ctx context.Context) (Cursor, bool, error)
	// Write writes rows, which are in order and lie within r, and moves the cursor to r.To, all or nothing. Rows of r that are
	// not among rows are accounted for elsewhere: the cursor moves over them, also when rows is empty. On a *PartialError the
	// cursor has not moved. Rows and their batches are the worker's again when Write returns.
	Write(ctx context.Context, r Range, rows []Rows) error
	// Close releases what the sink holds. Everything that Write returned nil for is delivered already.
	Close(ctx context.Context) error
}

// Seeker is a Sink that stores its own cursor. The worker calls Seek before its first Write and whenever it starts anew. Seek
// takes the cursor over from the position that Cursor returned last, and sets it to c; a *CursorError says that it has moved since.
type Seeker interface {
	Seek(ctx context.Context, c Cursor) error
}

// Poison is one row that a sink cannot take, now or ever.
type Poison struct {
	Offset uint64
	Reason string
}

// PartialError says which rows of a range a sink can never take. The cursor has not moved: without these rows the write can be
// done again. (Had the cursor moved, a crash at this moment would lose them uncounted.)
type PartialError struct {
	Range Range
	Rows  []Poison // in order of offsets
}

func (e *PartialError) Error() string {
	if len(e.Rows) == 0 {
		return fmt.Sprintf("sink: write %v: rows refused", e.Range)
	}
	return fmt.Sprintf("sink: write %v: %d rows refused, the first at %d: %s", e.Range, len(e.Rows), e.Rows[0].Offset, e.Rows[0].Reason)
}

// Retryable is false: the same rows are refused again.
func (e *PartialError) Retryable() bool { return false }

// CursorError says that the cursor a sink stores is not where the range begins.
type CursorError struct {
	Name   string // of the cursor
	Want   Cursor
	Have   Cursor // zero unless Found
	Found  bool
	Fenced bool // another process has taken the cursor over
}

func (e *CursorError) Error() string {
	switch {
	case e.Fenced:
		return fmt.Sprintf("sink: cursor %s: another process writes with it", e.Name)
	case !e.Found:
		return fmt.Sprintf("sink: cursor %s is gone", e.Name)
	}
	return fmt.Sprintf("sink: cursor %s is at %d of epoch %016x, not at %d of epoch %016x", e.Name, e.Have.Offset, e.Have.Epoch, e.Want.Offset, e.Want.Epoch)
}

// Retryable says whether starting from the stored cursor helps.
func (e *CursorError) Retryable() bool { return !e.Fenced }

// Retryable says whether doing the same again can succeed. An error that does not say is taken to be passing: giving rows up is
// for those that are proven to be at fault.
func Retryable(err error) bool {
	var r interface{ Retryable() bool }
	return err != nil && (!errors.As(err, &r) || r.Retryable())
}
