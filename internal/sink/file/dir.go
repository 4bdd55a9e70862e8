package file

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"millrace/internal/sink"
)

// The names of files sort in the order in which they were written:
//
//	PREFIX-0000000042-20260301T100000Z.jsonl     the number counts up; the time is when the file was begun
//	PREFIX-0000000042-20260301T100000Z.jsonl.gz  compressed
//	PREFIX-0000000042-20260301T100000Z.jsonl.tmp being compressed; removed at start
//	PREFIX.lock                                  held by the process that writes here
const (
	ext        = ".jsonl"
	extGzip    = ".jsonl.gz"
	extTemp    = ".jsonl.tmp"
	timeFormat = "20060102T150405Z"

	// window is how much of the newest file is checked at start. Only the last write can be torn, and one is far smaller.
	window = 32 << 20
)

// entry is one of the sink's files.
type entry struct {
	name string
	ext  string
	seq  uint64
	born time.Time
	size int64
}

func (s *Sink) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// parseName reads an entry out of a file's name, and says whether it is one of the sink's.
func (s *Sink) parseName(name string) (entry, bool) {
	rest, ok := strings.CutPrefix(name, s.cfg.Prefix+"-")
	if !ok {
		return entry{}, false
	}
	number, rest, _ := strings.Cut(rest, "-")
	stamp, _, _ := strings.Cut(rest, ".")
	e := entry{name: name, ext: rest[len(stamp):]}
	var err error
	if e.seq, err = strconv.ParseUint(number, 10, 64); err != nil || len(number) < 10 {
		return entry{}, false
	}
	if e.born, err = time.Parse(timeFormat, stamp); err != nil {
		return entry{}, false
	}
	return e, e.ext == ext || e.ext == extGzip || e.ext == extTemp
}

// entries returns the sink's files, oldest first. Leftovers of a compression that was broken off are removed.
func (s *Sink) entries() ([]entry, error) {
	found, err := s.cfg.FS.ReadDir(s.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var es []entry
	packed := map[uint64]bool{}
	for _, f := range found {
		e, ok := s.parseName(f.Name)
		if !ok {
			continue
		}
		if e.ext == extTemp {
			if err := s.cfg.FS.Remove(s.path(e.name)); err != nil {
				return nil, err
			}
			continue
		}
		e.size = f.Size
		packed[e.seq] = packed[e.seq] || e.ext == extGzip
		es = append(es, e)
	}
	kept := es[:0]
	for _, e := range es {
		if e.ext == ext && packed[e.seq] { // the compressed file got its name after it was synced, so it is whole
			if err := s.cfg.FS.Remove(s.path(e.name)); err != nil {
				return nil, err
			}
			continue
		}
		kept = append(kept, e)
	}
	sort.Slice(kept, func(i, k int) bool { return kept[i].seq < kept[k].seq })
	return kept, nil
}

// open takes the directory, finds the last line, and goes on with the newest file when that is not compressed.
func (s *Sink) open(ctx context.Context) error {
	if err := ctx.Err(); err != nil || s.lock != nil {
		return err
	}
	if err := s.cfg.FS.MkdirAll(s.cfg.Dir); err != nil {
		return &Error{Op: "make directory", Path: s.cfg.Dir, Err: err}
	}
	name := s.path(s.cfg.Prefix + ".lock")
	lock, err := s.cfg.FS.Lock(name)
	if err != nil {
		return &Error{Op: "lock", Path: name, Err: err}
	}
	if err := s.find(); err != nil {
		if s.f != nil {
			s.f.Close()
		}
		s.f, s.some = nil, false
		return errors.Join(&Error{Op: "open", Path: s.cfg.Dir, Err: err}, lock.Close())
	}
	s.lock = lock
	return nil
}

func (s *Sink) find() error {
	es, err := s.entries()
	if err != nil {
		return err
	}
	for i := len(es) - 1; i >= 0 && !s.some; i-- {
		newest := i == len(es)-1
		if newest {
			s.seq = es[i].seq
		}
		switch {
		case es[i].ext == extGzip:
			err = s.lastOfGzip(es[i])
		case newest:
			err = s.resume(es[i])
		default:
			err = s.lastOfPlain(es[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resume opens the newest file, cuts a torn end off and goes on writing behind it.
func (s *Sink) resume(e entry) error {
	f, err := s.cfg.FS.OpenFile(s.path(e.name), os.O_RDWR)
	if err != nil {
		return err
	}
	end, err := s.scan(f, e.size)
	if err == nil && end < e.size {
		err = f.Truncate(end)
	}
	if err == nil { // lines of a process that was killed before its sync count as delivered from now on
		err = errors.Join(f.Sync(), s.cfg.FS.SyncDir(s.cfg.Dir))
	}
	if err != nil {
		f.Close()
		return err
	}
	s.mu.Lock()
	s.stats.File, s.stats.Size, s.stats.Torn = e.name, end, e.size-end
	s.mu.Unlock()
	e.size = end
	s.f, s.cur = f, e
	return nil
}

func (s *Sink) lastOfPlain(e entry) error {
	f, err := s.cfg.FS.OpenFile(s.path(e.name), os.O_RDONLY)
	if err != nil {
		return err
	}
	_, err = s.scan(f, e.size)
	return errors.Join(err, f.Close())
}

// scan checks the lines in the last part of a file of that size, remembers the last good one and returns the end of it. Everything
// behind the first bad line counts as bad: the disk may have kept a later page of a torn write and not an earlier one.
func (s *Sink) scan(f io.ReaderAt, size int64) (int64, error) {
	start := max(0, size-window)
	r := bufio.NewReaderSize(io.NewSectionReader(f, start, size-start), 1<<20)
	end := start
	if start > 0 {
		part, err := r.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		end += int64(len(part))
	}
	for {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		c, ok := parseLine(line)
		if err != nil || !ok || s.some && c.Epoch == s.last.Epoch && c.Offset < s.last.Offset {
			return end, nil
		}
		end += int64(len(line))
		s.last, s.some = sink.Cursor{Epoch: c.Epoch, Offset: c.Offset + 1}, true
	}
}

// parseLine returns the epoch and offset of a line, and whether it is one.
func parseLine(line []byte) (sink.Cursor, bool) {
	if !bytes.HasPrefix(line, []byte(`{"tag":"`)) || !bytes.HasSuffix(line, []byte("}\n")) {
		return sink.Cursor{}, false
	}
	const mark = `,"epoch":"`
	at := bytes.LastIndex(line, []byte(mark))
	if at < 0 || !json.Valid(line) {
		return sink.Cursor{}, false
	}
	epoch, rest, _ := strings.Cut(string(line[at+len(mark):len(line)-2]), `","offset":`)
	e, err := strconv.ParseUint(epoch, 16, 64)
	if err != nil || len(epoch) != 16 {
		return sink.Cursor{}, false
	}
	o, err := strconv.ParseUint(rest, 10, 64)
	return sink.Cursor{Epoch: e, Offset: o}, err == nil
}

// lastOfGzip reads a compressed file to find its last line.
func (s *Sink) lastOfGzip(e entry) error {
	f, err := s.cfg.FS.OpenFile(s.path(e.name), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(io.NewSectionReader(f, 0, e.size))
	if err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	r := bufio.NewReaderSize(z, 1<<20)
	var last []byte
	for {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if err != nil {
			break
		}
		last = line
	}
	if c, ok := parseLine(last); ok {
		s.last, s.some = sink.Cursor{Epoch: c.Epoch, Offset: c.Offset + 1}, true
	}
	return nil
}

// begin makes a new file and its name durable.
func (s *Sink) begin(now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	e := entry{seq: s.seq + 1, born: now, ext: ext}
	e.name = fmt.Sprintf("%s-%010d-%s%s", s.cfg.Prefix, e.seq, now.Format(timeFormat), ext)
	f, err := s.cfg.FS.OpenFile(s.path(e.name), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err == nil {
		if err = s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return &Error{Op: "create", Path: s.path(e.name), Err: err}
	}
	s.f, s.cur, s.seq = f, e, e.seq
	s.mu.Lock()
	s.stats.File, s.stats.Size = e.name, 0
	s.stats.Rotated++
	s.mu.Unlock()
	return nil
}

// tidy compresses full files and deletes the oldest. It failing costs space, not values: it is done again with the next file.
func (s *Sink) tidy() {
	err := s.tidyFiles()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Warning = ""
	if err != nil {
		s.stats.Warning = err.Error()
	}
}

func (s *Sink) tidyFiles() error {
	es, err := s.entries()
	if err != nil {
		return err
	}
	for s.cfg.MaxFiles > 0 && len(es) > s.cfg.MaxFiles {
		if err := s.cfg.FS.Remove(s.path(es[0].name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		es = es[1:]
	}
	for _, e := range es {
		if s.cfg.Gzip && e.ext == ext && e.seq != s.cur.seq {
			if err := s.compress(e); err != nil {
				return fmt.Errorf("compress %s: %w", e.name, err)
			}
		}
	}
	return nil
}

// compress writes a file's compressed twin under another name, syncs it, gives it its name, and then removes the file.
func (s *Sink) compress(e entry) error {
	base := s.path(strings.TrimSuffix(e.name, ext))
	in, err := s.cfg.FS.OpenFile(base+ext, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.cfg.FS.OpenFile(base+extTemp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(io.NewOffsetWriter(out, 0), gzip.BestSpeed) // a level that exists
	_, err = io.Copy(z, io.NewSectionReader(in, 0, e.size))
	if err = errors.Join(err, z.Close()); err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, s.cfg.FS.Remove(base+extTemp))
	}
	if err := s.cfg.FS.Rename(base+extTemp, base+extGzip); err != nil {
		return err
	}
	if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
		return err
	}
	return s.cfg.FS.Remove(base + ext)
}
