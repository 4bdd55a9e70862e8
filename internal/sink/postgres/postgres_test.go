package postgres

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/sink"
	"millrace/internal/tag"
)

func TestWrite(t *testing.T) {
	s := begin(t, config(t, server(t).Addr()))
	for _, from := range []uint64{0, 10, 20} {
		r, rows := span(from, 10)
		if err := s.Write(t.Context(), r, rows); err != nil {
			t.Fatal(err)
		}
	}
	wantOffsets(t, 0, 30)
	if err := s.Write(t.Context(), sink.Range{Epoch: epoch, From: 30, To: 40}, nil); err != nil { // rows accounted for elsewhere
		t.Fatal(err)
	}
	again := open(t, config(t, shared.Addr()))
	if c, ok, err := again.Cursor(t.Context()); err != nil || !ok || c != (sink.Cursor{Epoch: epoch, Offset: 40}) {
		t.Fatalf("cursor %+v %v %v", c, ok, err)
	}
	if st := s.Stats(); st != (Stats{Connects: 1, Transactions: 4, Inserted: 30}) {
		t.Errorf("stats %+v", st)
	}
}

// TestColumns holds each kind to its columns, read back as text by the server.
func TestColumns(t *testing.T) {
	s := begin(t, config(t, server(t).Addr()))
	b := &tag.Batch{Received: 1772359201_999999999}
	f32 := func(f float64) uint64 { return uint64(math.Float32bits(float32(f))) }
	const ts = 1772359200_123456789 // 2026-03-01 10:00:00.123456789
	var want []string
	add := func(k tag.Kind, bits uint64, aux []byte, columns string) {
		if k.Width() > 0 {
			b.Append(1, ts, tag.BadTimeout, k, bits)
		} else {
			b.AppendAux(1, ts, tag.BadTimeout, k, aux)
		}
		want = append(want, columns)
	}
	add(tag.Null, 0, nil, "NULL NULL NULL NULL")
	add(tag.Bool, 1, nil, "NULL 1 NULL NULL")
	add(tag.Int16, ^uint64(0), nil, "NULL -1 NULL NULL")
	add(tag.Uint32, math.MaxUint32, nil, "NULL 4294967295 NULL NULL")
	add(tag.Int64, 1<<63, nil, "NULL -9223372036854775808 NULL NULL")
	add(tag.Uint64, math.MaxInt64, nil, "NULL 9223372036854775807 NULL NULL")
	add(tag.Uint64, math.MaxUint64, nil, "1.8446744073709552e+19 NULL 18446744073709551615 NULL")
	add(tag.Float32, f32(0.5), nil, "0.5 NULL NULL NULL")
	add(tag.Float32, f32(math.NaN()), nil, "NaN NULL NULL NULL")
	add(tag.Float64, math.Float64bits(math.Inf(-1)), nil, "-Infinity NULL NULL NULL")
	add(tag.DateTime, ts, nil, "NULL 1772359200123456789 NULL NULL")
	add(tag.String, 0, []byte("läuft"), "NULL NULL läuft NULL")
	add(tag.String, 0, []byte(""), "NULL NULL  NULL")
	add(tag.String, 0, []byte("a\x00b"), `NULL NULL NULL \x610062`)
	add(tag.String, 0, []byte("a\xff"), `NULL NULL NULL \x61ff`)
	add(tag.ByteString, 0, []byte{1, 2}, `NULL NULL NULL \x0102`)
	add(tag.Uint8|tag.Array, 0, []byte{1, 2}, "NULL NULL [1,2] NULL")
	add(tag.String|tag.Array, 0, []byte("\x01a\x01\x00"), `NULL NULL ["a","\u0000"] NULL`)
	add(tag.String|tag.Array, 0, []byte("\x01\xff"), `NULL NULL NULL \x5b22ff225d`)
	n := uint64(b.Len())
	if err := s.Write(t.Context(), sink.Range{Epoch: epoch, To: n}, []sink.Rows{{Batch: b, End: int(n)}}); err != nil {
		t.Fatal(err)
	}
	got := ask(t, `set timezone = 'UTC'; select value_double, value_int, value_text, value_bytes, tag, ts, received, quality, epoch, "offset" from `+
		quote(schema(t), "millrace_values")+` order by "offset"`)
	if len(got) != len(want) {
		t.Fatalf("%d rows", len(got))
	}
	for i, row := range got {
		if v := strings.Join(row[:4], " "); v != want[i] {
			t.Errorf("%v: columns %q, want %q", b.Kind[i], v, want[i])
		}
		rest := fmt.Sprintf("press/tag1 2026-03-01 10:00:00.123456+00 2026-03-01 10:00:01.999999+00 %d %d %d", uint32(tag.BadTimeout), epochBits(), i)
		if v := strings.Join(row[4:], " "); v != rest {
			t.Errorf("%v: %q, want %q", b.Kind[i], v, rest)
		}
	}
}

func TestMicrosecondsRoundDown(t *testing.T) {
	for ns, want := range map[int64]int64{0: 0, 1: 0, 999: 0, 1000: 1, -1: -1, -1000: -1, -1001: -2, math.MinInt64: -9223372036854776} {
		if got := microseconds(ns) + pgEpoch; got != want {
			t.Errorf("%d ns is %d us, want %d", ns, got, want)
		}
	}
}

func TestNamesThatAreNoText(t *testing.T) {
	s := begin(t, config(t, server(t).Addr()))
	r, rows := span(0, 6)
	rows[0].Batch.ID[1], rows[0].Batch.ID[2], rows[1].Batch.ID[0] = 600, 601, 602
	var pe *sink.PartialError
	if err := s.Write(t.Context(), r, rows); !errors.As(err, &pe) || len(pe.Rows) != 3 || pe.Rows[0].Offset != 1 || pe.Rows[2].Offset != 3 || sink.Retryable(err) {
		t.Fatalf("error %v", err)
	}
}

// TestDataExceptionIsNotRetryable: a value that the table's own constraint refuses is poison; other trouble is not.
func TestDataExceptionIsNotRetryable(t *testing.T) {
	s := begin(t, config(t, server(t).Addr()))
	table := quote(schema(t), "millrace_values")
	ask(t, `alter table `+table+` add constraint small check (value_int < 5)`)
	r, rows := span(0, 6)
	err := s.Write(t.Context(), r, rows)
	var e *Error
	if !errors.As(err, &e) || e.Code != codeCheckViolation || sink.Retryable(err) || e.MayHaveHappened() {
		t.Fatalf("error %v", err)
	}
	ask(t, `alter table `+table+` drop constraint small; alter table `+table+` add column extra int not null default 7`)
	if err := s.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	wantOffsets(t, 0, 6)
}

// A column that somebody added and that must have a value refuses every row: that is mended at the table, and no row is given up for it.
func TestForeignColumnWithoutDefault(t *testing.T) {
	s := begin(t, config(t, server(t).Addr()))
	table := quote(schema(t), "millrace_values")
	ask(t, `alter table `+table+` add column plant text not null`)
	r, rows := span(0, 6)
	if err := s.Write(t.Context(), r, rows); err == nil || !sink.Retryable(err) {
		t.Fatalf("error %v", err)
	}
	ask(t, `alter table `+table+` alter column plant set default 'north'`)
	if err := s.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	wantOffsets(t, 0, 6)
}

func TestErrorsOfTheServer(t *testing.T) {
	for code, want := range map[string]bool{
		"": true, "57P01": true, "40001": true, "53100": true, "08006": true, "42501": true, "42P01": true, "22P03": true, "25006": true, "42P10": true, "23502": true,
		"22021": false, "22003": false, "54000": false, "P0001": false,
	} {
		if got := (&Error{Code: code}).Retryable(); got != want {
			t.Errorf("%q retryable %v", code, got)
		}
	}
	if !(&Error{Code: codeCheckViolation}).Retryable() || (&Error{Code: codeCheckViolation, constraint: "c"}).Retryable() {
		t.Error("a missing partition can be made, a broken constraint stays broken")
	}
}

// TestRowsThatAreThere sets the cursor back: the rows are not there twice, and counted.
func TestRowsThatAreThere(t *testing.T) {
	s := begin(t, config(t, server(t).Addr()))
	r, rows := span(0, 10)
	if err := s.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	if err := s.Seek(t.Context(), sink.Cursor{Epoch: epoch, Offset: 4}); err != nil {
		var ce *sink.CursorError // the sink saw 0, and the cursor is at 10
		if !errors.As(err, &ce) || ce.Have.Offset != 10 || ce.Fenced {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Cursor(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Seek(t.Context(), sink.Cursor{Epoch: epoch, Offset: 4}); err != nil {
		t.Fatal(err)
	}
	r, rows = span(4, 20)
	if err := s.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	wantOffsets(t, 0, 24)
	if st := s.Stats(); st.Inserted != 24 || st.NotInserted != 6 || st.Found != 0 {
		t.Errorf("stats %+v", st)
	}
}

// TestBrokenConnections breaks the connection at every message of a write, either side's, before it and behind it, and writes again
// until that succeeds.
func TestBrokenConnections(t *testing.T) {
	addr := server(t).Addr()
	from, found := uint64(0), uint64(0)
	ready := begin(t, config(t, addr))
	ready.Close(t.Context())
	kinds := map[byte]bool{}
	for _, c := range []cut{{}, {after: true}, {server: true}, {server: true, after: true}} {
		for ; ; c.at++ {
			cases++
			p := newProxy(t, addr, c)
			s := open(t, config(t, p.l.Addr().String()))
			from = through(t, s, from)
			found += s.Stats().Found
			s.Close(t.Context())
			p.close()
			kinds[p.kind] = true
			if !p.done {
				break
			}
		}
		if c.at < 8 {
			t.Errorf("%+v: only %d messages", c, c.at)
		}
	}
	wantOffsets(t, 0, from)
	if found == 0 {
		t.Error("no cut hid the answer to a commit")
	}
	for _, k := range []byte{0, 'Q', 'P', 'd', 'c', 'C', 'Z'} { // start-up, query, parse, copy data, copy done; complete, ready
		if !kinds[k] {
			t.Errorf("no cut at a message of type %q", k)
		}
	}
}

// through starts s at its cursor and writes ten rows, however often it takes.
func through(t *testing.T, s *Sink, from uint64) uint64 {
	t.Helper()
	try(t, func() error {
		_, _, err := s.Cursor(t.Context())
		if err == nil {
			err = s.Seek(t.Context(), sink.Cursor{Epoch: epoch, Offset: from})
		}
		return err
	})
	r, rows := span(from, 10)
	try(t, func() error { return s.Write(t.Context(), r, rows) })
	return r.To
}

// try does f until it succeeds; each failure must be one that can be retried.
func try(t *testing.T, f func() error) {
	t.Helper()
	for range 10 {
		err := f()
		if err == nil {
			return
		}
		if !sink.Retryable(err) {
			t.Fatal(err)
		}
	}
	t.Fatal("ten attempts failed")
}

func TestServerStopsAndCrashes(t *testing.T) {
	srv := server(t)
	s := begin(t, config(t, srv.Addr()))
	from := uint64(0)
	for _, down := range []func() error{srv.Stop, srv.Kill} {
		cases++
		r, rows := span(from, 10)
		if err := s.Write(t.Context(), r, rows); err != nil {
			t.Fatal(err)
		}
		if err := down(); err != nil {
			t.Fatal(err)
		}
		r, rows = span(from+10, 10)
		for range 3 {
			if err := s.Write(t.Context(), r, rows); err == nil || !sink.Retryable(err) {
				t.Fatalf("error %v", err)
			}
		}
		if err := srv.Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(t.Context(), r, rows); err != nil {
			t.Fatal(err)
		}
		from += 20
	}
	wantOffsets(t, 0, from)
}

// TestTwoOnOneCursor: who took the cursor last writes; the other is told, and nothing is there twice.
func TestTwoOnOneCursor(t *testing.T) {
	a := begin(t, config(t, server(t).Addr()))
	r, rows := span(0, 10)
	if err := a.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	b := open(t, config(t, shared.Addr()))
	at, _, err := b.Cursor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, rows = span(10, 5)
	if err := a.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	var ce *sink.CursorError
	if err := b.Seek(t.Context(), at); !errors.As(err, &ce) || ce.Have.Offset != 15 || ce.Fenced { // a wrote meanwhile
		t.Fatalf("error %v", err)
	}
	if at, _, err = b.Cursor(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Seek(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	r, rows = span(15, 10)
	if err := a.Write(t.Context(), r, rows); !errors.As(err, &ce) || !ce.Fenced || sink.Retryable(err) {
		t.Fatalf("error %v", err)
	}
	if err := b.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(t.Context(), r, rows); !errors.As(err, &ce) || !ce.Fenced {
		t.Fatalf("error %v", err)
	}
	wantOffsets(t, 0, 25)
}

// TestCursorSetBackByTheServer is a fail-over to a server that had not seen the last commits: the sink says where it is now.
func TestCursorSetBackByTheServer(t *testing.T) {
	s := begin(t, config(t, server(t).Addr()))
	r, rows := span(0, 10)
	if err := s.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	ask(t, `update `+quote(schema(t), "millrace_cursors")+` set "offset" = 5; delete from `+quote(schema(t), "millrace_values")+` where "offset" >= 5`)
	r, rows = span(10, 10)
	var ce *sink.CursorError
	if err := s.Write(t.Context(), r, rows); !errors.As(err, &ce) || ce.Fenced || ce.Have != (sink.Cursor{Epoch: epoch, Offset: 5}) || !sink.Retryable(err) {
		t.Fatalf("error %v", err)
	}
	r, rows = span(5, 10)
	if err := s.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	wantOffsets(t, 0, 15)
	ask(t, `drop table `+quote(schema(t), "millrace_cursors"))
	r, rows = span(15, 5)
	if err := s.Write(t.Context(), r, rows); err == nil || !sink.Retryable(err) {
		t.Fatalf("error %v", err)
	}
	if err := s.Write(t.Context(), r, rows); !errors.As(err, &ce) || ce.Found {
		t.Fatalf("error %v", err)
	}
	if err := s.Seek(t.Context(), sink.Cursor{Epoch: epoch, Offset: 15}); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), r, rows); err != nil {
		t.Fatal(err)
	}
	wantOffsets(t, 0, 20)
}

func TestTablesMadeByHand(t *testing.T) {
	server(t)
	table := quote(schema(t), "millrace_values")
	ask(t, `create schema `+quote(schema(t))+`; create table `+table+` (tag varchar(100), ts timestamptz, received timestamp, value_double float8,
		value_int int4, value_text text, value_bytes bytea, quality int8, "offset" int8)`)
	s := open(t, config(t, shared.Addr()))
	var se *SchemaError
	if _, _, err := s.Cursor(t.Context()); !errors.As(err, &se) || len(se.Wrong) != 3 || !sink.Retryable(err) {
		t.Fatalf("error %v", err)
	}
	if got := se.Error(); !strings.Contains(got, "column value_int is integer, must be bigint") || !strings.Contains(got, "column epoch is missing") {
		t.Error(got)
	}
	ask(t, `drop table `+table)
	if _, _, err := s.Cursor(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := ask(t, `select pg_get_constraintdef(oid) from pg_constraint where conrelid = '`+table+`'::regclass`)
	if len(key) != 1 || key[0][0] != `PRIMARY KEY (tag, ts, epoch, "offset")` {
		t.Errorf("key %v", key)
	}
}

// TestStuckServer holds the cursor's row by a foreign transaction: the write ends by its own deadline.
func TestStuckServer(t *testing.T) {
	s := begin(t, config(t, server(t).Addr()))
	conn, err := pgconn.Connect(t.Context(), shared.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.Exec(t.Context(), "begin; update "+quote(schema(t), "millrace_cursors")+" set updated = now()").Close(); err != nil {
		t.Fatal(err)
	}
	r, rows := span(0, 10)
	normal := s.cfg.WriteTimeout
	s.cfg.WriteTimeout = 100 * time.Millisecond
	if err := s.Write(t.Context(), r, rows); err == nil || !sink.Retryable(err) {
		t.Fatalf("error %v", err)
	}
	s.cfg.WriteTimeout = normal
	if err := conn.Exec(t.Context(), "rollback").Close(); err != nil {
		t.Fatal(err)
	}
	try(t, func() error { return s.Write(t.Context(), r, rows) })
	wantOffsets(t, 0, 10)
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s := open(t, Config{URL: "postgres://u:secret@" + addr + "/db?sslmode=disable", Cursor: "c", Names: name})
	_, _, err = s.Cursor(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Op != "connect" || !e.Retryable() || strings.Contains(err.Error(), "secret") {
		t.Fatalf("error %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	ok := Config{URL: "postgres://h/d", Cursor: "c", Names: name}
	if _, err := New(ok); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]func(c *Config){
		"no url": func(c *Config) { c.URL = "" }, "no cursor": func(c *Config) { c.Cursor = "" }, "no names": func(c *Config) { c.Names = nil },
		"bad url": func(c *Config) { c.URL = "postgres://h:port/d" }, "long table": func(c *Config) { c.Table = strings.Repeat("x", 64) },
		"timeout": func(c *Config) { c.WriteTimeout = -1 },
	} {
		c := ok
		f(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	r, rows := span(0, 300)
	names := func(tag.ID) string { return "press/tag1" }
	var e encoder
	run := func() {
		if n, err := e.encode(r, rows, names); n != 300 || err != nil {
			t.Fatal(n, err)
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkWrite writes ranges of 10,000 rows, as a thousand devices give them.
func BenchmarkWrite(b *testing.B) {
	s := begin(b, config(b, server(b).Addr()))
	from := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		r, rows := span(from, 10_000)
		if err := s.Write(b.Context(), r, rows); err != nil {
			b.Fatal(err)
		}
		from = r.To
	}
	b.ReportMetric(float64(from)/b.Elapsed().Seconds(), "rows/s")
}
