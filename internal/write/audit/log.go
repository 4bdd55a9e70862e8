package audit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"millrace/internal/journal/vfs"
)

// Config of a Log.
type Config struct {
	Dir       string
	FS        vfs.FS // nil is the machine's
	FileBytes int64  // a new file begins when one is as large: default 16 MiB, at least 4 KiB
	// Since is how far back Open shows the records to Visit, at least; zero shows none.
	Since time.Time
	Visit func(Record)
}

func (c Config) withDefaults() (Config, error) {
	if c.FS == nil {
		c.FS = vfs.OS{}
	}
	if c.FileBytes == 0 {
		c.FileBytes = 16 << 20
	}
	if c.FileBytes < 4<<10 {
		return c, fmt.Errorf("audit: files of %d bytes are too small", c.FileBytes)
	}
	return c, nil
}

// Log is an open log. Its methods are safe for concurrent use. One process has a log open at a time: the gateway's lock of its data directory is the log's too.
//
// Records that come while a sync runs share the next one: whoever came first does it for all of them, so that there is no goroutine for it.
type Log struct {
	cfg Config

	mu     sync.Mutex // guards what follows, up to the commit's own
	idle   sync.Cond  // busy has ended
	next   *group     // of records that wait for their commit
	busy   bool       // a commit runs, or is about to
	closed bool
	stats  Stats

	// Owned by the commit that runs.
	id     string
	file   vfs.File // nil: the next commit begins a new one
	fresh  bool     // nothing in file is acknowledged yet
	number uint64
	size   int64
	seq    uint64
	last   hash
	buf    []byte
	tear   head // what the next file says of its predecessor
	torn   bool // and whether there may be bytes behind that

	headMu sync.Mutex // guards head; taken without mu
	head   *headFile
}

// Stats is what a Log counted since it was opened.
type Stats struct {
	Records uint64
	Commits uint64 // each one write and one sync
	Errors  uint64 // of the disk
}

// group is records that are committed together.
type group struct {
	records []*Record
	err     error
	lead    chan struct{} // of size 1: the first of the group is to commit it
	done    chan struct{}
}

func newGroup() *group { return &group{lead: make(chan struct{}, 1), done: make(chan struct{})} }

// Open opens the log in c.Dir, which is made when there is none. What is found to be wrong with what is there is no reason not to go on: it is returned, and Verify finds it again at any
// time. The log then goes on in a new file.
func Open(c Config) (*Log, []Finding, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	if err := c.FS.MkdirAll(c.Dir); err != nil {
		return nil, nil, err
	}
	l := &Log{cfg: c, next: newGroup()}
	l.idle.L = &l.mu
	found, err := l.recover()
	if err != nil {
		return nil, nil, err
	}
	l.head, err = openHead(c.FS, c.Dir, l.where())
	if err != nil {
		return nil, nil, err
	}
	return l, found, nil
}

// where is the head as it should be.
func (l *Log) where() head { return head{seq: l.seq, hash: l.last, file: l.number, bytes: l.size} }

// recover finds out where the log ends, and opens its last file to go on there when it is whole.
func (l *Log) recover() ([]Finding, error) {
	s, err := scan(l.cfg.FS, l.cfg.Dir, scanOptions{since: l.cfg.Since, tail: true, visit: l.cfg.Visit})
	if err != nil {
		return nil, err
	}
	l.id, l.seq, l.last, l.number, l.size = s.id, s.seq, s.last, s.number, s.end
	l.tear, l.torn = l.where(), s.torn
	if l.id == "" {
		var raw [8]byte
		rand.Read(raw[:]) // never fails
		l.id = hex.EncodeToString(raw[:])
	}
	if s.head.seq > l.seq { // what the head knows of is gone; its numbers are not given again, so that the gap shows
		l.seq = s.head.seq
	}
	l.number = max(l.number, s.head.file)
	if len(s.found) > 0 || s.torn || s.number == 0 || s.head.file > s.number {
		return s.found, nil
	}
	l.file, err = l.cfg.FS.OpenFile(l.name(l.number), os.O_RDWR)
	return nil, err
}

func fileName(number uint64) string { return fmt.Sprintf("audit-%08d.jsonl", number) }

func (l *Log) name(number uint64) string { return filepath.Join(l.cfg.Dir, fileName(number)) }

// ErrClosed is the error of an Append to a log that is closed.
var ErrClosed = errors.New("audit: the log is closed")

// Append writes r and returns when it is durable. It sets r.Seq and, when they are zero, r.Time and r.Write. After an error the record may be on the disk, but nothing behind it will
// refer to it, and Verify says that it was never acknowledged.
func (l *Log) Append(r *Record) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	g := l.next
	g.records = append(g.records, r)
	first := !l.busy
	if first {
		l.busy = true
		g.lead <- struct{}{}
	}
	l.mu.Unlock()
	select {
	case <-g.lead: // only one of the group gets it
		l.commit(g)
	case <-g.done:
	}
	return g.err
}

// commit writes the records of g, and lets the next group be committed.
func (l *Log) commit(g *group) {
	l.mu.Lock()
	l.next = newGroup()
	l.mu.Unlock()
	g.err = l.write(g.records)
	close(g.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.next.records) > 0 {
		l.next.lead <- struct{}{}
		return
	}
	l.busy = false
	l.idle.Broadcast()
}

// write makes records durable: one write, one sync. On an error the next file begins where the last success ended: a file whose sync failed is never trusted again.
func (l *Log) write(records []*Record) error {
	l.buf = l.buf[:0]
	if l.file != nil && l.gone() {
		l.count(0, 1)
		l.abandon()
	}
	seq, last, begin := l.seq, l.last, l.file == nil || l.size >= l.cfg.FileBytes
	var err error
	if begin {
		if err = l.begin(); err == nil {
			seq++
			l.buf, last, err = appendRecord(l.buf, l.first(seq), last)
		}
	}
	for _, r := range records {
		if err != nil {
			break
		}
		seq++
		r.Seq = seq
		if r.Time.IsZero() {
			r.Time = time.Now().UTC()
		}
		if r.Write == 0 {
			r.Write = seq
		}
		l.buf, last, err = appendRecord(l.buf, r, last)
	}
	if err == nil {
		err = l.put(begin)
	}
	if err != nil {
		l.count(0, 1)
		l.abandon()
		return fmt.Errorf("audit: %w", err)
	}
	l.size += int64(len(l.buf))
	l.seq, l.last = seq, last
	l.tear = l.where()
	l.fresh, l.torn = false, false
	l.count(len(records), 0)
	l.advance()
	return nil
}

// gone says whether somebody has taken the file away, or cut it off: what is written into it would be nowhere. The next file then tells of the one that is missing.
func (l *Log) gone() bool {
	f, err := l.cfg.FS.OpenFile(l.name(l.number), os.O_RDONLY)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	size, err := f.Size()
	return f.Close() == nil && err == nil && size < l.size
}

// put writes what is in buf behind what the file has.
func (l *Log) put(begin bool) error {
	if _, err := l.file.WriteAt(l.buf, l.size); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	if begin {
		return l.cfg.FS.SyncDir(l.cfg.Dir)
	}
	return nil
}

// begin opens the next file.
func (l *Log) begin() error {
	if l.file != nil {
		_ = l.file.Close() // all of it is synced
		l.file = nil
		if err := l.SyncHead(); err != nil {
			return err
		}
	}
	f, err := l.cfg.FS.OpenFile(l.name(l.number+1), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	l.file, l.size, l.fresh = f, 0, true
	l.number++
	return nil
}

// first is the first record of the file that begins.
func (l *Log) first(seq uint64) *Record {
	return &Record{Seq: seq, Time: time.Now().UTC(), Stage: File, Begin: &Begin{Version: formatVersion, Number: l.number, Log: l.id,
		PrevBytes: l.tear.bytes, PrevTorn: l.torn, PrevSeq: l.tear.seq, PrevHash: l.last.String()}}
}

// abandon gives up the file that an error came from. One that has nothing acknowledged in it is used again, from its beginning.
func (l *Log) abandon() {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	if l.fresh {
		l.number--
	} else {
		l.torn = true
	}
	l.fresh, l.size = false, l.tear.bytes
}

// advance has the head say how far the log goes. It is synced a moment later. An error takes nothing away from the records: the head says less than it might.
func (l *Log) advance() {
	l.headMu.Lock()
	err := l.head.put(l.where())
	l.headMu.Unlock()
	if err != nil {
		l.count(0, 1)
	}
}

// SyncHead makes the head durable. Whoever has the log open calls it every second or so: what was written last before a power cut and then cut off by somebody is missed only when the head
// was synced in between.
func (l *Log) SyncHead() error {
	l.headMu.Lock()
	defer l.headMu.Unlock()
	return l.head.sync()
}

func (l *Log) count(records, errors int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Records += uint64(records)
	l.stats.Errors += uint64(errors)
	if records > 0 {
		l.stats.Commits++
	}
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Close waits for what is being written, makes the head durable and closes the files.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	for l.busy {
		l.idle.Wait()
	}
	l.mu.Unlock()
	err := l.SyncHead()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	return errors.Join(err, l.head.f.Close())
}
