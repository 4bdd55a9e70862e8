package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/web"
	"millrace/internal/web/webtest"
)

// A gateway without devices says so: the page waits for the list.
func TestStreamOfNoDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, start(t, newServer(t, webtest.New(0, 0, time.Now()), nil)), "")
		if e := c.next(t, "devices"); e.data != "[]" {
			t.Errorf("%+v", e)
		}
		c.drained()
		time.Sleep(2 * time.Second)
		for _, name := range c.drained() {
			if name != "summary" {
				t.Errorf("nothing changed, and %s came", name)
			}
		}
	})
}

// When a plant is down as a whole its alarms are counted, and the first hundred told.
func TestSummaryBoundsAlarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(150, 1, time.Now())
		for d := range plant.Devices() {
			if err := plant.SetState(d.ID, web.StateCooling, "no answer"); err != nil {
				t.Fatal(err)
			}
		}
		s := newServer(t, plant, nil)
		c := open(t, start(t, s), "")
		sum := decode[struct {
			Gateway    struct{ Devices map[string]int }
			Alarms     []web.Alarm
			AlarmCount int `json:"alarm_count"`
		}](t, c.next(t, "summary").data)
		if len(sum.Alarms) != 100 || sum.AlarmCount != 150 || sum.Gateway.Devices["cooling"] != 150 {
			t.Errorf("%d alarms of %d, devices %v", len(sum.Alarms), sum.AlarmCount, sum.Gateway.Devices)
		}
		all := decode[struct{ Alarms []web.Alarm }](t, ask(s, "GET /api/v1/alarms", "").Body.String())
		if len(all.Alarms) != 150 {
			t.Errorf("the API has %d", len(all.Alarms))
		}
	})
}

// The states in the summary follow the devices one by one.
func TestSummaryCountsStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plant := webtest.New(12, 1, time.Now())
		s := newServer(t, plant, nil)
		c := open(t, start(t, s), "")
		c.next(t, "summary")
		for i, step := range []func() error{
			func() error { return plant.SetState("press-01", web.StateCooling, "") },
			func() error { return plant.SetState("press-02", web.StateCooling, "") },
			func() error {
				return plant.SetMaintenance(t.Context(), web.Maintenance{Device: "press-02", On: true, Reason: "x"})
			},
			func() error { return plant.SetState("press-01", web.StateReady, "") },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
			c.drained()
			time.Sleep(3 * time.Second)
			sum := decode[struct {
				Gateway struct{ Devices map[string]int }
			}](t, c.next(t, "summary").data)
			if want := plant.DeviceStates(); fmt.Sprint(sum.Gateway.Devices) != fmt.Sprint(want) {
				t.Errorf("step %d: %v, want %v", i, sum.Gateway.Devices, want)
			}
		}
	})
}

// The figures of many devices are sent a few at a time, each in its turn.
func TestFiguresOfManyAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const devices = 2000
		plant := webtest.New(devices, 1, time.Now())
		c := open(t, start(t, newServer(t, plant, nil)), "")
		if all := decode[[]struct{ ID string }](t, c.next(t, "devices").data); len(all) != devices {
			t.Fatalf("%d devices", len(all))
		}
		seen := map[string]int{}
		for range 64 { // 16 s
			plant.Step(time.Now())
			time.Sleep(250 * time.Millisecond)
			for _, e := range c.came() {
				if e.name != "device" {
					continue
				}
				some := decode[[]struct{ ID string }](t, e.data)
				if len(some) > devices/20 {
					t.Fatalf("%d devices at once", len(some))
				}
				for _, d := range some {
					seen[d.ID]++
				}
			}
		}
		for id, n := range seen {
			if n > 2 {
				t.Errorf("%s was sent %d times in 15 s", id, n)
			}
		}
		if len(seen) < devices*99/100 { // whose round trip was the same again has no news
			t.Errorf("%d of %d devices were sent in 15 s", len(seen), devices)
		}
	})
}

func TestDevicesOfTheAPI(t *testing.T) {
	for _, n := range []int{0, 1, 300} {
		w := ask(newServer(t, webtest.New(n, 1, time.Unix(1000, 0)), nil), "GET /api/v1/devices", "")
		var all struct{ Devices []struct{ ID string } }
		if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || len(all.Devices) != n || all.Devices == nil || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d devices: %d, %v, %v", n, len(all.Devices), err, w.Header())
		}
	}
}

// What a program asks for that lists all devices.
func BenchmarkDevicesOfTheAPI10000(b *testing.B) {
	s, err := web.New(web.Config{}, webtest.New(10_000, 1, time.Now()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/devices", nil)
		r.Host = "127.0.0.1"
		s.Handler().ServeHTTP(discard{http.Header{}}, r)
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(b []byte) (int, error) { return io.Discard.Write(b) }
