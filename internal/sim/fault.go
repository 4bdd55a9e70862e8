package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/s7"
)

// Kind is a way in which a simulated device misbehaves.
type Kind uint8

// The kinds.
const (
	Latency           Kind = iota // every reply takes longer, and the next request waits for it
	Jitter                        // the same, by a random time up to the one given
	Late                          // the reply comes that much later, and the ones behind it overtake it
	Duplicate                     // the reply comes twice
	WrongID                       // the reply has another transaction id
	WrongFunction                 // the reply has another function code
	Cut                           // half of the reply, then the end of the connection
	Reset                         // a TCP reset in place of the reply
	Silence                       // no reply
	Exception                     // an exception in place of the reply
	Refuse                        // new connections are reset
	Slots                         // connections beyond so many are reset; an S7 CPU refuses them
	Trickle                       // the reply comes byte by byte
	Unmapped                      // some addresses do not exist: exception 2, return code 05 or 0A
	Cap                           // reads of more registers are refused: exception 3
	Serial                        // of requests that come together only the first so many are answered
	WrongRef                      // the reply has another reference
	Refusal                       // an error of the whole request in place of the reply
	PDUShrink                     // connections behind the first are granted a shorter PDU
	Standstill                    // the CPU is in STOP
	Download                      // a program download: connections are reset, DB 1 has another length
	Denied                        // PUT/GET is off, or some addresses may not be accessed: return code 03
	MaxItems                      // requests with more items are refused: 8500
	SessionLoss                   // the server has forgotten the session: BadSessionIdInvalid
	ChannelClose                  // the server ends the channel with an ERR
	TooManyOperations             // requests with more operations are refused: BadTooManyOperations
	RepublishGap                  // the answer to a Publish is lost, and has to be asked for again
	EmptyPublish                  // a Publish is answered at once, with nothing in it
	StaleNamespace                // the server has been started anew, and its namespaces have other indexes
	CertificateChange             // the server has been started anew, with another certificate
	IgnoreWrite                   // a write is answered as if it had been done, and is not
	Kinds                         // how many there are
)

// stage is what the dice of a kind are thrown for.
type stage uint8

const (
	connections stage = iota // each new one
	requests                 // what is asked for
	answers                  // each one
)

// argument is what stands behind the colon of a fault.
type argument uint8

const (
	noArgument   argument = iota
	aTime                 // latency:200ms
	aNumber               // slots:2
	anException           // exception:4
	anErrorCode           // refusal:0x8104
	addressRange          // unmapped:holding/100-199, unmapped:db2
	maybeRange            // denied, denied:db2
)

// kinds is the table of all kinds.
var kinds = [Kinds]struct {
	name  string
	of    Protocol
	on    stage
	takes argument
	usual int  // number without an argument, 0 when there must be one
	fixed bool // neither p nor every: it is there or it is not
}{
	Latency:       {name: "latency", of: anyProtocol, on: answers, takes: aTime},
	Jitter:        {name: "jitter", of: anyProtocol, on: answers, takes: aTime},
	Late:          {name: "late", of: fieldbus, on: answers, takes: aTime},
	Duplicate:     {name: "duplicate", of: fieldbus, on: answers},
	WrongID:       {name: "wrong_id", of: ProtocolModbus, on: answers},
	WrongFunction: {name: "wrong_function", of: fieldbus, on: answers},
	Cut:           {name: "cut", of: anyProtocol, on: answers},
	Reset:         {name: "rst", of: anyProtocol, on: answers},
	Silence:       {name: "silence", of: anyProtocol, on: answers},
	Exception:     {name: "exception", of: ProtocolModbus, on: answers, takes: anException, usual: 4},
	Refuse:        {name: "refuse", of: anyProtocol, on: connections},
	Slots:         {name: "slots", of: anyProtocol, on: connections, takes: aNumber, fixed: true},
	Trickle:       {name: "trickle", of: fieldbus, on: answers, takes: aTime},
	Unmapped:      {name: "unmapped", of: fieldbus, on: requests, takes: addressRange, fixed: true},
	Cap:           {name: "cap", of: ProtocolModbus, on: requests, takes: aNumber, fixed: true},
	Serial:        {name: "serial", of: fieldbus, on: answers, takes: aNumber, usual: 1},
	WrongRef:      {name: "wrong_ref", of: ProtocolS7, on: answers},
	Refusal:       {name: "refusal", of: ProtocolS7, on: answers, takes: anErrorCode, usual: int(s7.ErrServiceUnknown)},
	PDUShrink:     {name: "pdu_shrink", of: ProtocolS7, on: connections, takes: aNumber, usual: 240},
	Standstill:    {name: "stop", of: ProtocolS7, on: requests, fixed: true},
	Download:      {name: "download", of: ProtocolS7, on: requests, takes: aNumber, usual: s7Ramp / 2, fixed: true},
	Denied:        {name: "denied", of: ProtocolS7, on: requests, takes: maybeRange, fixed: true},
	MaxItems:      {name: "max_items", of: ProtocolS7, on: requests, takes: aNumber, usual: 20, fixed: true},
	IgnoreWrite:   {name: "ignore_write", of: anyProtocol, on: requests},

	SessionLoss:       {name: "session_loss", of: ProtocolOPCUA, on: requests},
	ChannelClose:      {name: "channel_close", of: ProtocolOPCUA, on: requests},
	TooManyOperations: {name: "too_many_operations", of: ProtocolOPCUA, on: requests, takes: aNumber, usual: 100, fixed: true},
	RepublishGap:      {name: "republish_gap", of: ProtocolOPCUA, on: requests},
	EmptyPublish:      {name: "empty_publish", of: ProtocolOPCUA, on: requests},
	StaleNamespace:    {name: "stale_namespace", of: ProtocolOPCUA, on: connections, fixed: true},
	CertificateChange: {name: "certificate_change", of: ProtocolOPCUA, on: connections, fixed: true},
}

// String returns the kind as Fault writes it.
func (k Kind) String() string {
	if k < Kinds {
		return kinds[k].name
	}
	return "kind " + strconv.Itoa(int(k))
}

func (k Kind) on() stage { return kinds[k].on }

// FaultKinds returns the names of the kinds that devices of p may have.
func FaultKinds(p Protocol) []string {
	var names []string
	for i := range kinds {
		if kinds[i].of&p != 0 {
			names = append(names, kinds[i].name)
		}
	}
	return names
}

// Fault is one misbehaviour with when and where it happens.
type Fault struct {
	Kind     Kind
	Duration time.Duration // of Latency, Jitter, Late, Trickle (each byte)
	Count    int           // of Slots, Cap, Serial, MaxItems; the code of Exception and Refusal; bytes of PDUShrink and Download
	Area     string        // of Unmapped and Denied: holding, input, coil, discrete; i, q, m, t, c, db1, db2, db3. Of Denied "" is everything
	From, To int           // of Unmapped and Denied, both included: addresses, bytes, or numbers of timers and counters

	P       float64       // probability of each reply or connection, 1 unless said
	Every   int           // each so manieth of the device's replies or connections in place of a probability; 0 is not said
	After   time.Duration // from the start of the simulator
	For     time.Duration // how long, 0 for ever
	Period  time.Duration // begin again with each period, 0 never
	Devices []Range       // none is all
}

// Range is numbers of devices, both included. The first device is number 1.
type Range struct{ From, To int }

// String returns f in the form that ParseFault reads.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Kind.String())
	sep := ":"
	add := func(format string, args ...any) {
		b.WriteString(sep)
		fmt.Fprintf(&b, format, args...)
		sep = ","
	}
	switch kinds[f.Kind].takes {
	case aTime:
		add("%s", f.Duration)
	case aNumber, anException:
		add("%d", f.Count)
	case anErrorCode:
		add("0x%04X", f.Count)
	case addressRange, maybeRange:
		if f.Area != "" {
			add("%s/%d-%d", f.Area, f.From, f.To)
		}
	}
	if f.P != 1 {
		add("p=%s", strconv.FormatFloat(f.P, 'g', -1, 64))
	}
	if f.Every > 0 {
		add("every=%d", f.Every)
	}
	for _, d := range [...]struct {
		key string
		d   time.Duration
	}{{"after", f.After}, {"for", f.For}, {"period", f.Period}} {
		if d.d > 0 {
			add("%s=%s", d.key, d.d)
		}
	}
	if len(f.Devices) > 0 {
		parts := make([]string, len(f.Devices))
		for i, r := range f.Devices {
			parts[i] = fmt.Sprintf("%d-%d", r.From, r.To)
		}
		add("devices=%s", strings.Join(parts, "+"))
	}
	return b.String()
}

// of says whether f is of device number n.
func (f *Fault) of(n int) bool {
	if len(f.Devices) == 0 {
		return true
	}
	return slices.ContainsFunc(f.Devices, func(r Range) bool { return n >= r.From && n <= r.To })
}

// active says whether f's time has come, elapsed after the start.
func (f *Fault) active(elapsed time.Duration) bool {
	since := elapsed - f.After
	if since < 0 {
		return false
	}
	if f.Period > 0 {
		since %= f.Period
	}
	return f.For == 0 || since < f.For
}

// next returns the time after elapsed at which active changes; ok is false when it never will.
func (f *Fault) next(elapsed time.Duration) (at time.Duration, ok bool) {
	if elapsed < f.After {
		return f.After, true
	}
	begun := f.since(elapsed)
	switch {
	case f.For > 0 && elapsed < begun+f.For:
		return begun + f.For, true
	case f.Period > 0:
		return begun + f.Period, true
	}
	return 0, false
}

// since returns when the time began in which f is active at elapsed.
func (f *Fault) since(elapsed time.Duration) time.Duration {
	if f.Period > 0 {
		return elapsed - (elapsed-f.After)%f.Period
	}
	return f.After
}
