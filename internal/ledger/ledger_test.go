package ledger

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plant is a ledger with what it measures at hand.
type plant struct {
	*Ledger
	queued, waiting uint64
}

func newPlant() *plant {
	p := &plant{}
	p.Ledger = New(func() uint64 { return p.queued })
	return p
}

func (p *plant) wait() uint64 { return p.waiting }

// sound is a plant whose equations hold, with every term in use.
func sound() *plant {
	p := newPlant()
	p.Sink("pg").Open(7, p.wait)
	p.Offered(100, 30)
	p.Journaled(50)
	p.Dropped("journal_full", 5)
	p.queued = 15
	p.Sink("pg").Delivered(40)
	p.Sink("pg").Dropped("trimmed", 2)
	p.waiting = 15
	return p
}

func TestResidue(t *testing.T) {
	for _, c := range []struct {
		name         string
		do           func(*plant)
		values, sink int64
	}{
		{"sound", func(*plant) {}, 0, 0},
		{"read and nowhere", func(p *plant) { p.Offered(3, 0) }, 3, 0},
		{"filtered twice", func(p *plant) { p.Offered(0, 2) }, -2, 0},
		{"journaled but not read", func(p *plant) { p.Journaled(4) }, -4, 4},
		{"dropped but not read", func(p *plant) { p.Dropped("x", 1) }, -1, 0},
		{"queue holds more", func(p *plant) { p.queued++ }, -1, 0},
		{"queue lost one", func(p *plant) { p.queued-- }, 1, 0},
		{"delivered twice", func(p *plant) { p.Sink("pg").Delivered(6) }, 0, -6},
		{"cursor passed one over", func(p *plant) { p.waiting-- }, 0, 1},
		{"cursor went back", func(p *plant) { p.waiting++ }, 0, -1},
		{"sink dropped uncounted rows", func(p *plant) { p.Sink("pg").Dropped("poison", 3) }, 0, -3},
		{"opened anew", func(p *plant) { p.Sink("pg").OpenAt(15, 50, p.wait) }, 0, 0},
		{"opened anew too late", func(p *plant) { p.Sink("pg").OpenAt(15, 49, p.wait) }, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := sound()
			c.do(p)
			s := p.Snapshot()
			if s.Values.Residue != c.values || s.Sinks[0].Residue != c.sink {
				t.Errorf("residues %d and %d, want %d and %d", s.Values.Residue, s.Sinks[0].Residue, c.values, c.sink)
			}
			if s.Residue != magnitude(c.values)+magnitude(c.sink) {
				t.Errorf("residue %d", s.Residue)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	p := sound()
	p.Sink("file").Open(0, func() uint64 { return 50 })
	p.Sink("not opened")
	p.Sink("removed").Open(0, p.wait)
	p.Close("removed")
	got, err := json.Marshal(p.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"values":{"read":100,"filtered":30,"queued":15,"journaled":50,"dropped":{"journal_full":5}},` +
		`"sinks":[{"id":"file","delivered":0,"waiting":50,"dropped":{}},{"id":"pg","delivered":40,"waiting":15,"dropped":{"trimmed":2}}],"residue":0}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, _ := json.Marshal(New(nil).Snapshot()); string(got) != `{"values":{"read":0,"filtered":0,"queued":0,"journaled":0,"dropped":{}},"sinks":[],"residue":0}` {
		t.Errorf("empty: %s", got)
	}
}

// A value between two counts is a residue for one look only.
func TestSnapshotLooksAgain(t *testing.T) {
	looked := 0
	var l *Ledger
	l = New(func() uint64 {
		if looked++; looked == 4 {
			l.Journaled(10)
		}
		return 0
	})
	l.Offered(10, 0)
	if s := l.Snapshot(); s.Residue != 0 || looked != 4 {
		t.Errorf("residue %d after %d looks", s.Residue, looked)
	}
	l.Offered(1, 0)
	if s := l.Snapshot(); s.Residue != 1 || looked != 4+looks {
		t.Errorf("residue %d after %d looks", s.Residue, looked)
	}
}

func TestWatch(t *testing.T) {
	for _, c := range []struct {
		name     string
		residues []int64
		alarms   []int64 // what was alarmed, in order
	}{
		{"still", []int64{0, 0, 0, 0}, nil},
		{"on their way", []int64{5, 9, 0, 3, 3, 0}, nil},
		{"lost", []int64{0, 4, 4, 4, 4, 4, 4, 4}, []int64{4}},
		{"lost under load", []int64{9, 4, 6, 7, 4, 5}, []int64{4}},
		{"lost more", []int64{4, 4, 4, 6, 6, 6}, []int64{4, 6}},
		{"found again", []int64{4, 4, 4, 0, 0}, []int64{4, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w watch
			var alarms []int64
			for _, r := range c.residues {
				if w.see(r) {
					alarms = append(alarms, w.alarmed)
				}
			}
			if !slices.Equal(alarms, c.alarms) {
				t.Errorf("alarms %v, want %v", alarms, c.alarms)
			}
		})
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(nil)
		ctx, stop := context.WithCancel(t.Context())
		alarms := make(chan int64, 8) // more than the test makes
		ended := make(chan error)
		go func() { ended <- l.Run(ctx, time.Second, func(s Snapshot) { alarms <- s.Residue }) }()
		l.Offered(7, 0)
		if r := <-alarms; r != 7 {
			t.Errorf("alarm of %d", r)
		}
		l.Dropped("found", 7)
		if r := <-alarms; r != 0 {
			t.Errorf("alarm of %d", r)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestConcurrentCounts(t *testing.T) {
	p := newPlant()
	p.Sink("s").Open(0, p.wait)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				p.Offered(10, 3)
				p.Journaled(6)
				p.Dropped("full", 1)
				p.Sink("s").Delivered(4)
				p.Sink("s").Dropped("poison", 2)
				p.Snapshot()
			}
		})
	}
	wg.Wait()
	if s := p.Snapshot(); s.Residue != 0 || s.Values.Read != 80000 || s.Sinks[0].Delivered != 32000 {
		t.Errorf("%+v", s)
	}
}

func TestCountsDoNotAllocate(t *testing.T) {
	p := sound()
	a := p.Sink("pg")
	if n := testing.AllocsPerRun(100, func() {
		p.Offered(2, 1)
		p.Journaled(1)
		p.Dropped("journal_full", 1)
		a.Delivered(1)
		a.Dropped("trimmed", 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A value that is between two counts when the account is taken is no residue, one that stays there is; without Run nothing moves any more.
func TestSnapshotBesideChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := sound()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx, time.Second, func(Snapshot) {}) }()
		time.Sleep(1500 * time.Millisecond)
		p.Offered(3, 0)
		if r := p.Snapshot().Residue; r != 0 {
			t.Errorf("a value on its way is a residue of %d", r)
		}
		time.Sleep(time.Second)
		if r := p.Snapshot().Residue; r != 0 {
			t.Errorf("after one check it is %d", r)
		}
		time.Sleep(time.Second)
		if r := p.Snapshot().Residue; r != 3 {
			t.Errorf("after two checks it is %d", r)
		}
		p.Offered(1, 0)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if r := p.Snapshot().Residue; r != 4 {
			t.Errorf("at the end it is %d", r)
		}
	})
}
