package device

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestSubnetOf(t *testing.T) {
	for host, want := range map[string]string{
		"10.1.2.3:502": "modbus 10.1.2.0/24", "10.1.2.200:1502": "modbus 10.1.2.0/24", "[fd00:1:2:3:4::5]:502": "modbus fd00:1:2:3::/64",
		"[::ffff:10.1.2.3]:502": "modbus 10.1.2.0/24", "[fe80::1%eth0]:502": "modbus fe80::/64", "plc-7:502": "modbus plc-7", "plc-7": "modbus plc-7",
	} {
		if got := subnetOf("modbus", host); got != want {
			t.Errorf("%s is in %q, want %q", host, got, want)
		}
	}
}

// in puts n specs into the subnet 10.0.net.0/24.
func (b *bench) in(net, n int, first uint32) []Spec {
	var specs []Spec
	for i := range uint32(n) {
		s := b.spec(first+i, time.Second, 1)
		s.Addr.Host = fmt.Sprintf("10.0.%d.%d:502", net, i+1)
		specs = append(specs, s)
	}
	return specs
}

// Those who do not answer slow down the dials of their own subnet alone, and what is back there is read again within the cap, the timeouts, and the turns at the rate
// that its own answers bring back.
func TestDialsOfASubnetAdapt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		ill, well := b.in(1, 200, 1), b.in(2, 200, 1001)
		for i := range ill {
			b.driver.plc(ill[i].Addr.Host).mode = blackHole
		}
		b.apply(append(ill, well...)...)
		b.run()
		time.Sleep(30 * time.Second)
		s := b.Stats()
		if len(s.SlowedSubnets) != 1 || s.SlowedSubnets[0].Subnet != "fake 10.0.1.0/24" || s.SlowedSubnets[0].Rate != 25 || s.DialCuts < 4 || s.DialTimeouts < 200 {
			t.Errorf("%+v, %d cuts, %d timeouts", s.SlowedSubnets, s.DialCuts, s.DialTimeouts)
		}
		if s.States[Ready] != 200 || s.DialsWaiting == 0 {
			t.Errorf("%d ready, %d dials wait", s.States[Ready], s.DialsWaiting)
		}
		for i := range well {
			b.driver.plc(well[i].Addr.Host).set(hangsUp)
		}
		time.Sleep(2 * time.Second)
		if n := b.Stats().States[Ready]; n != 200 {
			t.Errorf("%d ready: the others were slowed down too", n)
		}
		for i := range ill {
			b.driver.plc(ill[i].Addr.Host).set(fine)
		}
		time.Sleep(15 * time.Second)
		s = b.Stats()
		if s.States[Ready] != 400 || len(s.SlowedSubnets) > 1 || s.DialsWaiting != 0 {
			t.Errorf("back: %d ready, slowed %+v, %d dials wait", s.States[Ready], s.SlowedSubnets, s.DialsWaiting)
		}
		b.apply(well...)
		time.Sleep(time.Second)
		if s = b.Stats(); len(s.SlowedSubnets) != 0 || s.DialsWaiting != 0 {
			t.Errorf("gone: slowed %+v, %d dials wait", s.SlowedSubnets, s.DialsWaiting)
		}
		b.quit()
	})
}

// A few dead devices among many are no reason to dial the others more slowly.
func TestDeadDevicesDoNotSlowTheirSubnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		specs := b.in(1, 200, 1)
		for i := 0; i < len(specs); i += 40 {
			b.driver.plc(specs[i].Addr.Host).mode = []mode{blackHole, silent}[i/40%2]
		}
		b.apply(specs...)
		b.run()
		time.Sleep(10 * time.Second)
		began := time.Now()
		for i := range specs {
			if i%40 != 0 {
				b.driver.plc(specs[i].Addr.Host).set(hangsUp)
			}
		}
		for b.Stats().States[Ready] != 195 {
			if time.Sleep(10 * time.Millisecond); time.Since(began) > 3*time.Second {
				t.Fatalf("%d ready after 3s", b.Stats().States[Ready])
			}
		}
		b.quit()
	})
}

// A device that goes while it waits for its turn takes it from nobody.
func TestDialIsForgone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{DialRate: 10, DialBurst: 1})
		specs := b.in(1, 30, 1)
		b.apply(specs...)
		b.run()
		time.Sleep(time.Millisecond)
		if n := b.Stats().DialsWaiting; n != 29 {
			t.Errorf("%d dials wait", n)
		}
		b.apply(specs[20:]...)
		time.Sleep(10*100*time.Millisecond + 10*time.Millisecond)
		if s := b.Stats(); s.States[Ready] != 10 || s.DialsWaiting != 0 {
			t.Errorf("%d ready, %d dials wait", s.States[Ready], s.DialsWaiting)
		}
		b.quit()
	})
}

// The breaker of an endpoint: when sessions fail more often than not, half of the cap lies between two dials, whatever the back-off.
func TestSessionsThatFailAreSeldomTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{})
		b.apply(b.spec(1, time.Second, 1))
		b.plc(1).mode = refuses
		b.run()
		time.Sleep(time.Minute)
		before := b.plc(1).dialled()
		time.Sleep(10 * time.Minute)
		if n := b.plc(1).dialled() - before; n > 600*2/5 || n < 600/5 {
			t.Errorf("%d dials in 10 minutes: from 2.5s to 5s between two", n)
		}
		b.quit()
	})
}

// Who loses its connection is not made to wait by those who are away: it was read until just now, and is back with the next turn, in its own subnet and among all.
func TestWhoWasReadIsDialledFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{DialRate: 10, DialBurst: 1})
		well := append(b.in(1, 1, 1), b.in(9, 1, 2)...)
		b.apply(well...)
		b.run()
		time.Sleep(10 * time.Second)
		away := slices.Concat(b.in(1, 101, 1000)[1:], b.in(2, 100, 2000), b.in(3, 100, 3000))
		for i := range away {
			b.driver.plc(away[i].Addr.Host).set(refuses)
		}
		b.apply(append(slices.Clone(well), away...)...)
		time.Sleep(5 * time.Second)
		if n := b.Stats().DialsWaiting; n < 200 {
			t.Fatalf("%d dials wait", n)
		}
		for round := range 3 {
			for i := range well {
				b.driver.plc(well[i].Addr.Host).set(hangsUp)
			}
			time.Sleep(4 * time.Second) // it shows at the next read, and two later the new connection has proven itself
			for _, s := range well {
				if st := b.status(s.Name); st.State != Ready || st.Groups[0].Missed > 0 {
					t.Errorf("round %d: %s is %v, %d missed", round, s.Name, st.State, st.Groups[0].Missed)
				}
			}
		}
		tried := 0
		for i := range away {
			tried += b.driver.plc(away[i].Addr.Host).dialled()
		}
		if tried < 100 {
			t.Errorf("the others were dialled %d times in 17 s at 10 a second", tried)
		}
		b.quit()
	})
}

// Those who lose their connections again and again leave one turn of four to the others.
func TestUrgentDialsLeaveTurns(t *testing.T) {
	q, e := turns{}, func(proven bool) *endpoint { return &endpoint{proven: proven} }
	for i := range 16 {
		if first := q.join(e(i%2 == 1)); first != (i == 0) {
			t.Errorf("%d: alone %v", i, first)
		}
	}
	gone := q.waiting[2]
	if !q.leave(&shard{}, gone) || q.leave(&shard{}, gone) || q.urgent != 7 {
		t.Errorf("%d urgent ones after one left", q.urgent)
	}
	order := ""
	for len(q.waiting) > 0 {
		order += map[bool]string{true: "u", false: "-"}[q.pop().proven]
	}
	if order != "uuu-uuu-u------" || q.urgent != 0 {
		t.Errorf("in order %s, %d urgent ones left", order, q.urgent)
	}
}
