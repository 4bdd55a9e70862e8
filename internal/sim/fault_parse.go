package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/s7"
)

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
//	latency:200ms   jitter:50ms   late:2s   trickle:10ms   duplicate   wrong_function   cut   rst   silence
//	refuse          slots:2       serial:1   ignore_write
//	exception:4     wrong_id      cap:16    unmapped:holding/100-199                                  Modbus
//	refusal:0x8104  wrong_ref     max_items:20   unmapped:db1/100-199   denied   denied:db2           S7
//	pdu_shrink:240  stop          download:4096                                                       S7
//
// A hyphen in a kind is as good as its underscore.
//
//	p=0.01           with that probability, 1 unless said
//	every=10         each tenth
//	after=10s        from then on
//	for=5s           so long, then no more
//	period=60s       and again with each minute behind after
//	devices=3-5+9    only those, the first is 1
//
// Whether the fault is one of their devices, simulators say when they are made; Protocol.ParseFault says it at once.
func ParseFault(s string) (Fault, error) { return anyProtocol.ParseFault(s) }

// ParseFault reads a fault that a device which speaks p may have.
func (p Protocol) ParseFault(s string) (Fault, error) {
	f, err := p.parseFault(s)
	if err == nil {
		err = f.fits(p)
	}
	if err != nil {
		return Fault{}, &FaultError{s, err.Error()}
	}
	return f, nil
}

// fits says what is wrong with f as the fault of a device that speaks p.
func (f *Fault) fits(p Protocol) error {
	if of := kinds[f.Kind].of; of&p == 0 {
		return fmt.Errorf("%s is of %s devices; those of %s have %s", f.Kind, of, p, strings.Join(FaultKinds(p), ", "))
	}
	if of := areaProtocol(f.Area); f.Area != "" && of&p == 0 {
		return fmt.Errorf("%s is an area of %s devices; those of %s have %s", f.Area, of, p, strings.Join(areaNames(p), ", "))
	}
	return nil
}

// areaProtocol returns whose devices have an area of that name.
func areaProtocol(name string) Protocol {
	if _, ok := areaByName[name]; ok {
		return ProtocolModbus
	}
	if _, ok := regionNamed(name); ok {
		return ProtocolS7
	}
	return 0
}

func areaNames(p Protocol) []string {
	var names []string
	if p&ProtocolModbus != 0 {
		names = slices.Sorted(maps.Keys(areaByName))
	}
	for i := range regions {
		if p&ProtocolS7 != 0 {
			names = append(names, regions[i].name)
		}
	}
	return names
}

func (p Protocol) parseFault(s string) (Fault, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(s), ":")
	if n := strings.IndexByte(name, ','); n >= 0 { // silence,p=0.1
		name, rest = name[:n], name[n+1:]+strings.TrimPrefix(s, name)
	}
	kind, ok := kindNamed(strings.ReplaceAll(name, "-", "_"))
	if !ok {
		return Fault{}, fmt.Errorf("%q is no fault; there are %s", name, strings.Join(FaultKinds(p), ", "))
	}
	f := Fault{Kind: kind, P: 1}
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

func kindNamed(name string) (Kind, bool) {
	for i := range kinds {
		if kinds[i].name == name {
			return Kind(i), true
		}
	}
	return 0, false
}

// argument reads what stands behind the colon.
func (f *Fault) argument(s string) (err error) {
	k := &kinds[f.Kind]
	if s == "" && k.usual > 0 {
		f.Count = k.usual
		return nil
	}
	switch k.takes {
	case aTime:
		if s == "" {
			return fmt.Errorf("it needs a time, as in %s:200ms", f.Kind)
		}
		f.Duration, err = positive(s)
		return err
	case aNumber:
		f.Count, err = strconv.Atoi(s)
		if err != nil || f.Count < 1 {
			return fmt.Errorf("it needs a number above 0, as in %s:2", f.Kind)
		}
		return nil
	case anException:
		f.Count, err = strconv.Atoi(s)
		if err != nil || f.Count < 1 || f.Count > 255 {
			return fmt.Errorf("%q is no exception code from 1 to 255", s)
		}
		return nil
	case anErrorCode:
		return f.errorCode(s)
	case addressRange:
		return f.addresses(s)
	case maybeRange:
		if s != "" {
			return f.addresses(s)
		}
	}
	if s != "" {
		return fmt.Errorf("%s takes no argument, not %q", f.Kind, s)
	}
	return nil
}

func (f *Fault) errorCode(s string) error {
	code, err := strconv.ParseUint(s, 0, 16)
	if err != nil || code == 0 {
		return fmt.Errorf("%q is no error code, such as 0x8104 or 0x8500", s)
	}
	f.Count = int(code)
	return nil
}

// addresses reads an area with a range of it; those of an S7 device may be without one.
func (f *Fault) addresses(s string) error {
	a, span, ranged := strings.Cut(strings.ToLower(s), "/")
	of := areaProtocol(a)
	if of == 0 {
		return fmt.Errorf("it needs an area and addresses, as in %[1]s:holding/100-199 or %[1]s:db1/100-199; there are %[2]s", f.Kind, strings.Join(areaNames(kinds[f.Kind].of), ", "))
	}
	r, err := Range{0, lastAddress}, error(nil)
	if ranged || of == ProtocolModbus {
		r, err = parseRange(span, 0, lastAddress)
	}
	f.Area, f.From, f.To = a, r.From, r.To
	return err
}

// lastAddress is the last register of an area, and beyond the last byte of a DB.
const lastAddress = 65535

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
	case kinds[f.Kind].fixed && (seen["p"] || seen["every"]):
		return fmt.Errorf("%s takes neither p nor every", f.Kind)
	case f.Kind == PDUShrink && (f.Count < s7.MinPDU || f.Count > s7.DefaultPDU):
		return fmt.Errorf("a PDU of %d bytes is outside %d to %d", f.Count, s7.MinPDU, s7.DefaultPDU)
	case f.Kind == Download && f.Count > maxDownload:
		return fmt.Errorf("DB 1 of %d bytes; it may have 1 to %d", f.Count, maxDownload)
	case f.Kind == MaxItems && f.Count > 255:
		return fmt.Errorf("a request has at most 255 items")
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
