//go:build unix

package main

import (
	"path/filepath"
	"testing"

	"millrace/internal/sim"
	"millrace/internal/sink"
	"millrace/internal/sink/postgres/pgtest"
)

// PostgreSQL is stopped for a while: the file sink goes on, PostgreSQL catches up, in order, and nothing is lost or there twice.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	db := pgtest.Start(t)
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: killDevices, ByPort: true})
	r := startRig(t, dir, killConfig(dir, m, db), rigOptions{})
	const some = 300
	until(t, "both sinks have values", func() bool { return r.sink("db").Delivered > some && r.sink("files").Delivered > some })
	if err := db.Stop(); err != nil {
		t.Fatal(err)
	}
	until(t, "the gateway notices", func() bool { return r.sink("db").State == string(sink.Retrying) })
	if a, ok := r.alarm("sink:db"); !ok {
		t.Errorf("no alarm: %+v", a)
	}
	stopped := r.sink("files").Delivered
	until(t, "values wait for one sink and not for the other", func() bool {
		return r.sink("db").Waiting > 5*some && r.sink("files").Delivered > stopped+5*some
	})
	for _, c := range r.Health() {
		if !c.Ready {
			t.Errorf("not ready, though nothing is lost: %+v", c)
		}
	}
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	waited := r.sink("db").Waiting
	until(t, "it catches up", func() bool { s := r.sink("db"); return s.State == string(sink.OK) && s.Waiting < some })
	if _, ok := r.alarm("sink:db"); ok {
		t.Errorf("the alarm stays: %+v", r.Alarms())
	}
	r.stop()
	files, rows := fileRows(t, filepath.Join(dir, "out")), postgresRows(t, db.URL()) // both hold that offsets grow
	if d := r.sink("db").Dropped; len(d) != 0 || len(files) != len(rows) {
		t.Errorf("%d rows in files, %d in PostgreSQL, dropped: %v", len(files), len(rows), d)
	}
	for k, v := range files {
		if rows[k] != v {
			t.Fatalf("%v is %+v in the file, and %+v in PostgreSQL", k, v, rows[k])
		}
	}
	t.Logf("%d values, %d of which waited for PostgreSQL", len(rows), waited)
}
