package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"millrace/internal/journal/vfs"
)

// Query chooses records. What is zero chooses all.
type Query struct {
	Tag, Who, End string
	Write         uint64
	From, To      time.Time // To is not included
	Before        uint64    // only records of smaller numbers
	Limit         int       // most records of a Page: default 100

	most int64 // bytes of files to look at; 0 is maxRead
}

// Takes says whether q chooses r. Records that are of no write it never does.
func (q *Query) Takes(r *Record) bool {
	switch {
	case r.Stage == File,
		q.Tag != "" && r.Tag != q.Tag,
		q.Who != "" && r.Who != q.Who,
		q.End != "" && r.End != q.End,
		q.Write != 0 && r.Write != q.Write,
		!q.From.IsZero() && r.Time.Before(q.From),
		!q.To.IsZero() && !r.Time.Before(q.To),
		q.Before != 0 && r.Seq >= q.Before:
		return false
	}
	return true
}

// Page is the records that a Query chooses, the newest first.
type Page struct {
	Records []Record `json:"records"`
	Next    uint64   `json:"next,omitempty"` // Before of the page with those that are older; 0 when there are none
}

// maxRead is how many bytes of files one page looks at, if none of them is larger: what is seldom is found in several pages.
const maxRead = 64 << 20

// ReadPage returns the newest records that q chooses of the log in dir, which may be open. It does not verify them, and leaves out lines that are no records: Verify tells of those.
func ReadPage(ctx context.Context, fs vfs.FS, dir string, q Query) (Page, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	if q.most == 0 {
		q.most = maxRead
	}
	p := Page{Records: []Record{}}
	numbers, err := list(fs, dir)
	if err != nil {
		return p, err
	}
	read := int64(0)
	for _, n := range slices.Backward(numbers) {
		r, size, err := q.file(ctx, fs, filepath.Join(dir, fileName(n)), &p)
		switch {
		case err != nil:
			return p, err
		case len(p.Records) == q.Limit:
			p.Next = p.Records[q.Limit-1].Seq
			return p, nil
		case r.Begin != nil && (!q.From.IsZero() && r.Time.Before(q.From) || q.Write != 0 && r.Seq < q.Write):
			return p, nil // what is older is too old
		}
		if read += size; read >= q.most && r.Seq > 1 && n != numbers[0] {
			p.Next = r.Seq
			return p, nil
		}
	}
	return p, nil
}

// file adds what q chooses of one file to p, and returns the record that it begins with and how many bytes it has.
func (q *Query) file(ctx context.Context, fs vfs.FS, name string, p *Page) (first Record, size int64, err error) {
	if first, err = firstRecord(fs, name); err != nil || first.Begin != nil && q.Before != 0 && first.Seq >= q.Before {
		return first, 0, err
	}
	f, err := fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return first, 0, err
	}
	defer f.Close()
	if size, err = f.Size(); err != nil {
		return first, 0, err
	}
	newest, err := q.newest(ctx, io.NewSectionReader(f, 0, size), q.Limit-len(p.Records))
	slices.Reverse(newest)
	p.Records = append(p.Records, newest...)
	return first, size, err
}

// newest returns the last n records of a file that q chooses, the oldest first.
func (q *Query) newest(ctx context.Context, file io.Reader, n int) (out []Record, err error) {
	lines := bufio.NewReaderSize(file, maxLine)
	for k := 0; ; k++ {
		text, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return out[max(0, len(out)-n):], nil // what has no end yet is being written
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case k%1024 == 0 && ctx.Err() != nil:
			return nil, ctx.Err()
		}
		var r Record
		if l, err := split(text); err != nil || json.Unmarshal(l.body, &r) != nil || !q.Takes(&r) {
			continue
		}
		if out = append(out, r); len(out) >= 2*n {
			out = slices.Delete(out, 0, len(out)-n)
		}
	}
}
