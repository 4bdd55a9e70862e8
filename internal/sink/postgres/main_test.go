package postgres

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"millrace/internal/sink"
	"millrace/internal/sink/postgres/pgtest"
	"millrace/internal/tag"
)

// One server for all tests, started by the first; each test has a schema of its own. Tests run one after the other.
var (
	shared *pgtest.Server
	cases  int // tests and cut points that ran against the server
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.Close(); err != nil {
			fmt.Println(err)
			code = 1
		}
		os.RemoveAll(sharedDir)
		fmt.Printf("postgres: %d cases\n", cases)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

var sharedDir string

// server returns the running server, and counts a case.
func server(t testing.TB) *pgtest.Server {
	t.Helper()
	if shared != nil {
		cases++
		return shared
	}
	var err error
	if sharedDir, err = os.MkdirTemp("", "millrace-postgres"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(sharedDir, 0o755); err != nil {
		t.Fatal(err)
	}
	shared, err = pgtest.New(sharedDir)
	if err != nil {
		os.RemoveAll(sharedDir)
	}
	if errors.Is(err, pgtest.ErrMissing) && !pgtest.Required() {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cases++
	return shared
}

const epoch = 0xFFEEDDCCBBAA9988 // beyond int64: the table holds its bits

func epochBits() int64 {
	e := uint64(epoch)
	return int64(e)
}

func name(id tag.ID) string {
	if id >= 600 {
		return map[tag.ID]string{601: "nul\x00", 602: "bad\xff"}[id]
	}
	return fmt.Sprintf("press/tag%d", id)
}

// schema returns a name for t's own schema, odd on purpose.
func schema(t testing.TB) string {
	return strings.Map(func(r rune) rune {
		if r == '/' {
			return '"'
		}
		return r
	}, t.Name())
}

// config returns the settings of a sink for t.
func config(t testing.TB, addr string) Config {
	return Config{URL: pgtest.URL(addr), Cursor: "plant/sql", Names: name, Schema: schema(t)}
}

func open(t testing.TB, cfg Config) *Sink {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return s
}

// begin makes a sink ready at offset 0.
func begin(t testing.TB, cfg Config) *Sink {
	t.Helper()
	s := open(t, cfg)
	if _, ok, err := s.Cursor(t.Context()); ok || err != nil {
		t.Fatalf("cursor of a new sink: %v %v", ok, err)
	}
	if err := s.Seek(t.Context(), sink.Cursor{Epoch: epoch}); err != nil {
		t.Fatal(err)
	}
	return s
}

// span returns n rows from offset from on in batches of three, all with the same stamp, and their range.
func span(from uint64, n int) (sink.Range, []sink.Rows) {
	var rows []sink.Rows
	for at := 0; at < n; at += 3 {
		b := &tag.Batch{Received: 1e18 + 5}
		for i := at; i < min(at+3, n); i++ {
			b.Append(1, 1e18, tag.Good, tag.Int32, from+uint64(i))
		}
		rows = append(rows, sink.Rows{Batch: b, End: b.Len(), Offset: from + uint64(at)})
	}
	return sink.Range{Epoch: epoch, From: from, To: from + uint64(n)}, rows
}

// ask runs one statement at the server itself and returns its rows.
func ask(t *testing.T, sql string) [][]string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), shared.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	res, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var out [][]string
	for _, r := range res[len(res)-1].Rows {
		var row []string
		for _, v := range r {
			if v == nil {
				row = append(row, "NULL")
				continue
			}
			row = append(row, string(v))
		}
		out = append(out, row)
	}
	return out
}

// wantOffsets holds the table to the offsets [from, to), each once with its value, and the cursor to to.
func wantOffsets(t *testing.T, from, to uint64) {
	t.Helper()
	table := quote(schema(t), "millrace_values")
	got := ask(t, `select count(*), count(distinct "offset"), min("offset"), max("offset"), count(*) filter (where value_int <> "offset"), min(epoch), max(epoch) from `+table)[0]
	n := strconv.FormatUint(to-from, 10)
	e := itoa(epochBits())
	want := []string{n, n, strconv.FormatUint(from, 10), strconv.FormatUint(to-1, 10), "0", e, e}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("table has (rows, offsets, first, last, wrong, epochs) %v, want %v", got, want)
	}
	c := ask(t, `select "offset" from `+quote(schema(t), "millrace_cursors"))
	if len(c) != 1 || c[0][0] != strconv.FormatUint(to, 10) {
		t.Fatalf("cursor %v, want %d", c, to)
	}
}
