package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/tag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// reopen closes s and opens it again.
func reopen(t *testing.T, s *Store, dir string) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, c := range []struct {
		names []string
		ids   []tag.ID
	}{
		{nil, []tag.ID{}},
		{[]string{"a", "b", "a"}, []tag.ID{1, 2, 1}},
		{[]string{"c", "a"}, []tag.ID{3, 1}},
		{[]string{"b"}, []tag.ID{2}},
		{[]string{"Temperatur °C", "'; DROP TABLE tag; --"}, []tag.ID{4, 5}},
	} {
		ids, err := s.Ensure(t.Context(), c.names)
		if err != nil || fmt.Sprint(ids) != fmt.Sprint(c.ids) {
			t.Errorf("Ensure(%q) = %v, %v; want %v", c.names, ids, err, c.ids)
		}
	}
	if dev, err := s.EnsureDevices(t.Context(), []string{"plc2", "plc1"}); err != nil || fmt.Sprint(dev) != "[1 2]" {
		t.Errorf("devices %v, %v", dev, err)
	}
	s = reopen(t, s, dir)
	for id, name := range map[tag.ID]string{1: "a", 2: "b", 3: "c", 4: "Temperatur °C", 5: "'; DROP TABLE tag; --"} {
		if got := s.Catalog().Name(id); got != name {
			t.Errorf("tag %d is %q after a restart, want %q", id, got, name)
		}
	}
	if got := s.Devices().Name(2); got != "plc1" {
		t.Errorf("device 2 is %q", got)
	}
	if ids, err := s.Ensure(t.Context(), []string{"new"}); err != nil || ids[0] != 6 {
		t.Errorf("a new tag got %v, %v", ids, err)
	}
	if _, err := s.Ensure(t.Context(), []string{"x", ""}); err == nil {
		t.Error("an empty name was taken")
	}
	if _, ok := s.Catalog().Lookup("x"); ok {
		t.Error("x is in the catalog though Ensure failed")
	}
}

func TestEnsureManyAcrossBatches(t *testing.T) {
	for _, n := range []int{insertRows - 1, insertRows, insertRows + 1, 3*insertRows + 7} {
		dir := t.TempDir()
		s := open(t, dir)
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("plant/line%d/tag%d", i%7, i)
		}
		if _, err := s.Ensure(t.Context(), names); err != nil {
			t.Fatal(err)
		}
		s = reopen(t, s, dir)
		for i, name := range names {
			if id, ok := s.Catalog().Lookup(name); !ok || id != tag.ID(i+1) {
				t.Fatalf("%d names: %q is %d after a restart, want %d", n, name, id, i+1)
			}
		}
	}
}

func TestEnsureConcurrently(t *testing.T) {
	s := open(t, t.TempDir())
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				if _, err := s.Ensure(t.Context(), []string{fmt.Sprintf("shared%d", i), fmt.Sprintf("own%d.%d", g, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := s.Catalog().Len(); n != 20+8*20 {
		t.Errorf("%d tags", n)
	}
}

// A catalog entry that was not committed is not in the catalog either.
func TestEnsureFailsWhole(t *testing.T) {
	s := open(t, t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := s.Ensure(ctx, []string{"a"})
	var e *Error
	if !errors.As(err, &e) || e.Op != "ensure" || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if s.Catalog().Len() != 0 {
		t.Error("a name is in the catalog and not on the disk")
	}
	if ids, err := s.Ensure(t.Context(), []string{"b"}); err != nil || ids[0] != 1 {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestSyncedBeforeItReturns(t *testing.T) {
	s := open(t, t.TempDir())
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal"} {
		var got string
		if err := s.db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", pragma, got, err, want)
		}
	}
}

func TestMarks(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	at := time.Unix(1700000000, 123)
	for _, m := range []Mark{
		{Device: "plc2", Reason: "old", By: "eve", Since: at},
		{Device: "plc1", Tag: "speed", Reason: "sensor swapped", By: "bob", Since: at},
		{Device: "plc2", Reason: "pump removed", By: "ann", Since: at.Add(time.Hour)},
		{Device: "plc3", Since: at},
	} {
		if err := s.SetMark(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []bool{true, false} {
		if was, err := s.ClearMark(t.Context(), "plc3", ""); err != nil || was != want {
			t.Errorf("clear: %v, %v; want %v", was, err, want)
		}
	}
	s = reopen(t, s, dir)
	ms, err := s.Marks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range ms {
		got = append(got, fmt.Sprintf("%s/%s %s by %s since %d", m.Device, m.Tag, m.Reason, m.By, m.Since.Sub(at)))
	}
	want := "plc1/speed sensor swapped by bob since 0\nplc2/ pump removed by ann since 3600000000000"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put := func(limits map[string][]byte) {
		if err := s.PutLimits(t.Context(), limits); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want string) {
		t.Helper()
		if all, err := s.Limits(t.Context()); err != nil || fmt.Sprintf("%s", all) != want {
			t.Errorf("%s, %v, want %s", all, err, want)
		}
	}
	has("map[]")
	put(map[string][]byte{"plc1": []byte(`{"holes":[]}`), "plc2": []byte(`{}`)})
	put(map[string][]byte{"plc1": []byte(`{"holes":[{"from":3}]}`)})
	s = reopen(t, s, dir)
	has(`map[plc1:{"holes":[{"from":3}]} plc2:{}]`)
	put(map[string][]byte{"plc1": nil, "plc3": []byte(`{}`)})
	has("map[plc2:{} plc3:{}]")
}

// put runs a statement on the file of a store that is closed.
func put(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRefused(t *testing.T) {
	t.Run("newer", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		_ = reopen(t, s, dir).Close()
		put(t, dir, fmt.Sprintf("PRAGMA user_version = %d", len(steps)+1))
		_, err := Open(t.Context(), dir)
		var v *VersionError
		if !errors.As(err, &v) || v.Have != len(steps)+1 || v.Max != len(steps) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("another program's", func(t *testing.T) {
		dir := t.TempDir()
		put(t, dir, "CREATE TABLE song (title TEXT)")
		if _, err := Open(t.Context(), dir); !errors.Is(err, errForeign) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no database", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), bytes.Repeat([]byte("not a database"), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(t.Context(), dir); err == nil {
			t.Errorf("opened %v", s)
		}
	})
	t.Run("a name twice", func(t *testing.T) {
		dir := t.TempDir()
		if err := open(t, dir).Close(); err != nil {
			t.Fatal(err)
		}
		put(t, dir, "INSERT INTO tag VALUES (1,'a'), (2,'a')")
		if s, err := Open(t.Context(), dir); err == nil {
			t.Errorf("opened %v", s)
		}
	})
}

// Every released version is migrated: an older one is made by the steps up to it.
func TestMigrate(t *testing.T) {
	for version := range len(steps) {
		dir := t.TempDir()
		if version > 0 {
			put(t, dir, strings.Join(steps[:version], " ")+fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version))
		}
		s := open(t, dir)
		if got, err := s.version(t.Context()); err != nil || got != len(steps) {
			t.Errorf("version %d became %d, %v", version, got, err)
		}
	}
}

func TestDirectoryWithOddName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "100% größe?#&=;")
	s := open(t, dir)
	if _, err := s.Ensure(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, FileName)); err != nil {
		t.Error(err)
	}
}

func BenchmarkOpenMillionTags(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	names := make([]string, 1_000_000)
	for i := range names {
		names[i] = fmt.Sprintf("site/area%d/line%d/plc%d/tag%d", i%3, i%17, i/500, i)
	}
	start := time.Now()
	if _, err := s.Ensure(b.Context(), names); err != nil {
		b.Fatal(err)
	}
	ensured := time.Since(start)
	for b.Loop() {
		o, err := Open(b.Context(), dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := o.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(ensured.Seconds(), "s/ensure")
}
