package device

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// An Apply touches only what changed: equal devices keep their session and schedule, a changed one takes over the session and the last values of
// its endpoint.
func TestApplyTouchesOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		specs := []Spec{b.spec(1, time.Second, 2), b.spec(2, time.Second, 2), b.spec(3, time.Second, 2)}
		c := b.apply(specs...)
		if fmt.Sprint(c) != "{[d0001 d0002 d0003] [] [] 0}" {
			t.Errorf("at first %v", c)
		}
		b.run()
		time.Sleep(10 * time.Second)
		before, seq := b.last(200), b.last(100).Seq

		changed := b.spec(2, 2*time.Second, 2)
		same := b.spec(1, time.Second, 2)
		same.Learned = Limits{MaxRegisters: 7}
		c = b.apply(same, changed, b.spec(4, time.Second, 1))
		if fmt.Sprint(c) != "{[d0004] [d0002] [d0003] 1}" {
			t.Errorf("change %v", c)
		}
		if l := b.last(200); l.Quality != tag.Good || l.Seq != before.Seq {
			t.Errorf("the successor does not know the last value: %+v, was %+v", l, before)
		}
		if l := b.last(300); l.Quality != tag.BadWaitingForInitialData || l.Seq != 0 {
			t.Errorf("a removed tag still has %+v", l)
		}
		time.Sleep(10 * time.Second)
		for n, want := range map[uint32]struct{ dials, opens int }{1: {1, 1}, 2: {1, 1}, 3: {1, 0}, 4: {1, 1}} {
			if p := b.plc(n); p.dialled() != want.dials || p.connections() != want.opens {
				t.Errorf("PLC %d: %d dials, %d open, want %+v", n, p.dialled(), p.connections(), want)
			}
		}
		if n := len(b.polls()["plc1:502"]); n != 21 {
			t.Errorf("the device that was not touched was polled %d times in 20s and at start", n)
		}
		if b.last(100).Seq != seq {
			t.Error("a value that did not change got a new sequence number")
		}
		if n := len(b.polls()["plc3:502"]); n != 11 {
			t.Errorf("the device that was removed was polled %d times", n)
		}
		names := ""
		for _, s := range b.Devices() {
			names += s.Name + " "
		}
		if names != "d0001 d0002 d0004 " {
			t.Errorf("devices %s", names)
		}
		b.quit()
	})
}

func TestApplyChecksAllFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		time.Sleep(5 * time.Second)
		for want, spoil := range map[string]func(s *Spec){
			"a device needs a name":               func(s *Spec) { s.Name = "" },
			"a number above 0":                    func(s *Spec) { s.Number = 0 },
			"number 1 is that of d0001":           func(s *Spec) { s.Number = 1 },
			"there are two of that name":          func(s *Spec) { s.Name = "d0001" },
			`there is no driver "s7"`:             func(s *Spec) { s.Driver = "s7" },
			"the interval must be 1ms or more":    func(s *Spec) { s.Groups[0].Interval = 0 },
			`group "fast" is there twice`:         func(s *Spec) { s.Groups = append(s.Groups, Group{Name: "fast", Interval: time.Second}) },
			`id 200 is 0 or taken by "d0002/t0"`:  func(s *Spec) { s.Groups[0].Tags = append(s.Groups[0].Tags, TagSpec{ID: 200, Name: "x"}) },
			"id 100 is that of a tag of d0001":    func(s *Spec) { s.Groups[0].Tags[0].ID = 100 },
			"tag d0002/t0: address bad: no such":  func(s *Spec) { s.Groups[0].Tags[0].Address = "bad" },
			"slots must not be below 0":           func(s *Spec) { s.Slots = -1 },
			"requests per second must not be":     func(s *Spec) { s.RequestsPerSecond = -1 },
			"the pause after connect must not be": func(s *Spec) { s.PauseAfterConnect = -1 },
			"the cap":                             func(s *Spec) { s.Profile.Cap = 1 },
		} {
			s := b.spec(2, time.Second, 2)
			spoil(&s)
			c, err := b.Apply([]Spec{b.spec(1, 2*time.Second, 1), s})
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "device ") {
				t.Errorf("error %v, want %q", err, want)
			}
			if len(c.Added)+len(c.Changed)+len(c.Removed) > 0 {
				t.Errorf("%s: changed %v", want, c)
			}
		}
		time.Sleep(5 * time.Second)
		if n := len(b.polls()["plc1:502"]); n != 11 || len(b.Devices()) != 1 {
			t.Errorf("%d polls, %d devices: a bad Apply changed something", n, len(b.Devices()))
		}
		b.quit()
	})
}

// Two bad devices are both named.
func TestApplyNamesAllErrors(t *testing.T) {
	b := newBench(t, Config{})
	a, c := b.spec(1, 0, 1), b.spec(2, 0, 1)
	_, err := b.Apply([]Spec{a, c})
	if err == nil || !strings.Contains(err.Error(), "d0001") || !strings.Contains(err.Error(), "d0002") {
		t.Errorf("%v", err)
	}
}

// Adding and removing devices under load leaves nothing behind.
func TestApplyOverAndOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.run()
		for i := range 20 {
			var specs []Spec
			for n := uint32(1); n <= 50; n++ {
				if int(n)%20 != i {
					s := b.spec(n, time.Duration(1+(int(n)+i)%3)*100*time.Millisecond, 1)
					b.plc(n).change(func(p *plc) { p.latency = 150 * time.Millisecond })
					b.plc(n).set([]mode{fine, fine, blackHole, refuses, silent}[(int(n)+i)%5])
					specs = append(specs, s)
				}
			}
			b.apply(specs...)
			time.Sleep(777 * time.Millisecond)
		}
		b.apply()
		time.Sleep(drainWithin)
		synctest.Wait()
		if n := b.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		b.quit()
	})
}

func TestDeviceOutOfService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 1)
		b.apply(s)
		b.run()
		time.Sleep(5 * time.Second)
		if err := b.SetOutOfService("d0001", true, "new pump"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		st := b.status("d0001")
		if st.State != OutOfService || st.Reason != "out of service: new pump" || !st.OutOfService || b.plc(1).connections() != 0 {
			t.Errorf("%v, %q, %d connections", st.State, st.Reason, b.plc(1).connections())
		}
		polls := len(b.polls()["plc1:502"])
		s.OutOfService, s.Reason = true, "new pump" // what a reload finds in the store
		if c := b.apply(s); c.Unchanged != 1 {
			t.Errorf("a reload with the switch as it is: %v", c)
		}
		time.Sleep(time.Minute)
		if n := len(b.polls()["plc1:502"]); n != polls || b.status("d0001").State != OutOfService {
			t.Errorf("polled while out of service")
		}
		if err := b.SetOutOfService("d0001", false, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if st := b.status("d0001"); st.State != Ready || st.Outages != 0 {
			t.Errorf("back in service %v, %d outages", st.State, st.Outages)
		}
		if got := strings.Join(b.book.of(100), ", "); got != "good 1, bad (out of service) null, good 1" {
			t.Errorf("rows: %s", got)
		}
		b.quit()
	})
}

// A device that is out of service when the gateway starts is not dialled.
func TestOutOfServiceFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		out, tagOut := b.spec(1, time.Second, 1), b.spec(2, time.Second, 2)
		out.OutOfService = true
		tagOut.Groups[0].Tags[1].OutOfService = true
		b.apply(out, tagOut)
		b.run()
		time.Sleep(5 * time.Second)
		if n := b.plc(1).dialled(); n != 0 {
			t.Errorf("%d dials", n)
		}
		for id, want := range map[tag.ID]string{100: "bad (out of service) null", 200: "good 1", 201: "bad (out of service) null"} {
			if got := strings.Join(b.book.of(id), ", "); got != want {
				t.Errorf("%d: %s", id, got)
			}
		}
		b.quit()
	})
}

func TestTagOutOfService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 2)
		b.apply(s)
		b.run()
		time.Sleep(5 * time.Second)
		var unknown *UnknownError
		if err := b.SetOutOfService("d0001/t9", true, ""); !errors.As(err, &unknown) || unknown.Name != "d0001/t9" {
			t.Errorf("an unknown name: %v", err)
		}
		if err := b.SetOutOfService("d0001/t1", true, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if b.last(100).Quality != tag.Good || b.last(101).Quality != tag.BadOutOfService {
			t.Errorf("%v and %v", b.last(100).Quality, b.last(101).Quality)
		}
		if s.Groups[0].Tags[1].OutOfService {
			t.Error("the caller's spec was changed")
		}
		s2 := b.spec(1, time.Second, 2)
		s2.Groups[0].Tags[1].OutOfService = true
		if c := b.apply(s2); c.Unchanged != 1 {
			t.Errorf("a reload with the switch as it is: %v", c)
		}
		b.plc(1).set(refuses)
		time.Sleep(5 * time.Second)
		if b.last(100).Quality != tag.UncertainLastUsable || b.last(101).Quality != tag.BadOutOfService {
			t.Errorf("down: %v and %v", b.last(100).Quality, b.last(101).Quality)
		}
		b.plc(1).set(fine)
		time.Sleep(10 * time.Second)
		for _, name := range []string{"d0001/t0", "d0001/t0"} { // twice is once
			if err := b.SetOutOfService(name, true, ""); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if st := b.status("d0001"); st.State != OutOfService || st.Reason != "all its tags are out of service" || b.plc(1).connections() != 0 {
			t.Errorf("without tags %v, %q", st.State, st.Reason)
		}
		for _, name := range []string{"d0001/t0", "d0001/t1"} {
			if err := b.SetOutOfService(name, false, ""); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		if b.last(100).Quality != tag.Good || b.last(101).Quality != tag.Good || b.status("d0001").Groups[0].Active != 2 {
			t.Errorf("back: %v and %v", b.last(100).Quality, b.last(101).Quality)
		}
		if got := strings.Join(b.book.of(101), ", "); got != "good 1, bad (out of service) null, good 1" {
			t.Errorf("rows: %s", got)
		}
		b.quit()
	})
}

func TestStatesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 1))
		b.run()
		time.Sleep(2500 * time.Millisecond)
		b.plc(1).set(refuses)
		time.Sleep(5 * time.Second)
		b.plc(1).set(fine)
		time.Sleep(10 * time.Second)
		b.quit()
		var got []string
		for _, e := range b.book.events {
			got = append(got, fmt.Sprintf("%v->%v: %s", e.From, e.To, e.Reason))
		}
		want := []string{
			"idle->opening: connecting",
			"opening->ready: connected",
			"ready->opening: connecting again: it reset the connection",
			"opening->cooling: it refuses the connection: nothing listens on that port",
			"cooling->opening: trying again: it refuses the connection: nothing listens on that port",
			"opening->suspect: connected again, not read yet",
			"suspect->ready: answers again",
			"ready->draining: removed, or the gateway stops",
			"draining->closed: ",
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%q was not told", w)
			}
		}
		if t.Failed() {
			t.Logf("told was\n%s", strings.Join(got, "\n"))
		}
	})
}

// Every field of a Spec but Learned is a reason to start the device anew: one that sameSpec forgot would be a reload without effect.
func TestSameSpecKnowsEveryField(t *testing.T) {
	full := Spec{Name: "a", Number: 1, Driver: "fake", Reason: "x", Slots: 1, RequestsPerSecond: 1, PauseAfterConnect: 1,
		Addr: Addr{Options: map[string]string{"a": "1"}}, Profile: resilience.LAN(), Limits: Limits{Holes: []Span{{}}},
		Groups: []Group{{Tags: []TagSpec{{ID: 1, Shared: &Terms{}}}}}, Routes: []Route{{Addr: Addr{Options: map[string]string{"a": "1"}}}}}
	same := full
	same.Learned = Limits{Window: 3}
	if !sameSpec(&full, &same) {
		t.Error("what was learned is no reason")
	}
	fields := 0
	var walk func(path string, at func(s *Spec) reflect.Value)
	walk = func(path string, at func(s *Spec) reflect.Value) {
		other := full
		other.Groups = []Group{{Tags: []TagSpec{{ID: 1, Shared: &Terms{}}}}}
		other.Limits.Holes = []Span{{}}
		other.Routes = []Route{{Addr: Addr{Options: map[string]string{"a": "1"}}}}
		other.Addr.Options = map[string]string{"a": "1"}
		v := at(&other)
		switch v.Kind() {
		case reflect.Struct:
			if at, ok := v.Interface().(time.Time); ok {
				v.Set(reflect.ValueOf(at.Add(1)))
				break
			}
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, func(s *Spec) reflect.Value { return at(s).Field(i) })
			}
			return
		case reflect.Pointer:
			walk(path, func(s *Spec) reflect.Value { return at(s).Elem() })
			return
		case reflect.Slice:
			walk(path+"[0]", func(s *Spec) reflect.Value { return at(s).Index(0) })
			return
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]string{"a": "2"}))
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Uint8, reflect.Uint32, reflect.Uint64:
			v.SetUint(v.Uint() + 1)
		case reflect.Float64:
			v.SetFloat(v.Float() + 1)
		default:
			t.Fatalf("%s is a %v", path, v.Kind())
		}
		fields++
		if sameSpec(&full, &other) != strings.HasPrefix(path, "Spec.Learned") {
			t.Errorf("%s is forgotten", path)
		}
	}
	full.Learned.Holes = []Span{{}}
	walk("Spec", func(s *Spec) reflect.Value { return reflect.ValueOf(s).Elem() })
	if fields < 40 {
		t.Errorf("only %d fields were tried", fields)
	}
}

// A configuration that is loaded again and says the same is in memory once; what was learned meanwhile is the new one's.
func TestApplyUnifiesWhatIsEqual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		load := func() []Spec {
			return []Spec{b.spec(1, time.Second, 3), b.spec(2, time.Second, 3), b.spec(3, time.Second, 3)}
		}
		first, second := load(), load()
		b.apply(first...)
		b.run()
		time.Sleep(5 * time.Second)
		second[0].Learned.MaxRegisters = 16
		second[1].Groups[0].Interval = 2 * time.Second
		if _, err := b.Apply(second); err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{true, false, true} {
			if got := &first[i].Groups[0].Tags[0] == &second[i].Groups[0].Tags[0]; got != want {
				t.Errorf("%s shares its tags with what ran before: %v, want %v", second[i].Name, got, want)
			}
		}
		if second[0].Learned.MaxRegisters != 16 || second[1].Groups[0].Interval != 2*time.Second {
			t.Errorf("%+v", second[:2])
		}
		third := load()
		third[1].Groups[0].Interval = 2 * time.Second
		third[2].Name = ""
		if _, err := b.Apply(third); err == nil || &third[0].Groups[0].Tags[0] == &first[0].Groups[0].Tags[0] {
			t.Errorf("refused with %v, and changed all the same", err)
		}
		b.quit()
	})
}

// countingDriver counts how often an endpoint reckons what its devices say of it.
type countingDriver struct {
	*fakeDriver
	asked atomic.Int64
}

func (d *countingDriver) Patience(Addr) time.Duration {
	d.asked.Add(1)
	return 0
}

// What a reload costs grows with the devices that change, and not with their square, also when they share a connection: the schedule of all others waits for it.
func TestReloadOfASharedEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		d := &countingDriver{fakeDriver: b.driver}
		b.Runtime.cfg.Drivers = map[string]Driver{"fake": d}
		const n = 200
		b.apply(b.units(n)...)
		b.run()
		time.Sleep(10 * time.Second)
		for round, most := range []int64{3 * n, 8 * n, 4 * n} {
			specs := b.units(n)
			switch round {
			case 1:
				for i := range specs {
					specs[i].Groups[0].Interval = 2 * time.Second
				}
			case 2:
				specs = specs[:1]
			}
			d.asked.Store(0)
			b.apply(specs...)
			time.Sleep(10 * time.Second)
			if asked := d.asked.Load(); asked > most {
				t.Errorf("round %d: asked of %d devices %d times", round, n, asked)
			}
		}
		if s := b.status("d0001"); s.State != Ready || b.Stats().Sessions != 1 || len(b.Devices()) != 1 {
			t.Errorf("%v, %+v", s.State, b.Stats())
		}
		b.quit()
		if n := b.Stats().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}
