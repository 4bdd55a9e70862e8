package journal

// trim removes the oldest segments: while need bytes more would go beyond MaxBytes, and those that every cursor has passed and
// that are older than MaxAge.
func (w *writer) trim(need int64) {
	for w.liveBytes()+need > w.j.cfg.MaxBytes-2*w.j.cfg.SegmentBytes || w.oldestDelivered(true) {
		if !w.dropOldest() {
			return
		}
	}
}

func (w *writer) liveBytes() int64 {
	w.j.mu.Lock()
	defer w.j.mu.Unlock()
	var n int64
	for _, s := range w.j.segs {
		n += s.size
	}
	return n
}

// oldestDelivered says whether there is a segment that can go without loss: every cursor lies behind it, durably so, and if aged is
// set its newest record is older than MaxAge.
func (w *writer) oldestDelivered(aged bool) bool {
	j := w.j
	j.mu.Lock()
	defer j.mu.Unlock()
	if !w.mayDrop() {
		return false
	}
	s := j.segs[0]
	if aged && s.minRecv <= s.maxRecv && s.maxRecv > w.now.Add(-max(j.cfg.MaxAge, 0)).UnixNano() {
		return false
	}
	return j.cursors.passed(s.next)
}

// mayDrop says whether there is a segment beside the one written to. Journal.mu is held.
func (w *writer) mayDrop() bool { return len(w.j.segs) > 0 && w.j.segs[0] != w.seg }

// dropOldest takes the oldest segment out of the journal. Its file becomes the spare if there is none, else it is removed. It
// answers false when there is none but the one written to.
func (w *writer) dropOldest() bool {
	j := w.j
	j.mu.Lock()
	if !w.mayDrop() {
		j.mu.Unlock()
		return false
	}
	s := j.segs[0]
	j.segs = append(j.segs[:0:0], j.segs[1:]...)
	lost := j.cursors.trim(s, j.rowsLocked)
	j.wakeReaders()
	j.mu.Unlock()
	w.recycle(s)
	for _, l := range lost {
		j.cfg.OnTrimmed(l.name, l.rows)
	}
	return true
}

func (w *writer) recycle(s *segment) {
	name := segName(s.seq)
	if !w.blanks.spare && s.size == w.j.cfg.SegmentBytes {
		err := w.rename(name, spareName)
		if err == nil {
			w.blanks.spare = true
			return
		}
		w.j.noteError(err)
	}
	if err := w.j.cfg.FS.Remove(w.path(name)); err != nil {
		w.j.noteError(&FileError{Op: "remove", Name: name, Err: err})
	}
}
