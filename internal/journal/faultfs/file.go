package faultfs

import "io"

type file struct {
	f    *FS
	d    *node
	name string
}

func (h *file) ReadAt(p []byte, at int64) (int, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.f.off {
		return 0, ErrPowerCut
	}
	if t := h.f.hit(Read, h.name); t != nil {
		return 0, pathError("read", h.name, t.err)
	}
	if at >= int64(len(h.d.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.d.data[at:])
	for _, b := range h.d.broken {
		if b.from < at+int64(n) && b.to > at {
			return 0, pathError("read", h.name, errIO)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *file) WriteAt(p []byte, at int64) (int, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if err := h.f.step(); err != nil {
		return 0, err
	}
	var err error
	if t := h.f.hit(Write, h.name); t != nil {
		p, err = p[:min(t.keep, len(p))], pathError("write", h.name, t.err)
	}
	if room := h.f.room(h.d, at); int64(len(p)) > room {
		p, err = p[:room], pathError("write", h.name, errFull)
	}
	h.d.put(write{at: at, p: append([]byte(nil), p...)})
	if h.f.off {
		return 0, ErrPowerCut
	}
	return len(p), err
}

// room returns how many bytes may be written at at.
func (f *FS) room(d *node, at int64) int64 {
	if f.capacity == 0 {
		return 1 << 62
	}
	return max(0, int64(len(d.data))-at+max(0, f.capacity-f.used()))
}

func (h *file) Sync() error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if err := h.f.step(); err != nil {
		return err
	}
	if h.f.off {
		return ErrPowerCut
	}
	t := h.f.hit(Sync, h.name)
	if t != nil {
		h.d.dirty = nil
		return pathError("sync", h.name, t.err)
	}
	for _, w := range h.d.dirty {
		h.d.disk = w.apply(h.d.disk)
	}
	h.d.dirty = nil
	return nil
}

func (h *file) Size() (int64, error) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	return int64(len(h.d.data)), h.f.now()
}

func (h *file) Truncate(size int64) error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if err := h.f.step(); err != nil {
		return err
	}
	h.d.put(write{at: size, trunc: true})
	return h.f.now()
}

func (h *file) Close() error { return nil }

func (d *node) put(w write) {
	d.data = w.apply(d.data)
	d.dirty = append(d.dirty, w)
}

func (w write) apply(p []byte) []byte {
	end := w.at + int64(len(w.p))
	if w.trunc {
		p = p[:min(end, int64(len(p)))]
	}
	if n := end - int64(len(p)); n > 0 {
		p = append(p, make([]byte, n)...)
	}
	copy(p[w.at:], w.p)
	return p
}
