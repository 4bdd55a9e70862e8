package write

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"millrace/internal/device"
	"millrace/internal/rule"
	"millrace/internal/tag"
)

// Interlock is a condition over current values that has to hold for a write.
type Interlock struct {
	rule   *rule.Rule
	inputs []Input
	maxAge time.Duration
}

// Input is a tag that an interlock looks at.
type Input struct {
	Key    string // as the condition has it
	Tag    string // full name
	Device string
	ID     tag.ID

	kind rule.Kind
}

// Known is what is known of a tag that an interlock may look at.
type Known struct {
	ID   tag.ID
	Kind tag.Kind // of the engineering value; Null when only the device knows

	Device string
}

// Here stands before the name of a tag of the device that is written: tag("./door") .
const Here = "./"

// Compiler makes interlocks. Rules that many devices have are compiled once for all whose tags are of the same kinds. It is for one goroutine.
type Compiler struct {
	Find func(name string) (Known, bool) // knows the gateway's tags by their full names

	made map[string][]*Interlock // by rule
}

// Compile makes the interlock of r for tags of a device, nil when r has none. An error is a rule.Errors, with the places within the condition.
func (c *Compiler) Compile(r *Rule, device string) (*Interlock, error) {
	if r.Interlock == "" {
		return nil, nil
	}
	for _, i := range c.made[r.Name] {
		if like := c.like(i, device); like != nil {
			return like, nil
		}
	}
	i := &Interlock{maxAge: r.MaxAge}
	env, err := rule.New(
		rule.Var{Name: "tag", Doc: "A tag's value, by its full name, or by ./name for one of the device that is written.", Key: func(key string) (rule.Kind, error) {
			in, err := c.input(key, device)
			if err == nil && i.input(key) < 0 {
				i.inputs = append(i.inputs, in)
			}
			return in.kind, err
		}},
		rule.Var{Name: "value", Kind: rule.Double, Doc: "The number that is to be written; true is 1. A text or a list has none."},
	)
	if err != nil {
		return nil, err
	}
	if i.rule, err = env.Compile(r.Interlock); err != nil {
		return nil, err
	}
	if c.made == nil {
		c.made = map[string][]*Interlock{}
	}
	c.made[r.Name] = append(c.made[r.Name], i)
	return i, nil
}

// input finds the tag that key stands for in conditions of a device.
func (c *Compiler) input(key, device string) (Input, error) {
	in := Input{Key: key, Tag: key}
	if own, ok := strings.CutPrefix(key, Here); ok {
		in.Tag = device + "/" + own
	}
	k, ok := c.Find(in.Tag)
	if !ok {
		return in, fmt.Errorf("there is no tag %q", in.Tag)
	}
	in.ID, in.Device = k.ID, k.Device
	var err error
	in.kind, err = ruleKind(k.Kind)
	return in, err
}

// like returns i for another device, nil when that one's tags are of other kinds.
func (c *Compiler) like(i *Interlock, device string) *Interlock {
	o := &Interlock{rule: i.rule, maxAge: i.maxAge, inputs: make([]Input, len(i.inputs))}
	for n := range i.inputs {
		in, err := c.input(i.inputs[n].Key, device)
		if err != nil || in.kind != i.inputs[n].kind {
			return nil
		}
		o.inputs[n] = in
	}
	return o
}

func (i *Interlock) input(key string) int {
	return slices.IndexFunc(i.inputs, func(in Input) bool { return in.Key == key })
}

// ruleKind is how conditions see a kind: all numbers are doubles, those of which only the device knows the kind included.
func ruleKind(k tag.Kind) (rule.Kind, error) {
	switch {
	case k.IsArray(), k == tag.ByteString:
		return 0, fmt.Errorf("it is %v, which conditions do not look at", k)
	case k == tag.Bool:
		return rule.Bool, nil
	case k == tag.String:
		return rule.String, nil
	case k == tag.DateTime:
		return rule.Time, nil
	}
	return rule.Double, nil
}

// InterlockError says why an interlock does not let a write pass.
type InterlockError struct {
	Source string
	What   string
	Stale  bool // a value that it looks at is too old
}

func (e *InterlockError) Error() string { return "interlock: " + e.What }

// anyAge has check take values as old as they come: a write reads those anew that are too old.
const anyAge = time.Duration(math.MaxInt64)

// stale returns the inputs that are good and older than they may be, by device.
func (i *Interlock) stale(last func([]tag.ID, []device.Last) []device.Last, now time.Time) map[string][]tag.ID {
	if i == nil {
		return nil
	}
	var old map[string][]tag.ID
	for n, l := range last(i.ids(), nil) {
		if !l.Quality.IsGood() || now.Sub(time.Unix(0, l.Received)) <= i.maxAge {
			continue
		}
		if old == nil {
			old = map[string][]tag.ID{}
		}
		old[i.inputs[n].Device] = append(old[i.inputs[n].Device], l.ID)
	}
	return old
}

func (i *Interlock) ids() []tag.ID {
	ids := make([]tag.ID, len(i.inputs))
	for n := range i.inputs {
		ids[n] = i.inputs[n].ID
	}
	return ids
}

// check says why value may not be written now, nil when it may; what it looks at may be as old as maxAge. Null asks whether anything may be: a condition that only the value decides is left to that.
func (i *Interlock) check(last func([]tag.ID, []device.Last) []device.Last, value tag.Value, now time.Time, maxAge time.Duration) error {
	v := &inputs{of: i, value: value, last: last(i.ids(), nil)}
	for n := range v.last {
		l := &v.last[n]
		switch age := now.Sub(time.Unix(0, l.Received)); {
		case !l.Quality.IsGood():
			return i.refuse("%s is %v", i.inputs[n].Tag, l.Quality)
		case age > maxAge:
			return &InterlockError{Source: i.rule.Source(), What: fmt.Sprintf("%s was read %v ago, and may be %v old", i.inputs[n].Tag, age.Round(time.Millisecond), maxAge), Stale: true}
		case isNaN(l.Value):
			return i.refuse("%s is no number", i.inputs[n].Tag)
		}
	}
	if isNaN(value) {
		return i.refuse("the value is no number")
	}
	ok, err := i.rule.Eval(v)
	switch {
	case err != nil && value.Kind == tag.Null:
		return nil
	case err != nil:
		var e *rule.EvalError
		if errors.As(err, &e) {
			err = e.Err
		}
		return i.refuse("%s: %v", i.rule.Source(), err)
	case !ok:
		return i.refuse("%s does not hold: %s", i.rule.Source(), v.describe())
	}
	return nil
}

// isNaN: every comparison with it is false, so that its negation holds, whatever was meant.
func isNaN(v tag.Value) bool {
	f, ok := v.Float()
	return ok && math.IsNaN(f)
}

func (i *Interlock) refuse(format string, args ...any) error {
	return &InterlockError{Source: i.rule.Source(), What: fmt.Sprintf(format, args...)}
}

// inputs is the values of one check.
type inputs struct {
	of    *Interlock
	value tag.Value
	last  []device.Last
}

func (v *inputs) Value(name, key string) rule.Value {
	if name == "value" {
		if f, ok := v.value.Float(); ok {
			return rule.OfDouble(f)
		}
		return rule.Value{}
	}
	n := v.of.input(key)
	if n < 0 {
		return rule.Value{}
	}
	x := v.last[n].Value
	f, number := x.Float()
	switch kind := v.of.inputs[n].kind; {
	case kind == rule.Bool && x.Kind == tag.Bool:
		return rule.OfBool(x.Bits != 0)
	case kind == rule.String && x.Kind == tag.String:
		return rule.OfString(string(x.Aux))
	case kind == rule.Time && x.Kind == tag.DateTime:
		return rule.OfTime(time.Unix(0, int64(x.Bits)).UTC())
	case kind == rule.Double && number:
		return rule.OfDouble(f)
	}
	return rule.Value{} // the device has it as something else than its address says
}

// describe says what the inputs are.
func (v *inputs) describe() string {
	var parts []string
	for n := range v.last {
		parts = append(parts, v.of.inputs[n].Tag+" is "+v.last[n].Value.String())
	}
	if f, ok := v.value.Float(); ok {
		parts = append(parts, fmt.Sprintf("the value is %g", f))
	}
	return strings.Join(parts, ", ")
}
