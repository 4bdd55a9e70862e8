// Package file is the sink that writes values as JSON lines into files that rotate. Each line carries its epoch and offset: the
// last line of the newest file is the sink's cursor, so that a value is there exactly once, whatever broke a write off.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"millrace/internal/journal/vfs"
	"millrace/internal/sink"
	"millrace/internal/tag"
)

// Config says where the files are and when a new one begins.
type Config struct {
	Dir      string              // made when missing; one process at a time writes there. Required
	Names    func(tag.ID) string // the name of a tag, "" for one that is unknown. Required
	Prefix   string              // of file names; "" is values
	MaxBytes int64               // a file grows beyond it only by a single write that is larger; 0 is 64 MiB, else at least 4 KiB
	MaxAge   time.Duration       // a file older than that takes no more lines; 0 is 24 h, else at least 1 s
	MaxFiles int                 // the oldest files beyond it are deleted, the one being written included; 0 keeps all
	Gzip     bool                // compress files that take no more lines
	FS       vfs.FS              // nil is the machine's
	Now      func() time.Time    // nil is time.Now
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" || c.Names == nil {
		return c, errors.New("file sink: a directory and the tag names are required")
	}
	if c.Prefix == "" {
		c.Prefix = "values"
	}
	if filepath.Base(c.Prefix) != c.Prefix {
		return c, fmt.Errorf("file sink: prefix %q is not a part of a file name", c.Prefix)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.MaxAge == 0 {
		c.MaxAge = 24 * time.Hour
	}
	if c.MaxBytes < 4<<10 || c.MaxAge < time.Second || c.MaxFiles < 0 {
		return c, fmt.Errorf("file sink: max_bytes %d, max_age %v, max_files %d: must be at least 4096, 1s and 0", c.MaxBytes, c.MaxAge, c.MaxFiles)
	}
	if c.FS == nil {
		c.FS = vfs.OS{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// Error is a failure of the disk. Nothing of the write counts.
type Error struct {
	Op   string // open, write, sync, ...
	Path string
	Err  error
}

func (e *Error) Error() string   { return "file sink: " + e.Op + " " + e.Path + ": " + e.Err.Error() }
func (e *Error) Unwrap() error   { return e.Err }
func (e *Error) Retryable() bool { return true }

// Sink writes JSON lines. It is a sink.Sink; Stats may be called by any goroutine.
type Sink struct {
	cfg  Config
	enc  sink.Encoder
	buf  []byte
	lock io.Closer // nil until opened
	last sink.Cursor
	some bool // last is behind a line that is there

	f   vfs.File // the file being written, nil when the next write begins one
	cut bool     // f has bytes behind cur.size that must go before anything else is written
	cur entry
	seq uint64 // of the newest file

	mu    sync.Mutex
	stats Stats
}

// Stats is what a Sink did since it was made.
type Stats struct {
	File    string // being written, "" before the first write
	Size    int64
	Bytes   uint64 // written and synced
	Rotated uint64 // files begun
	Torn    int64  // bytes of broken lines cut off at start
	Warning string // why a full file could not be compressed or an old one not deleted; "" when all went well
}

// New returns a sink that has touched no disk yet.
func New(cfg Config) (*Sink, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Sink{cfg: cfg}, nil
}

// Stats returns the counts so far.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Cursor opens the directory, repairs a torn end and returns the position behind the last line.
func (s *Sink) Cursor(ctx context.Context) (sink.Cursor, bool, error) {
	if err := s.open(ctx); err != nil {
		return sink.Cursor{}, false, err
	}
	return s.last, s.some, nil
}

// Write appends the rows as lines and syncs them. Rows that are there already are left out.
func (s *Sink) Write(ctx context.Context, r sink.Range, rows []sink.Rows) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.encode(r, rows); err != nil || len(s.buf) == 0 {
		return err
	}
	if err := s.cutBack(); err != nil {
		return err
	}
	if err := s.rotate(); err != nil {
		return err
	}
	if err := s.append(); err != nil {
		return err
	}
	end := rows[len(rows)-1].Next()
	s.last, s.some = sink.Cursor{Epoch: r.Epoch, Offset: end}, true
	return nil
}

// encode fills s.buf with the lines of rows.
func (s *Sink) encode(r sink.Range, rows []sink.Rows) error {
	s.buf = s.buf[:0]
	var poison []sink.Poison
	for _, v := range rows {
		for i := v.First; i < v.End; i++ {
			off := v.Offset + uint64(i-v.First)
			if s.some && s.last.Epoch == r.Epoch && off < s.last.Offset {
				continue
			}
			name := s.cfg.Names(v.Batch.ID[i])
			if name == "" {
				poison = append(poison, sink.Poison{Offset: off, Reason: fmt.Sprintf("tag %d has no name", v.Batch.ID[i])})
				continue
			}
			s.buf = s.enc.AppendRow(s.buf, name, v.Batch, i, r.Epoch, off)
		}
	}
	if poison != nil {
		return &sink.PartialError{Range: r, Rows: poison}
	}
	return nil
}

// append writes s.buf behind the file's lines and syncs. When that fails the file is cut back: a line of a failed write that stayed
// would be there twice.
func (s *Sink) append() error {
	if _, err := s.f.WriteAt(s.buf, s.cur.size); err != nil {
		s.cut = true
		return errors.Join(s.failed("write", err), s.cutBack())
	}
	if err := s.f.Sync(); err != nil {
		// What a failed sync left on the disk is unknown, and a second sync may report success for pages that are gone: the
		// lines are cut off, and the next write begins a new file.
		s.cut = true
		err = errors.Join(s.failed("sync", err), s.cutBack())
		if !s.cut {
			s.f.Close()
			s.f = nil
		}
		return err
	}
	s.cur.size += int64(len(s.buf))
	s.mu.Lock()
	s.stats.Size = s.cur.size
	s.stats.Bytes += uint64(len(s.buf))
	s.mu.Unlock()
	return nil
}

// cutBack removes what a failed write left behind the file's last good line.
func (s *Sink) cutBack() error {
	if !s.cut {
		return nil
	}
	if err := s.f.Truncate(s.cur.size); err != nil {
		return s.failed("truncate", err)
	}
	s.cut = false
	return nil
}

func (s *Sink) failed(op string, err error) error {
	return &Error{Op: op, Path: filepath.Join(s.cfg.Dir, s.cur.name), Err: err}
}

// rotate makes sure that there is a file with room for s.buf.
func (s *Sink) rotate() error {
	now := s.cfg.Now()
	if s.f != nil {
		full := s.cur.size > 0 && s.cur.size+int64(len(s.buf)) > s.cfg.MaxBytes
		if !full && now.Sub(s.cur.born) < s.cfg.MaxAge {
			return nil
		}
		s.f.Close()
		s.f = nil
	}
	if err := s.begin(now); err != nil {
		return err
	}
	s.tidy()
	return nil
}

// Close closes the file. All lines are synced already.
func (s *Sink) Close(context.Context) error {
	var err error
	if s.f != nil {
		err = s.f.Close()
		s.f = nil
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	if err != nil {
		return s.failed("close", err)
	}
	return nil
}
