package quiet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// cleaner is what a test hands to its helpers.
type cleaner interface{ Cleanup(func()) }

type served struct {
	ln     net.Listener
	cancel context.CancelFunc
}

func (s *served) stop() {
	s.cancel()
	s.ln.Close()
}

// serving has its end arranged: a method value that is handed out is as good as a call.
func serving(t cleaner) (*served, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, cancel := context.WithCancel(context.Background())
	s := &served{ln: ln, cancel: cancel}
	t.Cleanup(s.stop)
	return s, nil
}

func usesServing(t cleaner) string {
	s, err := serving(t)
	if err != nil {
		return ""
	}
	return s.ln.Addr().String()
}

// notified has the lock given back by whoever calls the method value.
type notified struct{ started func() }

func waitsByLock(start func(n *notified)) {
	var mu sync.Mutex
	n := &notified{started: mu.Unlock}
	mu.Lock()
	go start(n)
	mu.Lock()
	mu.Unlock()
}

// pooled goes back to its pool before the handler returns.
type pooled struct{ ctx context.Context }

type pooler struct{ pool sync.Pool }

func (p *pooler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.pool.Get().(*pooled)
	x.ctx = r.Context()
	p.answer(w, x)
	p.pool.Put(x)
}

func (p *pooler) answer(w http.ResponseWriter, x *pooled) {
	if x.ctx.Err() == nil {
		w.WriteHeader(http.StatusNoContent)
	}
}

// living has a life that is longer than that of the call that began it, and an end of its own.
type living struct {
	cancel func()
	wg     sync.WaitGroup
}

func (l *living) Connect(ctx context.Context, dial func(context.Context) error) error {
	if err := dial(ctx); err != nil {
		return err
	}
	life, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.wg.Go(func() { <-life.Done() })
	return nil
}

func (l *living) Close() {
	l.cancel()
	l.wg.Wait()
}

// logs gives a logger a context for its values alone.
type logger interface {
	Infof(ctx context.Context, format string, args ...any)
}

func logs(ctx context.Context, l logger, work func(context.Context) error) error {
	err := work(ctx)
	l.Infof(context.Background(), "worked: %v", err)
	return err
}

// signals either sends its error or closes the other channel, and who waits for both has heard of it in any case.
func signals(work func() error) error {
	errs := make(chan error)
	done := make(chan struct{})
	go func() {
		if err := work(); err != nil {
			errs <- err
			return
		}
		close(done)
	}()
	select {
	case err := <-errs:
		return err
	case <-done:
		return nil
	}
}

func sendsDone(work func() error) error {
	errs := make(chan error)
	done := make(chan int)
	go func() {
		if err := work(); err != nil {
			errs <- err
			return
		}
		done <- 1
	}()
	select {
	case err := <-errs:
		return err
	case n := <-done:
		if n != 1 {
			return errors.New("no")
		}
		return nil
	}
}

// messages has writers of its own: what they hold is the connection's.
type messages struct{ c net.Conn }

func (m *messages) next() (io.WriteCloser, error) {
	if m.c == nil {
		return nil, net.ErrClosed
	}
	return m.c, nil
}

type messenger interface {
	Next() (io.WriteCloser, error)
	Close() error
}

func writes(m messenger, b []byte) error {
	w, err := m.Next()
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.Close()
}

// secures wraps a connection that stays its caller's.
type securer interface {
	Handshake(c net.Conn) (net.Conn, string, error)
}

func secures(s securer, raw net.Conn) (net.Conn, error) {
	c, protocol, err := s.Handshake(raw)
	if err != nil {
		return nil, err
	}
	if protocol == "" {
		return nil, errors.New("no protocol") // the caller closes raw
	}
	return c, nil
}

// closesAfter works for as long as its context lives.
type queue struct{ items chan func() }

func (q *queue) close() { close(q.items) }

func (q *queue) run(ctx context.Context) {
	context.AfterFunc(ctx, q.close)
	for f := range q.items {
		f()
	}
}

// twice starts the same function with a channel and then with another.
func hears(errs chan error) error { return <-errs }

func twice(work func() error, dial func() error) error {
	errs := make(chan error, 1)
	rs := func(ch chan bool) {
		<-ch
		errs <- nil
	}
	ch := make(chan bool, 1)
	go rs(ch)
	if err := dial(); err != nil {
		close(ch)
		return err
	}
	close(ch)
	if err := hears(errs); err != nil {
		return err
	}
	ch = make(chan bool, 1)
	go rs(ch)
	if err := dial(); err != nil {
		close(ch)
		return err
	}
	close(ch)
	return hears(errs)
}

// streams cancels the old context where it asks for a new one.
type streams struct {
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
}

func newStreams() *streams {
	s := &streams{}
	s.setup()
	return s
}

func (s *streams) setup() {
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx, s.cancel = ctx, cancel
}

func (s *streams) closeAll(n int) {
	for range n {
		s.mu.Lock()
		s.cancel()
		s.setup()
		s.mu.Unlock()
	}
}

func (s *streams) renew() {
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx, s.cancel = ctx, cancel
}

func (s *streams) restartAll() {
	s.cancel()
	s.renew()
}

// untilOver has nothing to cancel where the context is over.
func untilOver(ctx context.Context, try func(context.Context), came chan struct{}) {
	for {
		once, cancel := context.WithTimeout(ctx, time.Second)
		try(once)
		select {
		case <-once.Done():
		case <-came:
			cancel()
			return
		}
	}
}

// prepared hands out an object and what ends it, and has something deferred of its own.
func prepared(ctx context.Context, try func(context.Context) error) (*served, func(), error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	_, life := context.WithCancel(ctx)
	s := &served{ln: ln, cancel: life}
	once, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for range 2 {
		if err := try(once); err != nil {
			s.stop()
			return nil, nil, err
		}
	}
	return s, func() { s.stop() }, nil
}

func usesPrepared(ctx context.Context, try func(context.Context) error) error {
	s, end, err := prepared(ctx, try)
	if err != nil {
		return err
	}
	defer end()
	s.cancel()
	return nil
}

// kept puts its cancel function into a struct that it hands out whole.
type kept struct {
	ctx    context.Context
	cancel func()
}

type keeper struct{ k kept }

func newKept(ctx context.Context, cancel func()) kept { return kept{ctx: ctx, cancel: cancel} }

func newKeeper(ctx context.Context) *keeper {
	ctx, cancel := context.WithCancel(ctx)
	return &keeper{k: newKept(ctx, cancel)}
}

// untyped asks whether the error is one of its own kind: then nothing was opened.
type ownError struct{}

func (*ownError) Error() string { return "own" }

func untyped() error {
	c, err := net.Dial("tcp", "127.0.0.1:1")
	if _, ok := err.(*ownError); ok {
		return nil
	} else if err != nil {
		return err
	}
	return c.Close()
}

// afterEnd has to work when its context has ended.
func afterEnd(ctx context.Context, work func(context.Context)) {
	if done := ctx.Done(); done != nil {
		go func() {
			<-done
			late, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			work(late)
		}()
	}
}

// locked gives its caller the lock that it has taken.
type locked struct{ mu sync.Mutex }

func (l *locked) wait(ready func() (bool, error)) (held *sync.Mutex, err error) {
	for {
		l.mu.Lock()
		ok, err := ready()
		if err != nil {
			l.mu.Unlock()
			return nil, err
		}
		if ok {
			return &l.mu, nil
		}
		l.mu.Unlock()
	}
}

// streaming has a context that goes with it.
type streaming interface{ Context() context.Context }

func follows(s streaming, shut func()) { context.AfterFunc(s.Context(), shut) }

// all waits for all that it has started, which may have something to say before.
func all(n int, work func() error) error {
	errs := make(chan error)
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := work(); err != nil {
				errs <- err
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	var last error
	for {
		select {
		case err := <-errs:
			last = err
		case <-done:
			return last
		}
	}
}

// three counts what came.
func three(work func()) {
	a, b := make(chan int), make(chan int)
	go func() { work(); a <- 1 }()
	go func() { work(); b <- 1 }()
	done := 0
	for {
		select {
		case <-a:
			done++
		case <-b:
			done++
		}
		if done == 2 {
			return
		}
	}
}

// gated takes two locks in both orders, each time under a third.
type gated struct{ gate, a, b sync.Mutex }

func (g *gated) there() {
	g.gate.Lock()
	defer g.gate.Unlock()
	g.a.Lock()
	defer g.a.Unlock()
	g.b.Lock()
	g.b.Unlock()
}

func (g *gated) back() {
	g.gate.Lock()
	defer g.gate.Unlock()
	g.b.Lock()
	defer g.b.Unlock()
	g.a.Lock()
	g.a.Unlock()
}

// clock runs as long as the process does, once.
var (
	clockOnce sync.Once
	clockNow  time.Time
)

func clock() time.Time {
	clockOnce.Do(func() {
		go func() {
			for {
				clockNow = time.Now()
				time.Sleep(time.Second)
			}
		}()
	})
	return clockNow
}

// jobs are all there, and the channel is closed, before anybody works.
func jobs(names []string, work func(string)) {
	todo := make(chan string, len(names))
	for _, n := range names {
		todo <- n
	}
	close(todo)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				n, ok := <-todo
				if !ok {
					return
				}
				work(n)
			}
		})
	}
	wg.Wait()
}

// beginWrite returns with the lock, which the end of the transaction gives back.
func (s *store) beginWrite() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return os.ErrClosed
	}
	return nil
}

// stillFound is what must be found beside all that.
func stillFound(work func() error, m *messages) error {
	errs := make(chan error)
	done := make(chan struct{})
	go func() {
		close(done)
		errs <- work() // want `this send waits for ever`
	}()
	select {
	case err := <-errs:
		return err
	case <-done:
		return nil
	case <-time.After(time.Second):
		return nil
	}
}
