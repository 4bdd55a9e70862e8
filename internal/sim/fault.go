package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is a way in which a simulated device misbehaves.
type Kind uint8

// The kinds.
const (
	Latency       Kind = iota // every reply takes longer, and the next request waits for it
	Jitter                    // the same, by a random time up to the one given
	Late                      // the reply comes that much later, and the ones behind it overtake it
	Duplicate                 // the reply comes twice
	WrongID                   // the reply has another transaction id
	WrongFunction             // the reply has another function code
	Cut                       // half of the reply, then the end of the connection
	Reset                     // a TCP reset in place of the reply
	Silence                   // no reply
	Exception                 // an exception in place of the reply
	Refuse                    // new connections are reset
	Slots                     // connections beyond so many are reset
	Trickle                   // the reply comes byte by byte
	Unmapped                  // some addresses do not exist: exception 2
	Cap                       // reads of more registers are refused: exception 3
	Serial                    // of requests that come together only the first so many are answered
	Kinds                     // how many there are
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
	addressRange          // unmapped:holding/100-199
)

// kinds is the table of all kinds.
var kinds = [Kinds]struct {
	name  string
	of    Protocol
	on    stage
	takes argument
	least int  // number without an argument, 0 when there must be one
	fixed bool // neither p nor every: it is there or it is not
}{
	Latency:       {name: "latency", of: anyProtocol, on: answers, takes: aTime},
	Jitter:        {name: "jitter", of: anyProtocol, on: answers, takes: aTime},
	Late:          {name: "late", of: anyProtocol, on: answers, takes: aTime},
	Duplicate:     {name: "duplicate", of: anyProtocol, on: answers},
	WrongID:       {name: "wrong_id", of: ProtocolModbus, on: answers},
	WrongFunction: {name: "wrong_function", of: anyProtocol, on: answers},
	Cut:           {name: "cut", of: anyProtocol, on: answers},
	Reset:         {name: "rst", of: anyProtocol, on: answers},
	Silence:       {name: "silence", of: anyProtocol, on: answers},
	Exception:     {name: "exception", of: ProtocolModbus, on: answers, takes: anException, least: 4},
	Refuse:        {name: "refuse", of: anyProtocol, on: connections},
	Slots:         {name: "slots", of: anyProtocol, on: connections, takes: aNumber, fixed: true},
	Trickle:       {name: "trickle", of: anyProtocol, on: answers, takes: aTime},
	Unmapped:      {name: "unmapped", of: anyProtocol, on: requests, takes: addressRange, fixed: true},
	Cap:           {name: "cap", of: ProtocolModbus, on: requests, takes: aNumber, fixed: true},
	Serial:        {name: "serial", of: anyProtocol, on: answers, takes: aNumber, least: 1},
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
	Count    int           // of Slots, Cap, Serial; the code of Exception
	Area     string        // of Unmapped: holding, input, coil, discrete
	From, To int           // of Unmapped, both included

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
	case addressRange:
		add("%s/%d-%d", f.Area, f.From, f.To)
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
