package opcua

import (
	"testing"
	"time"
)

func TestClientPublisherWants(t *testing.T) {
	for _, x := range []struct {
		d    clientDemand
		most int
		want int
	}{
		{clientDemand{}, 0, 0},
		{clientDemand{subscriptions: 1, interval: time.Second}, 0, 2},
		{clientDemand{subscriptions: 5, interval: time.Second}, 0, 6},
		{clientDemand{subscriptions: 1, interval: 100 * time.Millisecond, rtt: 90 * time.Millisecond}, 0, 2},
		{clientDemand{subscriptions: 1, interval: 100 * time.Millisecond, rtt: 350 * time.Millisecond}, 0, 5},
		{clientDemand{subscriptions: 1, interval: time.Nanosecond, rtt: time.Hour}, 0, mostPublishing},
		{clientDemand{subscriptions: 1000, interval: time.Second}, 0, mostPublishing},
		{clientDemand{subscriptions: 5, interval: time.Second}, 3, 3},
		{clientDemand{subscriptions: 5, interval: time.Second, blocked: true}, 0, 0},
	} {
		p := clientPublisher{most: x.most}
		if got := p.want(x.d); got != x.want {
			t.Errorf("%+v, at most %d: %d, want %d", x.d, x.most, got, x.want)
		}
	}
}

func TestClientPublisherPauses(t *testing.T) {
	var p clientPublisher
	d := clientDemand{subscriptions: 1, interval: time.Second}
	now := time.Unix(1000, 0)
	pauses := func() (out []time.Duration) {
		for range 40 {
			if p.answered(now, false, true, time.Second) {
				out = append(out, p.until.Sub(now))
				if n, again := p.due(now, d); n != 0 || again != p.until {
					t.Fatalf("%d requests in a pause, again at %v", n, again)
				}
				now = p.until
			}
		}
		return out
	}
	got := pauses()
	if got[0] != time.Second || got[1] != 2*time.Second || got[len(got)-1] != pauseCeiling {
		t.Errorf("pauses %v", got)
	}
	if n, _ := p.due(now, d); n != 2 {
		t.Errorf("%d requests after a pause", n)
	}
	p.answered(now, true, false, time.Second)
	if p.pause != 0 || p.early != 0 {
		t.Errorf("values came: %+v", p)
	}
}
