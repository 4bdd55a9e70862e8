package journal

import (
	"path/filepath"
	"time"

	"millrace/internal/journal/vfs"
)

// blanks are the segments made ahead: the spare, which is the next one written to, and the reserve, which is touched only when the
// disk is full. Both are files of zeros that were really written: on a file that was only allocated each sync would be two, the data
// and the file system's note that these blocks now hold something.
type blanks struct {
	spare, reserve bool      // there, and durable
	filling        vfs.File  // blankName, nil when none is being filled
	pos            int64     // bytes of it done
	zeros          []byte    // one chunk, while one is being filled
	hurry          bool      // a commit waits for it: it is synced once, at its end
	notBefore      time.Time // of the next chunk, unless in a hurry
}

const (
	blankName    = "blank" + tmpSuffix
	zeroChunk    = 512 << 10
	provisionGap = 20 * time.Millisecond // between two chunks, so that commits are not held up by more than one
	blankRetry   = 5 * time.Second
)

// provision writes one chunk of zeros if a blank is missing, and returns when it wants to go on, the zero time for never.
func (w *writer) provision(now time.Time) time.Time {
	b := &w.blanks
	if b.spare && b.reserve {
		return time.Time{}
	}
	if now.Before(b.notBefore) {
		return b.notBefore
	}
	b.notBefore = now.Add(provisionGap)
	if err := w.fill(w.missing()); err != nil {
		b.notBefore = now.Add(blankRetry)
		w.j.noteError(err)
	}
	return b.notBefore
}

func (w *writer) missing() string {
	if !w.blanks.reserve {
		return reserveName
	}
	return spareName
}

// fill writes the next chunk of a blank, and when it is whole gives it the name target.
func (w *writer) fill(target string) error {
	err := w.fillChunk(target)
	if err == nil {
		return nil
	}
	if b := &w.blanks; b.filling != nil {
		_ = b.filling.Close()
		b.filling, b.zeros = nil, nil
	}
	_ = w.j.cfg.FS.Remove(w.path(blankName)) // what it took is somebody's room
	if vfs.IsFull(err) {
		w.setFull(true)
	}
	return err
}

func (w *writer) fillChunk(target string) error {
	b := &w.blanks
	if b.filling == nil {
		f, err := openFile(w.j.cfg.FS, w.j.cfg.Dir, blankName, makeNew)
		if err != nil {
			return err
		}
		b.filling, b.pos, b.zeros = f, 0, make([]byte, min(zeroChunk, w.j.cfg.SegmentBytes))
	}
	n := min(int64(len(b.zeros)), w.j.cfg.SegmentBytes-b.pos)
	if _, err := b.filling.WriteAt(b.zeros[:n], b.pos); err != nil {
		return &FileError{Op: "fill", Name: blankName, Err: err}
	}
	b.pos += n
	whole := b.pos == w.j.cfg.SegmentBytes
	if whole || !b.hurry {
		if err := b.filling.Sync(); err != nil {
			return &FileError{Op: "sync", Name: blankName, Err: err}
		}
	}
	if !whole {
		return nil
	}
	err := b.filling.Close()
	b.filling, b.zeros = nil, nil
	if err != nil {
		return &FileError{Op: "close", Name: blankName, Err: err}
	}
	if err := w.rename(blankName, target); err != nil {
		return err
	}
	w.setBlank(target, true)
	w.setFull(false)
	return nil
}

func (w *writer) setBlank(name string, have bool) {
	switch name {
	case spareName:
		w.blanks.spare = have
	case reserveName:
		w.blanks.reserve = have
	}
}

func (w *writer) setFull(full bool) {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	w.j.stats.full = full
}

// acquire returns the file of a new segment, named and durable. It takes the first of these that can be had: the spare; a new file;
// on a full disk the oldest segment if it is delivered; the reserve; on a full disk the oldest segment.
func (w *writer) acquire() (vfs.File, error) {
	err := w.prepareSpare()
	full := vfs.IsFull(err)
	switch {
	case err == nil:
		return w.open(spareName)
	case full && w.oldestDelivered(false):
		w.dropOldest()
	case w.blanks.reserve:
		return w.open(reserveName)
	case full:
		w.dropOldest()
	}
	if w.blanks.spare {
		return w.open(spareName)
	}
	return nil, err
}

func (w *writer) prepareSpare() error {
	var err error
	w.blanks.hurry = true
	defer func() { w.blanks.hurry = false }()
	for !w.blanks.spare && err == nil {
		err = w.fill(spareName)
	}
	return err
}

// open turns a blank into the segment of the next sequence.
func (w *writer) open(blank string) (vfs.File, error) {
	w.seq++
	name := segName(w.seq)
	if err := w.j.cfg.FS.Rename(w.path(blank), w.path(name)); err != nil {
		return nil, &FileError{Op: "rename", Name: blank, Err: err}
	}
	w.setBlank(blank, false)
	err := w.syncDir()
	if err == nil {
		var f vfs.File
		if f, err = openFile(w.j.cfg.FS, w.j.cfg.Dir, name, readWrite); err == nil {
			return f, nil
		}
	}
	_ = w.j.cfg.FS.Remove(w.path(name)) // else it would be in nobody's account
	return nil, err
}

// rename renames durably.
func (w *writer) rename(from, to string) error {
	if err := w.j.cfg.FS.Rename(w.path(from), w.path(to)); err != nil {
		return &FileError{Op: "rename", Name: from, Err: err}
	}
	return w.syncDir()
}

func (w *writer) syncDir() error {
	if err := w.j.cfg.FS.SyncDir(w.j.cfg.Dir); err != nil {
		return &FileError{Op: "sync", Name: w.j.cfg.Dir, Err: err}
	}
	return nil
}

func (w *writer) path(name string) string { return filepath.Join(w.j.cfg.Dir, name) }
