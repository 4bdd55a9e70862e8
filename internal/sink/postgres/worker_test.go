package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/internal/journal"
	"millrace/internal/ledger"
	"millrace/internal/sink"
	"millrace/internal/tag"
)

// plant is a real journal that runs, its ledger, and what the workers on it do.
type plant struct {
	t      *testing.T
	j      *journal.Journal
	ledger *ledger.Ledger
	dir    string
	next   uint64

	mu      sync.Mutex
	alarms  []string
	settled chan struct{} // a signal after each count of an account
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{t: t, dir: t.TempDir(), settled: make(chan struct{}, 1)}
	p.ledger = ledger.New(func() uint64 { return uint64(p.j.Stats().QueueRows) })
	j, err := journal.Open(journal.Config{
		Dir: filepath.Join(p.dir, "journal"), SegmentBytes: 1 << 20, FlushEvery: time.Millisecond,
		OnSynced: p.ledger.Journaled, OnDropped: p.ledger.Dropped,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.j = j
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, j.Close()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// add appends n rows in batches of seven, whose values are their offsets.
func (p *plant) add(n int) {
	p.t.Helper()
	for at := 0; at < n; at += 7 {
		b := &tag.Batch{Received: 1e18 + 5}
		for i := at; i < min(at+7, n); i++ {
			b.Append(1, 1e18, tag.Good, tag.Int32, p.next)
			p.next++
		}
		p.ledger.Offered(b.Len(), 0)
		if _, err := p.j.Append(p.t.Context(), b); err != nil {
			p.t.Fatal(err)
		}
	}
}

// account passes counts on and tells who waits for them.
type account struct {
	*ledger.Account
	p *plant
}

func (a account) Delivered(n int) {
	a.Account.Delivered(n)
	a.p.signal()
}

func (a account) Dropped(reason string, n uint64) {
	a.Account.Dropped(reason, n)
	a.p.signal()
}

func (p *plant) alarm(text string) {
	p.mu.Lock()
	p.alarms = append(p.alarms, text)
	p.mu.Unlock()
	p.signal()
}

func (p *plant) said(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(strings.Join(p.alarms, "\n"), text)
}

func (p *plant) signal() {
	select {
	case p.settled <- struct{}{}:
	default:
	}
}

// work runs a worker for s until stop is called, which returns Run's error.
func (p *plant) work(id string, s sink.Sink) (w *sink.Worker, stop func() error) {
	p.t.Helper()
	w, err := sink.New(sink.Config{
		ID: id, Log: sink.FromJournal(p.j), Sink: s, Account: account{p.ledger.Sink(id), p}, Names: name, DataDir: p.dir, FromOldest: true,
		MaxRows: 50, Linger: time.Millisecond, RetryFloor: time.Millisecond, RetryCap: 20 * time.Millisecond, Alarm: p.alarm,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	stop = func() (err error) {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	p.t.Cleanup(func() {
		if err := stop(); err != nil {
			p.t.Error(err)
		}
	})
	return w, stop
}

// delivered waits until nothing waits any more, and holds the ledger to its equations.
func (p *plant) delivered(w *sink.Worker) {
	p.t.Helper()
	for w.Stats().State == sink.Starting || w.Stats().Waiting > 0 {
		select {
		case <-p.settled:
		case <-p.t.Context().Done():
			p.t.Fatal(w.Stats())
		}
	}
	if s := p.ledger.Snapshot(); s.Residue != 0 {
		p.t.Errorf("residue %d: %+v", s.Residue, s)
	}
}

// wantOffsets holds the table to the offsets [0, to) of p's journal, each once with its value, less as many as are poison.
func (p *plant) wantOffsets(to uint64, without int) {
	p.t.Helper()
	got := ask(p.t, fmt.Sprintf(`select count(*), count(distinct "offset"), count(*) filter (where value_int <> "offset"), max("offset") from %s where epoch = %d`,
		quote(schema(p.t), "millrace_values"), int64(p.j.Epoch())))[0]
	n := fmt.Sprint(to - uint64(without))
	if want := []string{n, n, "0", fmt.Sprint(to - 1)}; fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("table has (rows, offsets, wrong, last) %v, want %v", got, want)
	}
}

func TestWorkerThroughBrokenConnections(t *testing.T) {
	addr := server(t).Addr()
	p := newPlant(t)
	p.add(100)
	for at := 5; at < 80; at += 7 { // a worker lives through one cut of its connection, early and late in its life, and restarts
		cases++
		px := newProxy(t, addr, cut{server: at%2 == 0, at: at, after: at%3 == 0})
		w, stop := p.work("sql", open(t, config(t, px.l.Addr().String())))
		p.add(100)
		p.delivered(w)
		if err := stop(); err != nil {
			t.Error(err)
		}
		px.close()
	}
	p.wantOffsets(p.next, 0)
}

func TestWorkerCatchesUpWhenTheServerIsBack(t *testing.T) {
	srv := server(t)
	p := newPlant(t)
	w, _ := p.work("sql", open(t, config(t, srv.Addr())))
	p.add(200)
	p.delivered(w)
	for _, down := range []func() error{srv.Stop, srv.Kill} {
		cases++
		p.add(50)
		if err := down(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p.add(50) // the journal goes on
		}
		if err := srv.Start(); err != nil {
			t.Fatal(err)
		}
		p.delivered(w)
	}
	p.wantOffsets(2300, 0)
	order := ask(t, `select count(*) from (select xmin::text::int8 as x, lag(xmin::text::int8) over (order by "offset") as before from `+quote(schema(t), "millrace_values")+`) s where x < before`)
	if order[0][0] != "0" {
		t.Errorf("%s rows were committed before rows with lower offsets", order[0][0])
	}
}

func TestWorkerIsolatesPoison(t *testing.T) {
	s := open(t, config(t, server(t).Addr()))
	if _, _, err := s.Cursor(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, `alter table `+quote(schema(t), "millrace_values")+` add constraint no_sevens check (value_int not in (77, 78, 177))`)
	p := newPlant(t)
	p.add(300)
	w, stop := p.work("sql", s)
	p.delivered(w)
	p.wantOffsets(300, 3)
	if st := w.Stats(); st.Dropped[sink.ReasonPoison] != 3 || st.Delivered != 297 {
		t.Errorf("%+v", st)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	dead, err := os.ReadFile(filepath.Join(p.dir, "dead-letter", "sql.jsonl"))
	if err != nil || strings.Count(string(dead), "\n") != 3 || !strings.Contains(string(dead), "no_sevens") {
		t.Errorf("dead-letter file: %v %s", err, dead)
	}
}

func TestWorkerOfAnotherJournal(t *testing.T) {
	addr := server(t).Addr()
	var last uint64
	for i := range 2 {
		p := newPlant(t)
		p.add(100)
		w, stop := p.work("sql", open(t, config(t, addr)))
		p.delivered(w)
		p.wantOffsets(100, 0)
		if said := p.said("another journal"); said != (i > 0) {
			t.Errorf("journal %d: alarms %v", i, p.alarms)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if p.j.Epoch() == last {
			t.Error("two journals have one epoch")
		}
		last = p.j.Epoch()
	}
	if n := ask(t, `select count(*) from `+quote(schema(t), "millrace_values")); n[0][0] != "200" {
		t.Errorf("%v rows", n)
	}
}

// TestTwoWorkersOnOneCursor: the second takes over, the first ends with an error, each row is there once.
func TestTwoWorkersOnOneCursor(t *testing.T) {
	addr := server(t).Addr()
	p := newPlant(t)
	p.add(100)
	first, stopFirst := p.work("sql", open(t, config(t, addr)))
	p.delivered(first)
	second, _ := p.work("other", open(t, config(t, addr)))
	for first.Stats().State != sink.Stopped || second.Stats().State != sink.OK { // what comes now, one of them delivers
		p.add(7)
		<-p.settled
	}
	var e *sink.CursorError
	if err := stopFirst(); !errors.As(err, &e) || !e.Fenced {
		t.Errorf("error %v", err)
	}
	p.delivered(second)
	p.wantOffsets(p.next, 0)
}

func TestForget(t *testing.T) {
	addr := server(t).Addr()
	p := newPlant(t)
	p.add(10)
	w, stop := p.work("sql", open(t, config(t, addr)))
	p.delivered(w)
	if err := stop(); err != nil {
		t.Error(err)
	}
	s := open(t, config(t, addr))
	if had, err := sink.Forget(t.Context(), p.j, "sql", s); err != nil || !had {
		t.Error(had, err)
	}
	if _, found, err := s.Cursor(t.Context()); err != nil || found {
		t.Error(found, err)
	}
	if _, found := p.j.Cursor("sql"); found {
		t.Error("the journal still has the cursor")
	}
}
