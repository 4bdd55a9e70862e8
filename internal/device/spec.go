package device

import (
	"errors"
	"fmt"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// Spec is everything that a configuration says of one device.
type Spec struct {
	Name    string // unique
	Number  uint32 // Batch.Device: unique, above 0, the same in every run; it also fixes where in the interval its polls fall
	Addr    Addr
	Driver  string             // key of Config.Drivers, shown as the device's protocol
	Profile resilience.Profile // the zero value is resilience.LAN()
	Groups  []Group
	Limits  Limits // configured, Generation 0
	Learned Limits // what an earlier run learned (Config.OnLearned); no reason to touch a device that runs

	Labels map[string]string // what else is known of it, for people and healing; not changed any more

	OutOfService bool   // set by hand: not polled, its connection given back
	Reason       string // why it is out of service, in the words of who said so

	Routes    []Route // further addresses of the same device, the one to take first first; Addr is the one that it likes best
	RouteName string  // what people call Addr
	Routing   Routing

	Prediction resilience.Prediction // what makes the device suspected of going away

	Slots             int           // connections its endpoint may hold at once; 0 is 1. The gateway opens one, or Limits.Connections
	RequestsPerSecond float64       // most requests a second to the endpoint, reckoned over whole turns; 0 is no limit
	PauseAfterConnect time.Duration // between the end of the handshake and the first request
}

// Group is a set of tags that are read together.
type Group struct {
	Name     string // unique in its device
	Interval time.Duration
	Tags     []TagSpec
}

// minInterval is the shortest interval of a group.
const minInterval = time.Millisecond

// FillDefaults puts the defaults where s says nothing. Apply needs no copy of a spec that has them.
func (s *Spec) FillDefaults() {
	if s.Profile == (resilience.Profile{}) {
		s.Profile = resilience.LAN()
	}
	s.Profile = s.Profile.WithDefaults()
	if s.Slots == 0 {
		s.Slots = 1
	}
	s.Routing = s.Routing.withDefaults()
}

// hasDefaults says whether s, filled in, is as given.
func (s *Spec) hasDefaults(given *Spec) bool {
	return s.Profile == given.Profile && s.Slots == given.Slots && s.Routing == given.Routing
}

// withDefaults returns s with its defaults filled in, or what is wrong with it.
func (s Spec) withDefaults() (Spec, error) {
	errs := []error{s.Profile.Check(), s.Prediction.Check()}
	if s.Profile == (resilience.Profile{}) {
		errs[0] = nil
	}
	s.FillDefaults()
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if s.Name == "" {
		bad("a device needs a name")
	}
	if s.Number == 0 {
		bad("a device needs a number above 0")
	}
	if s.Slots < 0 {
		bad("slots must not be below 0, not %d", s.Slots)
	}
	if s.RequestsPerSecond < 0 {
		bad("requests per second must not be below 0, not %v", s.RequestsPerSecond)
	}
	if s.PauseAfterConnect < 0 {
		bad("the pause after connect must not be below 0, not %v", s.PauseAfterConnect)
	}
	if err := s.CheckConnections(); err != nil {
		errs = append(errs, err)
	}
	if err := s.CheckRoutes(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, checkGroups(s.Groups)...)
	if err := errors.Join(errs...); err != nil {
		return s, fmt.Errorf("device %s: %w", s.Name, err)
	}
	return s, nil
}

// CheckConnections says what keeps the device from having as many connections as Limits says.
func (s *Spec) CheckConnections() error {
	n := s.Limits.Connections
	switch {
	case n < 0:
		return fmt.Errorf("a pool must not have below 0 connections, not %d", n)
	case n > max(s.Slots, 1):
		return fmt.Errorf("a pool of %d connections needs as many slots, not %d", n, max(s.Slots, 1))
	case n > 1 && s.PauseAfterConnect > 0:
		return errors.New("pool and pause_after_connect exclude each other: a pool makes connections while others are asked")
	}
	return nil
}

func checkGroups(groups []Group) []error {
	var errs []error
	n := 0
	for _, g := range groups {
		n += len(g.Tags)
	}
	names, ids := map[string]bool{}, make(map[tag.ID]string, n)
	for _, g := range groups {
		if names[g.Name] {
			errs = append(errs, fmt.Errorf("group %q is there twice", g.Name))
		}
		names[g.Name] = true
		if g.Interval < minInterval {
			errs = append(errs, fmt.Errorf("group %q: the interval must be %v or more, not %v", g.Name, minInterval, g.Interval))
		}
		for _, t := range g.Tags {
			if other, taken := ids[t.ID]; taken || t.ID == 0 {
				errs = append(errs, fmt.Errorf("tag %s: id %d is 0 or taken by %q", t.Name, t.ID, other))
			}
			ids[t.ID] = t.Name
		}
	}
	return errs
}
