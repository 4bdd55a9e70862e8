//go:build unix && (!linux || 386 || s390x || race)

package inflight

import "syscall"

const rawCalls = true

// rawRead and rawWrite are package syscall's, which tell the race detector that a read comes after the write it reads.

func rawRead(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }

func rawWrite(fd uintptr, b []byte) int {
	n, _ := syscall.Write(int(fd), b)
	return n
}
