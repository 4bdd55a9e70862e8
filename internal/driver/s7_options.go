package driver

import (
	"cmp"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/internal/device"
	"millrace/s7"
)

// s7Options is what a device's address and options say.
type s7Options struct {
	host        string // host:port
	model       string
	rack, slot  uint8
	connection  s7.ConnectionType
	calling     []byte // TSAPs, never empty
	called      []byte
	pdu         int // most, 0 not said
	window      int // asked, 0 not said
	maxItems    int
	gap         int // bytes; -1 none, 0 not said
	dialTimeout time.Duration
	resync      s7.Resync
	diagnostics bool
}

// s7Model is what a kind of CPU has as a rule.
type s7Model struct {
	slot            uint8
	calling, called []byte // TSAPs, where they are not made of rack and slot
	pdu             int    // that it grants when it is asked for more
	window          int    // jobs in flight that it grants when it is asked for more
}

// s7Models are the models by what the option calls them. PDU and window count until a connection has shown what they are.
var s7Models = map[string]s7Model{
	"200smart": {slot: 1, pdu: 240, window: 1},
	"logo":     {calling: []byte{1, 0}, called: []byte{2, 0}, pdu: 240, window: 1},
	"300":      {slot: 2, pdu: 240, window: 1},
	"400":      {slot: 2, pdu: 480, window: 1},
	"1200":     {slot: 1, pdu: 240, window: 3},
	"1500":     {slot: 1, pdu: 960, window: 3},
}

// anyS7 stands for a model that is not said.
var anyS7 = s7Model{slot: 1, pdu: 240, window: 1}

// modelOf returns the model that the options name.
func (o *s7Options) modelOf() s7Model {
	if m, ok := s7Models[o.model]; ok {
		return m
	}
	return anyS7
}

// s7OptionTable has each option with how it is read.
var s7OptionTable = map[string]func(o *s7Options, v string) error{
	"model":        func(o *s7Options, v string) error { return o.setModel(v) },
	"rack":         func(o *s7Options, v string) error { return byteOption(&o.rack, v, 7) },
	"slot":         func(o *s7Options, v string) error { return byteOption(&o.slot, v, 31) },
	"connection":   func(o *s7Options, v string) error { return o.setConnection(v) },
	"local_tsap":   func(o *s7Options, v string) (err error) { o.calling, err = parseTSAP(v); return err },
	"remote_tsap":  func(o *s7Options, v string) (err error) { o.called, err = parseTSAP(v); return err },
	"pdu":          func(o *s7Options, v string) error { return intOption(&o.pdu, v, s7.MinPDU, s7.MaxTPKT-s7.FrameBytes) },
	"window":       func(o *s7Options, v string) error { return intOption(&o.window, v, 1, s7.MaxWindow) },
	"max_items":    func(o *s7Options, v string) error { return intOption(&o.maxItems, v, 1, 255) },
	"gap":          func(o *s7Options, v string) error { return noneOption(&o.gap, v, maxGap) },
	"dial_timeout": func(o *s7Options, v string) error { return durationOption(&o.dialTimeout, v) },
	"resync":       func(o *s7Options, v string) error { return o.setResync(v) },
	"diagnostics":  func(o *s7Options, v string) error { return boolOption(&o.diagnostics, v) },
}

// maxGap is the longest gap that is read over: more than a PDU holds makes no sense.
const maxGap = s7.MaxTPKT - s7.FrameBytes

func byteOption(p *uint8, v string, most int) error {
	n := 0
	if err := intOption(&n, v, 0, most); err != nil {
		return err
	}
	*p = uint8(n)
	return nil
}

// noneOption reads a number that Limits says 0 of with -1, since 0 is "not said" there.
func noneOption(p *int, v string, most int) error {
	if err := intOption(p, v, 0, most); err != nil {
		return err
	}
	*p = cmp.Or(*p, -1)
	return nil
}

func boolOption(p *bool, v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return errors.New("neither true nor false")
	}
	*p = b
	return nil
}

func (o *s7Options) setModel(v string) error {
	if _, ok := s7Models[v]; !ok {
		return errors.New("not one of " + strings.Join(slices.Sorted(maps.Keys(s7Models)), ", "))
	}
	o.model = v
	return nil
}

func (o *s7Options) setConnection(v string) error {
	types := map[string]s7.ConnectionType{"pg": s7.ConnectPG, "op": s7.ConnectOP, "basic": s7.ConnectBasic}
	t, ok := types[strings.ToLower(v)]
	if !ok {
		return errors.New("not one of pg, op, basic")
	}
	o.connection = t
	return nil
}

func (o *s7Options) setResync(v string) error {
	modes := map[string]s7.Resync{"off": s7.ResyncOff, "once": s7.ResyncOnce, "always": s7.ResyncAlways}
	m, ok := modes[v]
	if !ok {
		return errors.New("not one of off, once, always")
	}
	o.resync = m
	return nil
}

// maxTSAP is the longest TSAP that RFC 1006 has.
const maxTSAP = 16

// parseTSAP reads 0x0200, 0200, and 02.00 as the tools of LOGO! and STEP 7 write it.
func parseTSAP(v string) ([]byte, error) {
	digits := strings.ReplaceAll(strings.TrimPrefix(strings.ToLower(v), "0x"), ".", "")
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) == 0 || len(b) > maxTSAP {
		return nil, errors.New("not a TSAP such as 02.00 or 0x0200")
	}
	return b, nil
}

// parseS7Options reads and checks all of a.
func parseS7Options(a device.Addr) (s7Options, error) {
	o := s7Options{host: withPort(a.Host, strconv.Itoa(S7{}.Ports()[schemeS7])), connection: s7.ConnectOP}
	switch {
	case a.Scheme != schemeS7:
		return o, &OptionError{"address", a.String(), "the scheme is not s7"}
	case a.Host == "":
		return o, &OptionError{"address", a.String(), "there is no host"}
	}
	if err := o.parse(a.Options); err != nil {
		return o, err
	}
	if _, ok := a.Options["slot"]; !ok {
		o.slot = o.modelOf().slot
	}
	if err := o.path(a); err != nil {
		return o, err
	}
	return o, o.tsaps(a)
}

func (o *s7Options) parse(options map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(options)) { // the first error is the same each time
		set, ok := s7OptionTable[name]
		if !ok {
			return &OptionError{Option: name, What: "there is no such option" + suggestOption(name, s7OptionTable)}
		}
		if err := set(o, options[name]); err != nil {
			return &OptionError{name, options[name], err.Error()}
		}
	}
	return nil
}

// path takes rack/slot behind the host.
func (o *s7Options) path(a device.Addr) error {
	if a.Path == "" {
		return nil
	}
	rack, slot, ok := strings.Cut(a.Path, "/")
	if !ok || byteOption(&o.rack, rack, 7) != nil || byteOption(&o.slot, slot, 31) != nil {
		return &OptionError{"address", a.String(), "what stands behind the host is rack/slot, such as 0/1"}
	}
	for _, name := range [...]string{"rack", "slot"} {
		if v, twice := a.Options[name]; twice {
			return &OptionError{name, v, "the address has it already, behind the host"}
		}
	}
	return nil
}

// tsaps fills in the TSAPs that were not said.
func (o *s7Options) tsaps(a device.Addr) error {
	m := o.modelOf()
	if len(o.called) > 0 || len(m.called) > 0 {
		for _, name := range [...]string{"rack", "slot", "connection"} {
			if v, said := a.Options[name]; said || name == "rack" && a.Path != "" {
				return &OptionError{name, v, "it has no effect beside a TSAP, which stands for rack, slot and connection"}
			}
		}
	}
	if len(o.calling) == 0 {
		o.calling = m.calling
	}
	if len(o.calling) == 0 {
		o.calling = []byte{1, 0}
	}
	if len(o.called) == 0 {
		o.called = m.called
	}
	if len(o.called) == 0 {
		o.called = s7.AppendTSAP(nil, o.connection, o.rack, o.slot)
	}
	return nil
}

// limit returns lim held to what the options say, with what is not known yet as the model has it. A PDU is never longer than what is asked for.
func (o *s7Options) limit(lim device.Limits) device.Limits {
	m := o.modelOf()
	lim.PDU = max(s7.MinPDU, lesser(cmp.Or(lim.PDU, m.pdu), o.pdu))
	lim.MaxItems = lesser(lim.MaxItems, o.maxItems)
	lim.Window = lesser(cmp.Or(lim.Window, m.window), o.window)
	lim.Gap = cmp.Or(o.gap, lim.Gap)
	return lim
}

// config turns the options into a client's.
func (o *s7Options) config(lim device.Limits) s7.Config {
	return s7.Config{
		Calling: o.calling, Called: o.called, PDU: o.pdu, Window: o.window, DialTimeout: o.dialTimeout,
		MaxItems: lesser(lim.MaxItems, o.maxItems), Resync: o.resync, Diagnostics: o.diagnostics,
	}
}

// checkConnections refuses a pool: a PLC has few connection resources, and the jobs of one connection run at once already.
func checkConnections(lim device.Limits) error {
	if lim.Connections > 1 {
		return &OptionError{"pool", strconv.Itoa(lim.Connections), "an S7 device is read over one connection, with as many requests in flight as it grants"}
	}
	return nil
}
