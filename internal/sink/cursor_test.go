package sink

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhereItBegins(t *testing.T) {
	cases := map[string]struct {
		own     *Cursor // the sink's
		journal int     // the journal's, -1 none
		oldest  bool
		from    uint64
		alarm   string
	}{
		"new":                       {journal: -1, from: 40},
		"new, from oldest":          {journal: -1, oldest: true, from: 10},
		"the journal's cursor":      {journal: 25, from: 25},
		"the sink's wins":           {own: &Cursor{7, 15}, journal: 25, from: 15},
		"of another journal":        {own: &Cursor{8, 35}, journal: 25, from: 10, alarm: "another journal"},
		"behind the journal's end":  {own: &Cursor{7, 55}, journal: 25, from: 55, alarm: "behind the journal's end 40"},
		"before what is kept":       {own: &Cursor{7, 5}, journal: -1, from: 10, alarm: "5 values were removed"},
		"at the end, with a cursor": {own: &Cursor{7, 40}, journal: 40, from: 40},
	}
	for what, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			log := newLog()
			for range 4 {
				log.add(10)
			}
			log.first, log.gone = 10, []gap{{from: 0, to: 10, reason: ReasonRetention}}
			if c.journal >= 0 {
				log.cursors["mem"] = 25
			}
			s := &seekSink{memSink{t: t, own: true}}
			if c.own != nil {
				s.cursor, s.found = *c.own, true
			}
			r := start(t, log, s, func(cfg *Config) { cfg.FromOldest = c.oldest })
			synctest.Wait()
			log.add(10)
			time.Sleep(time.Second)
			synctest.Wait()
			_, next := log.Bounds()
			want := c.from
			if len(s.offsets()) == 0 || s.offsets()[0] != want || s.offsets()[len(s.offsets())-1] != uint64(next)-1 || s.seeks != 1 {
				t.Errorf("%s: got %v, want from %d; %d seeks", what, s.offsets(), want, s.seeks)
			}
			if a := strings.Join(r.alarms, "\n"); c.alarm == "" && a != "" || !strings.Contains(a, c.alarm) {
				t.Errorf("%s: alarms %q", what, a)
			}
			r.balance()
			r.end()
		})
	}
}

// TestTheSinkIsDownAtStart: what comes meanwhile is kept for it and in the ledger, whether it turns out to have a cursor or not.
func TestTheSinkIsDownAtStart(t *testing.T) {
	for _, own := range []Cursor{{}, {7, 3}} {
		synctest.Test(t, func(t *testing.T) {
			log := newLog()
			log.add(10)
			s := &seekSink{memSink{t: t, own: true, cursor: own, found: own != Cursor{}}}
			s.down.Store(true)
			r := start(t, log, s, func(c *Config) { c.FromOldest = false })
			synctest.Wait()
			log.add(5)
			time.Sleep(time.Hour)
			synctest.Wait()
			r.balance()
			if st := r.worker.Stats(); st.State != Retrying || st.Reason != "no route" || st.Waiting != 5 || log.cursors["mem"] != 10 {
				t.Errorf("%v: %s waiting %d delivered %d", own, st.State, st.Waiting, st.Delivered)
			}
			if n := len(log.ledger.Snapshot().Sinks); n != 1 {
				t.Errorf("%d sinks in the ledger", n)
			}
			s.down.Store(false)
			time.Sleep(time.Minute)
			synctest.Wait()
			r.balance()
			from := uint64(10)
			if s.own && own != (Cursor{}) {
				from = own.Offset
			}
			wantOffsets(t, s.offsets(), from, 15)
			if st := r.worker.Stats(); st.State != OK || st.Waiting != 0 || st.Delivered != 15-from {
				t.Errorf("%+v", st)
			}
			r.end()
		})
	}
}

// TestOffsetsThatTheSinkHas: the journal lost its newest rows by a disk that lied, and the sink is down while new rows get their
// offsets. They cannot be delivered, and that is said.
func TestOffsetsThatTheSinkHas(t *testing.T) {
	for _, own := range []uint64{14, 20} {
		synctest.Test(t, func(t *testing.T) {
			log := newLog()
			log.add(10)
			s := &seekSink{memSink{t: t, own: true, cursor: Cursor{7, own}, found: true}}
			s.down.Store(true)
			r := start(t, log, s, nil)
			synctest.Wait()
			log.add(7)
			s.down.Store(false)
			time.Sleep(time.Minute)
			log.add(3)
			time.Sleep(time.Minute)
			synctest.Wait()
			r.balance()
			lost := min(own, 17) - 10
			if st := r.worker.Stats(); st.Dropped[ReasonSkipped] != lost || st.Delivered != 10-lost || st.Waiting != 0 {
				t.Errorf("cursor %d: dropped %v, delivered %d", own, st.Dropped, st.Delivered)
			}
			r.end()
		})
	}
}

// TestTheSinkGoesBack is a fail-over to a database that had not seen the last writes.
func TestTheSinkGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &seekSink{memSink{t: t, own: true}}
		log.add(10)
		r := start(t, log, s, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		wantOffsets(t, s.offsets(), 0, 10)
		s.back(6)
		log.add(5)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantOffsets(t, s.offsets(), 0, 15)
		if st := r.worker.Stats(); st.Delivered != 15 || len(r.alarms) != 1 || !strings.Contains(r.alarms[0], "went back from 10 to 6") {
			t.Errorf("%+v %v", st, r.alarms)
		}
		r.balance()
		r.end()
	})
}

// TestTheSinkGoesBackInTheMiddle does so while a range is written that begins before what was counted and ends behind it.
func TestTheSinkGoesBackInTheMiddle(t *testing.T) {
	for _, batch := range []int{2, 5, 30} {
		synctest.Test(t, func(t *testing.T) {
			log, s := newLog(), &seekSink{memSink{t: t, own: true}}
			s.before = func(_ context.Context, r Range, _ []Rows) error {
				if r.From != 10 || s.seeks > 1 {
					return nil
				}
				s.back(3)
				return &CursorError{Have: s.cursor, Found: true}
			}
			for range 30 / batch {
				log.add(batch)
			}
			r := start(t, log, s, nil)
			time.Sleep(time.Minute)
			synctest.Wait()
			wantOffsets(t, s.offsets(), 0, 30)
			if st := r.worker.Stats(); st.Delivered != 30 || s.seeks != 2 {
				t.Errorf("delivered %d, %d seeks", st.Delivered, s.seeks)
			}
			r.balance()
			r.end()
		})
	}
}

// TestSomebodyMovesTheCursorOn: rows that a person skipped are not delivered, and counted.
func TestSomebodyMovesTheCursorOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, s := newLog(), &seekSink{memSink{t: t, own: true}}
		log.add(5)
		r := start(t, log, s, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		s.back(8)
		log.add(5)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantOffsets(t, s.offsets(), 0, 10, 5, 6, 7)
		if st := r.worker.Stats(); st.Delivered != 7 || st.Dropped[ReasonSkipped] != 3 {
			t.Errorf("%+v", st)
		}
		r.balance()
		r.end()
	})
}

func TestAnotherProcessTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog()
		s := &seekSink{memSink{t: t, own: true, before: func(context.Context, Range, []Rows) error {
			return &CursorError{Name: "plant/sql", Fenced: true, Found: true}
		}}}
		log.add(1)
		r := start(t, log, s, nil)
		err := <-r.done
		var ce *CursorError
		if !errors.As(err, &ce) || !ce.Fenced {
			t.Errorf("error %v", err)
		}
		if st := r.worker.Stats(); st.State != Stopped || !strings.Contains(st.String(), "another process") || !s.closed || len(r.alarms) != 1 {
			t.Errorf("%s %v", st, r.alarms)
		}
		r.stop()
		r.balance()
	})
}
