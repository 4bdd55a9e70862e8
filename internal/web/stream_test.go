package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/web"
	"millrace/internal/web/webtest"
)

func TestStreamBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(3, 8, time.Now())
		c := open(t, start(t, newServer(t, plant, nil)), "?ids=1-2&big=string")
		devices := decode[[]struct{ ID, State string }](t, c.next(t, "devices").data)
		if len(devices) != 3 || devices[0].ID != "filler-01" || devices[0].State != web.StateReady {
			t.Errorf("devices: %+v", devices)
		}
		sum := decode[struct {
			Gateway struct {
				Tags    int
				Devices map[string]int
			}
			Values struct{ Read uint64 }
		}](t, c.next(t, "summary").data)
		if sum.Gateway.Tags != 24 || sum.Gateway.Devices["ready"] != 3 || sum.Values.Read != 24 {
			t.Errorf("summary: %+v", sum)
		}
		values := decode[[]sampleJSON](t, c.next(t, "values").data)
		if len(values) != 2 || values[0].ID != 1 || values[0].Quality != "good" {
			t.Errorf("values: %+v", values)
		}
	})
}

func TestStreamSendsStateAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(30, 8, time.Now())
		c := open(t, start(t, newServer(t, plant, nil)), "")
		c.next(t, "devices")
		c.drained()
		if err := plant.SetState("oven-02", web.StateCooling, "no reply"); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		changed := decode[[]struct{ ID, State, Reason string }](t, c.next(t, "device").data)
		if len(changed) != 1 || changed[0].ID != "oven-02" || changed[0].State != web.StateCooling || changed[0].Reason != "no reply" {
			t.Errorf("device: %+v", changed)
		}
		if d := time.Since(before); d > 500*time.Millisecond { // the bubble's clock: ticks, not speed
			t.Errorf("after %s", d)
		}
	})
}

func TestStreamSendsMovingFiguresSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(2, 8, time.Now())
		c := open(t, start(t, newServer(t, plant, nil)), "")
		c.next(t, "devices")
		for range 40 { // 20 s, a new RTT in each
			time.Sleep(500 * time.Millisecond)
			plant.Step(time.Now())
		}
		n := 0
		for _, name := range c.drained() {
			if name == "device" {
				n++
			}
		}
		if n < 3 || n > 4 {
			t.Errorf("%d device events in 20 s, want one in 5 s", n)
		}
	})
}

func TestStreamCoalescesForSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(1, 8, time.Now())
		ln := start(t, newServer(t, plant, nil))
		c := open(t, ln, "?ids=1&only=values")
		c.next(t, "values")
		c.drained()
		for range 100 { // within one tick
			time.Sleep(time.Millisecond)
			plant.Step(time.Now())
		}
		time.Sleep(time.Second)
		if got := c.drained(); !slices.Equal(got, []string{"values"}) {
			t.Errorf("after 100 changes: %v, want one event with the last value", got)
		}
	})
}

func TestStreamResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(2, 8, time.Now())
		ln := start(t, newServer(t, plant, nil))
		c := open(t, ln, "?ids=1-8")
		c.next(t, "values")
		c.drained()
		c.conn.Close()
		if got := open(t, ln, "?ids=1-8", "Last-Event-ID: "+c.lastID).drained(); !slices.Equal(got, []string{"summary"}) {
			t.Errorf("nothing changed, and the stream began with %v", got)
		}
		if err := plant.SetState("press-01", web.StateCooling, "gone"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		got := open(t, ln, "?ids=1-8&since="+c.lastID).drained()
		if !slices.Equal(got, []string{"device", "summary", "values"}) {
			t.Errorf("a device and its values changed, and the stream began with %v", got)
		}
		foreign := open(t, ln, "?ids=1-8", "Last-Event-ID: 0011223344556677-9-9").drained()
		if !slices.Equal(foreign, []string{"devices", "summary", "values"}) {
			t.Errorf("a position of another process gave %v", foreign)
		}
	})
}

func TestStreamHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, start(t, newServer(t, webtest.New(1, 8, time.Now()), nil)), "?ids=1&only=values")
		c.next(t, "values")
		time.Sleep(31 * time.Second)
		if got := c.drained(); len(got) != 6 || got[0] != "heartbeat" {
			t.Errorf("31 s without changes: %v", got)
		}
	})
}

func TestStreamDropsStuckClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(1, 8, time.Now())
		s := newServer(t, plant, nil)
		ln := start(t, s)
		conn := ln.dial() // asks, and never reads
		defer conn.Close()
		if _, err := conn.Write([]byte("GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if st := s.Stats(); st.StreamsStuck != 1 || st.Streams != 0 {
			t.Errorf("after 11 s: %+v", st)
		}
	})
}

func TestStreamLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, webtest.New(1, 8, time.Now()), func(c *web.Config) { c.MaxStreams = 2 })
		ln := start(t, s)
		first := open(t, ln, "")
		open(t, ln, "")
		if c := open(t, ln, ""); c.status != http.StatusServiceUnavailable {
			t.Errorf("the third of two streams: status %d", c.status)
		}
		first.conn.Close()
		time.Sleep(time.Second)
		if c := open(t, ln, ""); c.status != http.StatusOK {
			t.Errorf("after one closed: status %d", c.status)
		}
		if st := s.Stats(); st.StreamsRefused != 1 || st.StreamsOpened != 3 || st.Streams != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestStreamEndsWithDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, webtest.New(1, 8, time.Now()), nil)
		ln, stop := startUntil(t, s)
		c := open(t, ln, "")
		c.next(t, "summary")
		c.drained()
		before := time.Now()
		stop()
		if got := c.drained(); !slices.Equal(got, []string{"bye", "end"}) {
			t.Errorf("the drain gave %v", got)
		}
		if d := time.Since(before); d >= 5*time.Second { // the bubble's clock: it did not wait for the deadline
			t.Errorf("the drain took %s", d)
		}
	})
}

func TestStreamOutlivesTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(1, 8, time.Now())
		c := open(t, start(t, newServer(t, plant, nil)), "")
		c.next(t, "devices")
		for range 180 {
			time.Sleep(time.Second)
			if names := c.drained(); slices.Contains(names, "end") {
				t.Fatalf("the stream ended: %v", names)
			}
		}
		if err := plant.SetState("press-01", web.StateSuspect, "slow"); err != nil {
			t.Fatal(err)
		}
		if e := c.next(t, "device"); !strings.Contains(e.data, `"suspect"`) {
			t.Errorf("after three minutes: %+v", e)
		}
	})
}

func TestStreamRefusesUnknown(t *testing.T) {
	s := newServer(t, webtest.New(1, 8, time.Unix(1000, 0)), nil)
	for query, want := range map[string]int{
		"?ids=x": 400, "?ids=5-1": 400, "?ids=1-99999": 400, "?device=none": 404, "?tag=none": 404,
	} {
		if w := ask(s, "GET /api/v1/stream"+query, ""); w.Code != want || !strings.Contains(w.Body.String(), `"todo"`) {
			t.Errorf("%s: %d %s, want %d", query, w.Code, w.Body, want)
		}
	}
}
