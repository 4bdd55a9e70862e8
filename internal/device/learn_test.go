package device

import (
	"testing"
	"testing/synctest"
	"time"
)

// What was learned of a device is not held against another one that has its name now, at another address.
func TestLearnedIsOfTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told Limits
		b := newBench(t, Config{OnLearned: func(_ string, l Limits) { told = l }})
		b.plc(1).onRead = func(o Observer) { o.Learned(Limits{MaxRegisters: 2, Server: "its own"}) }
		b.apply(b.spec(1, time.Second, 10))
		b.run()
		time.Sleep(5 * time.Second)
		if got := b.status("d0001").Groups[0].Requests; got != 5 {
			t.Fatalf("%d requests at two tags each, of ten", got)
		}
		for path, want := range map[string]int{"1": 5, "2": 1} {
			next := b.spec(1, time.Second, 10)
			next.Addr.Host, next.Addr.Path, next.Learned, next.Labels = "plc7:502", path, told, map[string]string{"path": path}
			if path == "1" {
				next.Addr = b.spec(1, time.Second, 1).Addr
			}
			b.apply(next)
			if got := b.status("d0001"); got.Groups[0].Requests != want || (got.Limits.Server != "") != (want == 5) {
				t.Errorf("at %s: %d requests, want %d; server %q", next.Addr, got.Groups[0].Requests, want, got.Limits.Server)
			}
			time.Sleep(time.Second)
		}
		b.quit()
	})
}

// What was learned never keeps a configuration from being used: a tag that has no place under old limits is planned without them, and they are learned anew.
func TestLearnedKeepsNoTagOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		s := b.spec(1, time.Second, 3)
		s.Groups[0].Tags[1].Address = "hole"
		s.Learned = Limits{MaxRegisters: 1, Holes: []Span{{Area: 1, From: 2, To: 3}}}
		b.apply(s)
		if st := b.status("d0001"); st.Groups[0].Active != 3 || st.Groups[0].Requests != 1 || len(st.Limits.Holes) != 0 {
			t.Errorf("%+v, %+v", st.Groups[0], st.Limits)
		}
		bad := b.spec(1, time.Second, 3)
		bad.Groups[0].Tags[1].Address, bad.Learned = "bad", s.Learned
		if _, err := b.Apply([]Spec{bad}); err == nil {
			t.Error("a tag that has no place whatever was learned is accepted")
		}
		b.run()
		b.quit()
	})
}
