package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// reloadSignals are the signals that ask for a reload: none here, the file watch does it.
func reloadSignals() []os.Signal { return []os.Signal{noSignal{}} }

// noSignal is a signal that never comes. An empty list would stand for all signals.
type noSignal struct{}

func (noSignal) String() string { return "none" }
func (noSignal) Signal()        {}

// freeBytes returns how much the user can still write to the file system of dir, -1 when that is unknown.
func freeBytes(dir string) int64 {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return -1
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return -1
	}
	return int64(free)
}

// descriptorLimit returns 0: there is no limit to speak of.
func descriptorLimit() uint64 { return 0 }
