package s7

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxBlock is the longest image of a block that is sent or taken: a DB of 65,535 bytes and what is around it.
	MaxBlock = 1<<16 + 1<<10

	maxUploads   = 4 // at once on a connection
	maxSends     = 4 // BSends at once on a connection
	transferTime = 30 * time.Second
	// maxTransferBytes is what all connections of a server together hold of blocks that are under way.
	maxTransferBytes = 16 << 20
)

// transfers are the blocks that are under way on a connection: uploads, a download, BSends. What a client leaves unfinished for transferTime is
// forgotten.
type transfers struct {
	budget *transferBudget

	mu       sync.Mutex // guards what follows; the alarm's goroutine forgets what is old
	over     bool
	old      alarm
	uploads  []upload
	download *download
	sends    []bsendAssembly
	lastID   uint32 // of an upload
	lastRef  uint16 // of a Job of ours
}

// transferBudget is what is left of maxTransferBytes.
type transferBudget struct{ taken atomic.Int64 }

func (b *transferBudget) take(n int) bool {
	if b.taken.Add(int64(n)) > maxTransferBytes {
		b.give(n)
		return false
	}
	return true
}

func (b *transferBudget) give(n int) { b.taken.Add(-int64(n)) }

// watch sees to it that what is there now is forgotten in time. The lock is held.
func (t *transfers) watch() {
	if until, any := t.earliest(); any && !t.over {
		t.old.set(time.Until(until), t.forgetOld)
	}
}

// earliest returns when the first transfer is old.
func (t *transfers) earliest() (until time.Time, any bool) {
	see := func(u time.Time) {
		if !any || u.Before(until) {
			until, any = u, true
		}
	}
	for i := range t.uploads {
		see(t.uploads[i].until)
	}
	for i := range t.sends {
		see(t.sends[i].until)
	}
	if t.download != nil && !t.download.forgotten {
		see(t.download.until)
	}
	return until, any
}

func (t *transfers) forgetOld() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for i := len(t.uploads) - 1; i >= 0; i-- {
		if !t.uploads[i].until.After(now) {
			t.dropUpload(i)
		}
	}
	for i := len(t.sends) - 1; i >= 0; i-- {
		if !t.sends[i].until.After(now) {
			t.dropSend(i)
		}
	}
	if d := t.download; d != nil && !d.forgotten && !d.until.After(now) {
		t.forgetDownload()
	}
	t.watch()
}

// end forgets everything, at the end of the connection.
func (t *transfers) end() {
	t.mu.Lock()
	t.over = true
	t.old.stop()
	for len(t.uploads) > 0 {
		t.dropUpload(0)
	}
	for len(t.sends) > 0 {
		t.dropSend(0)
	}
	t.dropDownload()
	t.mu.Unlock()
	t.old.wait()
}
