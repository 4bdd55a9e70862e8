package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"millrace/internal/heal"
	"millrace/internal/web"
	"millrace/internal/web/webtest"
)

// healing is a Source with one rule, slow.
type healing struct {
	web.Source
	pause heal.Pause
	full  error
	asked string
}

func (h *healing) HealRules() []heal.Summary { return []heal.Summary{{Name: "slow", Success: 0.5}} }
func (h *healing) HealRule(name string) (heal.Explanation, bool) {
	return heal.Explanation{When: "device.loss > 0.05"}, name == "slow"
}
func (h *healing) HealDryRun(name, subject string) ([]heal.Preview, bool) {
	if subject == "press-9" {
		return nil, name != "fast"
	}
	return []heal.Preview{{Rule: "slow", Subject: subject}}, name != "fast"
}
func (h *healing) HealHistory(_ context.Context, name string, limit int) (web.HealHistory, error) {
	h.asked = name
	runs := []heal.Record{{ID: 3, Devices: []string{"press-1"}}, {ID: 2, Devices: []string{"press-1", "press-2"}}, {ID: 1, Devices: []string{"press-2"}}}
	return web.HealHistory{Runs: runs[:min(limit, 3)]}, h.full
}
func (h *healing) HealPause() heal.Pause { return h.pause }
func (h *healing) SetHealPause(_ context.Context, p heal.Pause) error {
	h.pause = p
	return h.full
}

func TestHealRoutes(t *testing.T) {
	const token = "0123456789abcdef"
	src := &healing{Source: webtest.New(2, 8, time.Now())}
	srv, err := web.New(web.Config{Token: token}, src)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string, headers ...string) (int, string) {
		r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		srv.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"/api/v1/heal/rules", http.StatusOK, `"name":"slow"`},
		{"/api/v1/heal/rules/slow", http.StatusOK, `"when":"device.loss \u003e 0.05"`},
		{"/api/v1/heal/rules/fast", http.StatusNotFound, `no healing rule named \"fast\"`},
		{"/api/v1/heal/dry-run?rule=slow&subject=press-1", http.StatusOK, `"subject":"press-1"`},
		{"/api/v1/heal/dry-run?rule=slow&subject=press-9", http.StatusNotFound, `is tried for \"press-9\"`},
		{"/api/v1/heal/dry-run?rule=fast", http.StatusNotFound, "no healing rule"},
		{"/api/v1/heal/history?rule=slow&limit=1", http.StatusOK, `"runs":[{"id":3`},
		{"/api/v1/heal/history?rule=slow&device=press-2&limit=1", http.StatusOK, `"runs":[{"id":2`},
		{"/api/v1/heal/history?rule=slow&device=press-3", http.StatusOK, `"runs":[]`},
		{"/api/v1/heal/history?limit=x", http.StatusBadRequest, "limit"},
	} {
		if code, body := ask("GET", c.path, ""); code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", c.path, code, body)
		}
	}
	if src.asked != "slow" {
		t.Errorf("asked for the history of %q", src.asked)
	}
	auth := []string{"Authorization", "Bearer " + token}
	if code, _ := ask("POST", "/api/v1/heal/pause", `{"on":true,"reason":"x"}`); code != http.StatusUnauthorized || src.pause.Reason != "" {
		t.Errorf("without a token: %d, %+v", code, src.pause)
	}
	for _, body := range []string{`{"on":true}`, `{"reason":"x"}`, `{"on":true,"reason":"x","for":"soon"}`, `{"on":true,"reason":"x","for":"-1s"}`, `{`, `{"on":true,"reason":"x","who":1}`} {
		if code, _ := ask("POST", "/api/v1/heal/pause", body, auth...); code != http.StatusBadRequest || src.pause.Reason != "" {
			t.Errorf("%s: %d, %+v", body, code, src.pause)
		}
	}
	if code, body := ask("POST", "/api/v1/heal/pause", `{"on":true,"reason":"x","for":"2h"}`, auth...); code != http.StatusOK || src.pause.Until.Sub(src.pause.Since) != 2*time.Hour || src.pause.By != "admin (192.0.2.1)" {
		t.Errorf("%d %s, %+v", code, body, src.pause)
	}
	if code, _ := ask("POST", "/api/v1/heal/pause", `{"on":false}`, auth...); code != http.StatusOK || src.pause != (heal.Pause{}) {
		t.Errorf("%d, %+v", code, src.pause)
	}
	src.full = errors.New("no space left")
	if code, body := ask("GET", "/api/v1/heal/history", ""); code != http.StatusInternalServerError || !strings.Contains(body, "no space left") {
		t.Errorf("%d %s", code, body)
	}
}
