//go:build !386 && !s390x && !race

package inflight

import (
	"syscall"
	"unsafe"
)

const rawCalls = true

// rawRead and rawWrite do not tell the scheduler: the sockets of package net never block. They are recvfrom and sendto because read and write of a
// socket go through the file layer first; the two machines left out above have no such calls of their own.

func rawRead(fd uintptr, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func rawWrite(fd uintptr, b []byte) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}
