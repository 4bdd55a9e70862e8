// Package vfs is the file system as the journal uses it: a seam, so that a full disk, a torn write or a power cut is one line
// in a test (see package faultfs).
package vfs

import "io"

// FS is a file system. Names are paths as package os takes them. Safe for concurrent use.
type FS interface {
	// OpenFile opens name with the os.O_ flags. A new file has mode 0o640.
	OpenFile(name string, flag int) (File, error)
	// Rename gives a file a new name and replaces what had it. It survives a power cut only after SyncDir.
	Rename(oldName, newName string) error
	Remove(name string) error
	// ReadDir returns the files of dir, sorted by name.
	ReadDir(dir string) ([]Entry, error)
	MkdirAll(dir string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes the lock file name, which is made if need be, for this process until the Closer is closed. A *LockedError when another has it.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt and WriteAt may be called by several goroutines at once.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the file's bytes and its size durable, though not its times.
	Sync() error
	Size() (int64, error)
	Truncate(size int64) error
}

// Entry is a file of a directory.
type Entry struct {
	Name string
	Size int64
}

// LockedError says that another process holds a lock file.
type LockedError struct{ Name string }

func (e *LockedError) Error() string { return e.Name + " is held by another process" }
