package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestOS(t *testing.T) {
	var o OS
	dir := filepath.Join(t.TempDir(), "a", "b")
	name := filepath.Join(dir, "file")
	if err := o.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	f, err := o.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("hello"), 3); err != nil {
		t.Error(err)
	}
	if err := errors.Join(f.Sync(), f.Truncate(7), o.SyncDir(dir)); err != nil {
		t.Error(err)
	}
	p := make([]byte, 10)
	if n, err := f.ReadAt(p, 0); n != 7 || !errors.Is(err, io.EOF) || string(p[:n]) != "\x00\x00\x00hell" {
		t.Errorf("read %q, %v", p[:n], err)
	}
	if n, err := f.Size(); n != 7 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(o.MkdirAll(filepath.Join(dir, "sub")), o.Rename(name, name+"2")); err != nil {
		t.Error(err)
	}
	if es, err := o.ReadDir(dir); err != nil || fmt.Sprint(es) != "[{file2 7}]" {
		t.Errorf("%v, %v", es, err)
	}
	if err := o.Remove(name + "2"); err != nil {
		t.Error(err)
	}
	if _, err := o.OpenFile(name, os.O_RDONLY); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestLockIsHeldOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	for range 2 {
		l, err := OS{}.Lock(name)
		if err != nil {
			t.Fatal(err)
		}
		var locked *LockedError
		if _, err := (OS{}).Lock(name); !errors.As(err, &locked) || locked.Name != name {
			t.Errorf("locked twice: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIsFull(t *testing.T) {
	for err, want := range map[error]bool{&fs.PathError{Err: syscall.ENOSPC}: true, syscall.EIO: false, nil: false} {
		if IsFull(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}
