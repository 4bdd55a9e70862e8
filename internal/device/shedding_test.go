package device

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSheddingCheck(t *testing.T) {
	for _, c := range []struct {
		s    Shedding
		want string
	}{
		{Shedding{}, ""},
		{Shedding{Most: 1}, ""},
		{Shedding{Most: 64, Crowded: 0.5, Overload: 2, Late: 1, After: time.Second, Back: time.Minute}, ""},
		{Shedding{Most: 3}, "1, 2, 4 and so on up to 64"},
		{Shedding{Most: 128}, "up to 64 times"},
		{Shedding{Most: -2}, "not -2"},
		{Shedding{Late: -1}, "below 0"},
		{Shedding{After: -time.Second}, "-1s"},
	} {
		err := c.s.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.s, err, c.want)
		}
		if _, made := (Config{Shedding: c.s}).withDefaults(); c.want != "" && (made == nil || !strings.HasPrefix(made.Error(), "device: ")) {
			t.Errorf("%+v: a runtime says %v", c.s, made)
		}
	}
}

// The same endpoint, overloaded by a twelfth, is shed as it is set: not at all, to twice the interval, only after a minute, or not before its load is 2.
func TestSheddingIsAsSet(t *testing.T) {
	ms := func(all ...int) (d []time.Duration) {
		for _, n := range all {
			d = append(d, time.Duration(n)*time.Millisecond)
		}
		return d
	}
	for _, c := range []struct {
		name string
		set  Shedding
		want []time.Duration
	}{
		{"by default", Shedding{}, ms(400, 200, 8000, 8000)},
		{"never", Shedding{Most: 1}, ms(200, 200, 1000, 1000)},
		{"twice at most", Shedding{Most: 2}, ms(400, 200, 2000, 2000)},
		{"later", Shedding{After: time.Minute}, ms(200, 200, 1000, 1000)},
		{"above 2", Shedding{Overload: 2}, ms(200, 200, 1000, 1000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, name := crowdWith(t, Config{Shedding: c.set}, 90*time.Millisecond, ms(200, 200, 1000, 1000)...)
				time.Sleep(30 * time.Second)
				if got := b.every(name); !slices.Equal(got, c.want) {
					t.Errorf("read each %v, want %v", got, c.want)
				}
				if len(b.did("load")) == 0 {
					t.Error("nobody is said to take the time")
				}
				b.quit()
			})
		})
	}
}

// A gateway that must not stretch says that it is late all the same.
func TestLateIsSaidWithoutShedding(t *testing.T) {
	rule, err := Shedding{Most: 1, After: 3 * time.Second}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	p := pressure{Shedding: rule}
	var got []pressureAct
	for range 6 {
		got = append(got, p.look(time.Second, time.Second))
	}
	if want := []pressureAct{pressNone, pressNone, pressSay, pressNone, pressNone, pressNone}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
