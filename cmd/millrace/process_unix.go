//go:build unix

package main

import (
	"os"
	"syscall"
)

// reloadSignals are the signals that ask for a reload.
func reloadSignals() []os.Signal { return []os.Signal{syscall.SIGHUP} }

// freeBytes returns how much a normal user can still write to the file system of dir, -1 when that is unknown.
func freeBytes(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize)
}

// descriptorLimit returns how many files and sockets the process may have open, 0 when there is no limit to speak of.
func descriptorLimit() uint64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	return uint64(r.Cur)
}
