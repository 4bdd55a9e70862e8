package sink

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/journal/vfs"
)

func TestManySmallBatchesAreOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t}
		r := start(t, log, s, func(c *Config) { c.MaxRows = 1000 })
		for range 50 {
			log.add(3)
		}
		synctest.Wait()
		if len(s.ranges()) != 0 {
			t.Errorf("%d writes before linger is over", len(s.ranges()))
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if len(s.ranges()) != 1 || log.cursors["mem"] != 150 {
			t.Errorf("writes %v, cursor %d", s.ranges(), log.cursors["mem"])
		}
		wantOffsets(t, s.offsets(), 0, 150)
		r.balance()
		if err := r.end(); err != nil || !s.closed {
			t.Error(err, s.closed)
		}
	})
}

func TestLargeBatchesAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t}
		log.add(25)
		log.add(3)
		log.add(12)
		r := start(t, log, s, nil)
		time.Sleep(time.Second)
		r.end()
		want := []Range{{7, 0, 10}, {7, 10, 20}, {7, 20, 30}, {7, 30, 40}}
		if !slices.Equal(s.ranges(), want) {
			t.Errorf("writes %v", s.ranges())
		}
		wantOffsets(t, s.offsets(), 0, 40)
	})
}

func TestMaxBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t}
		log.add(10)
		r := start(t, log, s, func(c *Config) { c.MaxBytes = 4 * rowBytes })
		time.Sleep(time.Second)
		r.end()
		if len(s.ranges()) != 3 {
			t.Errorf("writes %v", s.ranges())
		}
		wantOffsets(t, s.offsets(), 0, 10)
	})
}

func TestRetryWithBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		var tries []time.Time
		s := &memSink{t: t, before: func(context.Context, Range, []Rows) error {
			if tries = append(tries, time.Now()); len(tries) <= 40 {
				return &refusal{"the database is down", true}
			}
			return nil
		}}
		log.add(5)
		r := start(t, log, s, func(c *Config) { c.Rand = rand.New(rand.NewPCG(1, 2)) })
		time.Sleep(time.Second)
		synctest.Wait()
		st := r.worker.Stats()
		if st.State != Retrying || st.Reason != "the database is down" || st.Waiting != 5 || !strings.Contains(st.String(), "5 values wait, retrying since") {
			t.Errorf("%s: %+v", st, st)
		}
		time.Sleep(30 * time.Minute)
		r.balance()
		r.end()
		wantOffsets(t, s.offsets(), 0, 5)
		bound := 500 * time.Millisecond
		var all time.Duration
		for i := 1; i < len(tries); i++ {
			wait := tries[i].Sub(tries[i-1])
			if all += wait; wait > bound {
				t.Errorf("wait %d is %v, more than %v", i, wait, bound)
			}
			bound = min(2*bound, 30*time.Second)
		}
		if all < 3*time.Minute { // full jitter: 15 s on average
			t.Errorf("40 waits are %v in all", all)
		}
		if st := r.worker.Stats(); st.State != Stopped || st.Retries != 40 || st.Delivered != 5 || st.LastError == "" {
			t.Errorf("%+v", st)
		}
	})
}

// refuses returns a sink's answer to ranges with one of the rows bad.
func refuses(bad ...uint64) func(context.Context, Range, []Rows) error {
	return func(_ context.Context, _ Range, rows []Rows) error {
		for _, v := range rows {
			for _, b := range bad {
				if b >= v.Offset && b < v.Next() {
					return &refusal{fmt.Sprintf("row %d is refused", b), false}
				}
			}
		}
		return nil
	}
}

func TestPoisonIsFoundByHalving(t *testing.T) {
	for _, bad := range [][]uint64{{17}, {0}, {39}, {3, 4, 5}, {0, 9, 10, 19, 20, 39}, {10, 11, 12, 13, 14, 15, 16, 17, 18, 19}} {
		synctest.Test(t, func(t *testing.T) {
			log, s := newLog(), &memSink{t: t, before: refuses(bad...)}
			for range 20 {
				log.add(2)
			}
			r := start(t, log, s, nil)
			time.Sleep(time.Minute)
			synctest.Wait()
			r.balance()
			wantOffsets(t, s.offsets(), 0, 40, bad...)
			st := r.worker.Stats()
			if st.Dropped[ReasonPoison] != uint64(len(bad)) || st.Delivered != uint64(40-len(bad)) || st.Waiting != 0 || st.State != OK || log.cursors["mem"] != 40 {
				t.Errorf("%v: %+v", bad, st)
			}
			lines := deadLines(t, r.dir)
			for i, b := range bad {
				if !strings.HasSuffix(lines[i], fmt.Sprintf(`"offset":%d,"sink":"mem","reason":"row %d is refused"}`, b, b)) || !strings.HasPrefix(lines[i], `{"tag":"tag1",`) {
					t.Errorf("line %s", lines[i])
				}
			}
			if len(lines) != len(bad) {
				t.Errorf("%d lines", len(lines))
			}
			r.end()
		})
	}
}

func TestPoisonThatTheSinkNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		calls := 0
		s := &memSink{t: t, before: func(_ context.Context, r Range, rows []Rows) error {
			calls++
			if Count(rows) == 10 {
				return &PartialError{Range: r, Rows: []Poison{{r.From, "no name"}, {r.From + 4, "no name"}, {r.From + 9, "no name"}}}
			}
			return nil
		}}
		for range 3 {
			log.add(5)
		}
		r := start(t, log, s, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		r.balance()
		r.end()
		wantOffsets(t, s.offsets(), 0, 15, 0, 4, 9)
		if calls != 3 || len(deadLines(t, r.dir)) != 3 {
			t.Errorf("%d calls, dead %v", calls, deadLines(t, r.dir))
		}
	})
}

// TestCrashBeforeTheCursorMoves: the row is in the dead-letter file, the cursor is before it, and the file's last line is torn.
func TestCrashBeforeTheCursorMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t, before: refuses(3)}
		log.add(8)
		r := start(t, log, s, nil)
		time.Sleep(time.Second)
		r.end()
		file := filepath.Join(r.dir, "dead-letter", "mem.jsonl")
		p, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(p, `{"tag":"torn`...), 0o600); err != nil {
			t.Fatal(err)
		}
		log.cursors["mem"] = 3
		again := &memSink{t: t, before: refuses(3, 5)}
		r2 := start(t, log, again, func(c *Config) { c.DataDir = r.dir })
		time.Sleep(time.Second)
		r2.end()
		wantOffsets(t, again.offsets(), 3, 8, 3, 5)
		lines := deadLines(t, r.dir)
		if len(lines) != 2 || !strings.Contains(lines[0], `"offset":3,`) || !strings.Contains(lines[1], `"offset":5,`) {
			t.Errorf("dead-letter file: %v", lines)
		}
	})
}

// A line of the dead-letter file that was damaged, by the disk or by hand, costs no other line.
func TestDamagedDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t, before: refuses(1, 3)}
		log.add(8)
		r := start(t, log, s, nil)
		time.Sleep(time.Second)
		r.end()
		file, was := filepath.Join(r.dir, "dead-letter", "mem.jsonl"), deadLines(t, r.dir)
		if err := os.WriteFile(file, []byte("x"+strings.Join(was, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		log.add(8)
		r2 := start(t, log, &memSink{t: t, before: refuses(9)}, func(c *Config) { c.DataDir = r.dir })
		time.Sleep(time.Second)
		r2.end()
		lines := deadLines(t, r.dir)
		if len(lines) != 3 || lines[1] != was[1] || !strings.Contains(lines[2], `"offset":9,`) {
			t.Errorf("dead-letter file: %v", lines)
		}
	})
}

func TestDeadLetterFileHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t, before: refuses(1, 2, 3, 4, 5)}
		log.add(8)
		r := start(t, log, s, func(c *Config) { c.MaxDeadLetters = 600 })
		time.Sleep(time.Second)
		synctest.Wait()
		if st := r.worker.Stats(); st.Dropped[ReasonPoison] != 5 || len(deadLines(t, r.dir)) != 2 {
			t.Errorf("%+v %v", st, deadLines(t, r.dir))
		}
		r.balance()
		r.end()
	})
}

// noDisk is a file system without room until it is told.
type noDisk struct {
	vfs.OS
	full atomic.Bool
}

func (d *noDisk) OpenFile(name string, flag int) (vfs.File, error) {
	if d.full.Load() {
		return nil, syscall.ENOSPC
	}
	return d.OS.OpenFile(name, flag)
}

func TestPoisonWaitsForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s, d := newLog(), &memSink{t: t, before: refuses(2)}, &noDisk{}
		d.full.Store(true)
		log.add(4)
		r := start(t, log, s, func(c *Config) { c.FS = d })
		time.Sleep(time.Minute)
		synctest.Wait()
		if st := r.worker.Stats(); st.State != Retrying || !strings.Contains(st.Reason, "dead-letter file") || st.Cursor.Offset > 2 {
			t.Errorf("%+v", st)
		}
		d.full.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		r.balance()
		r.end()
		wantOffsets(t, s.offsets(), 0, 4, 2)
	})
}

func TestRowsThatTheJournalLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t}
		for range 4 {
			log.add(10)
		}
		log.gone = []gap{{from: 0, to: 10, reason: ReasonRetention}, {from: 20, to: 25, reason: ReasonDamaged}, {from: 30, to: 40, reason: ReasonDamaged}}
		r := start(t, log, s, func(c *Config) { c.MaxRows = 100 })
		time.Sleep(time.Second)
		synctest.Wait()
		r.balance()
		wantOffsets(t, s.offsets(), 10, 30, 20, 21, 22, 23, 24)
		st := r.worker.Stats()
		if st.Dropped[ReasonRetention] != 10 || st.Dropped[ReasonDamaged] != 15 || st.Waiting != 0 || len(s.ranges()) != 1 || len(r.alarms) != 3 {
			t.Errorf("%+v %v %v", st, s.ranges(), r.alarms)
		}
		r.end()
	})
}

func TestEndDeliversWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t}
		r := start(t, log, s, nil)
		synctest.Wait()
		for range 100 {
			log.add(1)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		wantOffsets(t, s.offsets(), 0, 100)
		r.balance()
	})
}

func TestEndOfTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &memSink{t: t}
		log.add(15)
		log.close()
		r := start(t, log, s, nil)
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		r.stop()
		wantOffsets(t, s.offsets(), 0, 15)
	})
}

// TestEndWithASinkThatHangs: the sink gets DrainTimeout more, not longer.
func TestEndWithASinkThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		s := &memSink{t: t, before: func(ctx context.Context, _ Range, _ []Rows) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		log.add(5)
		r := start(t, log, s, func(c *Config) { c.DrainTimeout = 3 * time.Second })
		time.Sleep(time.Second)
		begin := time.Now()
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("it took %v", d)
		}
		r.balance()
	})
}

func TestAWriteThatHangsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		calls := 0
		s := &memSink{t: t, before: func(ctx context.Context, _ Range, _ []Rows) error {
			if calls++; calls > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		log.add(5)
		r := start(t, log, s, func(c *Config) { c.WriteTimeout = time.Minute })
		time.Sleep(2 * time.Minute)
		r.end()
		wantOffsets(t, s.offsets(), 0, 5)
	})
}

func TestConfigIsChecked(t *testing.T) {
	log := newLog()
	ok := Config{ID: "a", Log: log, Sink: &memSink{}, Account: log.ledger.Sink("a"), Names: nil, DataDir: "x"}
	if _, err := New(ok); err == nil {
		t.Error("no names, and taken")
	}
}
