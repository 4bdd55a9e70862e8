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
// content of one is another than before, or one came or went. It calls only when all files were the same at two looks after
// another, so that a file that is just being written is left alone. A file that was touched and has the same content is not changed.
//
// It polls, since that works on every system and file system, and through links that are swapped. It blocks until ctx ends, and
// calls files and changed from its own goroutine. Files that a new list adds are taken as they are.
func Watch(ctx context.Context, every time.Duration, files func() []string, changed func()) {
	if every <= 0 {
		every = DefaultWatchEvery
	}
	t := time.NewTicker(every)
	defer t.Stop()
	w := watcher{known: map[string]version{}}
	w.look(files())
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if w.look(files()) {
				changed()
			}
		}
	}
}

// version is how a file looked. The zero value is a file that is not there.
type version struct {
	size     int64
	modified time.Time
	sum      [sha256.Size]byte
}

// watcher remembers how files looked.
type watcher struct {
	known   map[string]version
	pending bool // something changed, and changed was not called for it
}

// look looks at paths and says whether it is time to call changed.
func (w *watcher) look(paths []string) bool {
	moved := false
	for path := range w.known {
		if !slices.Contains(paths, path) {
			delete(w.known, path)
		}
	}
	for _, path := range paths {
		old, seen := w.known[path]
		now := versionOf(path, old)
		w.known[path] = now
		moved = moved || seen && now.sum != old.sum
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
