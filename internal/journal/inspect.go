package journal

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"millrace/internal/journal/vfs"
	"millrace/internal/tag"
)

// Report is what Check or Stat found in a directory. Both only read, take no lock, and may look at a journal that is in use: then
// the last commits may be missing, and segments may vanish while they look.
type Report struct {
	Dir      string          `json:"dir"`
	Version  int             `json:"version"`
	Epoch    string          `json:"epoch"` // 16 hex digits, as text since it may exceed 2^53
	First    Offset          `json:"first"`
	Next     Offset          `json:"next"`
	Rows     uint64          `json:"rows"`    // sound; of Stat: by the offsets
	Records  uint64          `json:"records"` // sound; 0 of Stat
	Bytes    int64           `json:"bytes"`   // of the segment files
	Segments []SegmentReport `json:"segments"`
	Cursors  []CursorReport  `json:"cursors"`
	Damaged  uint64          `json:"damaged_rows"`
	Problems []string        `json:"problems"` // in words; empty when the journal is sound
}

// SegmentReport is one segment of a Report.
type SegmentReport struct {
	Name    string    `json:"name"`
	First   Offset    `json:"first"`
	Next    Offset    `json:"next"`
	Used    int64     `json:"used_bytes"`
	Size    int64     `json:"bytes"`
	Sealed  bool      `json:"sealed"`
	From    time.Time `json:"received_from,omitzero"`
	To      time.Time `json:"received_to,omitzero"`
	Rows    uint64    `json:"rows"`
	Records uint64    `json:"records"`
	Damaged []Hole    `json:"damaged"`
}

// CursorReport is one cursor of a Report, as it is on the disk.
type CursorReport struct {
	Name    string `json:"name"`
	Offset  Offset `json:"offset"`
	Waiting uint64 `json:"waiting"` // rows
}

// Stat sums a directory up by the ends of its segments, without reading what lies between them.
func Stat(ctx context.Context, fsys vfs.FS, dir string) (*Report, error) {
	return inspect(ctx, fsys, dir, false)
}

// Check reads every record of a directory and decodes it.
func Check(ctx context.Context, fsys vfs.FS, dir string) (*Report, error) {
	return inspect(ctx, fsys, dir, true)
}

// inspection is a pass over a directory.
type inspection struct {
	fs    vfs.FS
	dir   string
	deep  bool
	epoch uint64
	r     *Report
	skips []span
	w     walker
	b     tag.Batch
}

func inspect(ctx context.Context, fsys vfs.FS, dir string, deep bool) (*Report, error) {
	epoch, err := readVersion(fsys, dir)
	if err != nil {
		return nil, err
	}
	i := &inspection{fs: fsys, dir: dir, deep: deep, epoch: epoch}
	i.r = &Report{Dir: dir, Version: formatVersion, Epoch: fmt.Sprintf("%016x", epoch), Segments: []SegmentReport{}, Cursors: []CursorReport{}, Problems: []string{}}
	es, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, &FileError{Op: "read", Name: dir, Err: err}
	}
	for _, e := range es {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if seq, ok := parseSegName(e.Name); ok {
			i.segment(seq, e)
		}
	}
	i.cursors()
	return i.r, nil
}

func (i *inspection) problem(format string, args ...any) {
	i.r.Problems = append(i.r.Problems, fmt.Sprintf(format, args...))
}

func (i *inspection) segment(seq uint32, e vfs.Entry) {
	f, err := openFile(i.fs, i.dir, e.Name, readOnly)
	if err != nil {
		i.problem("%s: %v", e.Name, err)
		return
	}
	defer func() { _ = f.Close() }()
	s := newSegmentInfo(seq, 0, e.Size)
	i.w.reset(f, i.epoch, seq, e.Size)
	var v survey
	footed := s.parseFooter(&i.w)
	if i.deep || !footed {
		i.w.reset(f, i.epoch, seq, e.Size)
		v = s.read(&i.w, i.r.Next, len(i.r.Segments) > 0)
	}
	if i.deep {
		i.decode(f, s, e.Name)
	}
	i.add(s, e.Name, footed, v)
}

// decode decodes every record of s.
func (i *inspection) decode(f vfs.File, s *segment, name string) {
	i.w.reset(f, i.epoch, s.seq, s.end)
	for {
		p, ok := i.w.next()
		if !ok {
			return
		}
		if i.w.h.typ != frameData {
			continue
		}
		if err := i.b.DecodeFrom(p); err != nil || i.b.Len() != int(i.w.h.rows) {
			i.problem("%s: the record at offset %d does not decode", name, i.w.h.offset)
		}
	}
}

func (i *inspection) add(s *segment, name string, footed bool, v survey) {
	r := i.r
	if n := len(r.Segments); n > 0 && s.first != r.Next {
		i.gap(s, name)
	}
	g := SegmentReport{Name: name, First: s.first, Next: s.next, Used: s.end, Size: s.size, Sealed: footed, Rows: v.rows, Records: uint64(v.frames), Damaged: []Hole{}}
	if s.minRecv <= s.maxRecv {
		g.From, g.To = time.Unix(0, s.minRecv).UTC(), time.Unix(0, s.maxRecv).UTC()
	}
	if footed && !i.deep {
		g.Rows = uint64(s.next-s.first) - lengths(s.skips)
	}
	for _, h := range v.holes {
		g.Damaged = append(g.Damaged, Hole(h))
		i.problem("%s: offsets %d to %d are damaged", name, h.From, h.To-1)
	}
	if v.failed > 0 {
		i.problem("%s: the disk does not give %d bytes", name, v.failed)
	}
	if len(r.Segments) == 0 {
		r.First = s.first
	}
	r.Next = s.next
	r.Rows, r.Records, r.Bytes = r.Rows+g.Rows, r.Records+g.Records, r.Bytes+g.Size
	r.Damaged += lengths(v.holes)
	r.Segments = append(r.Segments, g)
	i.skips = append(i.skips, s.skips...)
}

// gap deals with a segment that does not begin where the one before it ended.
func (i *inspection) gap(s *segment, name string) {
	last := &i.r.Segments[len(i.r.Segments)-1]
	if s.first < last.Next { // a commit that failed there was written again here
		last.Next = s.first
		return
	}
	i.r.Damaged += uint64(s.first - last.Next)
	i.problem("%s begins at offset %d; %d to %d are in no segment", name, s.first, last.Next, s.first-1)
}

func lengths(spans []span) uint64 {
	var n uint64
	for _, k := range spans {
		n += uint64(k.To - k.From)
	}
	return n
}

func (i *inspection) cursors() {
	f, err := openFile(i.fs, i.dir, cursorName, readOnly)
	if err != nil {
		i.problem("the file of cursors: %v", err)
		return
	}
	defer func() { _ = f.Close() }()
	_, by, ok := readCursors(f, i.epoch)
	if !ok {
		i.problem("the file of cursors is damaged")
		return
	}
	for name, off := range by {
		i.r.Cursors = append(i.r.Cursors, CursorReport{Name: name, Offset: off, Waiting: rowsBetween(i.skips, off, i.r.Next)})
		if off > i.r.Next {
			i.problem("cursor %s at %d lies behind the end %d", name, off, i.r.Next)
		}
	}
	slices.SortFunc(i.r.Cursors, func(a, b CursorReport) int { return strings.Compare(a.Name, b.Name) })
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	p := &printer{w: w}
	p.printf("journal   %s\nepoch     %s, format version %d\n", r.Dir, r.Epoch, r.Version)
	p.printf("offsets   %d to %d, %d rows, %d damaged\nbytes     %d in %d segments\n", r.First, r.Next, r.Rows, r.Damaged, r.Bytes, len(r.Segments))
	for _, s := range r.Segments {
		p.printf("segment   %s  offsets %d to %d  %d of %d bytes", s.Name, s.First, s.Next, s.Used, s.Size)
		if !s.From.IsZero() {
			p.printf("  received %s to %s", s.From.Format(time.RFC3339), s.To.Format(time.RFC3339))
		}
		p.printf("\n")
	}
	for _, c := range r.Cursors {
		p.printf("cursor    %s at %d, %d rows wait\n", c.Name, c.Offset, c.Waiting)
	}
	for _, s := range r.Problems {
		p.printf("problem   %s\n", s)
	}
	return p.err
}

// printer prints until the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// Sound says whether Check found nothing wrong.
func (r *Report) Sound() bool { return len(r.Problems) == 0 }
