package web_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace/internal/web"
	"millrace/internal/web/webtest"
	"millrace/internal/write"
	"millrace/internal/write/audit"
)

// noWriter is a Writer that is asked for nothing.
type noWriter struct{ web.Writer }

// Who may see what of the audit log, and how it is asked for.
func TestAuditLog(t *testing.T) {
	var asked audit.Query
	var fails error
	s := newServer(t, webtest.New(1, 1, then), func(c *web.Config) {
		c.Writer = noWriter{}
		c.Identify = func(token string) (write.Caller, bool) {
			return write.Caller{User: token, Role: map[string]write.Role{"shift": write.RoleWrite, "boss": write.RoleAdmin}[token]}, token == "shift" || token == "boss"
		}
		c.Audit = func(_ context.Context, q audit.Query) (audit.Page, error) {
			asked = q
			return audit.Page{Records: []audit.Record{{Seq: 7, Write: 7, Who: "shift", Stage: audit.Done}}, Next: 7}, fails
		}
	})
	get := func(query, token string, status int) string {
		t.Helper()
		w := ask(s, "GET /api/v1/audit"+query, "", "Authorization: Bearer "+token)
		if w.Code != status {
			t.Errorf("%s by %s: %d %s, want %d", query, token, w.Code, w.Body, status)
		}
		return w.Body.String()
	}
	get("", "nobody", http.StatusUnauthorized)
	if got := get("?tag=a/b&end=refused&write=4&limit=5&before=9&from=2026-01-01T00:00:00Z&to=-1h&who=shift", "boss", http.StatusOK); !strings.Contains(got, `"seq":7`) || !strings.Contains(got, `"next":7`) {
		t.Error(got)
	}
	if q := asked; q.Tag != "a/b" || q.End != "refused" || q.Write != 4 || q.Limit != 5 || q.Before != 9 || q.Who != "shift" || q.From.Year() != 2026 || time.Since(q.To) < time.Hour {
		t.Errorf("%+v", q)
	}
	get("", "boss", http.StatusOK)
	if asked.Who != "" || asked.Limit != 100 || !asked.From.IsZero() || !asked.To.IsZero() {
		t.Errorf("%+v", asked)
	}
	for _, query := range []string{"", "?who=shift"} { // who is no admin sees his own
		if get(query, "shift", http.StatusOK); asked.Who != "shift" {
			t.Errorf("%+v", asked)
		}
	}
	get("?who=boss", "shift", http.StatusForbidden)
	for _, query := range []string{"?end=done", "?write=x", "?write=0", "?before=-1", "?limit=0", "?limit=1001", "?from=yesterday", "?to=x", "?user=shift"} {
		if got := get(query, "boss", http.StatusBadRequest); !strings.Contains(got, "audit takes tag") {
			t.Error(got)
		}
	}
	fails = errors.New("disk")
	get("", "boss", http.StatusInternalServerError)
	if w := ask(newServer(t, webtest.New(1, 1, then), func(c *web.Config) { c.Writer = noWriter{} }), "GET /api/v1/audit", "", "Authorization: Bearer "+token); w.Code != http.StatusNotFound {
		t.Errorf("without a log: %d", w.Code)
	}
}
