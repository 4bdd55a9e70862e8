package heal

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"millrace/internal/rule"
)

// Each says what a rule is tried for.
type Each string

// What a rule can be tried for.
const (
	EachDevice Each = "device"
	EachRegion Each = "region"
	EachNode   Each = "node"
)

// Eaches returns what a rule can be tried for.
func Eaches() []string { return []string{string(EachDevice), string(EachRegion), string(EachNode)} }

// Rule is a healing policy as it is written.
type Rule struct {
	Name string
	Doc  string   // what it is for, in a sentence
	Each Each     // "" is EachDevice
	On   []string // patterns of device names, as of path.Match; none is all

	When   string        // a condition
	Which  string        // of a rule for a region or the node: the devices that the actions are for; "" is all of On in the region
	For    time.Duration // how long When must hold
	Do     []Action
	Verify string        // a condition that says whether it helped; "" believes it
	Hold   time.Duration // how long Verify must hold; 0 is once
	Within time.Duration // the deadline for that; 0 is 1 min
	Keep   time.Duration // how long what helped stays; then it is undone; 0 leaves it
	Manual bool          // what did not help stays

	Limit Limit
	Dry   bool // only say what would be done
}

// Limit bounds what a rule may do. Zero fields take the defaults.
type Limit struct {
	Devices    int           // most devices in its hands at once; 0 is 5
	Percent    float64       // and most of those it is for, in percent, but always one; 0 is 10
	MinHealthy float64       // percent of them that must be well, or the rule stops; one that is ill stops nothing; 0 is 51, below 0 no limit
	PerHour    int           // most runs in an hour; 0 is 6
	Cooldown   time.Duration // rest of a device, or region, after a run; 0 is 15 min
}

// Over returns l with the fields of under where it says nothing.
func (l Limit) Over(under Limit) Limit {
	return Limit{cmp.Or(l.Devices, under.Devices), cmp.Or(l.Percent, under.Percent), cmp.Or(l.MinHealthy, under.MinHealthy),
		cmp.Or(l.PerHour, under.PerHour), cmp.Or(l.Cooldown, under.Cooldown)}
}

// DefaultLimit is what holds where nothing is said.
func DefaultLimit() Limit {
	return Limit{Devices: 5, Percent: 10, MinHealthy: 51, PerHour: 6, Cooldown: 15 * time.Minute}
}

// The actions.
const (
	Reroute      = "reroute"
	Reconnect    = "reconnect"
	Stretch      = "stretch"
	Degrade      = "degrade"
	Standby      = "standby"
	Resubscribe  = "resubscribe"
	OutOfService = "out_of_service"
	Notify       = "notify"
	Run          = "run"

	RerouteTraffic = "reroute_traffic"
	ScaleReplicas  = "scale_replicas"
	Migrate        = "migrate"
	Split          = "split"
)

// Actions returns the names of all actions.
func Actions() []string {
	return []string{Reroute, Reconnect, Stretch, Degrade, Standby, Resubscribe, OutOfService, Notify, Run, RerouteTraffic, ScaleReplicas, Migrate, Split}
}

// Action is one thing to do. Which fields count depends on its Type.
type Action struct {
	Type    string
	Route   string        // reroute: next, or the number of the address; "" is next
	Factor  float64       // stretch: intervals are so many times what is configured; 0 is 2
	Text    string        // notify
	Argv    []string      // run: the program and its arguments
	Timeout time.Duration // run; 0 is 30 s

	From, To, Via, Service, Target, Host string // of what a fleet will do: reroute_traffic(from,to,via), scale_replicas(service,target,on)
}

// onDevice says whether a is done to each device.
func (a Action) onDevice() bool { return a.Type != Notify && a.Type != Run }

// String returns a in words.
func (a Action) String() string {
	switch a.Type {
	case Reroute:
		return "reroute to " + cmp.Or(a.Route, "next")
	case Stretch:
		return fmt.Sprintf("stretch intervals by %g", a.Factor)
	case Notify:
		return fmt.Sprintf("notify %q", a.Text)
	case Run:
		return fmt.Sprintf("run %q", a.Argv)
	}
	return a.Type
}

// FieldError is what is wrong with one part of a Rule. Its Err is a rule.Errors when the part is a condition.
type FieldError struct {
	Rule  string
	Field string // when, which, verify, hold, on, do
	Index int    // of an action, or a pattern
	Err   error
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("heal: rule %s: %s: %v", e.Rule, e.Field, e.Err)
}
func (e *FieldError) Unwrap() error { return e.Err }

// Policy is a Rule that was checked, with its conditions compiled. It never changes.
type Policy struct {
	Rule
	names               *names
	when, which, verify *rule.Rule
	terms               []*rule.Rule // of when: all must hold
}

// Compiler compiles rules. It is for any number of goroutines.
type Compiler struct{ names *names }

// NewCompiler returns a Compiler.
func NewCompiler() (*Compiler, error) {
	n, err := newNames()
	return &Compiler{n}, err
}

// Compile checks r and returns it ready to run, with its defaults. Everything that is wrong is returned, a *FieldError each.
func (c *Compiler) Compile(r Rule) (*Policy, []*FieldError) {
	r.Each = cmp.Or(r.Each, EachDevice)
	r.Within = cmp.Or(r.Within, time.Minute)
	r.Limit = r.Limit.Over(DefaultLimit())
	r.Do = slices.Clone(r.Do)
	p := &Policy{Rule: r, names: c.names}
	var errs []*FieldError
	bad := func(field string, index int, err error) {
		if err != nil {
			errs = append(errs, &FieldError{r.Name, field, index, err})
		}
	}
	condition := func(field, src string, env *rule.Env, to **rule.Rule) {
		if src == "" {
			return
		}
		var err error
		*to, err = env.Compile(src)
		bad(field, 0, err)
	}
	condition("when", r.When, c.names.envs[r.Each], &p.when)
	condition("which", r.Which, c.names.which, &p.which)
	condition("verify", r.Verify, c.names.envs[r.Each], &p.verify)
	if r.When == "" {
		bad("when", 0, fmt.Errorf("a rule needs a condition"))
	}
	if r.Which != "" && r.Each == EachDevice {
		bad("which", 0, fmt.Errorf("a rule for each device has one: which goes with each: region or node"))
	}
	if r.Verify != "" && r.Hold >= r.Within {
		bad("hold", 0, fmt.Errorf("verify would have to hold for %v within %v, which it never can: make hold shorter or within longer", r.Hold, r.Within))
	}
	for i, pattern := range r.On {
		_, err := path.Match(pattern, "")
		bad("on", i, err)
	}
	if len(r.Do) == 0 {
		bad("do", 0, fmt.Errorf("a rule needs something to do"))
	}
	for i := range p.Do {
		bad("do", i, p.Do[i].check())
	}
	if len(errs) > 0 {
		return nil, errs
	}
	var err error
	if p.terms, err = p.when.Terms(); err != nil {
		return nil, []*FieldError{{r.Name, "when", 0, err}}
	}
	return p, nil
}

// check fills in the defaults of a, and says what is wrong with it.
func (a *Action) check() error {
	switch a.Type {
	case Stretch:
		if a.Factor = cmp.Or(a.Factor, 2); a.Factor < 1 || a.Factor > 1000 {
			return fmt.Errorf("factor %g is not between 1 and 1000", a.Factor)
		}
	case Reroute:
		a.Route = cmp.Or(a.Route, "next")
		if _, err := a.route(0, 1000); err != nil {
			return err
		}
	case Notify:
		a.Text = cmp.Or(a.Text, "rule {rule} acts on {subject}")
	case Run:
		if len(a.Argv) == 0 || a.Argv[0] == "" {
			return fmt.Errorf("run needs argv: the program and its arguments")
		}
		if a.Timeout = cmp.Or(a.Timeout, 30*time.Second); a.Timeout < 0 {
			return fmt.Errorf("timeout %v is below 0", a.Timeout)
		}
	case RerouteTraffic, ScaleReplicas, Migrate, Split:
		return fmt.Errorf("%s needs a fleet of gateways, and this is one gateway; it works when the fleet is there", a.Type)
	case Reconnect, Degrade, Standby, Resubscribe, OutOfService:
	default:
		return fmt.Errorf("there is no action %q; there are %s", a.Type, strings.Join(Actions(), ", "))
	}
	return nil
}

// matches says whether the rule is for the device called name.
func (p *Policy) matches(name string) bool {
	if len(p.On) == 0 {
		return true
	}
	for _, pattern := range p.On {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}
