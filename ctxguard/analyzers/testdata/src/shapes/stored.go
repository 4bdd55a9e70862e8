package shapes

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// 18: a child for each connection of a long-lived root, never cancelled.

func leak18(root context.Context, ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		child, _ := context.WithCancel(root) // want "ctxguard/release"
		go serve18(child, conn)
	}
}

func serve18(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	<-ctx.Done()
}

func mend18(root context.Context, ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		child, cancel := context.WithCancel(root)
		go func() {
			defer cancel()
			serve18(child, conn)
		}()
	}
}

// 19: a context in a global variable.

var leak19ctx context.Context

func leak19(ctx context.Context) {
	leak19ctx = context.WithValue(ctx, "key", "value") // want "ctxguard/ctxstore"
}

var mend19ctx context.Context

func mend19(ctx context.Context) {
	mend19ctx = ctx
	defer func() { mend19ctx = nil }()
	_ = work(mend19ctx)
}

// 20: contexts in a global map that nothing is taken out of.

var leak20map = map[string]context.Context{}

func leak20(ctx context.Context, id string) {
	leak20map[id] = ctx // want "ctxguard/ctxstore"
}

var mend20map = map[string]context.Context{}

func mend20(ctx context.Context, id string) {
	mend20map[id] = ctx
	defer delete(mend20map, id)
	_ = work(ctx)
}

// 21: cancel functions in a map that nothing is taken out of.

type leak21 struct {
	mu      sync.Mutex
	cancels map[string]context.CancelFunc
}

func (l *leak21) start(ctx context.Context, id string) context.Context {
	child, cancel := context.WithCancel(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancels[id] = cancel // want "ctxguard/ctxstore"
	return child
}

func (l *leak21) stop(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cancel := l.cancels[id]; cancel != nil {
		cancel()
	}
}

type mend21 struct {
	mu      sync.Mutex
	cancels map[string]context.CancelFunc
}

func (m *mend21) start(ctx context.Context, id string) context.Context {
	child, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cancels[id] = cancel
	return child
}

func (m *mend21) stop(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cancel := m.cancels[id]; cancel != nil {
		cancel()
		delete(m.cancels, id)
	}
}

// 22: the same in a sync.Map.

type leak22 struct{ cancels sync.Map }

func (l *leak22) start(ctx context.Context, id string) context.Context {
	child, cancel := context.WithCancel(ctx)
	l.cancels.Store(id, cancel) // want "ctxguard/ctxstore"
	return child
}

func (l *leak22) stop(id string) {
	if c, ok := l.cancels.Load(id); ok {
		c.(context.CancelFunc)()
	}
}

type mend22 struct{ cancels sync.Map }

func (m *mend22) start(ctx context.Context, id string) context.Context {
	child, cancel := context.WithCancel(ctx)
	m.cancels.Store(id, cancel)
	return child
}

func (m *mend22) stop(id string) {
	if c, ok := m.cancels.LoadAndDelete(id); ok {
		c.(context.CancelFunc)()
	}
}

// 23: sessions with a cancel function, in a map that nothing is taken out of.

type session23 struct{ cancel context.CancelFunc }

type leak23 struct{ sessions map[int]*session23 }

func (l *leak23) open(ctx context.Context, id int) {
	_, cancel := context.WithCancel(ctx)
	l.sessions[id] = &session23{cancel: cancel} // want "ctxguard/ctxstore"
}

func (l *leak23) close(id int) { l.sessions[id].cancel() }

type mend23 struct{ sessions map[int]*session23 }

func (m *mend23) open(ctx context.Context, id int) {
	_, cancel := context.WithCancel(ctx)
	m.sessions[id] = &session23{cancel: cancel}
}

func (m *mend23) close(id int) {
	m.sessions[id].cancel()
	delete(m.sessions, id)
}

// 24: a global slice that only grows.

var leak24all []context.Context

func leak24(ctx context.Context) {
	leak24all = append(leak24all, ctx) // want "ctxguard/ctxstore"
}

var mend24all []context.Context

func mend24(ctx context.Context) {
	mend24all = append(mend24all, ctx)
	if len(mend24all) > 16 {
		mend24all = mend24all[1:]
	}
}

// 25: a handler keeps the context of its request in a field.

type leak25 struct{ last context.Context }

func (l *leak25) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.last = r.Context() // want "ctxguard/ctxstore"
}

type mend25 struct{ last string }

func (m *mend25) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if id, ok := ctx.Value("id").(string); ok {
		m.last = id
	}
}

// 26: a middleware keeps it in a variable that all requests share.

func leak26(next http.Handler) http.Handler {
	var last context.Context
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if last != nil && last.Err() != nil {
			w.Header().Set("Retry", "yes")
		}
		last = r.Context() // want "ctxguard/ctxstore"
		next.ServeHTTP(w, r)
	})
}

func mend26(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), "seen", true)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// 27: a child of Background although the caller gave a context.

func leak27(ctx context.Context) error {
	child, cancel := context.WithTimeout(context.Background(), time.Second) // want "ctxguard/ctxparent"
	defer cancel()
	return work(child)
}

func mend27(ctx context.Context) error {
	child, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return work(child)
}

// 28: a child of another context, and the one that was given is never looked at.

type owner28 struct{ root context.Context }

func (o *owner28) leak28(ctx context.Context) error {
	child, cancel := context.WithTimeout(o.root, time.Second) // want "ctxguard/ctxparent"
	defer cancel()
	return work(child)
}

func (o *owner28) mend28(ctx context.Context) error {
	child, cancel := context.WithTimeout(o.root, time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	return work(child)
}

// 29: a goroutine begins a context of its own.

func leak29(ctx context.Context) {
	go func() {
		_ = work(context.Background()) // want "ctxguard/ctxparent"
	}()
}

func mend29(ctx context.Context) {
	go func() {
		_ = work(ctx)
	}()
}

// 30: what a goroutine runs begins one.

func leak30(ctx context.Context) {
	go refresh30() // want "ctxguard/ctxparent"
}

func refresh30() { _ = work(context.Background()) }

func mend30(ctx context.Context) {
	go refreshWith30(ctx)
}

func refreshWith30(ctx context.Context) { _ = work(ctx) }

// 31: a goroutine works on with a request's context.

func leak31(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	go func() { // want "ctxguard/ctxrequest"
		_ = work(ctx)
	}()
	w.WriteHeader(http.StatusAccepted)
}

func mend31(w http.ResponseWriter, r *http.Request) {
	ctx := context.WithoutCancel(r.Context())
	go func() {
		child, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_ = work(child)
	}()
	w.WriteHeader(http.StatusAccepted)
}

// 32: the same, as an argument.

func leak32(w http.ResponseWriter, r *http.Request) {
	go audit32(r.Context(), r.URL.Path) // want "ctxguard/ctxrequest"
	w.WriteHeader(http.StatusAccepted)
}

func audit32(ctx context.Context, path string) { _ = work(ctx) }

func mend32(w http.ResponseWriter, r *http.Request) {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		audit32(r.Context(), r.URL.Path)
	}()
	w.WriteHeader(http.StatusAccepted)
	wg.Wait()
}

// 33: a wait for the end of a context that was cut off from it.

func leak33(ctx context.Context) {
	life := context.WithoutCancel(ctx)
	go func() {
		<-life.Done() // want "ctxguard/ctxwait"
	}()
}

func mend33(ctx context.Context) {
	life, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	go func() {
		defer cancel()
		<-life.Done()
	}()
}

// 34: such a context is handed to a function that waits for its end.

func leak34(ctx context.Context) {
	go until34(context.WithoutCancel(ctx)) // want "ctxguard/ctxwait"
}

func until34(ctx context.Context) { <-ctx.Done() }

func mend34(ctx context.Context) {
	go until34(ctx)
}

// 35: a wait for the end of the background.

func leak35() {
	<-context.Background().Done() // want "ctxguard/ctxwait"
}

func mend35(ctx context.Context) {
	<-ctx.Done()
}
