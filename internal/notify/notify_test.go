package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a webhook's other end without a network: it answers with the statuses given, then with 204, and keeps what it took.
type receiver struct {
	mu     sync.Mutex
	start  time.Time
	status []int // 0 is an error of the transport
	took   []string
	hang   atomic.Bool
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.hang.Load() {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	status := http.StatusNoContent
	if len(r.status) > 0 {
		status, r.status = r.status[0], r.status[1:]
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	var b body
	if err := json.NewDecoder(req.Body).Decode(&b); err != nil {
		return nil, err
	}
	if status/100 == 2 {
		r.took = append(r.took, fmt.Sprintf("%v %s %s %q x%d", time.Since(r.start).Round(time.Second), b.Event, b.Device, b.Reason, b.Count))
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// running returns a Webhook that runs until the test ends, and its receiver. It is called inside a bubble.
func running(t *testing.T, c Config, status ...int) (*Webhook, *receiver) {
	t.Helper()
	r := &receiver{start: time.Now(), status: status}
	c.Gateway, c.URL, c.Client = "plant-1", "http://hook.example/token", &http.Client{Transport: r}
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w, r
}

func (r *receiver) check(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.took, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the receiver took\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestEventsAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := running(t, Config{On: []string{DeviceDown, Disk}})
		w.Notify(Event{Kind: DeviceDown, Device: "plc7", Reason: "no reply"})
		w.Notify(Event{Kind: DeviceUp, Device: "plc7"}) // not wanted
		w.Notify(Event{Kind: Disk, Reason: "no space left"})
		r.check(t, `0s device_down plc7 "no reply" x1`, `0s disk  "no space left" x1`)
		if s := w.Stats(); s != (Stats{Sent: 2}) {
			t.Errorf("%+v", s)
		}
	})
}

// A device goes down and up every 7 s for 140 s: a pair, and then each minute a message for what was held back and one of the other kind.
func TestFlappingIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := running(t, Config{})
		for range 10 {
			w.Notify(Event{Kind: DeviceDown, Device: "plc7", Reason: "reset"})
			time.Sleep(7 * time.Second)
			w.Notify(Event{Kind: DeviceUp, Device: "plc7", Reason: "back"})
			time.Sleep(7 * time.Second)
		}
		w.Notify(Event{Kind: DeviceDown, Device: "other", Reason: "alone"})
		time.Sleep(10 * time.Minute)
		r.check(t,
			`0s device_down plc7 "reset" x1`,
			`7s device_up plc7 "back" x1`,
			`1m0s device_down plc7 "reset" x7`,
			`1m3s device_up plc7 "back" x1`,
			`2m0s device_up plc7 "back" x8`,
			`2m6s device_down plc7 "reset" x1`,
			`2m20s device_down other "alone" x1`,
			`3m0s device_up plc7 "back" x1`,
		)
		if s := w.Stats(); s.HeldBack != 16 || s.Sent != 8 || len(w.windows) != 0 {
			t.Errorf("%+v, %d windows", s, len(w.windows))
		}
	})
}

func TestRetriesUntilTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := running(t, Config{}, 0, 503, 429, 500)
		w.Notify(Event{Kind: Residue, Reason: "3"})
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if s := w.Stats(); len(r.took) != 1 || s != (Stats{Sent: 1, Retries: 4}) {
			t.Errorf("took %q, %+v", r.took, s)
		}
	})
}

func TestRefusedIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed []string
		w, r := running(t, Config{OnFailed: func(e Event, err error) { failed = append(failed, e.Kind+": "+err.Error()) }}, 404)
		w.Notify(Event{Kind: Residue, Reason: "3"})
		w.Notify(Event{Kind: Disk, Reason: "full"})
		r.check(t, `0s disk  "full" x1`)
		if len(failed) != 1 || failed[0] != "residue: notify: the webhook answered 404 Not Found" {
			t.Errorf("failed %q", failed)
		}
	})
}

// The receiver hangs for good: every message is given up in its time, the queue stays bounded, and Notify never waits.
func TestDeadReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed int
		w, r := running(t, Config{Queue: 10, GiveUp: time.Minute, OnFailed: func(Event, error) { failed++ }})
		r.hang.Store(true)
		start := time.Now()
		for i := range 1000 {
			w.Notify(Event{Kind: DeviceDown, Device: fmt.Sprint("plc", i), Reason: "gone"})
		}
		if time.Since(start) != 0 {
			t.Error("Notify waited")
		}
		synctest.Wait()
		if s := w.Stats(); s.Waiting > 10 || s.Dropped < 989 || s.Dropped+uint64(s.Waiting) > 1000 {
			t.Errorf("%+v", s)
		}
		dropped := w.Stats().Dropped
		time.Sleep(59 * time.Second)
		synctest.Wait()
		r.hang.Store(false)
		time.Sleep(time.Minute)
		r.check(t, fmt.Sprintf(`1m0s device_down  "%d more of these events than could be sent" x%d`, dropped, dropped))
		if uint64(failed)+dropped != 1000 {
			t.Errorf("%d failed and %d dropped of 1000", failed, dropped)
		}
	})
}

func TestRunEndsWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, r := running(t, Config{})
		r.hang.Store(true)
		w.Notify(Event{Kind: Disk})
		synctest.Wait() // the cleanup ends Run and waits for it
	})
}

// TestOverHTTP sends to a real server, and shows that no error tells the secret part of the address.
func TestOverHTTP(t *testing.T) {
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(b)
	}))
	w, err := New(Config{Gateway: "plant-1", URL: srv.URL + "/hook/s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	w.Notify(Event{Kind: DeviceDown, Device: "plc7", Reason: `it "says" nothing`, Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)})
	const want = `POST /hook/s3cret application/json {"event":"device_down","device":"plc7","reason":"it \"says\" nothing","time":"2026-11-20T12:00:00Z","gateway":"plant-1","count":1}`
	if g := <-got; g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
	srv.Close()
	err = w.post(ctx, message{Event: Event{Kind: Disk}, expiry: time.Now().Add(time.Minute)})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
	cancel()
	<-done
	w.cfg.Client.CloseIdleConnections()
}

func TestBadConfig(t *testing.T) {
	for _, c := range []Config{{}, {URL: "ftp://h/"}, {URL: "http://h/", On: []string{"device_dwn"}}, {URL: "http://h/", Queue: -1}} {
		if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), "notify: ") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
