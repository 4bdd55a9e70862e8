package listen

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// held dials n connections that are served.
func held(t *testing.T, ln net.Listener, n int) {
	t.Helper()
	for range n {
		ask(t, dial(t, ln), "in")
	}
}

// wantRefused dials and is reset, at once or on the first read.
func wantRefused(t *testing.T, ln net.Listener) {
	t.Helper()
	c, err := net.Dial("tcp", ln.Addr().String())
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantClosed(t, c)
}

func TestGlobalLimit(t *testing.T) {
	ln := loopback(t)
	left := make(chan struct{})
	r := start(t, Config{MaxConns: 3, OnEnd: func(e End) {
		if e.Reason == ReasonPeer {
			close(left)
		}
	}}, ln, serveEcho)
	held(t, ln, 2)
	last := dial(t, ln)
	ask(t, last, "in")
	for range 4 {
		wantRefused(t, ln)
	}
	last.Close()
	<-left
	held(t, ln, 1)
	r.wantStopped()
	if st := r.Stats(); st.Accepted != 8 || st.Refused[ReasonGlobalLimit] != 4 {
		t.Errorf("%+v", st)
	}
}

func TestAddressLimit(t *testing.T) {
	ln := loopback(t)
	r := start(t, Config{MaxPerAddr: 2}, ln, serveEcho)
	held(t, ln, 2)
	wantRefused(t, ln)
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	c, err := other.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask(t, c, "another host")
	r.wantStopped()
	r.wantEnd(ReasonAddressLimit, 1)
	if len(r.perAddr) != 0 {
		t.Errorf("addresses are kept after their connections: %v", r.perAddr)
	}
}

func TestFloorOfASharedBudget(t *testing.T) {
	budget := NewBudget(5)
	lnA, lnB := loopback(t), loopback(t)
	a := start(t, Config{Budget: budget, Floor: 2}, lnA, serveEcho)
	b := start(t, Config{Budget: budget, Floor: 1}, lnB, serveEcho)
	hasStarted := func(r *running, ln net.Listener) { ask(t, dial(t, ln), "in") }
	hasStarted(b, lnB)
	hasStarted(a, lnA) // both floors are reserved now
	held(t, lnB, 2)    // 1 of its floor, 2 shared: 2 of A's floor remain, of which 1 is used
	wantRefused(t, lnB)
	held(t, lnA, 1)
	wantRefused(t, lnA)
	b.wantEnd(ReasonGlobalLimit, 1)
	a.wantEnd(ReasonGlobalLimit, 1)
	a.wantStopped()
	b.wantStopped()
	if budget.floors != 0 || budget.shared != 0 {
		t.Errorf("the budget keeps %d reserved, %d shared", budget.floors, budget.shared)
	}
}

func TestFloorBeyondTheBudget(t *testing.T) {
	s, err := New(Config{Budget: NewBudget(3), Floor: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), newPipes(), serveEcho); err == nil {
		t.Error("a floor of 4 was reserved in a budget of 3")
	}
}

func TestBadConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"negative MaxConns":    {MaxConns: -1},
		"negative ReadBuffer":  {ReadBuffer: -1},
		"floor without budget": {Floor: 1},
		"floor above MaxConns": {Floor: 2, MaxConns: 1, Budget: NewBudget(9)},
		"MaxFrame too small":   {ReadBuffer: 100, MaxFrame: 99},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// failing is a listener whose first accepts fail.
type failing struct {
	*pipes
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		return f.pipes.Accept()
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: err}
}

func TestAcceptGoesOnWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &failing{newPipes(), []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.EMFILE}}
		begin := time.Now()
		r := start(t, Config{}, ln, serveEcho)
		c := ln.dial()
		ask(t, c, "in the end")
		if d := time.Since(begin); d != (5+10+20+40)*time.Millisecond {
			t.Errorf("four failures took %v", d)
		}
		c.Close()
		r.wantStopped()
		if n := r.Stats().AcceptErrors; n != 4 {
			t.Errorf("%d accept errors counted", n)
		}
	})
}

func TestAcceptEndsWithABrokenListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		ln := &failing{newPipes(), []error{syscall.EBADF}}
		if err := s.Serve(t.Context(), ln, serveEcho); !errors.Is(err, syscall.EBADF) {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestDrainDuringThePauseOfAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := make([]error, 1000)
		for i := range errs {
			errs[i] = syscall.EMFILE
		}
		r := start(t, Config{}, &failing{newPipes(), errs}, serveEcho)
		time.Sleep(3 * time.Second)
		begin := time.Now()
		r.wantStopped()
		if d := time.Since(begin); d != 0 {
			t.Errorf("Serve returned %v after its context ended", d)
		}
	})
}

func TestSeveralListenersShareLimits(t *testing.T) {
	s, err := New(Config{MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	lns := []net.Listener{loopback(t), loopback(t)}
	done := make(chan error)
	for _, ln := range lns {
		go func() { done <- s.Serve(ctx, ln, serveEcho) }()
	}
	held(t, lns[0], 1)
	held(t, lns[1], 1)
	wantRefused(t, lns[0])
	wantRefused(t, lns[1])
	cancel()
	for range lns {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
