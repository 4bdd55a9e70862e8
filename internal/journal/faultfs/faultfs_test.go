package faultfs

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"millrace/internal/journal/vfs"
)

const create = os.O_RDWR | os.O_CREATE

func file0(t *testing.T, f *FS, name string) vfs.File {
	t.Helper()
	h, err := f.OpenFile(name, create)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func content(f *FS, name string) string {
	if d := f.names[name]; d != nil {
		return string(d.data)
	}
	return "none"
}

// What is left of a file of which "old" was synced, with its name, and "new" was written over it.
func TestAfter(t *testing.T) {
	for _, c := range []struct {
		name    string
		do      func(*FS, vfs.File) error
		survive func(*Survivor)
		want    string
	}{
		{"nothing unsynced", func(*FS, vfs.File) error { return nil }, None, "new"},
		{"all", func(*FS, vfs.File) error { return nil }, All, "new"},
		{"unsynced, none kept", func(_ *FS, h vfs.File) error { return put(h, "unsynced") }, None, "new"},
		{"unsynced, all kept", func(_ *FS, h vfs.File) error { return put(h, "unsynced") }, All, "unsynced"},
		{"unsynced, torn", func(_ *FS, h vfs.File) error { return put(h, "unsynced") }, Torn(2), "unw"},
		{"a failed sync forgets", func(f *FS, h vfs.File) error {
			f.Fail(Sync, "a", syscall.EIO, 1)
			err := errors.Join(put(h, "unsynced"), expect(h.Sync(), syscall.EIO))
			return errors.Join(err, h.Sync()) // which says that all is well
		}, All, "new"},
		{"renamed, not durable", func(f *FS, _ vfs.File) error { return f.Rename("/d/a", "/d/b") }, None, "new"},
		{"renamed, durable", func(f *FS, _ vfs.File) error { return errors.Join(f.Rename("/d/a", "/d/b"), f.SyncDir("/d")) }, None, "none"},
		{"removed, not durable", func(f *FS, _ vfs.File) error { return f.Remove("/d/a") }, None, "new"},
		{"removed, kept", func(f *FS, _ vfs.File) error { return f.Remove("/d/a") }, All, "none"},
		{"truncated, not synced", func(_ *FS, h vfs.File) error { return h.Truncate(1) }, None, "new"},
		{"truncated", func(_ *FS, h vfs.File) error { return errors.Join(h.Truncate(1), h.Sync()) }, None, "n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := New()
			h := file0(t, f, "/d/a")
			if err := errors.Join(put(h, "new"), h.Sync(), f.SyncDir("/d"), c.do(f, h)); err != nil {
				t.Fatal(err)
			}
			if got := content(f.After(c.survive), "/d/a"); got != c.want {
				t.Errorf("left is %q, want %q", got, c.want)
			}
		})
	}
}

func put(h vfs.File, s string) error {
	_, err := h.WriteAt([]byte(s), 0)
	return err
}

func expect(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return errors.New("not the error expected")
}

func TestSomeKeepsWholeSectors(t *testing.T) {
	kept, lost := 0, 0
	for seed := range uint64(50) {
		f := New()
		h := file0(t, f, "/a")
		if err := errors.Join(put(h, string(make([]byte, 4*sector))), h.Sync(), f.SyncDir("/"), put(h, string(bytes.Repeat([]byte{1}, 4*sector)))); err != nil {
			t.Fatal(err)
		}
		got := content(f.After(Some(rand.New(rand.NewPCG(seed, 0)))), "/a")
		for i := 0; i < len(got); i += sector {
			switch n := bytes.Count([]byte(got[i:i+sector]), []byte{1}); n {
			case 0:
				lost++
			case sector:
				kept++
			default:
				t.Fatalf("seed %d: %d bytes of a sector", seed, n)
			}
		}
	}
	if kept == 0 || lost == 0 {
		t.Errorf("%d sectors kept, %d lost", kept, lost)
	}
}

func TestFaults(t *testing.T) {
	f := New()
	h := file0(t, f, "/a")
	f.FailAfter(1, Write, "a", syscall.EIO, 1)
	if err := errors.Join(put(h, "abcdef"), expect(put(h, "x"), syscall.EIO), put(h, "AB")); err != nil {
		t.Error("fail after one: ", err)
	}
	f.Tear("a", 1)
	if err := put(h, "zz"); !errors.Is(err, syscall.EIO) || content(f, "/a") != "zBcdef" {
		t.Errorf("torn: %v, %q", err, content(f, "/a"))
	}
	f.SetCapacity(8)
	if _, err := h.WriteAt([]byte("12345"), 5); !errors.Is(err, syscall.ENOSPC) || content(f, "/a") != "zBcde123" || f.Used() != 8 {
		t.Errorf("full: %v, %q", err, content(f, "/a"))
	}
	f.FlipBit("/a", 8)
	f.Break("/a", 6, 7)
	p := make([]byte, 6)
	if n, err := h.ReadAt(p, 0); n != 6 || err != nil || string(p) != "zCcde1" {
		t.Errorf("read %q, %v", p, err)
	}
	if _, err := h.ReadAt(p, 1); !errors.Is(err, syscall.EIO) {
		t.Errorf("broken block: %v", err)
	}
	if _, err := f.OpenFile("/none", os.O_RDWR); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	f.CutAt(2)
	if err := errors.Join(put(h, "1"), expect(put(h, "2"), ErrPowerCut), expect(h.Sync(), ErrPowerCut), expect(f.SyncDir("/"), ErrPowerCut)); err != nil {
		t.Error("power cut: ", err)
	}
	if _, err := h.ReadAt(p, 0); !errors.Is(err, ErrPowerCut) {
		t.Errorf("read without power: %v", err)
	}
}

func TestLock(t *testing.T) {
	f := New()
	l, err := f.Lock("/LOCK")
	if err != nil {
		t.Fatal(err)
	}
	var locked *vfs.LockedError
	if _, err := f.Lock("/LOCK"); !errors.As(err, &locked) {
		t.Errorf("locked twice: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Lock("/LOCK"); err != nil {
		t.Error(err)
	}
}
