package sim

import (
	"cmp"
	"fmt"
	"math"
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

var kindNames = [Kinds]string{"latency", "jitter", "late", "duplicate", "wrong_id", "wrong_function", "cut", "rst", "silence", "exception",
	"refuse", "slots", "trickle", "unmapped", "cap", "serial"}

// String returns the kind as Fault writes it.
func (k Kind) String() string {
	if k < Kinds {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
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

// FaultError is a wrong --fault.
type FaultError struct {
	Fault string
	What  string
}

func (e *FaultError) Error() string { return fmt.Sprintf("fault %q: %s", e.Fault, e.What) }

// ParseFault reads a fault as the command line and plant.yaml write it:
//
//	KIND[:ARGUMENT][,KEY=VALUE]...         without an argument the first KEY=VALUE may follow the colon
//
//	latency:200ms   jitter:50ms   late:2s   trickle:10ms   duplicate   wrong_id   wrong_function   cut   rst   silence
//	exception:4     refuse        slots:2   cap:16         unmapped:holding/100-199   serial:1
//
// A hyphen in a kind is as good as its underscore.
//
//	p=0.01           with that probability, 1 unless said
//	every=10         each tenth
//	after=10s        from then on
//	for=5s           so long, then no more
//	period=60s       and again with each minute behind after
//	devices=3-5+9    only those, the first is 1
func ParseFault(s string) (Fault, error) {
	f, err := parseFault(s)
	if err != nil {
		return Fault{}, &FaultError{s, err.Error()}
	}
	return f, nil
}

func parseFault(s string) (Fault, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(s), ":")
	if n := strings.IndexByte(name, ','); n >= 0 { // silence,p=0.1
		name, rest = name[:n], name[n+1:]+strings.TrimPrefix(s, name)
	}
	kind := slices.Index(kindNames[:], strings.ReplaceAll(name, "-", "_"))
	if kind < 0 {
		return Fault{}, fmt.Errorf("%q is no fault; there are %s", name, strings.Join(kindNames[:], ", "))
	}
	f := Fault{Kind: Kind(kind), P: 1}
	argument := ""
	seen := map[string]bool{}
	for i, part := range strings.Split(rest, ",") {
		key, value, ok := strings.Cut(part, "=")
		switch {
		case !ok && i == 0:
			argument = part
		case !ok:
			return f, fmt.Errorf("%q is not KEY=VALUE", part)
		case seen[key]:
			return f, fmt.Errorf("%s is there twice", key)
		default:
			seen[key] = true
			if err := f.set(key, value); err != nil {
				return f, err
			}
		}
	}
	if err := f.argument(argument); err != nil {
		return f, err
	}
	return f, f.check(seen)
}

// argument reads what stands behind the colon.
func (f *Fault) argument(s string) error {
	var err error
	switch f.Kind {
	case Latency, Jitter, Late, Trickle:
		if s == "" {
			return fmt.Errorf("it needs a time, as in %s:200ms", f.Kind)
		}
		f.Duration, err = positive(s)
		return err
	case Slots, Cap, Serial:
		if f.Kind == Serial {
			s = cmp.Or(s, "1")
		}
		f.Count, err = strconv.Atoi(s)
		if err != nil || f.Count < 1 {
			return fmt.Errorf("it needs a number above 0, as in %s:2", f.Kind)
		}
		return nil
	case Exception:
		f.Count, err = strconv.Atoi(cmp.Or(s, "4"))
		if err != nil || f.Count < 1 || f.Count > 255 {
			return fmt.Errorf("%q is no exception code from 1 to 255", s)
		}
		return nil
	case Unmapped:
		return f.unmapped(s)
	}
	if s != "" {
		return fmt.Errorf("%s takes no argument, not %q", f.Kind, s)
	}
	return nil
}

func (f *Fault) unmapped(s string) error {
	a, span, _ := strings.Cut(s, "/")
	if _, ok := areaByName[a]; !ok {
		return fmt.Errorf("it needs an area and addresses, as in unmapped:holding/100-199")
	}
	r, err := parseRange(span, 0, 65535)
	f.Area, f.From, f.To = a, r.From, r.To
	return err
}

var areaByName = map[string]area{"coil": coils, "discrete": discretes, "input": inputs, "holding": holdings}

func (f *Fault) set(key, value string) error {
	var err error
	switch key {
	case "p":
		f.P, err = strconv.ParseFloat(value, 64)
		if err != nil || !(f.P > 0 && f.P <= 1) {
			return fmt.Errorf("p=%s is not above 0 and up to 1", value)
		}
	case "every":
		f.Every, err = strconv.Atoi(value)
		if err != nil || f.Every < 1 {
			return fmt.Errorf("every=%s is not a number above 0", value)
		}
	case "after":
		f.After, err = positive(value)
	case "for":
		f.For, err = positive(value)
	case "period":
		f.Period, err = positive(value)
	case "devices":
		for part := range strings.SplitSeq(value, "+") {
			r, err := parseRange(part, 1, math.MaxInt32)
			if err != nil {
				return fmt.Errorf("devices=%s: %w", value, err)
			}
			f.Devices = append(f.Devices, r)
		}
	default:
		return fmt.Errorf("%q is no key; there are p, every, after, for, period, devices", key)
	}
	return err
}

// check refuses keys that do not go together.
func (f *Fault) check(seen map[string]bool) error {
	switch {
	case seen["p"] && seen["every"]:
		return fmt.Errorf("p and every exclude each other")
	case f.Period > 0 && (f.For == 0 || f.For >= f.Period):
		return fmt.Errorf("period needs a for that is shorter")
	case (f.Kind == Unmapped || f.Kind == Cap || f.Kind == Slots) && (seen["p"] || seen["every"]):
		return fmt.Errorf("%s takes neither p nor every", f.Kind)
	}
	return nil
}

func positive(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time above 0, such as 200ms", s)
	}
	return d, nil
}

// parseRange reads 3 and 3-5.
func parseRange(s string, least, most int) (Range, error) {
	from, to, two := strings.Cut(s, "-")
	if !two {
		to = from
	}
	r := Range{}
	var err1, err2 error
	r.From, err1 = strconv.Atoi(from)
	r.To, err2 = strconv.Atoi(to)
	if err1 != nil || err2 != nil || r.From < least || r.To < r.From || r.To > most {
		return Range{}, fmt.Errorf("%q is no range from %d on, such as %d-%d", s, least, least+2, least+4)
	}
	return r, nil
}

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
	switch f.Kind {
	case Latency, Jitter, Late, Trickle:
		add("%s", f.Duration)
	case Slots, Cap, Serial, Exception:
		add("%d", f.Count)
	case Unmapped:
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
