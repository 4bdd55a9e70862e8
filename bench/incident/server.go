package main //ctxguard:allow // the leak that the story is about

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"

	"millrace/ctxguard"
)

// server answers requests. Each opens a session, whose context hangs on the server's life, and starts what follows the session to its end.
type server struct {
	options
	life  context.Context //nolint:containedctx // of the process: the long-lived parent of the story
	guard *ctxguard.Guard // nil is package context

	followers sync.WaitGroup
	mu        sync.Mutex
	sessions  map[int]context.Context // the variant map: who is on the line
	next      int
}

func newServer(life context.Context, o options, g *ctxguard.Guard) *server {
	return &server{options: o, life: life, guard: g, sessions: map[int]context.Context{}}
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.variant == "map" {
		s.listed(w, r)
		return
	}
	s.followed(w, r)
}

// followed is the variant in which a goroutine follows each session. The mistake: nobody calls cancel, the session was to end "with the client".
func (s *server) followed(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.openSession()
	s.followers.Add(1)
	go s.follow(ctx.Done())
	s.answer(w, r)
	if s.mended {
		cancel()
	}
}

// openSession makes a session's context. This is the line to be found.
//
//go:noinline
func (s *server) openSession() (context.Context, context.CancelFunc) {
	return s.guard.WithCancel(s.life)
}

func (s *server) follow(done <-chan struct{}) {
	defer s.followers.Done()
	<-done
}

// listed is the variant in which sessions are listed. Its cancel runs. The mistake: the list keeps the context, and all that hangs on it.
func (s *server) listed(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.guard.WithCancel(context.WithValue(s.life, sessionKey{}, make([]byte, 256)))
	defer cancel()
	s.mu.Lock()
	id := s.next
	s.next++
	s.sessions[id] = ctx
	s.mu.Unlock()
	s.answer(w, r)
	if s.mended {
		s.mu.Lock()
		delete(s.sessions, id)
		s.mu.Unlock()
	}
}

type sessionKey struct{}

// answer does a little work, as handlers do.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	sum := sha256.Sum256([]byte(r.URL.RawQuery))
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(hex.EncodeToString(sum[:]))) // the client is gone
}
