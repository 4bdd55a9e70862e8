package config

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatch plays changes of files against the looks of a watcher, in the bubble's time.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.csv")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(a, "one")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int64
		var files atomic.Pointer[[]File]
		load := func(paths ...string) { files.Store(new(found(paths...))) }
		load(a, b)
		done := make(chan struct{})
		go func() {
			defer close(done)
			Watch(ctx, time.Second, func() []File { return *files.Load() }, func() { calls.Add(1) })
		}()
		step := func(what string, want int64) {
			t.Helper()
			before := calls.Load()
			for range 3 {
				time.Sleep(time.Second) // the bubble's
				synctest.Wait()
			}
			if got := calls.Load() - before; got != want {
				t.Errorf("%s: %d calls, want %d", what, got, want)
			}
		}
		step("nothing happens", 0)
		write(a, "two")
		step("other content of the same length", 1)
		write(a, "two")
		step("the same content again", 0)
		if err := os.Chtimes(a, time.Time{}, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		step("another time only", 0)
		write(b, "new")
		step("a file that was missing", 1)
		os.Remove(b)
		step("a file that goes", 1)
		write(filepath.Join(dir, "next"), "three")
		if err := os.Rename(filepath.Join(dir, "next"), a); err != nil {
			t.Fatal(err)
		}
		step("a file put in place of another", 1)
		load(a)
		write(b, "back")
		step("a file that is no longer watched", 0)
		load(a, b)
		step("a file that is watched anew", 0)
		write(b, "later")
		load(a, b)
		write(b, "back")
		step("a change between Load and the next look, back to what the last look saw", 1)
		write(a, "four")
		load(a, b)
		step("a change that Load saw first", 0)
		cancel()
		<-done
	})
}

// found returns what Load would say of files.
func found(paths ...string) []File {
	var out []File
	for _, p := range paths {
		out = append(out, File{p, versionOf(p, version{}).sum})
	}
	return out
}

// TestWatchKnowsWhatWasLoaded changes files between Load and Watch.
func TestWatchKnowsWhatWasLoaded(t *testing.T) {
	path := writeFile(t, "g.yaml", "\xEF\xBB\xBF"+`{gateway: {name: "${file:name.txt}"}, devices: [{id: a, address: "modbus://h/1", groups: {g: {tags: {t: "coil:1"}}}}]}`)
	name := filepath.Join(filepath.Dir(path), "name.txt")
	if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		what string
		do   func() error
		want bool
	}{
		{"nothing", func() error { return nil }, false},
		{"a file that the configuration names", func() error { return os.WriteFile(name, []byte("after"), 0o600) }, true},
		{"the file itself", func() error { return os.WriteFile(path, []byte("{}"), 0o600) }, true},
		{"nothing, of a bad configuration", func() error { return nil }, false},
		{"a file that is gone", func() error { return os.Remove(path) }, true},
		{"nothing, of none", func() error { return nil }, false},
	} {
		c, _ := Load(path, drivers())
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		w := watcher{known: map[string]seen{}}
		first, second, third := w.look(c.Files), w.look(c.Files), w.look(c.Files)
		if first || second != change.want || third {
			t.Errorf("%s: %t, %t, %t", change.what, first, second, third)
		}
	}
}

// TestWatchWaitsForQuiet has a file grow at every look; the call comes when it has stopped.
func TestWatchWaitsForQuiet(t *testing.T) {
	path := writeFile(t, "a.yaml", "x")
	w, loaded := watcher{known: map[string]seen{}}, found(path)
	look := func() bool { return w.look(loaded) }
	if look() {
		t.Error("the first look is a change")
	}
	for i := range 5 {
		if err := os.WriteFile(path, []byte("growing"[:i+2]), 0o600); err != nil {
			t.Fatal(err)
		}
		if look() {
			t.Errorf("look %d called while the file was being written", i)
		}
	}
	if !look() {
		t.Error("no call after the last write")
	}
	if look() {
		t.Error("a second call for the same change")
	}
}
