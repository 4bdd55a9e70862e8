package s7

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/listen/listentest"
)

var sessionStates = []SessionState{SessionInit, SessionAuthed, SessionActive, SessionIdle, SessionClosed}

// arrows are those of the drawing.
var arrows = map[[2]SessionState]bool{
	{SessionInit, SessionAuthed}: true, {SessionAuthed, SessionActive}: true, {SessionActive, SessionIdle}: true, {SessionIdle, SessionActive}: true,
	{SessionInit, SessionClosed}: true, {SessionAuthed, SessionClosed}: true, {SessionActive, SessionClosed}: true, {SessionIdle, SessionClosed}: true,
}

func TestSessionMovesAlongArrowsOnly(t *testing.T) {
	for _, from := range sessionStates {
		for _, next := range append(sessionStates, SessionClosed+1, 0xFF) {
			var s session
			s.word.Store(uint32(from))
			was, moved := s.become(next)
			arrow, now := arrows[[2]SessionState{from, next}], s.state()
			if was != from || moved != arrow || arrow && now != next || !arrow && now != from {
				t.Errorf("%v to %v: was %v, moved %v, is %v", from, next, was, moved, now)
			}
			if again, moved := s.become(now); moved || again != now {
				t.Errorf("%v to itself: was %v, moved %v", now, again, moved)
			}
		}
	}
}

func TestSessionJobsAndSweeps(t *testing.T) {
	for _, tc := range []struct {
		from         SessionState
		sweeps       int
		afterJob     SessionState // what enter makes of it
		swept        SessionState
		idle, closed uint32
	}{
		{SessionInit, 9, SessionInit, SessionInit, 2, 4},
		{SessionAuthed, 9, SessionAuthed, SessionAuthed, 2, 4},
		{SessionActive, 1, SessionActive, SessionActive, 2, 4},
		{SessionActive, 2, SessionActive, SessionIdle, 2, 4},
		{SessionActive, 3, SessionActive, SessionIdle, 2, 4},
		{SessionActive, 4, SessionActive, SessionClosed, 2, 4},
		{SessionActive, 9, SessionActive, SessionActive, 0, 0},
		{SessionActive, 9, SessionActive, SessionIdle, 2, 0},
		{SessionActive, 3, SessionActive, SessionActive, 0, 4},
		{SessionActive, 4, SessionActive, SessionClosed, 0, 4},
		{SessionIdle, 4, SessionActive, SessionClosed, 2, 4},
		{SessionIdle, 3, SessionActive, SessionIdle, 2, 4},
		{SessionClosed, 9, SessionClosed, SessionClosed, 2, 4},
	} {
		var s session
		s.word.Store(uint32(tc.from))
		for range tc.sweeps {
			s.sweep(turn{1, tc.idle, tc.closed})
		}
		if s.state() != tc.swept {
			t.Errorf("%+v: swept it is %v", tc, s.state())
		}
		s.word.Store(uint32(tc.from))
		if from := s.enter(); from != tc.from || s.state() != tc.afterJob {
			t.Errorf("%+v: entered from %v, is %v", tc, from, s.state())
		}
		for range tc.sweeps {
			s.sweep(turn{1, tc.idle, tc.closed})
		}
		if s.state() != tc.afterJob {
			t.Errorf("%+v: swept in a job to %v", tc, s.state())
		}
		s.leave()
		if s.touch(); s.state() != tc.afterJob {
			t.Errorf("%+v: left and touched it is %v", tc, s.state())
		}
	}
}

// While all are idle the sweep sleeps, and what it slept counts for those that were silent before, not for those that had a job meanwhile.
func TestSweepSleepsWhileAllAreIdle(t *testing.T) {
	var s session
	for _, tc := range []struct {
		from         SessionState
		quiet        uint32
		passed       uint32
		next         SessionState
		nowQuiet     uint32
		idle, closed uint32
		left         uint32
	}{
		{SessionActive, 0, 50, SessionActive, 1, 5, 100, 1},
		{SessionActive, 1, 1, SessionActive, 2, 5, 100, 1},
		{SessionActive, 4, 1, SessionIdle, 5, 5, 100, 95},
		{SessionIdle, 5, 90, SessionIdle, 95, 5, 100, 5},
		{SessionIdle, 5, 95, SessionClosed, 100, 5, 100, never},
		{SessionIdle, 0, 95, SessionIdle, 1, 5, 100, 99}, // it was told something
		{SessionIdle, 5, 90, SessionIdle, 95, 5, 0, never},
		{SessionActive, 5, 1, SessionActive, 6, 0, 100, 1},
		{SessionIdle, mostQuiet, 90, SessionIdle, mostQuiet, 5, 0, never},
		{SessionInit, 0, 90, SessionInit, 0, 5, 100, never},
	} {
		s.word.Store(uint32(tc.from) | tc.quiet*wordQuiet)
		_, next, left := s.sweep(turn{tc.passed, tc.idle, tc.closed})
		if w := s.word.Load(); next != tc.next || left != tc.left || w != uint32(tc.next)|tc.nowQuiet*wordQuiet {
			t.Errorf("%+v: %v, again in %d, quiet for %d", tc, next, left, w/wordQuiet)
		}
	}
}

// Many goroutines drive one session at once. What each of them says that it did is an arrow, and together the moves lead from the beginning to where the
// session is.
func TestSessionUnderRace(t *testing.T) {
	seed := rand.Uint64()
	for round := range uint64(50) {
		var s session
		var balance [SessionClosed + 1]atomic.Int64
		var bad atomic.Bool
		balance[SessionInit].Store(1)
		note := func(from, to SessionState) {
			bad.CompareAndSwap(false, !arrows[[2]SessionState{from, to}])
			balance[from].Add(-1)
			balance[to].Add(1)
		}
		var wg sync.WaitGroup
		for g := range uint64(4) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, round<<8|g))
				for range 300 {
					switch next := sessionStates[r.IntN(4)]; r.IntN(8) {
					case 0:
						if from := s.enter(); from == SessionIdle {
							note(from, SessionActive)
						}
						s.leave()
					case 1, 2:
						if from, to, _ := s.sweep(turn{1, 1, 0}); from != to {
							note(from, to)
						}
					case 3:
						s.touch()
					default:
						if from, moved := s.become(next); moved {
							note(from, next)
						}
					}
				}
				if from, moved := s.become(SessionClosed); moved {
					note(from, SessionClosed)
				}
			})
		}
		wg.Wait()
		for st := range balance {
			want := int64(0)
			if SessionState(st) == s.state() {
				want = 1
			}
			if balance[st].Load() != want || s.state() != SessionClosed || bad.Load() {
				t.Fatalf("seed %d: %v is left %d times, the session is %v, moves off the arrows: %v", seed, SessionState(st), balance[st].Load(), s.state(), bad.Load())
			}
		}
	}
}

func TestSessionStatesAreNamed(t *testing.T) {
	names := map[string]bool{}
	for _, s := range append(sessionStates, 9) {
		names[s.String()] = true
	}
	if len(names) != 6 || !names["state 9"] {
		t.Errorf("%v", names)
	}
}

// sessionOver opens a connection in memory up to the answer to Setup.
func sessionOver(t *testing.T, l *listentest.Pipes) net.Conn {
	c := l.Dial()
	handshake(t, c)
	return c
}

// story keeps the events by session.
type story struct {
	mu  sync.Mutex
	all map[uint64][]string
}

func (s *story) hear(batch []SessionEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[uint64][]string{}
	}
	for _, e := range batch {
		line := e.To.String()
		if e.From == e.To && e.To != SessionInit {
			line = fmt.Sprint("level ", e.Level)
		}
		if e.Reason != "" {
			line += ": " + e.Reason
		}
		s.all[e.Session] = append(s.all[e.Session], line)
	}
}

func (s *story) want(t *testing.T, session uint64, lines ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.all[session], lines) {
		t.Errorf("session %d: %q, want %q", session, s.all[session], lines)
	}
}

func TestSweepDrivesIdleAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, told := listentest.NewPipes(), &story{}
		s := serveOn(t, ServerConfig{Handler: pattern{}, IdleAfter: 8 * time.Second, IdleTimeout: time.Minute, OnEvents: told.hear}, ln)
		c := sessionOver(t, ln)
		for range 3 { // jobs in time keep it active, an empty TPDU is none
			time.Sleep(7 * time.Second)
			wantAlive(t, c)
		}
		synctest.Wait()
		told.want(t, 1, "init", "authed", "active")
		time.Sleep(11 * time.Second)
		told.want(t, 1, "init", "authed", "active", "idle")
		if st := s.Stats(); st.Sessions[SessionIdle] != 1 || st.Moves[SessionIdle] != 1 {
			t.Errorf("%v %v", st.Sessions, st.Moves)
		}
		wantAlive(t, c)
		synctest.Wait()
		told.want(t, 1, "init", "authed", "active", "idle", "active")
		begin := time.Now()
		for range 6 {
			time.Sleep(9 * time.Second)
			sendHex(t, c, "03000007 02F080")
		}
		wantHungUp(t, c)
		if d := time.Since(begin); d < time.Minute || d > 62*time.Second {
			t.Errorf("closed %v after its last job", d)
		}
		st := s.ended()
		told.want(t, 1, "init", "authed", "active", "idle", "active", "idle", "closed: idle")
		if st.Ended["idle"] != 1 || st.Moves[SessionClosed] != 1 || st.Moves[SessionInit] != 1 || len(st.Sessions) != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// slowReader is a PLC whose reads take five minutes.
type slowReader struct{ pattern }

func (p slowReader) ReadItem(ctx context.Context, r *Request, it *Item, dst []byte) ReturnCode {
	if err := r.Conn.Pause(ctx, 5*time.Minute); err != nil {
		return ReturnHardware
	}
	return p.pattern.ReadItem(ctx, r, it, dst)
}

func TestAJobInWorkIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, told := listentest.NewPipes(), &story{}
		s := serveOn(t, ServerConfig{Handler: slowReader{}, IdleTimeout: time.Minute, OnEvents: told.hear}, ln)
		c := sessionOver(t, ln)
		wantAlive(t, c)
		c.Close()
		synctest.Wait()
		s.ended()
		told.want(t, 1, "init", "authed", "active", "closed: peer closed")
	})
}

func TestNoLimitMeansNoSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := listentest.NewPipes()
		serveOn(t, ServerConfig{Handler: pattern{}, IdleAfter: -1, IdleTimeout: -1}, ln)
		c := sessionOver(t, ln)
		time.Sleep(24 * time.Hour)
		wantAlive(t, c)
		c.Close()
	})
}

// A job that comes when the sweep has closed its session already is not served.
func TestAJobThatComesTooLate(t *testing.T) {
	c := activeConn(t, ServerConfig{Handler: pattern{}})
	c.worker.move(c.ServerConn, SessionClosed)
	_, out, err := c.Serve(t.Context(), unhex(askAlive), nil)
	if len(out) > 0 || c.conn.Explain(err).Reason != "idle" || c.conn.Explain(err).Refused {
		t.Errorf("answered %x, %v", out, err)
	}
}

func TestLevelIsAWordOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, told := listentest.NewPipes(), &story{}
		conns := make(chan *ServerConn, 1)
		open := func(c *ServerConn) (Service, error) {
			conns <- c
			return Service{Handler: pattern{}, Level: 3}, nil
		}
		s := serveOn(t, ServerConfig{Open: open, OnEvents: told.hear}, ln)
		c := sessionOver(t, ln)
		sc := <-conns
		sc.setLevel(1)
		sc.setLevel(1)
		if sc.Level() != 1 || sc.session.state() != SessionActive {
			t.Errorf("level %d, %v", sc.Level(), sc.session.state())
		}
		wantAlive(t, c)
		c.Close()
		synctest.Wait()
		s.ended()
		told.want(t, 1, "init", "authed", "active", "level 1", "closed: peer closed")
	})
}

// While OnEvents blocks, events are dropped and counted, and connections are served and swept all the same.
func TestFullEventsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, hold, heard := listentest.NewPipes(), make(chan struct{}), atomic.Int64{}
		s := serveOn(t, ServerConfig{Handler: pattern{}, EventRoom: 4, IdleTimeout: time.Minute, OnEvents: func(batch []SessionEvent) {
			<-hold
			heard.Add(int64(len(batch)))
		}}, ln)
		const sessions = 40
		for range sessions {
			c := sessionOver(t, ln)
			wantAlive(t, c)
			defer c.Close()
		}
		time.Sleep(2 * time.Minute)
		if st := s.Stats(); st.Ended["idle"] != sessions {
			t.Errorf("swept %v", st.Ended)
		}
		close(hold)
		st := s.ended()
		if all := uint64(heard.Load()) + st.EventsDropped; st.EventsDropped == 0 || all != 5*sessions { // init, authed, active, idle, closed
			t.Errorf("heard %d, dropped %d of %d", heard.Load(), st.EventsDropped, 5*sessions)
		}
	})
}

// While OnEvents blocks, new connections are refused as soon as their end might not be told. Of those that were let in beginning and end are.
func TestFullEventsRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln, told, hold := listentest.NewPipes(), &story{}, make(chan struct{})
		s := serveOn(t, ServerConfig{Handler: pattern{}, EventRoom: 16, FullEvents: EventsRefuse, OnEvents: func(batch []SessionEvent) {
			<-hold
			told.hear(batch)
		}}, ln)
		const tries = 200
		var let []net.Conn
		for range tries {
			c := ln.Dial()
			if _, err := c.Write(unhex(askConnect)); err == nil {
				io.ReadFull(c, make([]byte, 22))
				let = append(let, c)
			}
		}
		for _, c := range let {
			c.Close()
		}
		synctest.Wait()
		close(hold)
		st := s.ended()
		n := st.Refused["session events full"]
		if n == 0 || n == tries || int(n)+len(let) != tries {
			t.Errorf("%+v", st)
		}
		if len(told.all) != int(tries-n) {
			t.Errorf("heard of %d sessions, %d were let in", len(told.all), tries-n)
		}
		for id, lines := range told.all {
			if lines[0] != "init" || lines[len(lines)-1] != "closed: peer closed" {
				t.Errorf("session %d: %q", id, lines)
			}
		}
	})
}
