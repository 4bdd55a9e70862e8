// Package faultfs is a file system in memory that fails as disks do: full, refusing, torn in the middle of a write, forgetting what
// was not synced, flipping bits. Each fault is one line in a test.
package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"millrace/internal/journal/vfs"
)

// Op is a kind of call.
type Op uint8

// The calls that can be made to fail. All but Read and Open change the disk and are counted as steps; an Open does when it makes or
// empties the file.
const (
	Open Op = iota
	Read
	Write
	Sync
	Rename
	Remove
	SyncDir
)

// ErrPowerCut is what every call gives after the power was cut.
var ErrPowerCut = errors.New("faultfs: the power is off")

// FS implements vfs.FS. Make it by New. Safe for concurrent use.
type FS struct {
	mu       sync.Mutex
	names    map[string]*node
	durable  map[string]*node // the names that survive a power cut
	changes  []func(map[string]*node)
	locked   map[string]bool
	capacity int64 // bytes; 0 no limit
	steps    int
	cutAt    int // the step at which the power goes; 0 never
	off      bool
	faults   []*fault
}

type node struct {
	data   []byte // as programs see it
	disk   []byte // as it is after a power cut
	dirty  []write
	broken []extent
}

type write struct {
	at    int64
	p     []byte
	trunc bool // the size becomes at
}

type extent struct{ from, to int64 }

type fault struct {
	op    Op
	match string
	err   error
	skip  int
	times int
	keep  int // of a Write: the bytes that are written all the same
}

// New returns an empty file system without faults.
func New() *FS {
	return &FS{names: map[string]*node{}, durable: map[string]*node{}, locked: map[string]bool{}}
}

// Fail lets the next times calls of op on files whose path contains match fail with err; times < 0 is all. A Sync that fails has
// forgotten what it should have made durable, as on Linux, though programs still see it.
func (f *FS) Fail(op Op, match string, err error, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &fault{op: op, match: match, err: err, times: times})
}

// FailAfter is Fail that lets the first skip calls through.
func (f *FS) FailAfter(skip int, op Op, match string, err error, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &fault{op: op, match: match, err: err, times: times, skip: skip})
}

// Tear lets the next write to a file whose path contains match write its first n bytes only, and fail with EIO.
func (f *FS) Tear(match string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &fault{op: Write, match: match, err: syscall.EIO, times: 1, keep: n})
}

// Heal ends all faults but a power cut.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// SetCapacity lets all files together have n bytes at most; a write that needs more gives ENOSPC. 0 is no limit.
func (f *FS) SetCapacity(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capacity = n
}

// Used returns the bytes of all files.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used()
}

func (f *FS) used() int64 {
	var n int64
	for _, d := range f.names {
		n += int64(len(d.data))
	}
	return n
}

// FlipBit inverts one bit of a file, counted from its beginning.
func (f *FS) FlipBit(name string, bit int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.names[filepath.Clean(name)]
	for _, p := range [][]byte{d.data, d.disk} {
		if bit/8 < int64(len(p)) {
			p[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// Break lets reads of the bytes from from to to-1 of a file fail with EIO.
func (f *FS) Break(name string, from, to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.names[filepath.Clean(name)]
	d.broken = append(d.broken, extent{from, to})
}

// Size returns the bytes of a file, -1 when there is none.
func (f *FS) Size(name string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.names[filepath.Clean(name)]; d != nil {
		return int64(len(d.data))
	}
	return -1
}

// Steps returns how many calls changed the disk.
func (f *FS) Steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps
}

// CutAt cuts the power at the n-th step from now on (1 is the next): that call and all after it give ErrPowerCut.
func (f *FS) CutAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cutAt = f.steps + n
}

// Kill is the death of the process without a power cut: locks are free again, faults and the cut are gone, what was written is seen,
// and what was not synced is not durable yet.
func (f *FS) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.cutAt, f.off = nil, 0, false
	clear(f.locked)
}

// step counts a call that changes the disk. Mutex held.
func (f *FS) step() error {
	if f.off {
		return ErrPowerCut
	}
	f.steps++
	if f.steps == f.cutAt {
		f.off = true
	}
	return nil
}

// now returns the error of a step that the power did not outlive.
func (f *FS) now() error {
	if f.off {
		return ErrPowerCut
	}
	return nil
}

// hit returns the fault for a call, nil when there is none. Mutex held.
func (f *FS) hit(op Op, name string) *fault {
	for _, t := range f.faults {
		if t.op != op || t.times == 0 || !strings.Contains(name, t.match) {
			continue
		}
		if t.skip > 0 {
			t.skip--
			continue
		}
		t.times--
		return t
	}
	return nil
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// OpenFile implements vfs.FS.
func (f *FS) OpenFile(name string, flag int) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = filepath.Clean(name)
	if f.off {
		return nil, ErrPowerCut
	}
	if t := f.hit(Open, name); t != nil {
		return nil, pathError("open", name, t.err)
	}
	d := f.names[name]
	if d == nil && flag&os.O_CREATE == 0 {
		return nil, pathError("open", name, fs.ErrNotExist)
	}
	if d == nil {
		if err := f.step(); err != nil {
			return nil, err
		}
		d = &node{}
		f.rename(func(m map[string]*node) { m[name] = d })
	}
	if flag&os.O_TRUNC != 0 && len(d.data) > 0 {
		if err := f.step(); err != nil {
			return nil, err
		}
		d.put(write{trunc: true})
	}
	return &file{f: f, d: d, name: name}, f.now()
}

// rename changes the names, durably so after the next SyncDir.
func (f *FS) rename(change func(map[string]*node)) {
	change(f.names)
	f.changes = append(f.changes, change)
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldName, newName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldName, newName = filepath.Clean(oldName), filepath.Clean(newName)
	if t := f.hit(Rename, oldName); t != nil {
		return pathError("rename", oldName, t.err)
	}
	d := f.names[oldName]
	if d == nil {
		return pathError("rename", oldName, fs.ErrNotExist)
	}
	if err := f.step(); err != nil {
		return err
	}
	f.rename(func(m map[string]*node) {
		m[newName] = d
		delete(m, oldName)
	})
	return f.now()
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = filepath.Clean(name)
	if t := f.hit(Remove, name); t != nil {
		return pathError("remove", name, t.err)
	}
	if f.names[name] == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if err := f.step(); err != nil {
		return err
	}
	f.rename(func(m map[string]*node) { delete(m, name) })
	return f.now()
}

// ReadDir implements vfs.FS.
func (f *FS) ReadDir(dir string) ([]vfs.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return nil, ErrPowerCut
	}
	var es []vfs.Entry
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		if filepath.Dir(name) == filepath.Clean(dir) {
			es = append(es, vfs.Entry{Name: filepath.Base(name), Size: int64(len(f.names[name].data))})
		}
	}
	return es, nil
}

// MkdirAll implements vfs.FS. Directories are there when they are named.
func (f *FS) MkdirAll(string) error { return nil }

// SyncDir implements vfs.FS. It makes the names of all directories durable.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.hit(SyncDir, dir); t != nil {
		return pathError("sync", dir, t.err)
	}
	if err := f.step(); err != nil {
		return err
	}
	if f.off {
		return ErrPowerCut
	}
	for _, c := range f.changes {
		c(f.durable)
	}
	f.changes = nil
	return nil
}

// Lock implements vfs.FS. A power cut frees all locks.
func (f *FS) Lock(name string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked[name] {
		return nil, &vfs.LockedError{Name: name}
	}
	f.locked[name] = true
	return lock{f, name}, nil
}

type lock struct {
	f    *FS
	name string
}

func (l lock) Close() error {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	delete(l.f.locked, l.name)
	return nil
}
