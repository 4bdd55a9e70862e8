package opcua

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace/interop/capture"
	ours "millrace/opcua"
)

// events remembers what Recover did.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) add(x ours.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x.Kind.String())
}

func (e *events) has(kind ours.EventKind) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.all, kind.String())
}

// recover tries until the client is back.
func recover(t *testing.T, c *ours.Client) *ours.Client {
	t.Helper()
	<-c.Done()
	var err error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var n *ours.Client
		if n, err = c.Recover(t.Context()); err == nil {
			t.Cleanup(func() { _ = n.Close() })
			return n
		}
	}
	t.Fatal(err)
	return nil
}

// cutConnection cuts the connection to a server that lives: session and subscription live on.
func cutConnection(t *testing.T, url string) {
	proxy := capture.NewProxy(t, hostOf(url))
	var seen events
	cfg := configFor(identity(t), securities[2], "anonymous")
	cfg.Hooks.Event = seen.add
	c := dial(t, strings.Replace(url, hostOf(url), proxy.Addr, 1), cfg)
	f := newFeed(t, c, 5)
	f.wait(t, "before the cut")
	proxy.Cut()
	c = recover(t, c)
	f.again()
	f.wait(t, "after the cut")
	if !seen.has(ours.EventReactivated) || seen.has(ours.EventSessionMade) || seen.has(ours.EventRecreated) {
		t.Errorf("the session did not live on: %q", seen.all)
	}
	t.Logf("compared: 10 answers; %q", seen.all)
}

// TestForeignServerKilled kills a server and starts it anew: session and subscription are made anew, with all items.
func TestForeignServerKilled(t *testing.T) {
	port := freePort(t)
	server, url := nodeServer(t, port)
	var seen events
	cfg := configFor(identity(t), securities[0], "anonymous")
	cfg.Hooks.Event = seen.add
	c := dial(t, url, cfg)
	f := newFeed(t, c, 5)
	f.wait(t, "before the kill")
	server.Kill()
	server.Wait()
	nodeServer(t, port)
	c = recover(t, c)
	f.again()
	f.wait(t, "after the kill")
	if !seen.has(ours.EventSessionMade) || !seen.has(ours.EventRecreated) {
		t.Errorf("nothing was made anew: %q", seen.all)
	}
	t.Logf("compared: 10 answers; %q", seen.all)
}

// TestForeignServerForgets has a server lose a session, while its client is away, whose subscription lives on: it is transferred to the new one. (A client that is there is told
// by node-opcua that somebody has taken its subscription over.)
func TestForeignServerForgets(t *testing.T) {
	server, url := nodeServer(t, 0)
	for _, s := range []security{securities[0], securities[2]} {
		t.Run(s.policy, func(t *testing.T) {
			var seen events
			cfg := configFor(identity(t), s, "password")
			cfg.User.ClearPassword = true
			cfg.Hooks.Event = seen.add
			proxy := capture.NewProxy(t, hostOf(url))
			c := dial(t, strings.Replace(url, hostOf(url), proxy.Addr, 1), cfg)
			f := newFeed(t, c, 5)
			f.wait(t, "before")
			proxy.Cut()
			<-c.Done()
			if got := server.ask("forget"); got != "1 forgotten, 1 subscriptions" {
				t.Fatal(got)
			}
			c = recover(t, c)
			f.again()
			f.wait(t, "after")
			if !seen.has(ours.EventSessionMade) || !seen.has(ours.EventTransferred) || seen.has(ours.EventRecreated) {
				t.Errorf("nothing was transferred: %q", seen.all)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			t.Logf("compared: 10 answers; %q", seen.all)
		})
	}
}
