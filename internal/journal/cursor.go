package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"millrace/internal/journal/vfs"
)

// cursors are the places up to which consumers are done, by name. Journal.mu guards them.
type cursors struct {
	by    map[string]*cursor
	moved bool // since the last save
	lost  bool // the file was there and could not be read: the cursors of before are unknown
}

type cursor struct {
	off     Offset
	durable Offset // what the disk has
	trimmed uint64 // rows removed before off passed them
}

// MaxCursorName is the longest name that a cursor may have, in bytes.
const MaxCursorName = 200

// Cursor returns the place of the cursor called name, the offset of the first row that is not delivered, and whether there is one.
// When the file of cursors was lost, every name has one until the next start: at the oldest record, so that what was not
// delivered is not passed over.
func (j *Journal) Cursor(name string) (Offset, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if c := j.cursors.by[name]; c != nil {
		return c.off, true
	}
	if j.cursors.lost {
		return j.firstLocked(), true
	}
	return 0, false
}

// SetCursor puts the cursor called name at off and makes it if need be. It is on the disk at most CursorEvery and a sync later, or when Close returns;
// a power cut in between puts it back, so that rows are delivered again, never passed over. Retention goes by what is on the disk.
func (j *Journal) SetCursor(name string, off Offset) error {
	if name == "" || len(name) > MaxCursorName {
		return fmt.Errorf("journal: a cursor's name has 1 to %d bytes, not %d", MaxCursorName, len(name))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.cursors.by[name]
	if c == nil {
		if len(j.cursors.by) >= maxCursors {
			return fmt.Errorf("journal: no room for cursor %q: there are %d; forget those of sinks that are gone", name, maxCursors)
		}
		c = &cursor{durable: min(off, j.firstLocked())}
		j.cursors.by[name] = c
	} else if c.off == off {
		return nil
	}
	c.off = off
	j.cursorsMoved()
	return nil
}

// Forget removes the cursor called name, so that retention no longer waits for it, and says whether there was one.
func (j *Journal) Forget(name string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cursors.by[name] == nil {
		return false
	}
	delete(j.cursors.by, name)
	j.cursorsMoved()
	return true
}

func (j *Journal) cursorsMoved() {
	if !j.cursors.moved {
		j.cursors.moved = true
		notify(j.queue.wake)
	}
}

// passed says whether every cursor is durably at off or behind it. When the cursors were lost nobody knows.
func (c *cursors) passed(off Offset) bool {
	if c.lost {
		return false
	}
	for _, k := range c.by {
		if min(k.off, k.durable) < off {
			return false
		}
	}
	return true
}

type trimmedRows struct {
	name string
	rows uint64
}

// trim counts what each cursor loses with s.
func (c *cursors) trim(s *segment, rows func(from, to Offset) uint64) []trimmedRows {
	var lost []trimmedRows
	for name, k := range c.by {
		if n := rows(max(k.off, s.first), s.next); n > 0 {
			k.trimmed += n
			lost = append(lost, trimmedRows{name, n})
		}
	}
	slices.SortFunc(lost, func(a, b trimmedRows) int { return strings.Compare(a.name, b.name) })
	return lost
}

// cursorFile is two slots of zeros made when the directory is, so that a full disk does not stop the cursors. A save goes to the
// slot that is older: torn, it leaves the other. A slot: magic(4) version(1) number of the save(8) epoch(8) count(4), for each cursor
// length of the name(1), name, offset(8); then the CRC32C of all that(4).
type cursorFile struct {
	f    vfs.File // nil when it has to be made anew
	save uint64   // the number of the last; its parity is the slot
	buf  []byte

	notBefore time.Time // of the next save
}

const (
	cursorName    = "cursors"
	cursorMagic   = "MJCU"
	cursorVersion = 1
	cursorSlot    = 64 << 10
	cursorHead    = 4 + 1 + 8 + 8 + 4
	maxCursors    = (cursorSlot - cursorHead - 4) / (1 + MaxCursorName + 8)
)

// saveCursors writes the cursors if they moved and the last save is CursorEvery ago, or at once when now is set. It returns when it
// wants to be called next, the zero time when nothing moved.
func (w *writer) saveCursors(now bool) time.Time {
	j := w.j
	j.mu.Lock()
	if !j.cursors.moved {
		j.mu.Unlock()
		return time.Time{}
	}
	if !now && w.now.Before(w.cursors.notBefore) {
		j.mu.Unlock()
		return w.cursors.notBefore
	}
	j.cursors.moved = false
	saved := map[string]Offset{}
	w.cursors.encode(j.epoch, j.cursors.by, saved)
	j.mu.Unlock()
	w.cursors.notBefore = w.now.Add(j.cfg.CursorEvery)
	if err := w.cursors.write(w); err != nil {
		w.cursors.notBefore = w.now.Add(max(tickEvery, j.cfg.CursorEvery))
		j.mu.Lock()
		j.cursors.moved = true
		j.mu.Unlock()
		j.noteError(err)
		return w.cursors.notBefore
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, off := range saved {
		if c := j.cursors.by[name]; c != nil {
			c.durable = off
		}
	}
	return time.Time{}
}

// encode fills buf with the next save and notes in saved what it holds.
func (c *cursorFile) encode(epoch uint64, by map[string]*cursor, saved map[string]Offset) {
	c.save++
	b := append(c.buf[:0], cursorMagic...)
	b = append(b, cursorVersion)
	b = binary.LittleEndian.AppendUint64(b, c.save)
	b = binary.LittleEndian.AppendUint64(b, epoch)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(by)))
	for name, k := range by {
		b = append(append(b, byte(len(name))), name...)
		b = binary.LittleEndian.AppendUint64(b, uint64(k.off))
		saved[name] = k.off
	}
	c.buf = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// write puts buf on the disk. A file whose sync failed is not used again; a new one takes its place.
func (c *cursorFile) write(w *writer) error {
	if c.f == nil {
		return c.create(w)
	}
	_, err := c.f.WriteAt(c.buf, int64(c.save%2)*cursorSlot)
	if err == nil {
		err = c.f.Sync()
	}
	if err != nil {
		_ = c.f.Close()
		c.f = nil
		return &FileError{Op: "save", Name: cursorName, Err: err}
	}
	return nil
}

// create makes the file anew beside the old one, holding buf, and puts it in its place.
func (c *cursorFile) create(w *writer) error {
	tmp := cursorName + tmpSuffix
	f, err := openFile(w.j.cfg.FS, w.j.cfg.Dir, tmp, makeNew)
	if err != nil {
		return err
	}
	p := make([]byte, 2*cursorSlot)
	copy(p[c.save%2*cursorSlot:], c.buf)
	if _, err = f.WriteAt(p, 0); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil { // closed, since Windows renames no file that is open
		err = w.rename(tmp, cursorName)
	}
	if err != nil {
		return &FileError{Op: "create", Name: cursorName, Err: err}
	}
	c.f, err = openFile(w.j.cfg.FS, w.j.cfg.Dir, cursorName, readWrite)
	return err
}

// parseSlot reads one slot.
func parseSlot(p []byte) (save, epoch uint64, by map[string]Offset, ok bool) {
	if len(p) < cursorHead+4 || string(p[:4]) != cursorMagic || p[4] != cursorVersion {
		return 0, 0, nil, false
	}
	save, epoch = binary.LittleEndian.Uint64(p[5:]), binary.LittleEndian.Uint64(p[13:])
	n := binary.LittleEndian.Uint32(p[21:])
	by = map[string]Offset{}
	at := cursorHead
	for range min(n, maxCursors) {
		end := at + 1 + int(p[min(at, len(p)-1)]) + 8
		if end+4 > len(p) {
			return 0, 0, nil, false
		}
		by[string(p[at+1:end-8])] = Offset(binary.LittleEndian.Uint64(p[end-8:]))
		at = end
	}
	ok = int(n) == len(by) && binary.LittleEndian.Uint32(p[at:]) == crc32.Checksum(p[:at], castagnoli)
	return save, epoch, by, ok
}

// readCursors reads the newest sound slot of f. It answers false when there is none.
func readCursors(f vfs.File, epoch uint64) (uint64, map[string]Offset, bool) {
	p := make([]byte, 2*cursorSlot)
	readAll(f, p, 0)
	var newest uint64
	var best map[string]Offset
	for _, slot := range [][]byte{p[:cursorSlot], p[cursorSlot:]} {
		save, e, by, ok := parseSlot(slot)
		if ok && e == epoch && save >= newest {
			newest, best = save, by
		}
	}
	return newest, best, best != nil
}

// settleCursors makes durable what was read: a process that was killed may have written it and not synced.
func (w *writer) settleCursors() error {
	err := w.cursors.f.Sync()
	if err == nil {
		return nil
	}
	w.j.noteError(&FileError{Op: "sync", Name: cursorName, Err: err})
	w.j.cursors.moved = true // into a new file
	for _, c := range w.j.cursors.by {
		c.durable = 0
	}
	err = w.cursors.f.Close()
	w.cursors.f = nil
	return err
}

// loadCursors opens the file of cursors, or makes it. Where there are segments it was made before them: then it is lost.
func (w *writer) loadCursors(exists, segments bool) error {
	c := &w.j.cursors
	c.by = map[string]*cursor{}
	if !exists && segments { // the file comes with the first cursor: an empty one would say at the next start that nothing was lost
		c.lost = true
		return nil
	}
	if !exists {
		w.cursors.encode(w.j.epoch, nil, nil)
		if err := w.cursors.create(w); err != nil { // it is tried again with the first cursor
			w.j.noteError(err)
		}
		return nil
	}
	f, err := openFile(w.j.cfg.FS, w.j.cfg.Dir, cursorName, readWrite)
	if err != nil {
		return err
	}
	save, by, ok := readCursors(f, w.j.epoch)
	if !ok {
		c.lost = true
		return f.Close()
	}
	w.cursors.f, w.cursors.save = f, save
	for name, off := range by {
		c.by[name] = &cursor{off: off, durable: off}
	}
	return w.settleCursors()
}
