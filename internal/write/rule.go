// Package write is the one path that values take to devices, whoever writes: it checks what is asked, has it in the audit log before it
// leaves, sends it once, reads it back, and has what became of it in the audit log too.
package write

import (
	"fmt"
	"math"
	"time"
)

// Role is what somebody may do. Roles are a set.
type Role uint8

// The roles.
const (
	RoleWrite Role = 1 << iota
	RoleAdmin      // all that RoleWrite may, and tags that only admins may write
)

// Has says whether r is enough where need is needed.
func (r Role) Has(need Role) bool { return r&need != 0 || r&RoleAdmin != 0 }

// String returns the role's name.
func (r Role) String() string {
	switch {
	case r&RoleAdmin != 0:
		return "admin"
	case r&RoleWrite != 0:
		return "write"
	}
	return "nothing"
}

// How a write is verified, and which of several is written.
const (
	Readback = "readback" // the tag is read, and has to have the value
	Ack      = "ack"      // the device's answer is enough
	Once     = "once"     // each value is written
	Desired  = "desired"  // the newest value is written at the next poll
)

// Rule is how tags are written. Several tags may have one.
type Rule struct {
	Name string

	Min, Max      float64 // of the engineering value, both included, where they are set
	HasMin        bool
	HasMax        bool
	Role          Role          // who may write, and who may approve
	Verify        string        // Readback or Ack
	Delay         time.Duration // from the device's answer to the first look
	Within        time.Duration // how long the tag is looked at again while it differs
	Tolerance     float64       // by which what is read may differ, in the engineering unit
	PerMinute     int           // writes of a tag in a minute; 0 is no limit
	Burst         int           // of these, at once
	Expire        time.Duration // how long a write may wait to leave; of a desired value, how long it is wished for
	Mode          string        // Once or Desired
	Interlock     string        // a condition that has to hold; "" is none
	MaxAge        time.Duration // of the values that it looks at
	Approve       bool          // somebody else has to approve
	ApproveWithin time.Duration
}

// Default returns the rule of tags that name none.
func Default() Rule {
	return Rule{Role: RoleWrite, Verify: Readback, Within: time.Second, PerMinute: 60, Burst: 10, Expire: 10 * time.Second, Mode: Once, MaxAge: 5 * time.Second, ApproveWithin: 10 * time.Minute}
}

// DesiredExpire is Rule.Expire of desired values where nothing else is said.
const DesiredExpire = 60 * time.Second

// Check says what is wrong with r.
func (r *Rule) Check() error {
	switch {
	case r.HasMin && r.HasMax && r.Min > r.Max:
		return fmt.Errorf("min %g is above max %g", r.Min, r.Max)
	case r.HasMin && math.IsNaN(r.Min), r.HasMax && math.IsNaN(r.Max), !(r.Tolerance >= 0):
		return fmt.Errorf("min, max and tolerance have to be numbers")
	case r.Mode == Desired && r.Approve:
		return fmt.Errorf("a desired value is written at the next poll; one that has to be approved cannot be")
	case r.Mode == Desired && r.Verify == Ack:
		return fmt.Errorf("a desired value is written right before its poll, which reads it back: verify is readback")
	}
	return nil
}

// limits are what the rule, and the range of the tag, allow.
func (t *Target) limits() (low, high float64) {
	r := t.Rule
	low, high = math.Inf(-1), math.Inf(1)
	if r.HasMin {
		low = r.Min
	}
	if r.HasMax {
		high = r.Max
	}
	if d := t.Spec.Terms().Deadband; d.Low < d.High {
		low, high = max(low, d.Low), min(high, d.High)
	}
	return low, high
}

// within says whether f is between the limits.
func (t *Target) within(f float64) error {
	low, high := t.limits()
	if f >= low && f <= high {
		return nil
	}
	switch noLow, noHigh := math.IsInf(low, -1), math.IsInf(high, 1); {
	case noLow && noHigh: // only NaN comes here
		return nil
	case noLow:
		return fmt.Errorf("%g is not at most %g", f, high)
	case noHigh:
		return fmt.Errorf("%g is not at least %g", f, low)
	}
	return fmt.Errorf("%g is not between %g and %g", f, low, high)
}
