package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"millrace/internal/write"
	"millrace/internal/write/audit"
)

const (
	defaultRecords = 100
	maxRecords     = 1000
	auditTodo      = "audit takes tag, who, end (confirmed, differs, refused, failed, unknown), write (a number), from and to (RFC 3339, unix milliseconds, or -24h), limit (1 to 1000), and before, which is next of the page before"
)

// auditLog answers with records of the audit log, the newest first. Who is no admin is shown what is by himself.
func (s *Server) auditLog(w http.ResponseWriter, r *http.Request, c write.Caller) {
	if s.cfg.Audit == nil {
		writeError(w, http.StatusNotFound, "this gateway has no audit log", "run one with millrace run")
		return
	}
	q, err := parseAudit(r.URL.Query(), time.Now())
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error(), auditTodo)
		return
	}
	if !c.Role.Has(write.RoleAdmin) {
		if q.Who != "" && q.Who != c.User {
			writeError(w, http.StatusForbidden, "it takes the role admin to see what others have written", "leave who out to see what "+c.User+" has")
			return
		}
		q.Who = c.User
	}
	ctx, end, ok := s.scan(w, r)
	defer end()
	if !ok {
		return
	}
	page, err := s.cfg.Audit(ctx, q)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		writeError(w, http.StatusGatewayTimeout, "reading the audit log took longer than "+historyTimeout.String(), "ask for a shorter time, or use millrace audit list")
	case err != nil:
		s.cfg.Log.Error("audit log", "err", err)
		writeError(w, http.StatusInternalServerError, "the audit log cannot be read: "+err.Error(), "run millrace audit verify")
	default:
		writeJSON(w, http.StatusOK, page)
	}
}

func parseAudit(v url.Values, now time.Time) (q audit.Query, err error) {
	for name := range v {
		if !slices.Contains([]string{"tag", "who", "end", "write", "from", "to", "limit", "before"}, name) {
			return q, fmt.Errorf("there is no filter %q", name)
		}
	}
	q.Tag, q.Who, q.End = v.Get("tag"), v.Get("who"), v.Get("end")
	if q.End != "" && !slices.Contains(write.Ends(), write.End(q.End)) {
		return q, fmt.Errorf("there is no end %q", q.End)
	}
	for name, n := range map[string]*uint64{"write": &q.Write, "before": &q.Before} {
		if v.Get(name) == "" {
			continue
		}
		if *n, err = strconv.ParseUint(v.Get(name), 10, 64); err != nil || *n == 0 {
			return q, fmt.Errorf("%s %q is no number", name, v.Get(name))
		}
	}
	if q.From, err = parseTime(v.Get("from"), now, time.Time{}); err != nil {
		return q, err
	}
	if q.To, err = parseTime(v.Get("to"), now, time.Time{}); err != nil {
		return q, err
	}
	q.Limit, err = parseNumber(v, "limit", defaultRecords, maxRecords)
	if err == nil && q.Limit == 0 {
		err = errors.New("limit is 0")
	}
	return q, err
}
