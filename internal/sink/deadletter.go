package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"millrace/internal/journal/vfs"
	"millrace/internal/tag"
)

// deadLetters is the file of rows that a sink can never take: lines as Encoder writes them, each with the sink's id and the reason
// at its end. It is opened with the first such row.
type deadLetters struct {
	fs    vfs.FS
	dir   string
	id    string
	max   int64
	names func(tag.ID) string

	f    vfs.File
	size int64
	have map[Cursor]struct{} // the rows that the file holds: after a crash before the cursor moved they come again
	enc  Encoder
	buf  []byte
}

func (d *deadLetters) path() string { return filepath.Join(d.dir, "dead-letter", d.id+".jsonl") }

// add writes rows and syncs. Rows beyond the file's limit are left out.
func (d *deadLetters) add(epoch uint64, rows []poisoned) error {
	if err := d.open(); err != nil {
		return fmt.Errorf("sink %s: dead-letter file: %w", d.id, err)
	}
	d.buf = d.buf[:0]
	for _, p := range rows {
		if _, ok := d.have[Cursor{epoch, p.row.Offset}]; ok {
			continue
		}
		before := len(d.buf)
		d.buf = d.appendLine(d.buf, epoch, p)
		if d.size+int64(len(d.buf)) > d.max {
			d.buf = d.buf[:before]
			break
		}
	}
	if len(d.buf) == 0 {
		return nil
	}
	_, err := d.f.WriteAt(d.buf, d.size)
	if err == nil {
		err = d.f.Sync()
	}
	if err != nil { // what is on the disk is unknown: it is looked at when the file is opened again
		d.f.Close()
		d.f = nil
		return fmt.Errorf("sink %s: dead-letter file: %w", d.id, err)
	}
	d.size += int64(len(d.buf))
	for _, p := range rows {
		d.have[Cursor{epoch, p.row.Offset}] = struct{}{}
	}
	return nil
}

func (d *deadLetters) appendLine(dst []byte, epoch uint64, p poisoned) []byte {
	id := p.row.Batch.ID[p.row.First]
	name := d.names(id)
	if name == "" {
		name = "tag " + strconv.FormatUint(uint64(id), 10)
	}
	dst = d.enc.AppendRow(dst, name, p.row.Batch, p.row.First, epoch, p.row.Offset)
	dst = append(dst[:len(dst)-2], `,"sink":`...) // over }\n
	dst = appendText(dst, d.id)
	dst = append(dst, `,"reason":`...)
	dst = appendText(dst, p.reason)
	return append(dst, "}\n"...)
}

// open opens the file, cuts a torn line off and reads which rows it holds.
func (d *deadLetters) open() error {
	if d.f != nil {
		return nil
	}
	dir := filepath.Dir(d.path())
	if err := d.fs.MkdirAll(dir); err != nil {
		return err
	}
	f, err := d.fs.OpenFile(d.path(), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	d.have = map[Cursor]struct{}{}
	if d.size, err = d.read(f); err == nil {
		err = f.Truncate(d.size)
	}
	if err == nil {
		err = d.fs.SyncDir(dir)
	}
	if err != nil {
		f.Close()
		return err
	}
	d.f = f
	return nil
}

// read notes which rows the lines hold, and returns the end of the last whole line. A line that is none (a bad block, somebody's editor)
// costs itself: those behind it may be the only place where their rows are.
func (d *deadLetters) read(f vfs.File) (int64, error) {
	size, err := f.Size()
	if err != nil || size == 0 {
		return 0, err
	}
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); err != nil {
		return 0, err
	}
	var end int64
	for {
		i := bytes.IndexByte(p[end:], '\n')
		if i < 0 {
			return end, nil
		}
		var l struct {
			Epoch  string `json:"epoch"`
			Offset uint64 `json:"offset"`
		}
		line := p[end : end+int64(i)]
		end += int64(i) + 1
		if json.Unmarshal(line, &l) != nil {
			continue
		}
		if epoch, err := strconv.ParseUint(l.Epoch, 16, 64); err == nil {
			d.have[Cursor{epoch, l.Offset}] = struct{}{}
		}
	}
}

func (d *deadLetters) close() error {
	if d.f == nil {
		return nil
	}
	return d.f.Close()
}
