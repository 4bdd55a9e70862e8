// Package quiet has what large programs do rightly and what an analyzer of less patience would complain of. Nothing here is found.
package quiet

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

type store struct {
	mu     sync.RWMutex
	closed bool
	file   *os.File
	wg     sync.WaitGroup
}

// lent is called with the lock held, gives it back meanwhile and takes it again.
func (s *store) lent(work func() error) error {
	s.mu.Unlock()
	err := work()
	s.mu.Lock()
	if err != nil {
		return err
	}
	return nil
}

func (s *store) lends(work func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lent(work)
}

// flagged locks when it is told to.
func (s *store) flagged(lock bool, names []string) int {
	if lock {
		s.mu.RLock()
	}
	n := 0
	for range names {
		n++
	}
	if lock {
		s.mu.RUnlock()
	}
	return n
}

func (s *store) callsFlagged() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.flagged(false, nil)
}

// helpers are closures that lock when they are told to.
func (s *store) helpers(need bool) bool {
	lock := func() {
		if need {
			s.mu.Lock()
		}
	}
	unlock := func() {
		if need {
			s.mu.Unlock()
		}
	}
	lock()
	closed := s.closed
	unlock()
	return closed
}

func (s *store) callsHelpers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.helpers(false)
}

// held hands its read lock to its caller, who gets the method that gives it back.
func (s *store) held() (*os.File, func(), error) {
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return nil, nil, os.ErrClosed
	}
	return s.file, s.release, nil
}

func (s *store) release() { s.mu.RUnlock() }

// done waits for a goroutine by its lock.
func done() int {
	var mu sync.Mutex
	n := 0
	mu.Lock()
	go func() {
		n++
		mu.Unlock()
	}()
	mu.Lock()
	return n
}

type node struct {
	mu   sync.Mutex
	next *node
	n    int
}

// handOverHand goes from lock to lock.
func handOverHand(n *node) int {
	sum := 0
	n.mu.Lock()
	for n.next != nil {
		next := n.next
		next.mu.Lock()
		sum += n.n
		n.mu.Unlock()
		n = next
	}
	n.mu.Unlock()
	return sum
}

// each turn starts as many as it waits for.
func each(names []string, n int) {
	for range names {
		c := make(chan int)
		for i := range n {
			go func() { c <- i }()
		}
		for range n {
			<-c
		}
	}
}

// collected closes what others send to when all have sent.
func collected(n int) (sum int) {
	c := make(chan int)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c <- i
		}()
	}
	go func() {
		wg.Wait()
		close(c)
	}()
	for v := range c {
		sum += v
	}
	return sum
}

// workers says Done for each piece of work.
func workers(jobs <-chan int) {
	var wg sync.WaitGroup
	wg.Add(2)
	for range 2 {
		go func() {
			for range jobs {
				wg.Done()
			}
		}()
	}
	wg.Wait()
}

// ticking ends by its context alone: the ticker's channel is never closed.
func ticking(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		for range time.NewTicker(time.Second).C {
			if ctx.Err() != nil {
				wg.Done()
				return
			}
		}
	}()
	wg.Wait()
}

// shutdown works on when its context has ended, which it waits for.
func shutdown(ctx context.Context, stop func(context.Context) error) error {
	<-ctx.Done()
	late, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return stop(late)
}

func orBackground(ctx context.Context) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return ctx
}

// Start is called once, and the fields say so.
type service struct {
	cancel  context.CancelFunc
	started bool
}

func (s *service) restart(ctx context.Context) context.Context {
	if s.started {
		return ctx
	}
	s.started = true
	ctx, s.cancel = context.WithCancel(ctx)
	return ctx
}

func (s *service) stop() { s.cancel() }

// pool is closed by whoever has it.
func pool(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("driver", "source")
	if err != nil {
		return nil, err
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// read is bounded by whoever closes the connection.
func read(ctx context.Context, addr string) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	return io.ReadAll(conn)
}

// accepted connections are their handler's.
func accepted(ln net.Listener, handle func(net.Conn)) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go handle(conn)
	}
}

// exhausted rows have closed themselves.
func exhausted(ctx context.Context, db *sql.DB) (n int, err error) {
	rows, err := db.QueryContext(ctx, "SELECT 1")
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

// embedded is closed by a promoted method.
func embedded(c *net.UDPConn, dial func() (*net.UDPConn, error)) error {
	if c != nil {
		return c.Close()
	}
	c, err := dial()
	if err != nil {
		return err
	}
	return c.Close()
}
