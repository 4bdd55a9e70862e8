package vfs

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// syncDir does nothing: NTFS logs names itself, and a directory handle cannot be flushed.
func syncDir(string) error { return nil }

const errorSharingViolation = syscall.Errno(32)

// lock opens name without sharing it, which holds every other opener off while the handle lives.
func lock(name string) (io.Closer, error) {
	p, err := syscall.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(p, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err == nil {
		return os.NewFile(uintptr(h), name), nil
	}
	if errors.Is(err, errorSharingViolation) {
		return nil, &LockedError{Name: name}
	}
	return nil, &os.PathError{Op: "lock", Path: name, Err: err}
}
