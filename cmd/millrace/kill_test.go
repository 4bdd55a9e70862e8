//go:build unix

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"millrace/internal/sim"
	"millrace/internal/sink/postgres/pgtest"
)

// TestKill ends a gateway with kill -9 at random moments, again and again, on one data directory. What it had reported as synced must be
// delivered once, with the value that was reported.
func TestKill(t *testing.T) {
	t.Parallel()
	cycles := envNumber(t, "KILL_CYCLES", 2)
	seed := envNumber(t, "KILL_SEED", time.Now().UnixNano())
	t.Logf("%d cycles, seed KILL_SEED=%d", cycles, seed)
	dir := t.TempDir()
	k := &killed{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 0)), synced: map[rowKey]row{}}
	db := postgresOrNot(t, dir)
	k.path = write(t, dir, "gateway.yaml", killConfig(dir, plant(t, sim.ModbusConfig{Devices: killDevices, ByPort: true}), db))
	for range cycles {
		k.run(true)
	}
	k.run(false)
	k.checkImage()
	delivered := map[string]map[rowKey]row{"file": fileRows(t, filepath.Join(dir, "out"))}
	if db != nil {
		delivered["postgres"] = postgresRows(t, db.URL())
	}
	for name, rows := range delivered {
		k.compare(name, rows)
	}
	t.Logf("%d kills, %d of them before the first value; %d values reported as synced; delivered: %s", cycles, k.early, len(k.synced), counts(delivered))
	if len(k.synced) == 0 {
		t.Error("nothing was ever reported: this proves nothing")
	}
}

func envNumber(t *testing.T, name string, or int64) int64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return or
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", name, s)
	}
	return n
}

// postgresOrNot starts PostgreSQL below dir, or says that the file sink alone is judged.
func postgresOrNot(t *testing.T, dir string) *pgtest.Server {
	t.Helper()
	for _, d := range []string{filepath.Dir(dir), dir} { // the server is another user's when the test is root's
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := pgtest.New(dir)
	if errors.Is(err, pgtest.ErrMissing) && !pgtest.Required() {
		t.Logf("%v: only the file sink is judged", err)
		return nil
	}
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

const killDevices = 4

// killConfig has values that never change and are kept all the same, and others that change all the time.
func killConfig(dir string, m *sim.Modbus, db *pgtest.Server) string {
	s := configText(dir) + `
templates:
  t:
    profile: lan
    groups:
      fast:
        interval: 20ms
        tags:
          fixed: holding:1234:uint16 every
          float: holding:500:float32 every
          coil: coil:9 every
          wave: holding:60000:float32
          sum: holding:60002:float32 scale=3 bias=-1
`
	s += "devices:\n"
	for n := 1; n <= killDevices; n++ {
		s += fmt.Sprintf("  - {id: d%d, template: t, address: \"modbus://%s/1\"}\n", n, m.Addr(n))
	}
	s += fmt.Sprintf("sinks:\n  - {id: files, type: file, dir: %q, from: oldest, rotate_bytes: 1MiB}\n", filepath.Join(dir, "out"))
	if db != nil {
		s += fmt.Sprintf("  - {id: db, type: postgres, url: %q, from: oldest}\n", db.URL())
	}
	return s
}

// rowKey is the identity of a value.
type rowKey struct{ epoch, offset uint64 }

// row is a value as everybody can say it: numbers as the shortest text of their float64, times in microseconds.
type row struct {
	tag   string
	micro int64
	value string
}

// killed is a gateway that is killed, and what it had reported.
type killed struct {
	t      *testing.T
	rng    *rand.Rand
	path   string
	synced map[rowKey]row
	early  int // kills before the first line of a run
}

// run starts the gateway and kills it at a random moment, or stops it well.
func (k *killed) run(kill bool) {
	k.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command(os.Args[0], "run", "-c", k.path, "--log-json", "--tap", "3")
	cmd.Env = append(os.Environ(), asMillrace+"=1")
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{w}, &log, &log
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		k.t.Fatal(err)
	}
	enough := make(chan struct{})
	read := make(chan int)
	lines, wait := k.moment(kill)
	go func() { read <- k.listen(r, lines, enough) }()
	end := syscall.SIGKILL
	if !kill {
		end = syscall.SIGTERM
	}
	moment := time.NewTimer(wait)
	select {
	case <-moment.C:
	case <-enough:
	}
	moment.Stop()
	if err := cmd.Process.Signal(end); err != nil {
		k.t.Errorf("the gateway ended before it was killed: %v\n%s", err, &log)
	}
	n := <-read
	if n == 0 {
		k.early++
	}
	err = cmd.Wait()
	if !kill {
		k.judgeEnd(err, log.String())
	} else if !strings.Contains(fmt.Sprint(err), "killed") {
		k.t.Errorf("ended with %v\n%s", err, &log)
	}
}

// moment says when to kill: after so many lines, or a time if that comes first. One kill in four meets the start.
func (k *killed) moment(kill bool) (lines int, wait time.Duration) {
	switch {
	case !kill:
		return 5, time.Minute
	case k.rng.IntN(4) == 0:
		return 1 << 30, time.Duration(k.rng.Int64N(int64(300 * time.Millisecond)))
	}
	return 1 + k.rng.IntN(100), time.Minute
}

// listen reads the tap to its end, which is the process's, and closes enough after so many lines. The last line may be torn.
func (k *killed) listen(r *os.File, lines int, enough chan<- struct{}) int {
	defer r.Close()
	in := bufio.NewReader(r)
	for n := 0; ; n++ {
		text, err := in.ReadBytes('\n')
		if err != nil {
			return n
		}
		var l tapLine
		if err := json.Unmarshal(text, &l); err != nil {
			k.t.Errorf("tap: %v in %s", err, text)
		}
		for i, v := range l.Rows {
			key, is := rowKey{l.Epoch, l.Offset + uint64(i)}, row{v.Tag, floorMicro(v.TS), plainValue(k.t, v.Value)}
			if was, twice := k.synced[key]; twice && was != is {
				k.t.Errorf("%v was reported as %v, and then as %v", key, was, is)
			}
			k.synced[key] = is
		}
		if n+1 == lines {
			close(enough)
		}
	}
}

// judgeEnd looks at the last words of a gateway that was stopped well.
func (k *killed) judgeEnd(err error, log string) {
	k.t.Helper()
	found := 0
	for line := range strings.Lines(log) {
		var l struct {
			Msg              string
			Residue, Waiting *int64
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			continue
		}
		if l.Msg == "stopped" && l.Residue != nil && *l.Residue == 0 || l.Msg == "sink" && l.Waiting != nil && *l.Waiting == 0 {
			found++
		}
	}
	want := 1 + strings.Count(string(must(os.ReadFile(k.path))), "type:")
	if err != nil || found != want {
		k.t.Errorf("the last run ended with %v; of its account and its sinks %d of %d are at 0:\n%s", err, found, want, log)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// checkImage holds what was reported against the simulator's documented image.
func (k *killed) checkImage() {
	k.t.Helper()
	for key, r := range k.synced {
		_, name, _ := strings.Cut(r.tag, "/")
		want, fixed := map[string]string{"fixed": "1234", "float": plainFloat(imageFloat(500)), "coil": "1"}[name]
		if fixed && r.value != want && r.value != "null" {
			k.t.Errorf("%v: %s is %s, not %s", key, r.tag, r.value, want)
		}
	}
}

// imageFloat is the float32 of two registers that hold their addresses, ABCD.
func imageFloat(at uint32) float64 { return float64(float32frombits(at<<16 | (at + 1))) }

// compare holds what a sink has against what was reported.
func (k *killed) compare(name string, have map[rowKey]row) {
	k.t.Helper()
	missing, wrong := 0, 0
	for key, r := range k.synced {
		got, ok := have[key]
		switch {
		case !ok:
			missing++
		case got != r:
			wrong++
		default:
			continue
		}
		if missing+wrong <= 5 {
			k.t.Errorf("%s: %v was reported as %+v, and is there: %v %+v", name, key, r, ok, got)
		}
	}
	if missing+wrong > 0 {
		k.t.Errorf("%s: of %d values that were synced %d are missing and %d are wrong", name, len(k.synced), missing, wrong)
	}
}

func counts(delivered map[string]map[rowKey]row) string {
	var s []string
	for name, rows := range delivered {
		s = append(s, fmt.Sprintf("%s %d", name, len(rows)))
	}
	return strings.Join(s, ", ")
}

// fileRows reads the file sink's lines in the order of writing, each of which must lie behind the one before it.
func fileRows(t *testing.T, dir string) map[rowKey]row {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "values-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	all, order := map[rowKey]row{}, ordered{t: t, what: "file"}
	for _, name := range files { // their names sort in the order of writing
		for line := range bytes.Lines(must(os.ReadFile(name))) {
			var l struct {
				Tag, Epoch string
				TS         time.Time
				Value      json.RawMessage
				Offset     uint64
			}
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%s: %v: %s", name, err, line)
			}
			epoch, err := strconv.ParseUint(l.Epoch, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			key := rowKey{epoch, l.Offset}
			order.add(key)
			all[key] = row{l.Tag, floorMicro(l.TS.UnixNano()), plainValue(t, l.Value)}
		}
	}
	return all
}

// postgresRows reads the table in the order in which its rows were put there.
func postgresRows(t *testing.T, url string) map[rowKey]row {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(ctx)
	rows, err := db.Query(ctx, `select tag, (extract(epoch from ts) * 1000000)::int8, value_double, value_int, epoch, "offset" from millrace_values order by ctid`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all, order := map[rowKey]row{}, ordered{t: t, what: "postgres"}
	for rows.Next() {
		var r row
		var double *float64
		var whole *int64
		var epoch, offset int64
		if err := rows.Scan(&r.tag, &r.micro, &double, &whole, &epoch, &offset); err != nil {
			t.Fatal(err)
		}
		switch {
		case double != nil:
			r.value = plainFloat(*double)
		case whole != nil:
			r.value = strconv.FormatInt(*whole, 10)
		default:
			r.value = "null"
		}
		key := rowKey{uint64(epoch), uint64(offset)}
		order.add(key)
		all[key] = r
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// ordered holds that offsets grow: then nothing is there twice, and nothing out of order.
type ordered struct {
	t    *testing.T
	what string
	any  bool
	last rowKey
	bad  int
}

func (o *ordered) add(k rowKey) {
	if o.any && (k.epoch != o.last.epoch || k.offset <= o.last.offset) {
		if o.bad++; o.bad <= 5 {
			o.t.Errorf("%s: %v comes behind %v", o.what, k, o.last)
		}
	}
	o.any, o.last = true, k
}

func floorMicro(ns int64) int64 { return (ns - (ns%1000+1000)%1000) / 1000 }

// plainValue brings the JSON of a value to the form of row.value.
func plainValue(t *testing.T, v json.RawMessage) string {
	switch s := string(v); s {
	case "null":
		return s
	case "true":
		return "1"
	case "false":
		return "0"
	default:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Errorf("value %s: %v", s, err)
		}
		return plainFloat(f)
	}
}

// plainFloat rounds to float32: that is what the numbers here were made from, and one side widens them before it writes them.
func plainFloat(f float64) string { return strconv.FormatFloat(cmp.Or(f, 0), 'g', -1, 32) }
