package web_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/tag"
	"millrace/internal/web"
	"millrace/internal/web/webtest"
	"millrace/internal/write"
)

var then = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestProbes(t *testing.T) {
	plant := webtest.New(2, 8, then)
	s := newServer(t, plant, func(c *web.Config) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("metrics")) })
	})
	check := func(path string, status int, body string) {
		t.Helper()
		if w := ask(s, "GET "+path, "", "Host: by-any-name"); w.Code != status || w.Body.String() != body {
			t.Errorf("%s: %d %q, want %d %q", path, w.Code, w.Body, status, body)
		}
	}
	check("/livez", 200, "ok\n")
	check("/readyz", 200, "ready\n")
	check("/readyz?verbose", 200, "[+] journal: synced\n[+] devices: all started\nready\n")
	plant.SetHealth("journal", false, "disk full")
	check("/readyz", 503, "[-] journal: disk full\nnot ready\n")
	check("/readyz?verbose", 503, "[-] journal: disk full\n[+] devices: all started\nnot ready\n")
	if w := ask(s, "GET /metrics", ""); w.Body.String() != "metrics" {
		t.Errorf("/metrics: %s", w.Body)
	}
}

func TestDevice(t *testing.T) {
	plant := webtest.New(2, 8, then)
	if err := plant.SetState("press-01", web.StateCooling, `said "no" <loudly>`); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, plant, nil)
	want := `{"id":"press-01","protocol":"modbus","endpoint":"modbus://10.20.0.10:502/1","state":"cooling","reason":"said \"no\" \u003cloudly\u003e",` +
		`"since":"2026-03-01T12:00:00.000Z","outages":1,"recovery_ms":0,"rtt_ms":`
	if got := ask(s, "GET /api/v1/devices/press-01", "").Body.String(); !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	all := decode[struct{ Devices []struct{ ID string } }](t, ask(s, "GET /api/v1/devices", "").Body.String())
	if len(all.Devices) != 2 || all.Devices[1].ID != "press-01" {
		t.Errorf("%+v", all)
	}
}

type pageJSON struct {
	Total, Offset int
	Tags          []struct {
		ID                  int
		Name, Type, Quality string
		Value               any
	}
}

func TestTags(t *testing.T) {
	plant := webtest.New(6, 16, then)
	if err := plant.SetState("oven-01", web.StateCooling, "gone"); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, plant, nil)
	for _, tt := range []struct {
		query string
		total int
		rows  int
	}{
		{"", 96, 96},
		{"?limit=10&offset=90", 96, 6},
		{"?limit=10&offset=500", 96, 0},
		{"?device=oven-01", 16, 16},
		{"?search=OVEN+temp", 2, 2},
		{"?search=%C2%B0c", 12, 12},
		{"?search=holding:16:uint64", 6, 6},
		{"?search=nothing", 0, 0},
		{"?tag=oven-01/temperature_000&tag=none&tag=press-01/speed_002", 2, 2},
		{"?quality=uncertain", 16, 16},
		{"?quality=good&device=oven-01", 0, 0},
		{"?quality=bad", 0, 0},
	} {
		p := decode[pageJSON](t, ask(s, "GET /api/v1/tags"+tt.query, "").Body.String())
		if p.Total != tt.total || len(p.Tags) != tt.rows {
			t.Errorf("%s: total %d, %d rows; want %d, %d", tt.query, p.Total, len(p.Tags), tt.total, tt.rows)
		}
	}
	for _, q := range []string{"?limit=-1", "?limit=x", "?limit=2001", "?offset=-5", "?quality=fine"} {
		if w := ask(s, "GET /api/v1/tags"+q, ""); w.Code != 400 {
			t.Errorf("%s: %d", q, w.Code)
		}
	}
}

func TestTagsFollowsReload(t *testing.T) {
	src := &replaced{Source: webtest.New(1, 8, then)}
	s := newServer(t, src, nil)
	before := decode[pageJSON](t, ask(s, "GET /api/v1/tags", "").Body.String())
	src.Source = webtest.New(2, 8, then)
	after := decode[pageJSON](t, ask(s, "GET /api/v1/tags", "").Body.String())
	if before.Total != 8 || after.Total != 16 {
		t.Errorf("%d tags, then %d", before.Total, after.Total)
	}
}

type replaced struct{ web.Source }

func TestBigIntegersAreExact(t *testing.T) {
	s := newServer(t, webtest.New(1, 8, time.Unix(1000, 0)), nil)
	const exact = `9007199254741993` // above 2^53
	if got := ask(s, "GET /api/v1/values?ids=5", "").Body.String(); !strings.Contains(got, `"value":`+exact+`,`) {
		t.Errorf("as a number: %s", got)
	}
	if got := ask(s, "GET /api/v1/values?ids=5&big=string", "").Body.String(); !strings.Contains(got, `"value":"`+exact+`"`) {
		t.Errorf("as a string: %s", got)
	}
}

func TestValues(t *testing.T) {
	s := newServer(t, webtest.New(2, 8, then), nil)
	type values struct {
		Values []struct {
			ID      int
			Name    string
			Quality string
			TS      *string
		}
	}
	ids := func(query string) []int {
		t.Helper()
		var got []int
		for _, v := range decode[values](t, ask(s, "GET /api/v1/values"+query, "").Body.String()).Values {
			got = append(got, v.ID)
		}
		return got
	}
	if got := ids("?ids=3,1-2"); !slices.Equal(got, []int{3, 1, 2}) {
		t.Errorf("%v", got)
	}
	if got := ids("?tag=press-01/temperature_000&tag=oven-01/temperature_000"); !slices.Equal(got, []int{1, 9}) {
		t.Errorf("%v", got)
	}
	if got := ids("?device=oven-01"); len(got) != 8 || got[0] < 9 {
		t.Errorf("%v", got)
	}
	unknown := decode[values](t, ask(s, "GET /api/v1/values?ids=99", "").Body.String()).Values
	if len(unknown) != 1 || unknown[0].Quality != tag.BadWaitingForInitialData.String() || unknown[0].TS != nil {
		t.Errorf("%+v", unknown)
	}
}

func TestLedger(t *testing.T) {
	plant := webtest.New(1, 8, then)
	plant.SetResidue(-3)
	s := newServer(t, plant, nil)
	want := `{"values":{"read":8,"filtered":0,"queued":0,"journaled":8,"dropped":{}},"sinks":[{"id":"historian","delivered":8,"waiting":0,"dropped":{}},` +
		`{"id":"archive","delivered":8,"waiting":0,"dropped":{}}],"residue":-3,"devices":[{"id":"press-01","protocol":"modbus","state":"ready","outages":0,"recovery_ms":0}]}` + "\n"
	if got := ask(s, "GET /api/v1/ledger", "").Body.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSinksAndAlarms(t *testing.T) {
	plant := webtest.New(1, 8, then)
	s := newServer(t, plant, nil)
	if got := ask(s, "GET /api/v1/alarms", "").Body.String(); got != `{"alarms":[]}`+"\n" {
		t.Errorf("no alarms: %s", got)
	}
	plant.SetSink("historian", "retrying", "refused")
	plant.Step(then.Add(90 * time.Second))
	type both struct {
		Sinks []struct {
			ID, State string
			Behind    float64 `json:"behind_s"`
		}
		Alarms []web.Alarm
	}
	got := decode[both](t, ask(s, "GET /api/v1/sinks", "").Body.String())
	if len(got.Sinks) != 2 || got.Sinks[0].State != "retrying" || got.Sinks[0].Behind != 90 {
		t.Errorf("%+v", got)
	}
	got = decode[both](t, ask(s, "GET /api/v1/alarms", "").Body.String())
	if len(got.Alarms) != 1 || got.Alarms[0].Sink != "historian" || got.Alarms[0].Todo == "" {
		t.Errorf("%+v", got)
	}
}

func TestNoRoute(t *testing.T) {
	s := newServer(t, webtest.New(1, 8, then), nil)
	for line, want := range map[string]int{
		"GET /api/v1/nothing": 404, "POST /api/v1/devices": 405, "DELETE /api/v1/devices/x": 405, "GET /api/v1/tags/maintenance": 405,
		"GET /nothing": 404, "GET /metrics": 404, "GET /api/v1/devices/none": 404, "PUT /": 404, "GET /dist/app.js": 404,
	} {
		w := ask(s, line, "")
		e := decode[struct{ Error, Todo string }](t, w.Body.String())
		if w.Code != want || e.Error == "" || e.Todo == "" {
			t.Errorf("%s: %d %+v, want %d", line, w.Code, e, want)
		}
	}
}

func TestPage(t *testing.T) {
	s := newServer(t, webtest.New(1, 8, then), nil)
	w := ask(s, "GET /", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `<script type="module" crossorigin src="/app.js">`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	plain := ask(s, "GET /app.js", "")
	small := ask(s, "GET /app.js", "", "Accept-Encoding: gzip")
	if plain.Body.Len() <= small.Body.Len() || small.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("app.js: %d bytes, gzip %d", plain.Body.Len(), small.Body.Len())
	}
	if again := ask(s, "GET /app.js", "", "If-None-Match: "+plain.Header().Get("ETag")); again.Code != http.StatusNotModified {
		t.Errorf("with the ETag: %d", again.Code)
	}
	for _, inline := range []string{"<style", "style=", "onclick=", "<script>"} {
		if bytes.Contains(w.Body.Bytes(), []byte(inline)) {
			t.Errorf("the page has %s, which its Content-Security-Policy forbids", inline)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	s := newServer(t, webtest.New(1, 8, then), nil)
	for _, path := range []string{"/", "/api/v1/devices", "/livez", "/nothing"} {
		h := ask(s, "GET "+path, "").Header()
		if p := h.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
			t.Errorf("%s: policy %q", path, p)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestHost(t *testing.T) {
	s := newServer(t, webtest.New(1, 8, then), func(c *web.Config) { c.Hosts = []string{"Gateway.plant.example"} })
	for host, ok := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST:8080": true, "localhost.": true, "127.0.0.1:8080": true, "127.0.0.1": true,
		"[::1]:8080": true, "[::1]": true, "10.20.0.7:8080": true, "gateway.plant.example:8080": true, "gateway.plant.example": true,
		"evil.example": false, "evil.example:8080": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false, "": false,
	} {
		w := ask(s, "GET /api/v1/devices", "", "Host: "+host)
		if (w.Code == 200) != ok || !ok && w.Code != http.StatusMisdirectedRequest {
			t.Errorf("Host %q: %d", host, w.Code)
		}
	}
	if n := s.Stats().HostRefused; n != 5 {
		t.Errorf("%d refusals counted", n)
	}
}

const (
	asJSON  = "Content-Type: application/json"
	bearer  = "Authorization: Bearer " + token
	onPress = "POST /api/v1/devices/press-01/maintenance"
	onTags  = "POST /api/v1/tags/maintenance"
	onBody  = `{"on":true,"reason":"pump replaced"}`
)

// Whoever has the role admin switches with a token of his own, and nobody else but the gateway's.
func TestMaintenanceByAnAdmin(t *testing.T) {
	plant := webtest.New(1, 8, then)
	s := newServer(t, plant, func(c *web.Config) {
		c.Identify = func(token string) (write.Caller, bool) {
			return write.Caller{User: token, Role: map[string]write.Role{"boss": write.RoleAdmin, "shift": write.RoleWrite}[token]}, token == "boss" || token == "shift"
		}
	})
	for _, c := range []struct {
		token string
		want  int
		out   bool
	}{{"nobody", 401, false}, {"shift", 403, false}, {"boss", 200, true}} {
		for _, on := range [][2]string{{onPress, onBody}, {onTags, `{"on":true,"reason":"x","tags":["press-01/temperature_000"]}`}} {
			if w := ask(s, on[0], on[1], asJSON, "Authorization: Bearer "+c.token); w.Code != c.want {
				t.Errorf("%s of %s: %d %s", on[0], c.token, w.Code, w.Body)
			}
		}
		if firstOf(plant).OutOfService != c.out {
			t.Errorf("%s: out of service is %v", c.token, !c.out)
		}
	}
}

func TestMaintenanceRefusals(t *testing.T) {
	plant := webtest.New(1, 8, then)
	s := newServer(t, plant, nil)
	for _, tt := range []struct {
		name, line, body string
		headers          []string
		want             int
	}{
		{"no token", onPress, onBody, []string{asJSON}, 401},
		{"wrong token", onPress, onBody, []string{asJSON, bearer + "x"}, 401},
		{"other scheme", onPress, onBody, []string{asJSON, "Authorization: Basic " + token}, 401},
		{"other origin", onPress, onBody, []string{asJSON, bearer, "Origin: http://evil.example"}, 403},
		{"other port", onPress, onBody, []string{asJSON, bearer, "Origin: http://127.0.0.1:9999"}, 403},
		{"null origin", onPress, onBody, []string{asJSON, bearer, "Origin: null"}, 403},
		{"cross site", onPress, onBody, []string{asJSON, bearer, "Sec-Fetch-Site: cross-site"}, 403},
		{"other host", onPress, onBody, []string{asJSON, bearer, "Host: evil.example"}, 421},
		{"form", onPress, onBody, []string{bearer, "Content-Type: application/x-www-form-urlencoded"}, 415},
		{"no JSON", onPress, "on", []string{asJSON, bearer}, 400},
		{"empty", onPress, "", []string{asJSON, bearer}, 400},
		{"no on", onPress, `{"reason":"x"}`, []string{asJSON, bearer}, 400},
		{"no reason", onPress, `{"on":true,"reason":" "}`, []string{asJSON, bearer}, 400},
		{"long reason", onPress, `{"on":true,"reason":"` + strings.Repeat("x", 201) + `"}`, []string{asJSON, bearer}, 400},
		{"unknown key", onPress, `{"on":true,"reason":"x","of":1}`, []string{asJSON, bearer}, 400},
		{"two values", onPress, onBody + onBody, []string{asJSON, bearer}, 400},
		{"too long", onPress, `{"on":true,"reason":"x"` + strings.Repeat(" ", 70_000) + `}`, []string{asJSON, bearer}, 400},
		{"tags of a device", onPress, `{"on":true,"reason":"x","tags":["a"]}`, []string{asJSON, bearer}, 400},
		{"unknown device", "POST /api/v1/devices/none/maintenance", onBody, []string{asJSON, bearer}, 404},
		{"no tags", onTags, onBody, []string{asJSON, bearer}, 400},
		{"unknown tag", onTags, `{"on":true,"reason":"x","tags":["press-01/temperature_000","none"]}`, []string{asJSON, bearer}, 404},
	} {
		w := ask(s, tt.line, tt.body, tt.headers...)
		e := decode[struct{ Error, Todo string }](t, w.Body.String())
		if w.Code != tt.want || e.Error == "" || e.Todo == "" {
			t.Errorf("%s: %d %+v, want %d", tt.name, w.Code, e, tt.want)
		}
	}
	if firstOf(plant).OutOfService || slices.ContainsFunc(plant.Tags(), func(g web.Tag) bool { return g.OutOfService }) {
		t.Error("a refused request changed something")
	}
	if st := s.Stats(); st.TokenRefused != 3 || st.OriginRefused != 4 || st.HostRefused != 1 {
		t.Errorf("%+v", st)
	}
	closed := newServer(t, plant, func(c *web.Config) { c.Token = "" })
	if w := ask(closed, onPress, onBody, asJSON, "Authorization: Bearer "); w.Code != 403 {
		t.Errorf("without a configured token: %d", w.Code)
	}
}

func TestMaintenance(t *testing.T) {
	plant := webtest.New(1, 8, then)
	s := newServer(t, plant, func(c *web.Config) { c.Hosts = []string{"gw.plant.example"} })
	if w := ask(s, onPress, `{"on":false}`, asJSON, bearer, "Origin: https://gw.plant.example", "Sec-Fetch-Site: same-origin"); w.Code != 200 {
		t.Errorf("behind a proxy of a configured name: %d %s", w.Code, w.Body)
	}
	if w := ask(s, onPress, onBody, asJSON, bearer, "Origin: http://127.0.0.1:8080"); w.Code != 200 || !firstOf(plant).OutOfService {
		t.Errorf("on: %d %s %+v", w.Code, w.Body, firstOf(plant))
	}
	g := decode[struct{ Devices map[string]int }](t, ask(s, "GET /api/v1/gateway", "").Body.String())
	if g.Devices[web.StateOutOfService] != 1 || g.Devices[web.StateReady] != 0 {
		t.Errorf("counted as %v", g.Devices)
	}
	if w := ask(s, onPress, `{"on":false}`, asJSON, bearer); w.Code != 200 || firstOf(plant).OutOfService {
		t.Errorf("off: %d %s", w.Code, w.Body)
	}
	if w := ask(s, onTags, `{"on":true,"reason":"x","tags":["press-01/speed_002"]}`, asJSON, bearer); w.Code != 200 {
		t.Errorf("tag: %d %s", w.Code, w.Body)
	}
	plant.Step(then.Add(time.Second))
	p := decode[pageJSON](t, ask(s, "GET /api/v1/tags?quality=bad", "").Body.String())
	if p.Total != 1 || p.Tags[0].Name != "press-01/speed_002" {
		t.Errorf("%+v", p)
	}
}

type failing struct{ web.Source }

func (failing) SetMaintenance(context.Context, web.Maintenance) error { return errors.New("disk full") }
func (failing) History(context.Context, []tag.ID, time.Time, time.Time, func(web.Sample) bool) error {
	return errors.New("disk gone")
}

func TestSourceErrors(t *testing.T) {
	s := newServer(t, failing{webtest.New(1, 8, then)}, nil)
	if w := ask(s, onPress, onBody, asJSON, bearer); w.Code != 500 || !strings.Contains(w.Body.String(), "disk full") {
		t.Errorf("maintenance: %d %s", w.Code, w.Body)
	}
	if w := ask(s, "GET /api/v1/history?ids=1", ""); w.Code != 500 || !strings.Contains(w.Body.String(), "disk gone") {
		t.Errorf("history: %d %s", w.Code, w.Body)
	}
}

func TestHistory(t *testing.T) {
	plant := webtest.New(1, 8, time.Now())
	s := newServer(t, plant, nil)
	type answer struct {
		From, To int64
		Series   []struct {
			ID        int
			Tag, Unit string
			Points    [][2]*float64
		}
	}
	w := ask(s, "GET /api/v1/history?tag=press-01/temperature_000&tag=press-01/speed_002&points=100", "")
	got := decode[answer](t, w.Body.String())
	if w.Code != 200 || len(got.Series) != 2 || got.Series[0].Tag != "press-01/temperature_000" || got.Series[0].Unit != "°C" || got.To-got.From != 3_600_000 {
		t.Fatalf("%d %+v", w.Code, got)
	}
	gaps, n := 0, len(got.Series[0].Points)
	for _, p := range got.Series[0].Points {
		if p[1] == nil {
			gaps++
		}
	}
	if n < 50 || n > 100 || gaps == 0 { // the plant has one gap of a minute in its last hour
		t.Errorf("%d points, %d gaps", n, gaps)
	}
	if long := regexp.MustCompile(`\.\d{7,}\]`).FindString(w.Body.String()); long != "" {
		t.Errorf("float32 written as float64: %s", long)
	}
}

// firstOf returns the first device by ID.
func firstOf(src web.Source) web.Device {
	for d := range src.Devices() {
		return *d
	}
	return web.Device{}
}
