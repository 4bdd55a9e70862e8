//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"millrace/internal/config"
)

// TestRealDiskFull has the gateway's data directory on a small file system of its own, FULL_DISK, and fills that with another program's
// file; .ci/full makes one. State, journal and dead letters all meet the full disk.
func TestRealDiskFull(t *testing.T) {
	mount := os.Getenv("FULL_DISK")
	if mount == "" {
		t.Skip("needs FULL_DISK, a small file system of its own: .ci/full disk makes one")
	}
	dir := t.TempDir()
	text := fmt.Sprintf("gateway: {name: test, data: %q, listen: 'off'}\njournal: {segment_bytes: 1MiB, max_bytes: 16MiB, max_age: 1s, flush_every: 5ms}\n", filepath.Join(mount, "data"))
	r := startRig(t, dir, text+wideDevice(startPLC(t).addr, dir), rigOptions{tweak: func(c *config.Config) {
		c.Journal.SegmentBytes, c.Journal.MaxBytes = 64<<10, 8<<20
	}})
	until(t, "values are delivered", func() bool { return r.sink("files").Delivered > 1000 })
	ballast := filepath.Join(mount, "ballast")
	t.Logf("%d MiB free", freeBytes(mount)>>20)
	for round := range 3 {
		var n int64
		until(t, "nothing more fits", func() bool { // again and again: the journal removes old segments meanwhile, and could live on the room of those
			n += fillUp(t, ballast)
			_, ok := r.alarm("disk")
			return ok
		})
		r.diskAlarm("full")
		free := freeBytes(mount)
		first, _ := r.journal.Bounds()
		until(t, "the oldest values make room", func() bool { now, _ := r.journal.Bounds(); return now > first })
		r.goesOn(50)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		r.diskWell()
		r.goesOn(20)
		t.Logf("round %d: %d KiB of ballast, %d bytes were free", round+1, n>>10, free)
	}
	r.settles(dir)
	if l := r.Ledger(); len(l.Values.Dropped) != 0 || len(l.Sinks[0].Dropped) != 0 {
		t.Errorf("dropped %v %v", l.Values.Dropped, l.Sinks[0].Dropped)
	}
}

// fillUp appends to the file until nothing more fits, and returns how many bytes did.
func fillUp(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var total int64
	for chunk := 1 << 20; chunk > 0; chunk /= 2 { // down to the last byte
		for {
			n, err := f.Write(make([]byte, chunk))
			total += int64(n)
			if errors.Is(err, syscall.ENOSPC) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return total
}
