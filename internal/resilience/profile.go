// Package resilience holds the rules by which the gateway waits, gives up and tries again: request timeouts, failure counters,
// back-off, buckets and slot budgets. Everything is pure: the clock and the random source are passed in, nothing allocates, and
// nothing is safe for concurrent use unless it says so.
package resilience

import (
	"fmt"
	"time"
)

// Profile says how patient the gateway is with a device. LAN, Site and Remote are the usual ones; each field may be set apart.
type Profile struct {
	Name     string
	Floor    time.Duration // the shortest request timeout
	Ceiling  time.Duration // the longest request timeout, and the time that an open may take
	Failures int           // timeouts one after the other after which the device counts as down
	Window   time.Duration // from the first of them; a timeout later than that and it is down before there were as many
	Cap      time.Duration // the longest wait before a device that is down is tried again
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

// Check says what is wrong with p, nil when nothing is.
func (p Profile) Check() error {
	switch {
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
