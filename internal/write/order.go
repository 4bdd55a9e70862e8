package write

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
)

// Target is a tag that may be written.
type Target struct {
	Device    string
	Spec      *device.TagSpec // the configuration's own, which nobody changes
	Kind      tag.Kind        // of the raw value; Null when only the device knows it
	Rule      *Rule
	Interlock *Interlock // nil without
	// Check says why the device's address does not take a raw value, as far as that is known without asking the device. Nil knows nothing.
	Check func(raw tag.Value) error
}

// Caller is who wants something.
type Caller struct {
	User string
	Role Role
	Via  string // api or opcua
	From string // network address
}

// Order is a value that somebody wants to be written.
type Order struct {
	Tag    string // full name
	Value  tag.Value
	Caller Caller
	Why    string        // in the caller's words
	Key    string        // idempotency key, "" without
	Expire time.Duration // how long it may wait to leave; 0, or more than the rule says, is as the rule says
}

// End is how a write ended, or Pending.
type End string

// The ends.
const (
	Confirmed End = "confirmed" // the device has the value, as far as its rule wants to know
	Differs   End = "differs"   // the device said that it took it, and has another value
	Refused   End = "refused"   // by the gateway: nothing was sent
	Failed    End = "failed"    // it was provably not executed
	Unknown   End = "unknown"   // it may have been executed
	Pending   End = "pending"   // no end: somebody has to approve it
)

// Ends are all of them.
func Ends() []End { return []End{Confirmed, Differs, Refused, Failed, Unknown} }

// Cause is what a write was refused for, for callers that have codes of their own.
type Cause uint8

// The causes.
const (
	NoCause      Cause = iota
	NoTag              // there is none, or it is not writable
	NoRole             // the caller may not
	BadValue           // of the wrong type
	OutOfRange         // outside the limits, or of those that the address takes
	Locked             // the interlock
	TooMany            // the rate, or too many at once
	NotReachable       // the device is down, out of service or paused
	TooLate            // it expired
	KeyTaken           // the idempotency key was used for something else
	NotApproved        // rejected, or nobody approved in time
	NoAudit            // the audit log does not take it
	Stopping           // the gateway ends
	Overtaken          // a newer value took its place, or somebody took it back
)

// Outcome is what became of an order.
type Outcome struct {
	ID       uint64 // of the write in the audit log; 0 when it is not in it
	Tag      string
	End      End
	Cause    Cause  // of Refused
	Reason   string // in plain words, "" when it is confirmed
	Old      tag.Value
	New      tag.Value // as it was asked for
	Read     tag.Value // what was read back
	By       string    // who asked
	Via      string
	Why      string
	Asked    time.Time
	Until    time.Time     // of Pending: when it is too late to approve it
	Took     time.Duration // from the order to its end
	Repeated bool          // the answer to a key that was there before
	Approver string
}

// digest is equal for orders that are the same request.
func (o *Order) digest() string {
	b, _ := json.Marshal([]string{o.Caller.User, o.Tag, strconv.Itoa(int(o.Value.Kind)), o.Value.String(), string(o.Value.Aux)}) // texts always marshal
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// maxAudited is the longest value, in bytes of JSON, that is in the audit log as it is.
const maxAudited = 4 << 10

// audited is v for the audit log. Of what is long it has the length and the digest; what JSON has no number for is a text.
func audited(v tag.Value) json.RawMessage {
	if v.Kind == tag.Null {
		return nil
	}
	f, _ := v.Float()
	b := v.AppendJSON(nil, tag.JSONOptions{BigAsString: math.Abs(f) >= 1<<53})
	if _, number := v.Float(); number && string(b) == "null" {
		return strconv.AppendQuote(nil, v.String())
	}
	if len(b) <= maxAudited {
		return b
	}
	sum := sha256.Sum256(b)
	b, _ = json.Marshal(map[string]any{"bytes": len(b), "sha256": hex.EncodeToString(sum[:])}) // of such a map it never fails
	return b
}

// refusal is a refused order.
type refusal struct {
	cause  Cause
	reason string
}

func (r *refusal) Error() string { return r.reason }

// refusedBy makes a refusal of an error.
func refusedBy(c Cause, err error) *refusal { return &refusal{c, err.Error()} }

// causeOf says what a write that was not sent was refused for.
func causeOf(err error) Cause {
	var ns *device.NotSentError
	var lock *InterlockError
	var late *refusal
	switch {
	case errors.As(err, &lock):
		return Locked
	case errors.As(err, &late):
		return late.cause
	case errors.As(err, &ns) && ns.Reason == device.Superseded:
		return Overtaken
	case errors.As(err, &ns) && ns.Err != nil:
		return TooLate
	}
	return NotReachable
}
