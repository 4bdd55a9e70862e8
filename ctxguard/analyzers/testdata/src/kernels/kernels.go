// Package kernels has the mended forms of twenty of the leaks in Go's runtime/testdata/testgoroutineleakprofile/goker, written anew and
// reduced to what leaked there. The number of each is the one of the bug. Nothing here leaks.
package kernels

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

var errKernel = errors.New("kernel")

// cockroach 584: break left the loop with the lock held.

type gossip584 struct {
	mu     sync.Mutex
	closed bool
}

func (g *gossip584) bootstrap() {
	for {
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			break
		}
		g.mu.Unlock()
	}
}

// cockroach 6181: a read lock within a read lock.

type cache6181 struct{ mu sync.RWMutex }

func (c *cache6181) lookup() string {
	c.mu.RLock()
	s := c.stringLocked()
	c.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return s
}

func (c *cache6181) String() string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.stringLocked()
}

func (c *cache6181) stringLocked() string { return "ranges" }

// cockroach 7504: the lease's lock and the cache's in both orders.

type lease7504 struct {
	mu sync.Mutex
	id int
}

type names7504 struct {
	mu     sync.Mutex
	leases map[int]*lease7504
}

func (n *names7504) get(id int) bool {
	n.mu.Lock()
	l := n.leases[id]
	n.mu.Unlock()
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id == id
}

func (n *names7504) remove(l *lease7504) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.leases, l.id)
}

func (n *names7504) release(l *lease7504) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.remove(l)
}

// cockroach 9935: exit took the lock that its caller held.

type logging9935 struct{ mu sync.Mutex }

func (l *logging9935) output() {
	l.mu.Lock()
	if err := l.createFile(); err != nil {
		l.exitLocked(err)
	}
	l.mu.Unlock()
}

func (l *logging9935) createFile() error { return errKernel }

func (l *logging9935) exitLocked(err error) { println(err.Error()) }

// cockroach 10214: heartbeats were sent with the lock of the coalesced ones held.

type store10214 struct {
	coalesced sync.Mutex
	replicas  []*replica10214
}

type replica10214 struct {
	raft  sync.Mutex
	store *store10214
}

func (s *store10214) sendQueued() {
	s.coalesced.Lock()
	n := len(s.replicas)
	s.coalesced.Unlock()
	for i := range n {
		s.replicas[i].unreachable()
	}
}

func (r *replica10214) unreachable() {
	r.raft.Lock()
	defer r.raft.Unlock()
}

func (r *replica10214) tick() {
	r.raft.Lock()
	defer r.raft.Unlock()
	r.store.coalesced.Lock()
	defer r.store.coalesced.Unlock()
}

// cockroach 25456: nobody closed the channel that everybody waited for.

type stopper25456 struct{ quiescer chan struct{} }

func (s *stopper25456) shouldQuiesce() <-chan struct{} { return s.quiescer }

func (s *stopper25456) Stop() { close(s.quiescer) }

func process25456() {
	s := &stopper25456{quiescer: make(chan struct{})}
	go s.Stop()
	<-s.shouldQuiesce()
}

// etcd 5509: the read lock stayed when the connection was closed.

type client5509 struct {
	mu     sync.RWMutex
	cancel context.CancelFunc
}

func (c *client5509) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel == nil {
		return
	}
	c.cancel()
	c.cancel = nil
}

func (c *client5509) acquire() error {
	for {
		c.mu.RLock()
		closed := c.cancel == nil
		c.mu.RUnlock()
		if closed {
			return errKernel
		}
	}
}

// etcd 6873: stop waited for the goroutine with the lock held.

type broadcasts6873 struct {
	mu     sync.Mutex
	update chan int
	done   chan struct{}
}

func newBroadcasts6873() *broadcasts6873 {
	b := &broadcasts6873{update: make(chan int, 1), done: make(chan struct{})}
	go func() {
		defer close(b.done)
		for range b.update {
			b.coalesce()
		}
	}()
	return b
}

func (b *broadcasts6873) coalesce() {
	b.mu.Lock()
	defer b.mu.Unlock()
}

func (b *broadcasts6873) stop() {
	b.mu.Lock()
	close(b.update)
	b.mu.Unlock()
	<-b.done
}

// grpc 660: the sender stayed when the benchmark was stopped.

type bench660 struct{ stop chan bool }

func (b *bench660) loop(fail func() bool) {
	for {
		done := make(chan bool, 1)
		go func() {
			if fail() {
				done <- false
				return
			}
			done <- true
		}()
		select {
		case <-b.stop:
			return
		case <-done:
		}
	}
}

func (b *bench660) end() { b.stop <- true }

// grpc 795: the second call of a stop took the lock twice.

type server795 struct {
	mu    sync.Mutex
	drain bool
}

func (s *server795) gracefulStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drain {
		return
	}
	s.drain = true
}

// grpc 1275: nobody closed the buffer that the reader waited for.

type buffer1275 struct{ c chan bool }

func (b *buffer1275) get() <-chan bool { return b.c }

func (b *buffer1275) close() { close(b.c) }

func streamClosing1275() {
	b := &buffer1275{c: make(chan bool)}
	done := make(chan bool)
	go func() {
		defer close(done)
		<-b.get()
	}()
	b.close()
	<-done
}

// grpc 1424: the watcher did not say when it was ready.

func dial1424(addrs <-chan bool) {
	wait := make(chan error, 1)
	go func() {
		defer close(wait)
		done := make(chan bool)
		go func() {
			defer close(done)
			for a := range addrs {
				println(a)
			}
		}()
		<-done
	}()
	<-wait
}

// grpc 1460: keepalive waited with the lock held.

type client1460 struct {
	mu      sync.Mutex
	awaken  chan struct{}
	streams int
}

func newClient1460() *client1460 { return &client1460{awaken: make(chan struct{}, 1)} }

func (c *client1460) keepalive() {
	c.mu.Lock()
	idle := c.streams < 1
	c.mu.Unlock()
	if idle {
		<-c.awaken
	}
}

func (c *client1460) newStream() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams++; c.streams == 1 {
		select {
		case c.awaken <- struct{}{}:
		default:
		}
	}
}

// grpc 3017: an entry whose deletion was called off kept the lock.

type conns3017 struct {
	mu      sync.Mutex
	entries map[int]*entry3017
}

type entry3017 struct{ abort bool }

func (c *conns3017) remove(addr int, after time.Duration) *time.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[addr]
	return time.AfterFunc(after, func() {
		c.mu.Lock()
		if e.abort {
			c.mu.Unlock()
			return
		}
		delete(c.entries, addr)
		c.mu.Unlock()
	})
}

// kubernetes 5316: the request's goroutine stayed when its time was up.

func finish5316(timeout time.Duration, fn func() error) {
	ch := make(chan bool, 1)
	errs := make(chan error, 1)
	go func() {
		if err := fn(); err != nil {
			errs <- err
		} else {
			ch <- true
		}
	}()
	select {
	case <-ch:
	case <-errs:
	case <-time.After(timeout):
	}
}

// kubernetes 10182: a status was sent with the lock held that its receiver takes.

type status10182 struct {
	mu sync.RWMutex
	ch chan bool
	n  int
}

func newStatus10182() *status10182 {
	s := &status10182{ch: make(chan bool)}
	go func() {
		for range 2 {
			s.syncBatch()
		}
	}()
	return s
}

func (s *status10182) syncBatch() {
	<-s.ch
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
}

func (s *status10182) set() {
	s.mu.Lock()
	s.n++
	s.mu.Unlock()
	s.ch <- true
}

// moby 7559: continue kept the lock.

type proxy7559 struct{ mu sync.Mutex }

func (p *proxy7559) run() {
	for range 2 {
		p.mu.Lock()
		conn, err := net.DialUDP("udp", nil, nil)
		if err != nil {
			p.mu.Unlock()
			continue
		}
		conn.Close()
		p.mu.Unlock()
	}
}

// moby 17176: nothing to delete, and the lock stayed.

type devices17176 struct {
	sync.Mutex
	deleted int
}

func (d *devices17176) cleanup() error {
	d.Lock()
	defer d.Unlock()
	if d.deleted == 0 {
		return nil
	}
	return errKernel
}

// moby 33781: a probe's goroutine stayed when the monitor was stopped.

func monitor33781(stop chan bool) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
			results := make(chan bool, 1)
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			go func() {
				results <- true
				close(results)
			}()
			select {
			case <-stop:
				cancel()
				return
			case <-results:
				cancel()
			case <-ctx.Done():
				cancel()
				<-results
			}
		}
	}
}

// moby 36114: the start took the lock that removing takes again.

type vm36114 struct{ sync.Mutex }

func (v *vm36114) addAtStart() {
	v.Lock()
	defer v.Unlock()
	v.removeLocked()
}

func (v *vm36114) removeAtStart() {
	v.Lock()
	defer v.Unlock()
	v.removeLocked()
}

func (v *vm36114) removeLocked() {}
