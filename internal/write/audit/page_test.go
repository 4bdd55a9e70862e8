package audit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"millrace/internal/journal/faultfs"
)

// history is a log of 300 writes of two users in several files: write n is of tag t(n%3), at second n, and each tenth is refused.
func history(t *testing.T) *faultfs.FS {
	t.Helper()
	fs := faultfs.New()
	l, _, err := Open(Config{Dir: dir, FS: fs, FileBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		r := &Record{Stage: Done, End: "confirmed", Time: epoch.Add(time.Duration(n) * time.Second), Who: []string{"shift", "boss"}[n%2], Tag: []string{"t0", "t1", "t2"}[n%3]}
		if n%10 == 9 {
			r.Stage, r.End = Refused, "refused"
		}
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return fs
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Page by page there comes what Verify shows, the other way round, whatever is asked for.
func TestPages(t *testing.T) {
	fs := history(t)
	for name, q := range map[string]Query{
		"all": {}, "a tag": {Tag: "t1"}, "a user": {Who: "boss"}, "an end": {End: "refused"}, "a time": {From: epoch.Add(100 * time.Second), To: epoch.Add(200 * time.Second)},
		"a write": {Write: 50}, "several": {Tag: "t0", Who: "boss", End: "refused"}, "nothing": {Tag: "x"}, "the last": {From: epoch.Add(299 * time.Second)},
	} {
		var want []uint64
		if _, err := Verify(fs, dir, func(r Record) {
			if q.Takes(&r) {
				want = append(want, r.Seq)
			}
		}); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(want)
		for _, limit := range []int{1, 7, 100, 1000} {
			q := q
			q.Limit = limit
			if limit == 7 {
				q.most = 1 // a file a page
			}
			var got []uint64
			for pages := 0; ; pages++ {
				p, err := ReadPage(t.Context(), fs, dir, q)
				if err != nil || len(p.Records) > limit || pages > 400 {
					t.Fatalf("%s: %d records on page %d, %v", name, len(p.Records), pages, err)
				}
				for _, r := range p.Records {
					got = append(got, r.Seq)
				}
				if q.Before = p.Next; p.Next == 0 {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %d a page: %d records, want %d", name, limit, len(got), len(want))
			}
		}
		if (len(want) == 0) != (name == "nothing") {
			t.Errorf("%s chooses %d records", name, len(want))
		}
	}
}

// A line that is being written, or is none, costs no other record; who has gone is not worked for.
func TestPageOfADamagedLog(t *testing.T) {
	fs := history(t)
	name := dir + "/" + fileName(1)
	f, err := fs.OpenFile(name, 0o2)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x\n{\"seq\":7"), size); err != nil {
		t.Fatal(err)
	}
	if p, err := ReadPage(t.Context(), fs, dir, Query{Limit: 1000}); err != nil || len(p.Records) != 300 {
		t.Errorf("%d records, %v", len(p.Records), err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := ReadPage(gone, fs, dir, Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
