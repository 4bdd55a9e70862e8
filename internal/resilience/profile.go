// Package resilience holds the rules by which the gateway waits, gives up and tries again: request timeouts, failure counters,
// back-off, buckets and slot budgets. Everything is pure: the clock and the random source are passed in, nothing allocates, and
// nothing is safe for concurrent use unless it says so.
package resilience

import (
	"cmp"
	"fmt"
	"time"
)

// Profile says how patient the gateway is with a device. LAN, Site and Remote are the usual ones; each field may be set apart. The fields
// from Connect on have defaults that follow from the others: WithDefaults fills them in.
type Profile struct {
	Name     string
	Floor    time.Duration // the shortest request timeout
	Ceiling  time.Duration // the longest request timeout
	Failures int           // timeouts one after the other after which the device counts as down
	Window   time.Duration // from the first of them; a timeout later than that and it is down before there were as many
	Cap      time.Duration // the longest wait before a device that is down is tried again

	Connect   time.Duration // how long a connection may take to be made, without the handshake; 0 is Ceiling
	Handshake time.Duration // how long the handshake on it may take; 0 is Ceiling
	Write     time.Duration // how long the reply to a write is waited for; 0 is Ceiling: what is given up too early may have happened
	Operation time.Duration // how long a whole Read or Write with all its requests may take; 0 is as long as these may

	FailureRate float64       // share of the reads of a Window that failed with which the device counts as down; 0 is 0.6
	MinCalls    int           // reads in the Window below which shares mean nothing; 0 is 5
	SlowCall    time.Duration // a read with a reply that took as long as this is slow; 0 is Ceiling
	SlowRate    float64       // share of slow reads in the Window with which the device counts as down; 0 is 1, all of them
	Probes      int           // reads after an outage that prove the device, the first of them alone; 0 is 10

	NoDegrade bool // never ask for less at once: a batch that fails is repeated as it is
}

// LAN is for devices on the same switch or a few away.
func LAN() Profile {
	return Profile{Name: "lan", Floor: 200 * time.Millisecond, Ceiling: 2 * time.Second, Failures: 3, Window: 10 * time.Second, Cap: 5 * time.Second}
}

// Site is for devices behind a plant network: routers, protocol gateways, busy PLCs.
func Site() Profile {
	return Profile{Name: "site", Floor: 800 * time.Millisecond, Ceiling: 5 * time.Second, Failures: 2, Window: 20 * time.Second, Cap: 15 * time.Second}
}

// Remote is for devices behind radio, satellite or mobile links.
func Remote() Profile {
	return Profile{Name: "remote", Floor: 3 * time.Second, Ceiling: 15 * time.Second, Failures: 5, Window: 30 * time.Second, Cap: time.Minute}
}

// ProfileNamed returns LAN, Site or Remote by its name.
func ProfileNamed(name string) (Profile, bool) {
	for _, p := range []Profile{LAN(), Site(), Remote()} {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

// WithDefaults returns p with what is 0 and has a default filled in.
func (p Profile) WithDefaults() Profile {
	p.Connect = cmp.Or(p.Connect, p.Ceiling)
	p.Handshake = cmp.Or(p.Handshake, p.Ceiling)
	p.Write = cmp.Or(p.Write, p.Ceiling)
	p.FailureRate = cmp.Or(p.FailureRate, 0.6)
	p.MinCalls = cmp.Or(p.MinCalls, 5)
	p.SlowCall = cmp.Or(p.SlowCall, p.Ceiling)
	p.SlowRate = cmp.Or(p.SlowRate, 1)
	p.Probes = cmp.Or(p.Probes, 10)
	return p
}

// Check says what is wrong with p, nil when nothing is.
func (p Profile) Check() error {
	switch {
	case p.Connect < 0 || p.Handshake < 0 || p.Write < 0 || p.Operation < 0 || p.SlowCall < 0:
		return fmt.Errorf("profile %s: no time may be below 0", p.Name)
	case p.FailureRate < 0 || p.FailureRate > 1 || p.SlowRate < 0 || p.SlowRate > 1:
		return fmt.Errorf("profile %s: the rates are shares from 0 to 1, not %v and %v", p.Name, p.FailureRate, p.SlowRate)
	case p.MinCalls < 0 || p.Probes < 0:
		return fmt.Errorf("profile %s: calls and probes must not be below 0, not %d and %d", p.Name, p.MinCalls, p.Probes)
	case p.Floor <= 0:
		return fmt.Errorf("profile %s: the shortest timeout must be above 0, not %v", p.Name, p.Floor)
	case p.Ceiling < p.Floor:
		return fmt.Errorf("profile %s: the longest timeout, %v, is below the shortest, %v", p.Name, p.Ceiling, p.Floor)
	case p.Failures < 1:
		return fmt.Errorf("profile %s: failures must be 1 or more, not %d", p.Name, p.Failures)
	case p.Window <= 0:
		return fmt.Errorf("profile %s: the window must be above 0, not %v", p.Name, p.Window)
	case p.Cap < p.Floor:
		return fmt.Errorf("profile %s: the cap, %v, is below the shortest timeout, %v", p.Name, p.Cap, p.Floor)
	}
	return nil
}
