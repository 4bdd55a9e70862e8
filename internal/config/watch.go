package config

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"slices"
	"time"
)

// DefaultWatchEvery is how often Watch looks when it is not told.
const DefaultWatchEvery = 2 * time.Second

// Watch looks every so often (0 is DefaultWatchEvery) at the files that files returns, as Config.Files does, and calls changed when the
// content of one is another than Load found, or one came or went: a change between Load and Watch is one too. It calls only when all files
// were the same at two looks after another, so that a file that is just being written is left alone, and once for a content. A file that was
// touched and has the same content is not changed.
//
// It polls, since that works on every system and file system, and through links that are swapped. It blocks until ctx ends, and
// calls files and changed from its own goroutine.
func Watch(ctx context.Context, every time.Duration, files func() []File, changed func()) {
	if every <= 0 {
		every = DefaultWatchEvery
	}
	t := time.NewTicker(every)
	defer t.Stop()
	w := watcher{known: map[string]seen{}}
	for {
		if w.look(files()) {
			changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// version is how a file looked. The zero value is a file that is not there.
type version struct {
	size     int64
	modified time.Time
	sum      Digest
}

// seen is how a file looked at the last look, and what Load had found by then.
type seen struct {
	version
	loaded Digest
}

// watcher remembers how files looked.
type watcher struct {
	known   map[string]seen
	pending bool // something changed, and changed was not called for it
}

// look looks at files and says whether it is time to call changed.
func (w *watcher) look(files []File) bool {
	moved := false
	for path := range w.known {
		if !slices.ContainsFunc(files, func(f File) bool { return f.Path == path }) {
			delete(w.known, path)
		}
	}
	for _, f := range files {
		old, known := w.known[f.Path]
		now := versionOf(f.Path, old.version)
		was := old.sum
		if !known || f.Digest != old.loaded {
			was = f.Digest // Load looked later than this watcher did
		}
		w.known[f.Path] = seen{now, f.Digest}
		moved = moved || now.sum != was
	}
	ripe := w.pending && !moved
	w.pending = moved
	return ripe
}

// versionOf returns how the file looks. A file of the same size and time is not read again, unless it was written so lately
// that a second write need not have another time.
func versionOf(path string, old version) version {
	st, err := os.Stat(path)
	if err != nil || st.IsDir() {
		return version{}
	}
	p := version{size: st.Size(), modified: st.ModTime(), sum: old.sum}
	const coarse = 3 * time.Second // FAT counts in steps of 2 s
	if p.size == old.size && p.modified.Equal(old.modified) && time.Since(p.modified) > coarse {
		return p
	}
	f, err := os.Open(path)
	if err != nil {
		return version{}
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return version{}
	}
	h.Sum(p.sum[:0])
	return p
}
