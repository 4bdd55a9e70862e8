package audit

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"millrace/internal/journal/faultfs"
)

// sample is a closed log of several files, by name.
func sample(t *testing.T) map[string][]byte {
	t.Helper()
	fs := faultfs.New()
	l := open(t, fs)
	fill(t, l, 34)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	entries, err := fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if out[e.Name], err = readAll(fs, filepath.Join(dir, e.Name)); err != nil {
			t.Fatal(err)
		}
	}
	if len(out) < 4 {
		t.Fatalf("%d files", len(out))
	}
	return out
}

// lay puts files on a new file system.
func lay(t testing.TB, files map[string][]byte) *faultfs.FS {
	t.Helper()
	fs := faultfs.New()
	for name, b := range files {
		f, err := fs.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE)
		if err == nil {
			_, err = f.WriteAt(b, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// edited is files with one of them edited.
func edited(files map[string][]byte, name string, f func(b []byte) []byte) map[string][]byte {
	out := map[string][]byte{}
	for n, b := range files {
		out[n] = slices.Clone(b)
	}
	out[name] = f(out[name])
	return out
}

// Whichever byte is changed, in whichever way, it is found, and stays found when the log goes on.
func TestEveryByteFlippedIsFound(t *testing.T) {
	files := sample(t)
	for name, b := range files {
		for i := range b {
			flip := byte(1) << (i * 5 % 8)
			fs := lay(t, edited(files, name, func(b []byte) []byte { b[i] ^= flip; return b }))
			if r := check(t, fs); len(r.Found) == 0 {
				t.Fatalf("%s: byte %d with bit %x flipped is not found: %+v", name, i, flip, r)
			}
		}
	}
	for range 50 { // one of them all the way
		for name, b := range files {
			i := rand.IntN(len(b))
			if name == headName {
				continue // an open makes it anew
			}
			fs := lay(t, edited(files, name, func(b []byte) []byte { b[i] ^= 4; return b }))
			l, _, err := Open(Config{Dir: dir, FS: fs, FileBytes: 4 << 10})
			if err != nil {
				t.Fatal(err)
			}
			fill(t, l, 3)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if r := check(t, fs); len(r.Found) == 0 {
				t.Fatalf("%s: byte %d is not found once the log went on", name, i)
			}
		}
	}
}

// Records removed, moved, doubled, cut off, and files removed or swapped are found, and where it was is said.
func TestTamperingIsFound(t *testing.T) {
	files := sample(t)
	lines := func(b []byte) []string { return strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n") }
	first, last := fileName(1), fileName(uint64(len(files)-1))
	n := len(lines(files[first]))
	for i := range n {
		for what, edit := range map[string]func([]string) []string{
			"removed": func(s []string) []string { return slices.Delete(s, i, i+1) },
			"swapped": func(s []string) []string { s[i], s[(i+1)%n] = s[(i+1)%n], s[i]; return s },
			"doubled": func(s []string) []string { return slices.Insert(s, i, s[i]) },
		} {
			fs := lay(t, edited(files, first, func(b []byte) []byte {
				s := lines(b)
				s[len(s)-1] = strings.TrimSuffix(s[len(s)-1], "\n") + "\n"
				return []byte(strings.Join(edit(s), ""))
			}))
			r := check(t, fs)
			if len(r.Found) == 0 {
				t.Errorf("line %d of %d %s: not found", i+1, n, what)
			} else if f := r.Found[0]; f.Line > i+2 && i < n-1 {
				t.Errorf("line %d %s: found at %v", i+1, what, f)
			}
		}
	}
	for cut := range files[last] { // at every byte
		fs := lay(t, edited(files, last, func(b []byte) []byte { return b[:cut] }))
		if r := check(t, fs); len(r.Found) == 0 {
			t.Fatalf("cut off at byte %d: not found", cut)
		}
	}
	for name := range files {
		less := edited(files, name, func(b []byte) []byte { return b })
		delete(less, name)
		if r := check(t, lay(t, less)); len(r.Found) == 0 {
			t.Errorf("%s removed: not found", name)
		}
	}
	swapped := edited(files, first, func([]byte) []byte { return files[last] })
	swapped[last] = files[first]
	if r := check(t, lay(t, swapped)); len(r.Found) == 0 {
		t.Error("files swapped: not found")
	}
	if r := check(t, lay(t, files)); len(r.Found) > 0 {
		t.Errorf("untouched: %v", r.Found)
	}
}

// A file that somebody takes away or cuts off while the log is open takes no records with it that come behind, and is missed.
func TestFileTakenAway(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(fs *faultfs.FS) error
		left int // of the records
	}{
		"removed": {func(fs *faultfs.FS) error { return fs.Remove(dir + "/" + fileName(1)) }, 3},
		"cut off": {func(fs *faultfs.FS) error {
			f, err := fs.OpenFile(dir+"/"+fileName(1), os.O_RDWR)
			if err != nil {
				return err
			}
			return errors.Join(f.Truncate(0), f.Close())
		}, 3},
		"left alone": {func(*faultfs.FS) error { return nil }, 8},
	} {
		t.Run(name, func(t *testing.T) {
			fs := faultfs.New()
			l, _, err := Open(Config{Dir: dir, FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			fill(t, l, 5)
			if err := c.harm(fs); err != nil {
				t.Fatal(err)
			}
			acked := fill(t, l, 3)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			var have []uint64
			r, err := Verify(fs, dir, func(r Record) {
				if r.Stage != File {
					have = append(have, r.Seq)
				}
			})
			if err != nil || len(have) != c.left || !slices.Equal(have[len(have)-3:], acked) || (len(r.Found) > 0) != (c.left == 3) {
				t.Errorf("%v of %v, found %v, %v", have, acked, r.Found, err)
			}
		})
	}
}

// A file that is missing is all that is said to be wrong: those beside it are as they were.
func TestFileMissing(t *testing.T) {
	files := sample(t)
	if len(files) < 4 { // with the head
		t.Fatalf("%d files", len(files))
	}
	less := edited(files, headName, func(b []byte) []byte { return b })
	delete(less, fileName(2))
	r := check(t, lay(t, less))
	if len(r.Found) != 2 || !strings.Contains(r.Found[0].What, "the files between it and "+fileName(1)+" are missing") || !strings.Contains(r.Found[1].What, "are missing") || len(r.Notes) > 0 {
		t.Errorf("%v, noted %v", r.Found, r.Notes)
	}
}

// A directory without a log, or from which all of it was removed, does not pass for a log that is right; one that was just made is one.
func TestNoLog(t *testing.T) {
	fs := lay(t, nil)
	var none *NoLogError
	if _, err := Verify(fs, dir, nil); !errors.As(err, &none) || none.Dir != dir {
		t.Errorf("%v", err)
	}
	l, found, err := Open(Config{Dir: dir, FS: fs})
	if err != nil || len(found) > 0 {
		t.Fatalf("%v, %v", found, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(fs, dir, nil); err != nil || len(r.Found) > 0 {
		t.Errorf("%v, %v", r.Found, err)
	}
}

// A log that was made anew from some record on, with hashes that fit, is found by the head.
func TestLogWrittenAnew(t *testing.T) {
	files := sample(t)
	fs := faultfs.New()
	l := open(t, fs)
	fill(t, l, 34) // another one: its id differs
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	anew := map[string][]byte{headName: files[headName]}
	for n := uint64(1); n < uint64(len(files)); n++ {
		b, err := readAll(fs, filepath.Join(dir, fileName(n)))
		if err != nil {
			t.Fatal(err)
		}
		anew[fileName(n)] = b
	}
	r := check(t, lay(t, anew))
	if len(r.Found) == 0 || !strings.Contains(r.Found[0].What, "written anew") {
		t.Errorf("%+v", r)
	}
}
