// Package lib hands things to its callers that they have to release.
package lib

import (
	"context"
	"os"
	"time"
)

// Limited is a wrapper: its cancel function is its caller's.
func Limited(ctx context.Context) (context.Context, context.CancelFunc) { // want Limited:"acquires 1:"
	return context.WithTimeout(ctx, time.Minute)
}

// Session has a Close that has to be called.
type Session struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func Open(ctx context.Context) (*Session, error) { // want Open:`acquires 0:Close\|Stop`
	s := &Session{}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if s.ctx.Err() != nil {
		s.cancel()
		return nil, s.ctx.Err()
	}
	return s, nil
}

func (s *Session) Close() { s.Stop() }

func (s *Session) Stop() { s.cancel() }

func (s *Session) Name() string { return "session" }

// Twice is what a wrapper of a wrapper looks like.
func Twice(ctx context.Context) (context.Context, func()) { // want Twice:"acquires 1:"
	child, cancel := Limited(ctx)
	return child, func() { cancel() }
}

// Size only looks at its file.
func Size(f *os.File) int64 { // want Size:`borrows \[0\]`
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}

// Keep keeps it.
func Keep(f *os.File) { kept = append(kept, f) }

var kept []*os.File

// Ignore looks at its function and does not call it.
func Ignore(f func()) bool { return f == nil } // want Ignore:`borrows \[0\]`
