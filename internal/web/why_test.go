package web_test

import (
	"strings"
	"testing"

	"millrace/internal/web"
	"millrace/internal/web/webtest"
	"millrace/internal/why"
)

func TestWhy(t *testing.T) {
	plant := webtest.New(2, 8, then)
	s := newServer(t, plant, nil)
	told := func(of string) why.Explanation {
		t.Helper()
		w := ask(s, "GET /api/v1/why?of="+of, "")
		if w.Code != 200 || strings.Contains(w.Body.String(), "null") {
			t.Errorf("%s: %d %s", of, w.Code, w.Body)
		}
		return decode[why.Explanation](t, w.Body.String())
	}
	if e := told("press-01"); !e.Well() || e.What != "device" || e.State != "ready" {
		t.Errorf("%+v", e)
	}
	if err := plant.SetState("press-01", web.StateCooling, "refused"); err != nil {
		t.Fatal(err)
	}
	if e := told("press-01"); e.Findings[0].Cause != "port_closed" || len(e.Findings[0].Todo) == 0 || e.Faults[0].Count != 17 {
		t.Errorf("%+v", e)
	}
	if e := told("press-01%2Ftemperature_000"); e.What != "tag" || e.Device != "press-01" || e.Findings[0].Cause != "port_closed" {
		t.Errorf("%+v", e)
	}
	for path, want := range map[string]struct {
		code int
		say  string
	}{
		"/api/v1/why":                       {400, "of=DEVICE"},
		"/api/v1/why?of=nobody":             {404, `no device and no tag named \"nobody\"`},
		"/api/v1/why?of=press-01%2Fnothing": {404, "press-01/nothing"},
	} {
		if w := ask(s, "GET "+path, ""); w.Code != want.code || !strings.Contains(w.Body.String(), want.say) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(newServer(t, struct{ web.Source }{plant}, nil), "GET /api/v1/why?of=press-01", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "does not explain") {
		t.Errorf("of a source that cannot: %d %s", w.Code, w.Body)
	}
}
