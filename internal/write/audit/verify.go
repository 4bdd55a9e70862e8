package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/internal/journal/vfs"
)

// Finding is one thing that is not as the gateway wrote it.
type Finding struct {
	File   string `json:"file"`
	Line   int    `json:"line"`   // from 1, 0 when it is not about one
	Offset int64  `json:"offset"` // of the line in the file
	Seq    uint64 `json:"seq"`    // of the record there, or of the first that is missing
	What   string `json:"what"`
}

func (f Finding) String() string {
	at := f.File
	if f.Line > 0 {
		at += ":" + strconv.Itoa(f.Line)
	}
	return at + ": " + f.What
}

// Report is what Verify found.
type Report struct {
	Files   int       `json:"files"`
	Records uint64    `json:"records"` // that are right
	Last    uint64    `json:"last"`    // Seq of the last of them
	Hash    string    `json:"hash"`    // its hash. Kept elsewhere, it proves later that nothing up to it was written anew
	Found   []Finding `json:"found"`   // changed, removed, moved, cut off
	Notes   []Finding `json:"notes"`   // what a crash leaves, and other things that are as they should be
}

// Verify checks the log in dir, and shows its records to visit, which may be nil. The log may be open.
func Verify(fs vfs.FS, dir string, visit func(Record)) (Report, error) {
	return verify(fs, dir, scanOptions{visit: visit})
}

// VerifyAt is Verify that also looks for a record that was there earlier: "NUMBER:HASH", as a Report has it; "" for none.
func VerifyAt(fs vfs.FS, dir, at string) (Report, error) {
	o := scanOptions{}
	if at != "" {
		number, text, _ := strings.Cut(at, ":")
		var err error
		if o.at.seq, err = strconv.ParseUint(number, 10, 64); err != nil || o.at.seq == 0 {
			return Report{}, fmt.Errorf("audit: %q is not NUMBER:HASH", at)
		}
		var ok bool
		if o.at.hash, ok = parseHash(text); !ok {
			return Report{}, fmt.Errorf("audit: %q is not NUMBER:HASH", at)
		}
	}
	return verify(fs, dir, o)
}

func verify(fs vfs.FS, dir string, o scanOptions) (Report, error) {
	s, err := scan(fs, dir, o)
	if err != nil {
		return Report{}, err
	}
	if s.files == 0 && !s.headed {
		return Report{}, &NoLogError{dir}
	}
	return Report{Files: s.files, Records: s.records, Last: s.seq, Hash: s.last.String(), Found: s.found, Notes: s.notes}, nil
}

// NoLogError is a directory in which there is nothing of a log: it is another one, or all of it was removed. A log without records has a head.
type NoLogError struct{ Dir string }

func (e *NoLogError) Error() string {
	return "audit: " + e.Dir + " has no audit log: it is another folder, or everything in it was removed"
}

type scanOptions struct {
	at    head         // a record that has to be there, with its hash
	since time.Time    // with tail: the files that have records after it are read
	tail  bool         // begin with the last file, or as since says, and believe what it says of those before
	visit func(Record) // may be nil
}

// scanner walks through a log.
type scanner struct {
	opts    scanOptions
	head    head
	headed  bool // there is one
	had     bool // the record of opts.at is there
	id      string
	files   int
	number  uint64 // of the last file
	seq     uint64 // of the last record that is right, or stands for it
	last    hash   // its hash
	end     int64  // of it in its file
	torn    bool   // the last file ends in what a crash left
	records uint64
	found   []Finding
	notes   []Finding

	name   string
	line   int
	offset int64
	lost   bool // the line before could not be read: the next one's hash says nothing
}

// scan reads the log in dir.
func scan(fs vfs.FS, dir string, o scanOptions) (*scanner, error) {
	s := &scanner{opts: o, name: headName}
	numbers, err := list(fs, dir)
	if err != nil {
		return nil, err
	}
	h, bad, err := readHead(fs, dir)
	switch {
	case errors.Is(err, errNoHead) && len(numbers) > 0:
		s.add(0, "the head is missing: whether records are cut off at the end cannot be said")
	case err != nil && !errors.Is(err, errNoHead):
		return nil, err
	case bad > 0:
		s.add(0, "the head is damaged")
	}
	s.head, s.headed, err = h, err == nil, nil
	if o.tail {
		numbers, err = recent(fs, dir, numbers, o.since)
	}
	for i, n := range numbers {
		if err == nil {
			err = s.file(fs, dir, n, i, numbers)
		}
	}
	if err != nil {
		return nil, err
	}
	s.finish()
	return s, nil
}

// list returns the numbers of the files in dir.
func list(fs vfs.FS, dir string) ([]uint64, error) {
	entries, err := fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name, "audit-")
		digits, ok2 := strings.CutSuffix(digits, ".jsonl")
		n, err := strconv.ParseUint(digits, 10, 64)
		if ok && ok2 && err == nil && fileName(n) == e.Name {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// recent returns the last of numbers, and those before it as far as they have records after since. The first of them has a beginning.
func recent(fs vfs.FS, dir string, numbers []uint64, since time.Time) ([]uint64, error) {
	i := max(len(numbers)-1, 0)
	for ; i > 0; i-- {
		r, err := firstRecord(fs, filepath.Join(dir, fileName(numbers[i])))
		if err != nil {
			return nil, err
		}
		if r.Begin != nil && (since.IsZero() || r.Time.Before(since)) {
			break
		}
	}
	return numbers[i:], nil
}

// firstRecord returns the record that a file begins with, the zero one when it has none.
func firstRecord(fs vfs.FS, name string) (Record, error) {
	f, err := fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	b := make([]byte, 4<<10)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Record{}, err
	}
	end := bytes.IndexByte(b[:n], '\n')
	r, err := Decode(b[:end+1])
	if err != nil || r.Begin == nil {
		return Record{}, nil
	}
	return r, nil
}

func readAll(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

func (s *scanner) add(seq uint64, format string, args ...any) {
	s.found = append(s.found, Finding{File: s.name, Line: s.line, Offset: s.offset, Seq: seq, What: fmt.Sprintf(format, args...)})
}

func (s *scanner) note(format string, args ...any) {
	s.notes = append(s.notes, Finding{File: s.name, Line: s.line, Offset: s.offset, Seq: s.seq + 1, What: fmt.Sprintf(format, args...)})
}

// file reads file n, which is numbers[i].
func (s *scanner) file(fs vfs.FS, dir string, n uint64, i int, numbers []uint64) error {
	b, err := readAll(fs, filepath.Join(dir, fileName(n)))
	if err != nil {
		return err
	}
	s.files++
	s.name, s.line, s.offset = fileName(n), 0, 0
	if i > 0 && n != numbers[i-1]+1 {
		s.add(s.seq+1, "the files between it and %s are missing", fileName(numbers[i-1]))
	}
	number, end := s.number, s.end
	s.number, s.end = n, 0
	isLast, counts, torn := i == len(numbers)-1, int64(len(b)), false
	if !isLast && numbers[i+1] == n+1 { // what another one says is of a file that is missing
		next, err := firstRecord(fs, filepath.Join(dir, fileName(numbers[i+1])))
		if err != nil {
			return err
		}
		if next.Begin != nil && next.Begin.PrevBytes >= 0 {
			counts, torn = min(counts, next.Begin.PrevBytes), next.Begin.PrevTorn
		}
	}
	s.lines(b[:counts], i == 0, isLast)
	s.behind(int64(len(b))-counts, counts, torn)
	if s.end == 0 && isLast && s.headed && s.seq >= s.head.seq { // it was about to begin
		s.number, s.end, s.torn = number, end, true
	}
	return nil
}

// behind says what there is to say of n bytes behind a file's last record, at offset at.
func (s *scanner) behind(n, at int64, torn bool) {
	if n == 0 {
		return
	}
	s.line, s.offset = s.line+1, at
	if torn {
		s.note("%d bytes behind the last record were never acknowledged", n)
	} else {
		s.add(s.seq+1, "%d bytes stand behind the last record", n)
	}
}

// lines reads the lines of a file.
func (s *scanner) lines(b []byte, isFirst, isLast bool) {
	for s.offset < int64(len(b)) {
		s.line++
		rest := b[s.offset:]
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 {
			end = len(rest)
		}
		seq, last := s.seq, s.last
		ok := s.take(rest[:end], isFirst && s.line == 1)
		if !ok && isLast && s.headed && seq >= s.head.seq {
			s.undo()
			s.torn, s.seq, s.last = true, seq, last
			s.note("%d bytes of a commit that was never acknowledged: the gateway ended while it wrote them", len(rest))
			return
		}
		s.offset += int64(end)
		if ok || !s.lost {
			s.end = s.offset
		}
	}
}

// undo takes back the finding about the line at hand.
func (s *scanner) undo() { s.found = s.found[:len(s.found)-1] }

// take checks one line, and says whether it follows the one before. When it does not, one finding is added.
func (s *scanner) take(text []byte, isFirst bool) bool {
	l, err := split(text)
	var r Record
	if err == nil {
		r, err = l.record()
	}
	if err == nil && (s.line == 1) != (r.Begin != nil) {
		err = errors.New("it is not where records of its kind are")
	}
	if err != nil {
		s.add(s.seq+1, "line %d cannot be read: %v", s.line, err)
		s.lost = true
		return false
	}
	if isFirst {
		s.enter(r.Begin)
	}
	ok := s.follows(&l, &r)
	s.lost = false
	if ok || r.Seq > s.seq {
		s.seq, s.last = r.Seq, l.hash
	}
	if r.Begin != nil {
		s.id = r.Begin.Log
	}
	if r.Seq == s.opts.at.seq && l.hash == s.opts.at.hash {
		s.had = true
	}
	if ok {
		s.records++
		if s.opts.visit != nil {
			s.opts.visit(r)
		}
	}
	return ok
}

// enter begins with a file that need not be the first.
func (s *scanner) enter(b *Begin) {
	if b.Number == 1 {
		return
	}
	p, _ := parseHash(b.PrevHash)
	s.seq, s.last = b.PrevSeq, p
	if !s.opts.tail {
		s.add(1, "the log begins with it: records 1 to %d are not here", b.PrevSeq)
	}
}

// follows says whether record r comes behind the last one.
func (s *scanner) follows(l *line, r *Record) bool {
	chained := chained(s.last, l.body) == l.hash
	switch b := r.Begin; {
	case r.Seq <= s.seq:
		s.add(r.Seq, "record %d stands behind record %d", r.Seq, s.seq)
	case s.lost:
		if r.Seq == s.seq+2 || r.Seq == s.seq+1 {
			return true // what is wrong was said of the line before
		}
		s.add(s.seq+1, "records %d to %d are missing", s.seq+1, r.Seq-1)
	case r.Seq > s.seq+1:
		s.add(s.seq+1, "records %d to %d are missing", s.seq+1, r.Seq-1)
	case !chained:
		s.add(r.Seq, "record %d was changed, or the one before it was", r.Seq)
	case b != nil && (fileName(b.Number) != s.name || b.Version != formatVersion || s.id != "" && b.Log != s.id):
		s.add(r.Seq, "the file is not the one that it says to be")
	case r.Seq == s.head.seq && l.hash != s.head.hash:
		s.add(r.Seq, "record %d has another hash than the head says: the log was written anew", r.Seq)
	default:
		return true
	}
	return false
}

// finish holds the log's end against its head.
func (s *scanner) finish() {
	s.line, s.offset = 0, s.end
	if at := s.opts.at; at.seq > 0 && !s.had {
		s.add(at.seq, "record %d has not the hash that it had: the log was written anew, or cut off", at.seq)
	}
	if s.head.seq > s.seq {
		s.add(s.seq+1, "records %d to %d are cut off at the end", s.seq+1, s.head.seq)
	}
}
