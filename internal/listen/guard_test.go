package listen

import (
	"testing"

	"millrace/ctxguard"
)

// With a default Guard each connection has a context that it looks after, below a root whose children are the connections.
func TestConnectionsAreLookedAfter(t *testing.T) {
	g, err := ctxguard.New(ctxguard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer ctxguard.SetDefault(ctxguard.SetDefault(g))
	ln := loopback(t)
	r := start(t, Config{}, ln, serveEcho)
	held(t, ln, 3)
	for range 5 {
		if n := g.Sweep(); n != 0 {
			t.Errorf("%d findings", n)
		}
	}
	s := g.Summary()
	if s.Live != 3 || len(s.Sites) != 1 || s.Sites[0].Scope != "server connection" || len(s.Roots) != 1 || s.Roots[0].Children != 3 || s.Roots[0].Expected != 3 {
		t.Errorf("%+v", s)
	}
	r.wantStopped()
	if s := g.Summary(); s.Live != 0 || len(s.Roots) != 0 || g.Counts().Live != 0 {
		t.Errorf("%+v", s)
	}
}
