package web_test

import (
	"testing"
	"testing/synctest"
	"time"

	"millrace/ctxguard"
	"millrace/internal/web"
	"millrace/internal/web/webtest"
)

// A policy that is enforced cuts a stream that is older than half a day, on record; whoever watches goes on where it ended. A dry run only writes it down.
func TestForcerCutsOldStreams(t *testing.T) {
	for name, p := range map[string]ctxguard.Policy{
		"dry run": {Version: "v1"},
		"enforce": {Version: "v1", Mode: ctxguard.Enforce, Rehearse: -1, Types: []string{"stream"}, Stages: []ctxguard.Stage{{Percent: 100}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var records []ctxguard.Record
				f, err := ctxguard.NewForcer(ctxguard.ForceConfig{Policy: p, Audit: func(r ctxguard.Record) error { records = append(records, r); return nil }})
				if err != nil {
					t.Fatal(err)
				}
				ln := start(t, newServer(t, webtest.New(1, 8, time.Now()), func(c *web.Config) { c.Forcer, c.Tick = f, 10*time.Second }))
				c := open(t, ln, "")
				c.next(t, "summary")
				watch(c, 12*time.Hour)
				if f.Sweep() != 0 || len(records) != 0 {
					t.Errorf("cut within its time: %+v", records)
				}
				watch(c, time.Minute)
				cut, ended := f.Sweep(), watch(c, time.Minute)
				if enforced := p.Mode == ctxguard.Enforce; enforced != (cut == 1) || enforced != ended {
					t.Errorf("%d cut, ended %v", cut, ended)
				}
				if len(records) != 1 || records[0].Type != "stream" || records[0].Key == "" || records[0].AgeSec < 43_200 {
					t.Errorf("%+v", records)
				}
			})
		})
	}
}

// watch takes what comes for d, and says whether the stream has ended.
func watch(c *client, d time.Duration) (ended bool) {
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		select {
		case _, ok := <-c.events:
			if !ok {
				return true
			}
		case <-over.C:
			return false
		}
	}
}
