package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// OS is the file system of the machine.
type OS struct{}

func (OS) OpenFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o640)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (OS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }
func (OS) Remove(name string) error             { return os.Remove(name) }
func (OS) MkdirAll(dir string) error            { return os.MkdirAll(dir, 0o750) }
func (OS) SyncDir(dir string) error             { return syncDir(dir) }
func (OS) Lock(name string) (io.Closer, error)  { return lock(name) }

func (OS) ReadDir(dir string) ([]Entry, error) {
	des, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var es []Entry
	for _, de := range des {
		fi, err := de.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return nil, err
		}
		es = append(es, Entry{Name: de.Name(), Size: fi.Size()})
	}
	return es, nil
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return syncData(f.File) }

func (f osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
