package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"millrace/internal/tag"
	"millrace/internal/write"
)

// Writer takes orders to write. *write.Path is one.
type Writer interface {
	Target(name string) (*write.Target, bool)
	Takes(t *write.Target) tag.Kind
	Submit(ctx context.Context, o write.Order) write.Outcome
	Approve(ctx context.Context, id uint64, c write.Caller, yes bool, why string) (write.Outcome, error)
	Waiting() []write.Outcome
	Outcome(id uint64) (write.Outcome, bool)
	Would(o *write.Order) (v tag.Value, against string)
	Wished(tag string) (write.Outcome, bool)
	TakeBack(tag string, c write.Caller, why string) (int, error)
}

// longest is how long the answer to a write may take: as long as its rule lets it wait, and a read-back.
const longest = time.Hour + time.Minute

// maxKey is the longest idempotency key.
const maxKey = 256

// identified lets a request through whose bearer token is somebody's.
func (s *Server) identified(next func(w http.ResponseWriter, r *http.Request, c write.Caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Writer == nil {
			writeError(w, http.StatusNotFound, "this gateway does not write", "run one with millrace run")
			return
		}
		c, ok := s.caller(r)
		if !ok {
			s.refuseToken(w, r, "send Authorization: Bearer TOKEN with the gateway's token, or one that millrace token made")
			return
		}
		next(w, r, c)
	}
}

// caller says who asks.
func (s *Server) caller(r *http.Request) (c write.Caller, ok bool) {
	switch {
	case s.guard.tokenRight(r):
		c, ok = write.Caller{User: "admin", Role: write.RoleAdmin}, true
	case s.cfg.Identify != nil:
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if c, ok = s.cfg.Identify(strings.TrimSpace(token)); !bearer {
			return c, false
		}
	}
	c.Via = "api"
	if c.From, _, _ = net.SplitHostPort(r.RemoteAddr); c.From == "" {
		c.From = r.RemoteAddr
	}
	return c, ok
}

// writeBody is the body of a write. One of Value and Text is there.
type writeBody struct {
	Tag    string          `json:"tag"`
	Value  json.RawMessage `json:"value"`
	Text   *string         `json:"text"` // as a person types it
	Why    string          `json:"why"`
	Expire string          `json:"expire"`
}

const writeTodo = `send {"tag":"device/tag","value":42,"why":"in words"} as application/json; GET /api/v1/tags lists the tags that are writable`

func (s *Server) submitWrite(w http.ResponseWriter, r *http.Request, c write.Caller) {
	var body writeBody
	if !readBody(w, r, &body, writeTodo) {
		return
	}
	o, err := s.order(&body, r.Header.Get("Idempotency-Key"))
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error(), writeTodo)
		return
	}
	o.Caller = c
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest)) // without it the answer to a slow device would be cut off
	out := s.cfg.Writer.Submit(r.Context(), o)
	writeOutcome(w, &out)
}

// order makes the order of a body. A value that its tag cannot have is left to the path to refuse, which has it in the audit log.
func (s *Server) order(b *writeBody, key string) (o write.Order, err error) {
	o = write.Order{Tag: b.Tag, Why: strings.TrimSpace(b.Why), Key: key}
	if b.Expire != "" {
		if o.Expire, err = time.ParseDuration(b.Expire); err != nil || o.Expire <= 0 {
			return o, fmt.Errorf("expire %q is no duration, like 5s", b.Expire)
		}
	}
	switch {
	case b.Tag == "":
		return o, errors.New(`"tag" is missing`)
	case (b.Value == nil) == (b.Text == nil):
		return o, errors.New(`one of "value" and "text" is needed`)
	case !utf8.ValidString(key):
		return o, errors.New("an Idempotency-Key is UTF-8")
	case len(key) > maxKey:
		return o, fmt.Errorf("an Idempotency-Key has at most %d bytes", maxKey)
	}
	kind := tag.Null
	if t, ok := s.cfg.Writer.Target(b.Tag); ok {
		kind = s.cfg.Writer.Takes(t)
	}
	if b.Text != nil {
		o.Value, err = write.Parse(*b.Text, kind)
	} else {
		o.Value, err = write.FromJSON(b.Value, kind)
	}
	if err != nil {
		return o, fmt.Errorf("the value cannot be used: %w", err)
	}
	return o, nil
}

// readBody decodes the JSON object of a request, or answers why it cannot.
func readBody(w http.ResponseWriter, r *http.Request, v any, todo string) bool {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		writeError(w, http.StatusUnsupportedMediaType, "the body is not application/json", todo)
		return false
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("something follows the JSON object")
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, "the body cannot be used: "+err.Error(), todo)
	}
	return err == nil
}

// WriteView is a write as the API shows it.
type WriteView struct {
	ID       uint64          `json:"id"` // in the audit log
	Tag      string          `json:"tag"`
	End      write.End       `json:"end"`
	Reason   string          `json:"reason,omitempty"`
	Todo     string          `json:"todo,omitempty"`
	Old      json.RawMessage `json:"old,omitempty"`
	New      json.RawMessage `json:"new,omitempty"`
	Read     json.RawMessage `json:"read,omitempty"`
	By       string          `json:"by,omitempty"`
	Approver string          `json:"approver,omitempty"`
	Why      string          `json:"why,omitempty"`
	Asked    time.Time       `json:"asked"`
	Until    time.Time       `json:"until,omitzero"`
	TookMS   float64         `json:"took_ms"`
	Repeated bool            `json:"repeated,omitempty"`
}

func viewOf(o *write.Outcome) WriteView {
	return WriteView{
		ID: o.ID, Tag: o.Tag, End: o.End, Reason: o.Reason, Todo: todoOf(o), Old: rawValue(o.Old), New: rawValue(o.New), Read: rawValue(o.Read), By: o.By, Approver: o.Approver,
		Why: o.Why, Asked: o.Asked.UTC(), Until: o.Until, TookMS: float64(o.Took.Microseconds()) / 1000, Repeated: o.Repeated,
	}
}

func rawValue(v tag.Value) json.RawMessage {
	if v.Kind == tag.Null {
		return nil
	}
	return v.AppendJSON(nil, tag.JSONOptions{})
}

// writeOutcome answers with what became of a write. The status says it too: 200 the device has answered, 202 it waits, 4xx and 503 it was refused and nothing was sent, 502 it failed, 504 nobody
// knows.
func writeOutcome(w http.ResponseWriter, o *write.Outcome) {
	status := http.StatusOK
	switch o.End {
	case write.Confirmed, write.Differs:
	case write.Pending:
		status = http.StatusAccepted
	case write.Failed:
		status = http.StatusBadGateway
	case write.Unknown:
		status = http.StatusGatewayTimeout
	case write.Refused:
		status = statusOf(o.Cause)
	}
	writeJSON(w, status, viewOf(o))
}

func statusOf(c write.Cause) int {
	switch c {
	case write.NoTag:
		return http.StatusNotFound
	case write.NoRole:
		return http.StatusForbidden
	case write.BadValue, write.OutOfRange, write.KeyTaken:
		return http.StatusUnprocessableEntity
	case write.TooMany:
		return http.StatusTooManyRequests
	case write.NotReachable, write.TooLate, write.NoAudit, write.Stopping:
		return http.StatusServiceUnavailable
	case write.NoCause, write.Locked, write.NotApproved, write.Overtaken:
	}
	return http.StatusConflict
}

// todoOf says what somebody can do about an end.
func todoOf(o *write.Outcome) string {
	switch o.End {
	case write.Pending:
		return "somebody else approves it: millrace approve " + strconv.FormatUint(o.ID, 10)
	case write.Unknown:
		return "look at the tag before you write again: it may have been written"
	case write.Confirmed, write.Differs, write.Failed, write.Refused:
	}
	switch o.Cause {
	case write.NoTag:
		return "a tag is writable when rw stands behind its address; GET /api/v1/tags shows it"
	case write.NotReachable:
		return "GET /api/v1/why?of=DEVICE says why; nothing was sent, so it can be tried again"
	case write.KeyTaken:
		return "use another Idempotency-Key for another write"
	}
	return ""
}

func (s *Server) waitingWrites(w http.ResponseWriter, _ *http.Request, _ write.Caller) {
	list := s.cfg.Writer.Waiting()
	views := make([]WriteView, len(list))
	for i := range list {
		views[i] = viewOf(&list[i])
	}
	writeJSON(w, http.StatusOK, map[string]any{"waiting": views})
}

func (s *Server) oneWrite(w http.ResponseWriter, r *http.Request, _ write.Caller) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	out, ok := s.cfg.Writer.Outcome(id)
	if err != nil || !ok {
		noWrite(w, r.PathValue("id"))
		return
	}
	writeJSON(w, http.StatusOK, viewOf(&out))
}

func noWrite(w http.ResponseWriter, id string) {
	writeError(w, http.StatusNotFound, "no write "+strconv.Quote(id)+" is remembered", "GET /api/v1/audit and millrace audit list show all of them")
}

func (s *Server) approveWrite(yes bool) func(w http.ResponseWriter, r *http.Request, c write.Caller) {
	return func(w http.ResponseWriter, r *http.Request, c write.Caller) {
		var body struct {
			Why string `json:"why"`
		}
		if !readBody(w, r, &body, `send {"why":"in words"} as application/json`) {
			return
		}
		id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
		if err != nil {
			noWrite(w, r.PathValue("id"))
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest))
		out, err := s.cfg.Writer.Approve(r.Context(), id, c, yes, strings.TrimSpace(body.Why))
		var na *write.NotAllowedError
		switch {
		case errors.Is(err, write.ErrNotPending):
			writeError(w, http.StatusNotFound, "no write "+r.PathValue("id")+" waits to be approved", "GET /api/v1/writes lists those that do")
		case errors.As(err, &na):
			writeError(w, http.StatusForbidden, na.What, "ask somebody else; millrace token makes a token for each")
		case err != nil:
			writeError(w, http.StatusServiceUnavailable, err.Error(), "it still waits; try again")
		case !yes: // what was asked for is done
			writeJSON(w, http.StatusOK, viewOf(&out))
		default:
			writeOutcome(w, &out)
		}
	}
}
