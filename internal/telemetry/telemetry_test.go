package telemetry

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write testdata")

func sample() Snapshot {
	lag := Histogram{Bounds: []float64{0.001, 0.01, 1}, Counts: []uint64{5, 3, 1, 1}, Sum: 4.5}
	rtt := Histogram{Bounds: []float64{0.001, 0.01, 1}, Counts: []uint64{7, 2, 0, 0}, Sum: 0.02}
	return Snapshot{
		Values:  Values{Read: 1000, Filtered: 600, Queued: 10, Journaled: 380, Dropped: map[string]uint64{"journal_full": 10}},
		Devices: map[string]int{"ready": 38, "cooling": 2, "dreaming": 1},
		Outages: 3, Late: 4, Foreign: 1, Segments: 9000, Resent: 12,
		Routes:   Routes{Changes: 4, Standbys: 6, Suspicions: 11, SlotsUsed: 38, Slots: 60, HalfOpen: 1},
		Schedule: Schedule{Dials: 50, DialFailures: 7, Sessions: 38, Crowded: 2, Stretched: 3, Stretches: 9, Late: 4 * time.Millisecond},
		Trouble:  Trouble{Timeouts: 70, DialsWaiting: 5, DialTimeouts: 6, DialCuts: 2, Slowed: 1, Degraded: 4, Degrades: 11, Jittery: 3, Paused: 1},
		Groups:   []Group{{Name: "fast", Lag: lag, RTT: rtt, Missed: 2}, {Name: "slow", Lag: lag}, {Name: "fast", Lag: lag, RTT: rtt, Missed: 1}},
		Sinks: []Sink{
			{ID: "historian", Delivered: 300, Waiting: 75, Dropped: map[string]uint64{"poison": 5}, Behind: 1500 * time.Millisecond},
			{ID: "archive", Up: true, Delivered: 380},
		},
		Journal: Journal{Bytes: 1 << 20, FreeBytes: 1 << 30, Segments: 2, QueueBytes: 4096, Oldest: time.Unix(1_700_000_000, 0), Batches: 12, Syncs: 6,
			BytesWritten: 5000, Errors: 1, Full: true},
		Listeners: []Listener{{Name: "modbus", Open: 3, Accepted: 9, Refused: map[string]uint64{"global_limit": 2, "handshake_timeout": 1}}},
		Servers: []Server{{Name: "s7", Sessions: map[string]int{"active": 2, "idle": 1}, Accepted: 9, Refused: map[string]uint64{"no_setup": 3},
			Ended: map[string]uint64{"peer_closed": 3}, Requests: map[string]uint64{"read_var": 70}, Refusals: map[string]uint64{"0x8500": 4}, EventsDropped: 1,
			Messages: map[string]Lent{"read_request": {Gets: 70, Puts: 69}}, Faults: map[string]uint64{"silence": 5}}},
		Healing: []Healing{{Rule: "jitter", Stopped: true, Runs: map[string]uint64{"healed": 2, "rolled_back": 1}, Held: map[string]uint64{"cooldown": 4, "min_healthy": 1}}},
		Streams: 2,
	}
}

func newTestCollector(s Snapshot) *collector {
	return &collector{snapshot: func() Snapshot { return s }, build: [3]string{"1.2.3", "abc", "go1.26"}, d: newDescs()}
}

// scrape returns the gateway's own metrics as Prometheus reads them.
func scrape(s Snapshot) ([]byte, error) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(newTestCollector(s)); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		return nil, errors.New(w.Body.String())
	}
	return w.Body.Bytes(), nil
}

func TestMetrics(t *testing.T) {
	got, err := scrape(sample())
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (-update writes it):\n%s", golden, got)
	}
}

// The names that others script.
func TestContractNames(t *testing.T) {
	got, err := scrape(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"millrace_values_read_total 1000", "millrace_values_journaled_total 380", `millrace_sink_delivered_total{sink="historian"} 300`,
		`millrace_values_dropped_total{reason="journal_full",sink=""} 10`, `millrace_values_dropped_total{reason="poison",sink="historian"} 5`,
		"millrace_ledger_residue 0", "# TYPE millrace_schedule_lag_seconds histogram", `millrace_devices{state="ready"} 38`,
		`millrace_devices{state="suspect"} 0`, "# TYPE millrace_device_rtt_seconds histogram", `millrace_device_rtt_seconds_count{group="fast"} 18`,
		"millrace_late_replies_total 4", "millrace_foreign_replies_total 1", "millrace_tcp_retransmits_total 12", `millrace_refused_connections_total{listener="modbus",reason="global_limit"} 2`,
	} {
		if !strings.Contains(string(got), line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.CollectAndLint(newTestCollector(sample()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestEveryMetricIsDescribed(t *testing.T) {
	c, err := newCollector(Config{Snapshot: sample})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry(c)
	if err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather() // a metric that Describe did not name is an error here
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for _, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", f.GetName())
		}
		if strings.HasPrefix(f.GetName(), "millrace_") {
			own++
		}
	}
	if own < 30 {
		t.Errorf("%d metrics of our own", own)
	}
}

func TestEmptySnapshot(t *testing.T) {
	got, err := scrape(Snapshot{Journal: Journal{FreeBytes: -1}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got), "free_bytes") || strings.Contains(string(got), "oldest") {
		t.Errorf("shows what is unknown:\n%s", got)
	}
}

// One bad part must not hide the others.
func TestBadPartsAreLogged(t *testing.T) {
	s := sample()
	s.Groups = append(s.Groups, Group{Name: "odd", Lag: Histogram{Bounds: []float64{1}, Counts: []uint64{1}}},
		Group{Name: "slow", Lag: Histogram{Bounds: []float64{2}, Counts: []uint64{1, 1}}})
	s.Sinks = append(s.Sinks, Sink{ID: "bro\xffken"}, Sink{ID: "archive"})
	var log bytes.Buffer
	h, err := Handler(Config{Version: "1", Snapshot: func() Snapshot { return s }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "millrace_values_read_total 1000") || !strings.Contains(w.Body.String(), "go_goroutines ") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(w.Body.String(), "sink=\"bro\uFFFDken\"") {
		t.Error("a name that is not UTF-8 is missing")
	}
	for _, want := range []string{"1 bounds has 1 counts", "different bounds", "archive"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q: %s", want, log.String())
		}
	}
}

func TestHandlerNeedsSnapshot(t *testing.T) {
	if _, err := Handler(Config{}); err == nil {
		t.Error("no error")
	}
	if _, err := ServersHandler(ServersConfig{}); err == nil {
		t.Error("no error")
	}
}

// A process without a gateway shows its servers, and the same of them.
func TestServersAlone(t *testing.T) {
	h, err := ServersHandler(ServersConfig{Servers: func() []Server { return sample().Servers }})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	whole, err := scrape(sample())
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(whole)) {
		if strings.Contains(line, "millrace_server_") {
			lines++
			if !strings.Contains(w.Body.String(), line) {
				t.Errorf("missing: %s", line)
			}
		}
	}
	for _, want := range []string{`millrace_server_messages_out{message="read_request",server="s7"} 1`, `millrace_server_sessions{server="s7",state="idle"} 1`, "go_goroutines "} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("missing: %s", want)
		}
	}
	if lines < 30 || strings.Contains(w.Body.String(), "millrace_values") {
		t.Errorf("%d lines:\n%s", lines, w.Body)
	}
}
