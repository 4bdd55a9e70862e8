package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"millrace/internal/journal/vfs"
)

// Recovery is what Open found.
type Recovery struct {
	Segments int    // that were read through, for lack of a footer
	Holes    []Hole // damaged records found there; damage in sealed segments shows when they are read
	// Torn is set when the last commit did not end with its mark: it was being written when the power went, or its end is damaged.
	// The offsets that it can have used are not given again.
	Torn bool
	// CursorsAhead is set when a cursor lay behind the end: records that were on the disk are no longer.
	CursorsAhead bool
	// EpochFromSegments is set when the VERSION file was unreadable and the epoch was taken from the records.
	EpochFromSegments bool
}

// Hole is a range of offsets whose records are damaged.
type Hole struct{ From, To Offset }

const (
	versionName   = "VERSION"
	lockName      = "LOCK"
	formatVersion = 1
	versionFormat = "millrace-journal %d %016x"
)

// Open opens the journal in c.Dir and makes it if need be. Records damaged by a power cut or by the disk do not stop it. It fails
// when another process has the directory, when a newer program made it, or when the disk does not let it in.
func Open(c Config) (*Journal, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := c.FS.MkdirAll(c.Dir); err != nil {
		return nil, &FileError{Op: "create", Name: c.Dir, Err: err}
	}
	lock, err := c.FS.Lock(filepath.Join(c.Dir, lockName))
	if err != nil {
		return nil, &FileError{Op: "lock", Name: c.Dir, Err: err}
	}
	j := &Journal{cfg: c, lock: lock}
	j.queue = queue{max: c.QueueBytes, soon: min(soonBytes, c.QueueBytes/4), wake: make(chan struct{}, 1)}
	j.w = &writer{j: j, now: time.Now()}
	if err := j.w.recover(); err != nil {
		return nil, errors.Join(err, j.w.close(), lock.Close())
	}
	return j, nil
}

// Close saves the cursors and lets the directory go. Run has returned, or was never called. Readers fail from now on.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.running && !j.stopped {
		j.mu.Unlock()
		return fmt.Errorf("journal: close: Run has not returned")
	}
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.wakeReaders()
	j.mu.Unlock()
	err := j.w.finish()
	return errors.Join(err, j.w.close(), j.lock.Close())
}

func (w *writer) close() error {
	var errs []error
	for _, f := range []vfs.File{w.f, w.cursors.f, w.blanks.filling} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// recover reads the directory and leaves the writer ready.
func (w *writer) recover() error {
	j := w.j
	es, err := j.cfg.FS.ReadDir(j.cfg.Dir)
	if err != nil {
		return &FileError{Op: "read", Name: j.cfg.Dir, Err: err}
	}
	files := map[string]int64{}
	var names []string
	for _, e := range es {
		files[e.Name] = e.Size
		if _, ok := parseSegName(e.Name); ok {
			names = append(names, e.Name)
		}
	}
	slices.Sort(names)
	if err := w.identify(files, names); err != nil {
		return err
	}
	w.findBlanks(files)
	_, haveCursors := files[cursorName]
	if err := w.loadCursors(haveCursors, len(names) > 0); err != nil {
		return err
	}
	return w.load(names, files)
}

// identify learns the epoch from VERSION, or makes one.
func (w *writer) identify(files map[string]int64, names []string) error {
	_, have := files[versionName]
	if have {
		epoch, err := readVersion(w.j.cfg.FS, w.j.cfg.Dir)
		if err == nil {
			w.j.epoch = epoch
			return nil
		}
		var newer *VersionError
		if errors.As(err, &newer) {
			return err
		}
	}
	var b [8]byte
	rand.Read(b[:]) // never fails
	w.j.epoch = binary.LittleEndian.Uint64(b[:])
	if epoch, ok := epochOf(w.j.cfg.FS, w.j.cfg.Dir, names); ok {
		w.j.epoch, w.j.recovery.EpochFromSegments = epoch, true
	}
	return w.writeVersion()
}

func versionLine(epoch uint64) string {
	s := fmt.Sprintf(versionFormat, formatVersion, epoch)
	return fmt.Sprintf("%s %08x\n", s, crc32.Checksum([]byte(s), castagnoli))
}

var errNoVersion = errors.New("it is damaged")

// readVersion returns the epoch of a directory.
func readVersion(fsys vfs.FS, dir string) (uint64, error) {
	f, err := openFile(fsys, dir, versionName, readOnly)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	p := make([]byte, 256)
	n, _ := f.ReadAt(p, 0)
	var version int
	var epoch uint64
	if _, err := fmt.Sscanf(string(p[:n]), versionFormat, &version, &epoch); err != nil {
		return 0, &FileError{Op: "read", Name: versionName, Err: errNoVersion}
	}
	if version > formatVersion {
		return 0, &VersionError{Dir: dir, Have: version, Max: formatVersion}
	}
	if string(p[:n]) != versionLine(epoch) {
		return 0, &FileError{Op: "read", Name: versionName, Err: errNoVersion}
	}
	return epoch, nil
}

func (w *writer) writeVersion() error {
	tmp := versionName + tmpSuffix
	f, err := openFile(w.j.cfg.FS, w.j.cfg.Dir, tmp, makeNew)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(versionLine(w.j.epoch)), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return &FileError{Op: "write", Name: tmp, Err: err}
	}
	return w.rename(tmp, versionName)
}

// epochOf returns the epoch of the newest segment that begins with a sound frame.
func epochOf(fsys vfs.FS, dir string, names []string) (uint64, bool) {
	for _, name := range slices.Backward(names) {
		f, err := openFile(fsys, dir, name, readOnly)
		if err != nil {
			continue
		}
		p := make([]byte, frameHeader)
		readAll(f, p, 0)
		_ = f.Close()
		var h header
		if seq, _ := parseSegName(name); h.parse(p) && h.seq == seq {
			return h.epoch, true
		}
	}
	return 0, false
}

// findBlanks takes over the spare and the reserve if they are whole, and removes what was being made.
func (w *writer) findBlanks(files map[string]int64) {
	for name, size := range files {
		switch {
		case filepath.Ext(name) == tmpSuffix:
		case name != spareName && name != reserveName:
			continue
		case size == w.j.cfg.SegmentBytes:
			w.setBlank(name, true)
			continue
		}
		if err := w.j.cfg.FS.Remove(w.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.j.noteError(&FileError{Op: "remove", Name: name, Err: err})
		}
	}
}

// load reads what the segments hold and begins the last one anew where it ends.
func (w *writer) load(names []string, files map[string]int64) error {
	j := w.j
	var last survey
	for i, name := range names {
		seq, _ := parseSegName(name)
		s := newSegmentInfo(seq, 0, files[name])
		v, err := w.inspect(s, i == len(names)-1)
		if err != nil {
			return err
		}
		last = v
		j.segs = append(j.segs, s)
		w.seq, w.next = seq, s.next
	}
	clampOverlaps(j.segs)
	for _, s := range j.segs {
		j.skips = append(j.skips, s.skips...)
	}
	j.next = w.next
	w.decideEnd(last)
	if w.skipTo > w.next {
		if err := w.commit(); err != nil { // it is tried again with the first batch
			w.failing(err)
		}
	}
	return nil
}

// inspect fills s from its footer or by reading it, and opens it for writing if it is the last.
func (w *writer) inspect(s *segment, last bool) (survey, error) {
	f, err := openFile(w.j.cfg.FS, w.j.cfg.Dir, segName(s.seq), readWrite)
	if err != nil {
		return survey{}, err
	}
	var v survey
	var wk walker
	wk.reset(f, w.j.epoch, s.seq, s.size)
	if s.parseFooter(&wk) {
		return v, f.Close()
	}
	v = s.read(&wk, w.next, len(w.j.segs) > 0)
	w.note(&v)
	// What a process wrote before it was killed may not be on the disk yet, nor the name it gave the segment. Both count from now on.
	err = f.Sync()
	if err != nil {
		err = &FileError{Op: "sync", Name: segName(s.seq), Err: err}
	} else {
		err = w.syncDir()
	}
	if err != nil {
		w.j.noteError(err)
	}
	if err != nil || !last {
		s.sealed = true
		return v, f.Close()
	}
	w.seg, w.f, w.pos = s, f, s.end
	return v, nil
}

func (w *writer) note(v *survey) {
	r := &w.j.recovery
	r.Segments++
	for _, h := range v.holes {
		r.Holes = append(r.Holes, Hole(h))
	}
}

// clampOverlaps lets each segment end where the next begins. A segment whose sync failed may hold frames that were written again.
func clampOverlaps(segs []*segment) {
	for i := range len(segs) - 1 {
		a, b := segs[i], segs[i+1]
		if a.next > b.first {
			a.next = max(a.first, b.first)
		}
	}
}

// decideEnd makes sure that no offset is given twice. Where the end frame is missing, records may have stood behind the last sound
// one: as many rows as the segment has bytes left, since a row has at least one. Cursors may know of more.
func (w *writer) decideEnd(v survey) {
	r := &w.j.recovery
	if w.seg != nil && !v.endSeen {
		r.Torn = true
		w.skipTo = w.next + Offset(w.seg.size-w.seg.end)
	}
	for _, c := range w.j.cursors.by {
		if c.off > max(w.next, w.skipTo) {
			w.skipTo, r.CursorsAhead = c.off, true
		}
	}
}
