package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"millrace/internal/tag"
	"millrace/internal/write"
)

const (
	defaultTagPage = 200
	maxTagPage     = 2000
	maxSwitch      = 1000 // tags in one maintenance request
	maxReason      = 200
)

// ready answers 200 when every component is ready, else 503. With ?verbose it lists all of them, otherwise those that are not.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	status, verbose := http.StatusOK, r.URL.Query().Has("verbose")
	var b strings.Builder
	for _, c := range s.src.Health() {
		mark := "+"
		if !c.Ready {
			mark, status = "-", http.StatusServiceUnavailable
		}
		if !c.Ready || verbose {
			fmt.Fprintf(&b, "[%s] %s: %s\n", mark, c.Name, c.Detail)
		}
	}
	if status == http.StatusOK {
		b.WriteString("ready\n")
	} else {
		b.WriteString("not ready\n")
	}
	writeText(w, status, b.String())
}

// gatewayView is the gateway with what is counted over all devices.
type gatewayView struct {
	Gateway
	Now         time.Time      `json:"now"`
	Boot        string         `json:"boot"`
	Tags        int            `json:"tags"`
	Devices     map[string]int `json:"devices"` // by state
	Maintenance bool           `json:"maintenance"`
}

func (s *Server) gatewayView(devices map[string]int) gatewayView {
	return gatewayView{
		Gateway: s.src.Gateway(), Now: time.Now().UTC(), Boot: s.boot,
		Tags: len(s.src.Tags()), Devices: devices, Maintenance: s.guard.open,
	}
}

func (s *Server) gateway(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.gatewayView(s.src.DeviceStates()))
}

// shownState is the state that counts for a person: what is out of service is that, whatever it does.
func (d *Device) shownState() string {
	if d.OutOfService {
		return StateOutOfService
	}
	return d.State
}

func (s *Server) devices(w http.ResponseWriter, _ *http.Request) {
	head(w, http.StatusOK)
	out := bufio.NewWriterSize(w, 1<<16)
	var b []byte
	next := `{"devices":[`
	for d := range s.src.Devices() {
		b = appendDevice(append(b[:0], next...), d)
		if _, err := out.Write(b); err != nil {
			return // who asked has gone
		}
		next = ","
	}
	if next != "," {
		_, _ = out.WriteString(next)
	}
	_, _ = out.WriteString("]}\n")
	_ = out.Flush()
}

func (s *Server) device(w http.ResponseWriter, r *http.Request) {
	d, ok := s.src.Device(r.PathValue("id"))
	if !ok {
		noDevice(w, r.PathValue("id"))
		return
	}
	writeBytes(w, http.StatusOK, appendDevice(nil, &d))
}

func noDevice(w http.ResponseWriter, id string) {
	writeError(w, http.StatusNotFound, "no device named "+strconv.Quote(id), "GET /api/v1/devices lists them")
}

// tags answers a page of tags with their last values: search, device, quality (good, uncertain, bad), offset, limit; or those named by
// tag=NAME, which may be repeated.
func (s *Server) tags(w http.ResponseWriter, r *http.Request) {
	q, err := parseTagQuery(r.URL.Query())
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error(), "tags takes search, device, tag=NAME (repeatable), quality=good|uncertain|bad, offset, limit (up to 2000), big=string")
		return
	}
	idx := s.index.of(s.src.Tags())
	found := idx.search(q.search, q.device)
	if q.names != nil {
		found = idx.named(q.names)
	}
	if q.class >= 0 {
		found = s.ofQuality(idx, found, q.class)
	}
	total := len(found)
	found = found[min(q.offset, total):min(q.offset+q.limit, total)]
	ids := make([]tag.ID, len(found))
	for i, p := range found {
		ids[i] = idx.tags[p].ID
	}
	values := s.src.Values(ids, make([]Sample, 0, len(ids)))
	b := append(make([]byte, 0, 64+300*len(found)), `{"total":`...)
	b = strconv.AppendInt(b, int64(total), 10)
	b = strconv.AppendInt(append(b, `,"offset":`...), int64(q.offset), 10)
	b = append(b, `,"tags":[`...)
	for i, p := range found {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTag(b, &idx.tags[p], &values[i], q.json)
	}
	writeBytes(w, http.StatusOK, append(b, "]}"...))
}

func (s *Server) ofQuality(idx *tagIndex, found []int, class int) []int {
	ids := make([]tag.ID, len(found))
	for i, p := range found {
		ids[i] = idx.tags[p].ID
	}
	kept := found[:0]
	for i, v := range s.src.Values(ids, make([]Sample, 0, len(ids))) {
		if v.Quality.Class() == class {
			kept = append(kept, found[i])
		}
	}
	return kept
}

type tagQuery struct {
	search, device string
	names          []string
	class          int // of quality, -1 any
	offset, limit  int
	json           tag.JSONOptions
}

func parseTagQuery(v url.Values) (tagQuery, error) {
	q := tagQuery{search: v.Get("search"), device: v.Get("device"), names: v["tag"], class: -1, json: jsonOptions(v)}
	switch v.Get("quality") {
	case "":
	case "good":
		q.class = 0
	case "uncertain":
		q.class = 1
	case "bad":
		q.class = 2
	default:
		return q, fmt.Errorf("quality %q is not good, uncertain or bad", v.Get("quality"))
	}
	var err error
	if q.offset, err = parseNumber(v, "offset", 0, 1<<30); err != nil {
		return q, err
	}
	q.limit, err = parseNumber(v, "limit", defaultTagPage, maxTagPage)
	return q, err
}

func parseNumber(v url.Values, key string, or, most int) (int, error) {
	s := v.Get(key)
	if s == "" {
		return or, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s %q is not between 0 and %d", key, s, most)
	}
	return n, nil
}

func jsonOptions(v url.Values) tag.JSONOptions {
	return tag.JSONOptions{BigAsString: v.Get("big") == "string"}
}

// values answers last values: of ids=1,4-9, of tag=NAME (repeated), or of device=ID.
func (s *Server) values(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	idx := s.index.of(s.src.Tags())
	ids, err := selectIDs(v, idx)
	if err != nil {
		writeSelectError(w, err)
		return
	}
	values := s.src.Values(ids, make([]Sample, 0, len(ids)))
	b := append(make([]byte, 0, 64+150*len(values)), `{"values":[`...)
	for i := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSample(b, idx.name(values[i].ID), &values[i], jsonOptions(v))
	}
	writeBytes(w, http.StatusOK, append(b, "]}"...))
}

// selectIDs resolves ids, tag and device of a query.
func selectIDs(v url.Values, idx *tagIndex) ([]tag.ID, error) {
	ids, err := parseIDs(v.Get("ids"))
	if err != nil {
		return nil, err
	}
	for _, name := range v["tag"] {
		i, ok := idx.byName[name]
		if !ok {
			return nil, &UnknownError{What: "tag", Name: name}
		}
		ids = append(ids, idx.tags[i].ID)
	}
	if d := v.Get("device"); d != "" {
		of, ok := idx.byDevice[d]
		if !ok {
			return nil, &UnknownError{What: "device", Name: d}
		}
		ids = append(ids, of...)
	}
	return ids, nil
}

func writeSelectError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if _, ok := errors.AsType[*UnknownError](err); ok {
		status = http.StatusNotFound
	}
	writeError(w, status, err.Error(), "choose tags by ids=1,4-9, tag=NAME (repeatable) or device=ID; GET /api/v1/tags?search= finds them")
}

func (s *Server) ledger(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, NewDocument(s.src.Ledger(), s.src.Devices()))
}

func (s *Server) sinks(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"sinks": sinkViews(s.src.Sinks())})
}

func (s *Server) alarms(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"alarms": append([]Alarm{}, s.src.Alarms()...)})
}

// switchBody is the body of a maintenance request; tags only for the route of tags.
type switchBody struct {
	On     *bool    `json:"on"`
	Reason string   `json:"reason"`
	Tags   []string `json:"tags"`
}

func (s *Server) deviceMaintenance(w http.ResponseWriter, r *http.Request, c write.Caller) {
	body, ok := readSwitch(w, r)
	if !ok {
		return
	}
	if body.Tags != nil {
		writeError(w, http.StatusBadRequest, "tags does not belong here", "POST /api/v1/tags/maintenance switches tags")
		return
	}
	s.setMaintenance(w, r, Maintenance{Device: r.PathValue("id"), On: *body.On, Reason: body.Reason, By: by(&c)})
}

func (s *Server) tagsMaintenance(w http.ResponseWriter, r *http.Request, c write.Caller) {
	body, ok := readSwitch(w, r)
	if !ok {
		return
	}
	if len(body.Tags) == 0 || len(body.Tags) > maxSwitch {
		writeError(w, http.StatusBadRequest, "tags must name between 1 and 1000 tags", switchTodo)
		return
	}
	s.setMaintenance(w, r, Maintenance{Tags: body.Tags, On: *body.On, Reason: body.Reason, By: by(&c)})
}

const switchTodo = `send {"on":true,"reason":"why"} as application/json; for tags add "tags":["device/tag"]`

func readSwitch(w http.ResponseWriter, r *http.Request) (switchBody, bool) {
	var body switchBody
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
		writeError(w, http.StatusUnsupportedMediaType, "the body is not application/json", switchTodo)
		return body, false
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(&body)
	if err == nil && d.More() {
		err = errors.New("something follows the JSON object")
	}
	body.Reason = strings.TrimSpace(body.Reason)
	switch {
	case err != nil:
	case body.On == nil:
		err = errors.New(`"on" is missing`)
	case *body.On && body.Reason == "":
		err = errors.New(`"reason" is missing: whoever finds it out of service wants to know why`)
	case len(body.Reason) > maxReason:
		err = fmt.Errorf(`"reason" is longer than %d bytes`, maxReason)
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, "the body cannot be used: "+err.Error(), switchTodo)
		return body, false
	}
	return body, true
}

func (s *Server) setMaintenance(w http.ResponseWriter, r *http.Request, m Maintenance) {
	err := s.src.SetMaintenance(r.Context(), m)
	if u, ok := errors.AsType[*UnknownError](err); ok {
		writeError(w, http.StatusNotFound, "no "+u.What+" named "+strconv.Quote(u.Name), "GET /api/v1/devices and /api/v1/tags list them; nothing was changed")
		return
	}
	if err != nil {
		s.cfg.Log.Error("maintenance", "device", m.Device, "tags", len(m.Tags), "err", err)
		writeError(w, http.StatusInternalServerError, "the switch could not be set: "+err.Error(), "try again; the gateway's log says more")
		return
	}
	s.cfg.Log.Info("maintenance", "device", m.Device, "tags", len(m.Tags), "on", m.On, "reason", m.Reason, "by", m.By)
	writeJSON(w, http.StatusOK, map[string]any{"on": m.On, "reason": m.Reason})
}
