package journal

import (
	"fmt"
	"net"
)

// ErrClosed is returned by everything that is called after Run has ended or Close was called. It unwraps to net.ErrClosed.
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "journal: closed" }
func (closedError) Unwrap() error { return net.ErrClosed }

// TrimmedError says that retention, or a full disk, removed records before this reader read them. The reader goes on behind them.
type TrimmedError struct {
	From, To Offset // the first row that is gone, and the first that is not
	Rows     uint64 // To-From less the offsets that never had a row
}

func (e *TrimmedError) Error() string {
	return fmt.Sprintf("journal: %d rows were removed before they were read: offsets %d to %d", e.Rows, e.From, e.To-1)
}

// DamagedError says that records cannot be read: their bytes on the disk are not what was written. The reader goes on behind them.
type DamagedError struct {
	From, To Offset // the first row that is gone, and the first that is not
	Rows     uint64 // To-From less the offsets that never had a row
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("journal: %d rows are damaged on the disk: offsets %d to %d", e.Rows, e.From, e.To-1)
}

// AheadError says that a reader begins behind the journal's end: its cursor is of rows that this journal no longer, or never, had.
// SkipTo puts the journal's end there, so that no offset is given twice.
type AheadError struct {
	From, Next Offset // where the reader stands, and the offset of the next row to be written
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("journal: cursor %d lies behind the end %d", e.From, e.Next)
}

// TooLargeError says that an encoded batch does not fit a segment.
type TooLargeError struct {
	Rows, Bytes, Max int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("journal: a batch of %d rows has %d bytes; at most %d fit", e.Rows, e.Bytes, e.Max)
}

// LostError says that a batch given to Append was given up before it was synced, because the disk refused until Run's end. The
// batch may be found after a restart all the same.
type LostError struct {
	Rows int
	Err  error // what the disk said last
}

func (e *LostError) Error() string {
	return fmt.Sprintf("journal: %d rows given up unsynced: %v", e.Rows, e.Err)
}
func (e *LostError) Unwrap() error { return e.Err }

// VersionError says that a directory was made by a newer program.
type VersionError struct {
	Dir       string
	Have, Max int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("journal: %s has format version %d; this program knows up to %d", e.Dir, e.Have, e.Max)
}

// FileError says which file of the journal could not be used, and what for.
type FileError struct {
	Op   string // create, write, sync, read, rename, ...
	Name string
	Err  error
}

func (e *FileError) Error() string { return "journal: " + e.Op + " " + e.Name + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }
