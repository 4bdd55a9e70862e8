package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"millrace/internal/journal/vfs"
)

const (
	headName  = "head"
	headSlot  = 512 // a sector: it is written as a whole or not at all
	headSlots = 2   // written in turn, so that one is right whatever happens
)

// head says how far the log goes. It is written when a commit is synced, and synced itself a moment later: so it never says more than the log has.
type head struct {
	seq   uint64
	hash  hash
	file  uint64
	bytes int64 // of that file
}

// slot is the text of h, its length that of a slot.
func (h head) slot() []byte {
	text := fmt.Sprintf("seq %d hash %s file %d bytes %d", h.seq, h.hash, h.file, h.bytes)
	sum := sha256.Sum256([]byte(text))
	return fmt.Appendf(nil, "%-*s%x\n", headSlot-1-len(sum), text, sum[:len(sum)/2])
}

// parseSlot reads a slot, and refuses what slot would write otherwise.
func parseSlot(b []byte) (head, bool) {
	var h head
	var sum string
	if n, err := fmt.Sscanf(string(b), "seq %d hash %s file %d bytes %d", &h.seq, &sum, &h.file, &h.bytes); n != 4 || err != nil {
		return h, false
	}
	var ok bool
	if h.hash, ok = parseHash(sum); !ok {
		return h, false
	}
	return h, string(h.slot()) == string(b)
}

var errNoHead = errors.New("audit: the head is missing")

// readHead returns what the head of dir says, and how many of its slots are damaged.
func readHead(fs vfs.FS, dir string) (h head, bad int, err error) {
	f, err := fs.OpenFile(filepath.Join(dir, headName), os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return h, 0, errNoHead
	}
	if err != nil {
		return h, 0, err
	}
	defer f.Close()
	b := make([]byte, headSlot*headSlots+1)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, 0, err
	}
	if n < headSlot {
		return h, 0, errNoHead // it was being made, or is as good as gone
	}
	for i := range headSlots {
		s, ok := head{}, false
		if n >= (i+1)*headSlot {
			s, ok = parseSlot(b[i*headSlot : (i+1)*headSlot])
		}
		switch {
		case !ok:
			bad++
		case s.seq >= h.seq:
			h = s
		}
	}
	if n == headSlot && bad == 1 && h.seq == 0 {
		bad = 0 // it was being made
	}
	if n > headSlot*headSlots {
		bad++
	}
	return h, bad, nil
}

// headFile is the head while the log is open.
type headFile struct {
	f     vfs.File
	slot  int
	dirty bool
}

// openHead opens the head of dir and makes both slots say h, durably.
func openHead(fs vfs.FS, dir string, h head) (*headFile, error) {
	f, err := fs.OpenFile(filepath.Join(dir, headName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	hf := &headFile{f: f}
	for range headSlots { // one after the other: whenever the power goes, one of them is right
		if err := errors.Join(hf.put(h), hf.sync()); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return hf, errors.Join(f.Truncate(headSlot*headSlots), fs.SyncDir(dir))
}

func (f *headFile) put(h head) error {
	_, err := f.f.WriteAt(h.slot(), int64(f.slot*headSlot))
	f.slot = (f.slot + 1) % headSlots
	f.dirty = true
	return err
}

func (f *headFile) sync() error {
	if !f.dirty {
		return nil
	}
	f.dirty = false
	return f.f.Sync()
}
