//go:build !386 && !s390x && race

package listen

import (
	"errors"
	"syscall"
)

// Under the race detector the calls are those of package syscall, which tell it that a read comes after the write it reads.

func rawRead(fd uintptr, b []byte) (int, syscall.Errno) { return errnoOf(syscall.Read(int(fd), b)) }

func rawWrite(fd uintptr, b []byte) (int, syscall.Errno) { return errnoOf(syscall.Write(int(fd), b)) }

func errnoOf(n int, err error) (int, syscall.Errno) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return n, errno
	}
	return n, 0
}
