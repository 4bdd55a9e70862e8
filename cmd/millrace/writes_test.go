//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/sim"
	"millrace/internal/web"
	"millrace/internal/write/audit"
	"millrace/opcua"
	"millrace/opcua/ua"
)

// writesConfig has one device whose tags are writable in several ways, and an OPC UA server for users with roles.
func writesConfig(t *testing.T, dir string, m *sim.Modbus) string {
	t.Helper()
	var users []string
	for _, u := range [...]string{"viewer read", "shift read,write", "boss admin"} {
		name, roles, _ := strings.Cut(u, " ")
		line, err := userLine(name, roles, strings.NewReader("pass word\n"))
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, line)
	}
	write(t, dir, "users.txt", strings.Join(users, "\n")+"\n")
	return configText(dir) + fmt.Sprintf(`devices:
  - id: press
    address: "modbus://%s/1"
    groups:
      g:
        interval: 50ms
        tags:
          x: "holding:100:uint16"
          set: "holding:101:int16 scale=0.1 low=-50 high=200 rw"
          admin: "holding:102:int16 rw write=admin"
          two: "holding:103:int16 rw write=two"
          locked: "holding:104:int16 rw write=locked"
          run: "coil:7 rw"
serve:
  - {id: open, type: opcua, listen: "127.0.0.1:0", security: [None], users: users.txt, anonymous: true}
write:
  rules:
    admin: {role: admin}
    two: {approve: true}
    locked: {interlock: 'tag("./run") == false'}
`, m.Addr(1))
}

// api serves r's page without a listener of its own, and returns where.
func (r *rig) api() string {
	r.t.Helper()
	s, err := r.server()
	if err != nil {
		r.t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	r.t.Cleanup(h.Close)
	return h.URL
}

// cli runs a command line.
func cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// askTargets asks what the owner of a token may write, and what would become of it, as the page does. press/run is true.
func askTargets(t *testing.T, url, file string) {
	t.Helper()
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(query, token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/targets?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	defer http.DefaultClient.CloseIdleConnections()
	if code, body := ask("device=press", "somebody-else-altogether"); code != http.StatusUnauthorized {
		t.Errorf("nobody: %d %s", code, body)
	}
	code, body := ask("device=press", strings.TrimSpace(string(token)))
	for _, want := range []string{`{"role":"write","targets":[{`, `"tag":"press/set","device":"press","type":"float64","low":-50,"high":200`, `"tag":"press/run","device":"press","type":"bool"`,
		`"tag":"press/two","device":"press","type":"int16","low":-32768,"high":32767`, `"approve":true,"approve_within_s":600`, `"against":"interlock: tag(\"./run\") == false does not hold: press/run is true"`} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d %s lacks %s", code, body, want)
		}
	}
	for _, not := range []string{"press/admin", "press/x"} {
		if strings.Contains(body, not) {
			t.Errorf("%s is not for shift to write: %s", not, body)
		}
	}
	for query, want := range map[string]string{
		"tag=press/set&text=21.57": `"new":21.6`, "tag=press/set&text=201": `"against":"201 is not between -50 and 200"`, "tag=press/set&text=x": `"against":"x: the tag has numbers"`,
	} {
		if code, body := ask(query, strings.TrimSpace(string(token))); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
}

// auditIsShown looks at what the audit log in data has over the CLI.
func auditIsShown(t *testing.T, data string) {
	t.Helper()
	code, out, errs := cli(t, "audit", "list", "--data", data, "--limit", "1", "--json")
	var last struct{ Write uint64 }
	if err := json.Unmarshal([]byte(out), &last); code != 0 || err != nil || strings.Count(out, "\n") != 1 {
		t.Fatalf("the last record: %d %s %s %v", code, out, errs, err)
	}
	if code, out, errs := cli(t, "audit", "show", fmt.Sprint(last.Write), "--data", data); code != 0 || !strings.Contains(out, "\n  tag          press/") || !strings.Contains(out, "\n  who          ") {
		t.Errorf("show: %d %s %s", code, out, errs)
	}
	for arg, want := range map[string]int{"999999": 1, "0": 2, "x": 2} {
		if code, out, _ := cli(t, "audit", "show", arg, "--data", data); code != want || out != "" {
			t.Errorf("show %s: %d %s", arg, code, out)
		}
	}
	if code, _, _ := cli(t, "audit", "list", "--data", data, "--limit", "-1"); code != 2 {
		t.Errorf("--limit -1: %d", code)
	}
}

// A tag's name that would print a line of its own is quoted.
func TestAuditListHasALineARecord(t *testing.T) {
	var out bytes.Buffer
	r := audit.Record{Tag: "x\n2026-01-01 #1 done confirmed press/set", Who: "a\x1b[2Jb", Why: "y\nz", New: json.RawMessage("1")}
	if err := printRecord(&out, &r, false); err != nil || strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	if err := printFields(&out, &r); err != nil || strings.Contains(out.String(), "\n2026") || strings.Contains(out.String(), "\nz") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// The way of a write over the CLI: done, refused, approved by somebody else, audited.
func TestWritesOverTheAPI(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	r := startRig(t, dir, writesConfig(t, dir, m), rigOptions{})
	r.reads("press", 1)
	url, data := r.api(), filepath.Join(dir, "data")
	by := func(file string, args ...string) (int, string, string) {
		return cli(t, append(args, "--server", url, "--token-file", filepath.Join(dir, file))...)
	}
	own := "data/" + tokenFile
	for _, name := range []string{"shift", "boss"} {
		code, token, errs := cli(t, "token", name, "--roles", map[string]string{"shift": "write", "boss": "write,admin"}[name], "--data", data)
		if code != 0 {
			t.Fatal(errs)
		}
		write(t, dir, name+".token", token)
	}
	if code, out, errs := by("shift.token", "write", "press/set=21.5", "press/run=true", "--why", "recipe 7"); code != 0 || out != "press/set = 21.5: confirmed\npress/run = true: confirmed\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	askTargets(t, url, filepath.Join(dir, "shift.token"))
	for _, c := range []struct{ arg, want string }{
		{"press/set=201", "refused: 201 is not between -50 and 200"}, {"press/set=x", "refused: x: the tag has numbers"}, {"press/admin=1", "refused: it takes the role admin"},
		{"press/x=1", "refused: there is no such tag, or it is not writable"}, {"press/locked=1", "refused: interlock: tag(\"./run\") == false does not hold: press/run is true"},
	} {
		if code, out, errs := by("shift.token", "write", c.arg); code != 1 || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d %s%s", c.arg, code, out, errs)
		}
	}
	if code, out, _ := by("boss.token", "write", "press/admin=7"); code != 0 {
		t.Errorf("the admin: %d %s", code, out)
	}
	code, out, errs := by("shift.token", "write", "press/two=7", "--key", "k1", "--json")
	var v web.WriteView
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || v.End != "pending" {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	if code, out, _ := by("boss.token", "approve"); code != 0 || !strings.Contains(out, "press/two") {
		t.Errorf("%d %s", code, out)
	}
	id := fmt.Sprint(v.ID)
	if code, _, errs := by("shift.token", "approve", id); code != 1 || !strings.Contains(errs, "somebody else than shift") {
		t.Errorf("%d %s", code, errs)
	}
	if code, out, errs := by("boss.token", "approve", id, "--why", "yes"); code != 0 || !strings.Contains(out, "confirmed") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, out, _ := by("shift.token", "write", "press/two=7", "--key", "k1"); code != 0 || !strings.Contains(out, "confirmed (the key was there before") {
		t.Errorf("%d %s", code, out)
	}
	if code, _, errs := by(own, "approve", "999"); code != 1 || !strings.Contains(errs, "no write 999 waits") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := cli(t, "audit", "verify", data); code != 1 || !strings.Contains(errs, "has no audit log") || !strings.Contains(errs, "--data") {
		t.Errorf("verify of another folder: %d %s", code, errs)
	}
	if code, out, _ := cli(t, "audit", "verify", "--data", data, "--json"); code != 0 || !strings.Contains(out, `"found":[],"notes":[]`) {
		t.Errorf("verify --json: %d %s", code, out)
	}
	auditIsShown(t, data)
	if code, _, errs := cli(t, "audit", "list", "--data", data, "--end", "confirm"); code != 2 || !strings.Contains(errs, "they are confirmed") {
		t.Errorf("list of an end that there is not: %d %s", code, errs)
	}
	if code, out, errs := cli(t, "audit", "verify", "--data", data); code != 0 || !strings.Contains(out, "the chain holds") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, out, _ := cli(t, "audit", "list", "--data", data, "--tag", "press/two"); code != 0 || strings.Count(out, "\n") != 4 || !strings.Contains(out, "approved press/two = 7 (was 103) by boss") {
		t.Errorf("%d %s", code, out)
	}
	if code, out, _ := cli(t, "audit", "list", "--data", data, "--end", "refused", "--json"); code != 0 || strings.Count(out, "\n") != 5 {
		t.Errorf("%d %s", code, out)
	}
	tamper(t, filepath.Join(data, auditFolder))
	if code, out, _ := cli(t, "audit", "verify", "--data", data); code != 1 || !strings.Contains(out, "WRONG") {
		t.Errorf("%d %s", code, out)
	}
}

// tamper changes a value in the audit log.
func tamper(t *testing.T, dir string) {
	t.Helper()
	name := filepath.Join(dir, "audit-00000001.jsonl")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(b, []byte(`"new":21.5`), []byte(`"new":11.5`), 1)
	if bytes.Equal(b, changed) {
		t.Fatal("there is nothing to change")
	}
	if err := os.WriteFile(name, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What does not come from somebody who is known, or comes from another site, is not even looked at.
func TestWriteAPIIsGuarded(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	r := startRig(t, dir, writesConfig(t, dir, m), rigOptions{})
	r.reads("press", 1)
	url := r.api()
	body := `{"tag":"press/set","value":5}`
	for name, c := range map[string]struct {
		header map[string]string
		body   string
		host   string
		want   int
	}{
		"nobody":        {nil, body, "", 401},
		"wrong token":   {map[string]string{"Authorization": "Bearer 0123456789abcdef0123"}, body, "", 401},
		"another site":  {map[string]string{"Authorization": "Bearer " + r.token, "Origin": "http://evil.example"}, body, "", 403},
		"another host":  {map[string]string{"Authorization": "Bearer " + r.token}, body, "evil.example", 421},
		"no JSON":       {map[string]string{"Authorization": "Bearer " + r.token, "Content-Type": "text/plain"}, body, "", 415},
		"unknown field": {map[string]string{"Authorization": "Bearer " + r.token}, `{"tag":"press/set","value":5,"force":true}`, "", 400},
		"no value":      {map[string]string{"Authorization": "Bearer " + r.token}, `{"tag":"press/set"}`, "", 400},
		"bad expire":    {map[string]string{"Authorization": "Bearer " + r.token}, `{"tag":"press/set","value":5,"expire":"soon"}`, "", 400},
		"long key":      {map[string]string{"Authorization": "Bearer " + r.token, "Idempotency-Key": strings.Repeat("k", 300)}, body, "", 400},
		"not a list":    {map[string]string{"Authorization": "Bearer " + r.token}, `{"tag":"press/set","value":[5]}`, "", 422},
		"good":          {map[string]string{"Authorization": "Bearer " + r.token}, body, "", 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v1/writes", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		for k, v := range c.header {
			req.Header.Set(k, v)
		}
		if c.host != "" {
			req.Host = c.host
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", name, resp.Status, c.want)
		}
	}
	if s := r.writes.Stats(); s.Ends["confirmed"] != 1 {
		t.Errorf("%v", s.Ends)
	}
}

// Clients of the OPC UA server write as far as their user and the rules allow, and the audit log names the user.
func TestWritesOverOPCUA(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	r := startRig(t, dir, writesConfig(t, dir, m), rigOptions{})
	r.reads("press", 1)
	url := r.url("open")
	as := func(name string) *opcua.Client {
		u := opcua.User{}
		if name != "" {
			u = opcua.User{Name: name, Password: "pass word", ClearPassword: true}
		}
		return dialOPC(t, url, opcua.Config{User: u, AnyServer: true})
	}
	put := func(c *opcua.Client, name string, v ua.Variant) ua.StatusCode {
		t.Helper()
		id, err := c.ParseNodeId("nsu=urn:millrace:test:tags;s=" + name)
		if err != nil {
			t.Fatal(err)
		}
		var status [1]ua.StatusCode
		if err := c.Write(t.Context(), []ua.WriteValue{{NodeId: id, AttributeId: ua.AttributeValue, Value: ua.DataValue{Value: v, Has: ua.HasValue}}}, status[:]); err != nil {
			t.Fatal(err)
		}
		return status[0]
	}
	shift, boss := as("shift"), as("boss")
	if s := put(shift, "press/set", ua.Double(-12.3)); s != ua.Good {
		t.Errorf("set: %v", s)
	}
	if v := served(t, shift, "press/set"); v.Status != ua.Good || v.Value.String() != "-12.3" && fmt.Sprint(v.Value.Any()) != "-12.3" {
		t.Errorf("the node has %v", v)
	}
	if s := put(shift, "press/run", ua.Bool(true)); s != ua.Good {
		t.Errorf("run: %v", s)
	}
	for _, c := range []struct {
		client *opcua.Client
		tag    string
		v      ua.Variant
		want   ua.StatusCode
	}{
		{as(""), "press/set", ua.Double(1), ua.BadUserAccessDenied}, {as("viewer"), "press/set", ua.Double(1), ua.BadUserAccessDenied}, {shift, "press/x", ua.UInt16(1), ua.BadNotWritable},
		{shift, "press/set", ua.Double(300), ua.BadOutOfRange}, {shift, "press/set", ua.String("x"), ua.BadTypeMismatch}, {shift, "press/admin", ua.Int16(1), ua.BadUserAccessDenied},
		{boss, "press/admin", ua.Int16(1), ua.Good}, {shift, "press/locked", ua.Int16(1), ua.BadInvalidState}, {shift, "press/two", ua.Int16(1), ua.GoodCompletesAsynchronously},
	} {
		if s := put(c.client, c.tag, c.v); s != c.want {
			t.Errorf("%s = %v: %v, want %v", c.tag, c.v, s, c.want)
		}
	}
	if v := served(t, shift, "press/locked#LastWrite"); !strings.Contains(v.Value.Text(), "refused (1 by shift): interlock") {
		t.Errorf("in words: %v", v)
	}
	for name, levels := range map[string][2]uint64{"press/x": {1, 1}, "press/set": {3, 3}, "press/admin": {3, 1}} {
		id, err := shift.ParseNodeId("nsu=urn:millrace:test:tags;s=" + name)
		if err != nil {
			t.Fatal(err)
		}
		for i, attr := range []uint32{ua.AttributeAccessLevel, ua.AttributeUserAccessLevel} {
			var got ua.DataValue
			plan := opcua.NewReadPlan([]ua.ReadValueId{{NodeId: id, AttributeId: attr}}, opcua.ReadOptions{})
			if err := shift.ReadEach(t.Context(), plan, func(_ int, v *ua.DataValue) { got = *v }); err != nil {
				t.Fatal(err)
			}
			if n, ok := got.Value.Uint64(); !ok || n != levels[i] {
				t.Errorf("%s: attribute %d is %v, want %d", name, attr, got, levels[i])
			}
		}
	}
	code, out, errs := cli(t, "audit", "list", "--data", filepath.Join(dir, "data"), "--who", "boss")
	if code != 0 || !strings.Contains(out, "press/admin = 1") || !strings.Contains(out, "by boss over opcua") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

// A reload changes the rules; interlocks that do not compile are errors with a place.
func TestWriteRulesFollowTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	text := writesConfig(t, dir, m)
	r := startRig(t, dir, text, rigOptions{})
	r.reads("press", 1)
	bad := write(t, dir, "bad.yaml", strings.Replace(text, `tag("./run") == false`, `tag("./walk") == false`, 1))
	if code, _, errs := cli(t, "check", "-c", bad); code != 2 || !strings.Contains(errs, `bad.yaml:`) || !strings.Contains(errs, `interlock: at 1:4 of it: there is no tag "press/walk"`) {
		t.Errorf("%d %s", code, errs)
	}
	write(t, dir, "gateway.yaml", strings.Replace(text, "admin: {role: admin}", "admin: {role: write, max: 5}", 1))
	until(t, "the rule is another one", func() bool {
		w, ok := r.writes.Target("press/admin")
		return ok && w.Rule.HasMax
	})
	if st, _ := r.runtime.Device("press"); st.Outages != 0 || time.Since(st.Since) < 0 {
		t.Errorf("%+v", st)
	}
}

// With the audit log's disk gone nothing is written, and what was damaged is an alarm.
func TestAuditAlarm(t *testing.T) {
	dir := t.TempDir()
	m := plant(t, sim.ModbusConfig{Devices: 1, ByPort: true})
	text := writesConfig(t, dir, m)
	r := startRig(t, dir, text, rigOptions{})
	r.reads("press", 1)
	url := r.api()
	if code, out, errs := cli(t, "write", "press/set=21.5", "--server", url, "--token-file", filepath.Join(dir, "data", tokenFile)); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	r.stop()
	tamper(t, filepath.Join(dir, "data", auditFolder))
	r = startRig(t, dir, text, rigOptions{})
	if !slices.ContainsFunc(r.Alarms(), func(a web.Alarm) bool { return a.ID == "audit" && strings.Contains(a.Text, "audit-00000001.jsonl") }) {
		t.Errorf("%+v", r.Alarms())
	}
}
