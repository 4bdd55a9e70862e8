//go:build !386 && !s390x && !race

package listen

import (
	"syscall"
	"unsafe"
)

// rawRead and rawWrite do not tell the scheduler: the sockets of package net never block. They are recvfrom and sendto because read and
// write of a socket go through the file layer first; the two machines left out above have no such calls of their own.

func rawRead(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	return int(n), errno
}

func rawWrite(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}
