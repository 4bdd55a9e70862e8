package journal

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"millrace/internal/journal/vfs"
	"millrace/internal/tag"
)

// DumpOptions says what Dump writes.
type DumpOptions struct {
	From, To    Offset    // rows from From to To-1; To 0 is to the end
	Since       time.Time // only records received at or after it; zero is all
	Max         int       // most rows; 0 is all
	JSON        bool      // one object a row and line, else columns
	BigAsString bool      // 64-bit integers of JSON as strings
	// Name and Device give the name of a tag and of a device; nil, or "", prints the number.
	Name   func(tag.ID) string
	Device func(uint32) string
}

// Dump writes the rows of a directory, oldest first, a line each. Like Check it only reads. Damaged records are passed over.
func Dump(ctx context.Context, fsys vfs.FS, dir string, o DumpOptions, w io.Writer) error {
	epoch, err := readVersion(fsys, dir)
	if err != nil {
		return err
	}
	es, err := fsys.ReadDir(dir)
	if err != nil {
		return &FileError{Op: "read", Name: dir, Err: err}
	}
	d := &dump{o: o, out: bufio.NewWriterSize(w, 64<<10), left: o.Max}
	for _, e := range es {
		seq, ok := parseSegName(e.Name)
		if !ok {
			continue
		}
		f, err := openFile(fsys, dir, e.Name, readOnly)
		if err != nil {
			continue // removed in the meantime
		}
		d.w.reset(f, epoch, seq, e.Size-footerBytes)
		more, err := d.segment(ctx)
		_ = f.Close()
		if err != nil || !more {
			return firstError(err, d.out.Flush())
		}
	}
	return d.out.Flush()
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

type dump struct {
	o    DumpOptions
	out  *bufio.Writer
	w    walker
	b    tag.Batch
	next Offset // rows before it were written
	left int    // of Max
	line []byte
}

// segment writes the rows of one segment, and says whether there may be more to write.
func (d *dump) segment(ctx context.Context) (bool, error) {
	for ctx.Err() == nil {
		p, ok := d.w.next()
		if !ok {
			return true, nil
		}
		h := d.w.h
		if h.typ != frameData || h.offset < d.next || h.next() <= d.o.From || d.b.DecodeFrom(p) != nil {
			continue
		}
		if !d.o.Since.IsZero() && d.b.Received < d.o.Since.UnixNano() {
			continue
		}
		d.next = h.next()
		if more, err := d.record(h.offset); err != nil || !more {
			return false, err
		}
	}
	return false, ctx.Err()
}

func (d *dump) record(off Offset) (bool, error) {
	for i := range d.b.Len() {
		at := off + Offset(i)
		if at < d.o.From {
			continue
		}
		if d.o.To > 0 && at >= d.o.To {
			return false, nil
		}
		d.line = d.line[:0]
		if d.o.JSON {
			d.appendJSON(at, i)
		} else {
			d.appendText(at, i)
		}
		if _, err := d.out.Write(append(d.line, '\n')); err != nil {
			return false, err
		}
		if d.left--; d.left == 0 {
			return false, nil
		}
	}
	return true, nil
}

func (d *dump) name(id tag.ID) string {
	if d.o.Name != nil {
		if s := d.o.Name(id); s != "" {
			return s
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

func (d *dump) device(n uint32) string {
	if d.o.Device != nil {
		if s := d.o.Device(n); s != "" {
			return s
		}
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (d *dump) appendText(at Offset, i int) {
	b := &d.b
	d.line = strconv.AppendUint(d.line, uint64(at), 10)
	for _, s := range []string{stamp(b.TS[i]), d.device(b.Device), d.name(b.ID[i]), b.Kind[i].String(), b.Value(i).String(), b.Quality[i].String()} {
		if strings.ContainsFunc(s, unicode.IsControl) {
			s = strconv.Quote(s)
		}
		d.line = append(append(d.line, '\t'), s...)
	}
}

func (d *dump) appendJSON(at Offset, i int) {
	b := &d.b
	d.line = append(d.line, `{"offset":`...)
	d.line = strconv.AppendUint(d.line, uint64(at), 10)
	for _, f := range []struct{ key, text string }{
		{"device", d.device(b.Device)}, {"tag", d.name(b.ID[i])}, {"time", stamp(b.TS[i])}, {"received", stamp(b.Received)},
		{"type", b.Kind[i].String()}, {"quality", b.Quality[i].String()},
	} {
		d.line = append(append(append(d.line, `,"`...), f.key...), `":`...)
		d.line = appendQuoted(d.line, f.text)
	}
	d.line = append(d.line, `,"value":`...)
	d.line = b.Value(i).AppendJSON(d.line, tag.JSONOptions{BigAsString: d.o.BigAsString})
	d.line = append(d.line, '}')
}

func appendQuoted(dst []byte, s string) []byte {
	q, _ := json.Marshal(s) // a string always marshals
	return append(dst, q...)
}

func stamp(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
