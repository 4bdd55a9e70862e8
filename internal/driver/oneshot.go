package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace/internal/device"
	"millrace/internal/inflight"
	"millrace/internal/tag"
)

// Dialect is a driver that people can speak to: it knows addresses and values as they are typed.
type Dialect interface {
	device.Driver
	// Canonical returns an address in its one form, with the attributes of the tag that it carries behind it.
	Canonical(address string) (string, error)
	// Describe returns what an address is, without the attributes of the tag that it may carry.
	Describe(address string) (Description, error)
	// ParseValue reads a value for an address as a person types it. An error says that it cannot be written there.
	ParseValue(address, value string) (tag.Value, error)
	// CheckValue says why a value cannot be written to an address, as far as that is known without asking the device.
	CheckValue(address string, v tag.Value) error
}

// Reading is one address read once.
type Reading struct {
	Address string   // canonical
	Kind    tag.Kind // of Value; without one, what it would be
	Value   tag.Value
	Quality tag.Quality
	Time    time.Time // of the reply, or of when it was clear that there is none
}

// Scale makes the value, and the kind without one, raw * factor + bias.
func (r *Reading) Scale(factor, bias float64) {
	r.Kind = tag.Value{Kind: r.Kind}.Scaled(factor, bias).Kind
	r.Value = r.Value.Scaled(factor, bias)
}

// Assignment is one address to write.
type Assignment struct {
	Address string
	Value   string
}

// ParseValue reads a value for address: 42, -1.5, 0x1F, true, [1,2,3], or a text.
func (Modbus) ParseValue(address, value string) (tag.Value, error) {
	p, err := parseModbus(address)
	if err != nil {
		return tag.Value{}, err
	}
	v, err := p.parseValue(value)
	if err != nil {
		return tag.Value{}, err
	}
	return v, p.takes(v)
}

// CheckValue says why v cannot be written to an address.
func (Modbus) CheckValue(address string, v tag.Value) error {
	p, err := parseModbus(address)
	if err != nil {
		return err
	}
	return p.takes(v)
}

// takes says why v cannot be written to p.
func (p *modbusPoint) takes(v tag.Value) error {
	data, err := p.payload(v)
	if err == nil && p.bit < 0 {
		_, err = p.writeCall(0, data, maxWriteRegisters)
	}
	return err
}

// ParseAssignment splits holding:5:int16=42 at the last = that an address may stand before: a text may have = in it.
func ParseAssignment(d Dialect, s string) (Assignment, error) {
	var first error
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			continue
		}
		_, err := d.Canonical(s[:i])
		if err == nil {
			return Assignment{s[:i], s[i+1:]}, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("there is no =; write address=value, as in holding:5:int16=42")
	}
	return Assignment{}, fmt.Errorf("%s: %w", s, first)
}

// ReadOnce opens a session, reads addresses once and closes it. timeout is for each reply. The readings are in the order of addresses; those
// that an error left without a value are BadNoCommunication. A *RefusedError says why the device gave some of them no value.
func ReadOnce(ctx context.Context, d Dialect, a device.Addr, addresses []string, timeout time.Duration) ([]Reading, error) {
	out := make([]Reading, len(addresses))
	specs := make([]device.TagSpec, len(addresses))
	scales := make([]float64, len(addresses))
	for i, address := range addresses {
		canonical, err := d.Canonical(address)
		if err != nil {
			return nil, &device.TagError{Tag: strconv.Itoa(i + 1), Address: address, Err: err}
		}
		plain, scale, _ := strings.Cut(canonical, " scale=")
		if scale != "" {
			if scales[i], err = strconv.ParseFloat(scale, 64); err != nil {
				return nil, err
			}
		}
		what, err := d.Describe(address)
		if err != nil {
			return nil, &device.TagError{Tag: strconv.Itoa(i + 1), Address: address, Err: err}
		}
		out[i] = Reading{Address: plain, Kind: what.Kind, Quality: tag.BadNoCommunication}
		specs[i] = device.TagSpec{ID: tag.ID(i + 1), Name: plain, Address: plain}
	}
	b := &tag.Batch{}
	heard := &listener{timeout: timeout}
	err := once(ctx, d, a, specs, heard, func(s device.Session, p device.Plan) error { return s.Read(ctx, p, b) })
	for i := range b.ID {
		r := &out[b.ID[i]-1]
		r.Value, r.Quality = b.Value(i), b.Quality[i]
		if b.TS[i] != 0 {
			r.Time = time.Unix(0, b.TS[i])
		}
		if r.Kind == tag.Null {
			r.Kind = r.Value.Kind // the device alone knows it
		}
	}
	for i := range out {
		if out[i].Time.IsZero() {
			out[i].Time = time.Now()
		}
		if scales[i] != 0 {
			out[i].Scale(scales[i], 0)
		}
	}
	if err == nil && slices.ContainsFunc(out, func(r Reading) bool { return r.Quality.IsBad() }) {
		err = heard.refused()
	}
	return out, err
}

// RefusedError is what a device refused, and why, each reason once.
type RefusedError struct {
	Reasons []string
	More    int // reasons beyond those
}

func (e *RefusedError) Error() string {
	s := "refused: " + strings.Join(e.Reasons, "; and ")
	if e.More > 0 {
		s += fmt.Sprintf("; and %d more", e.More)
	}
	return s
}

// WriteOnce opens a session, writes and closes it. Nothing is sent when an address or a value is wrong. Without a session every result says
// that nothing was sent.
func WriteOnce(ctx context.Context, d Dialect, a device.Addr, w []Assignment, timeout time.Duration) ([]device.Result, error) {
	writes := make([]device.Write, len(w))
	for i, x := range w {
		v, err := d.ParseValue(x.Address, x.Value)
		if err != nil {
			return nil, &device.TagError{Tag: strconv.Itoa(i + 1), Address: x.Address, Err: err}
		}
		writes[i] = device.Write{Tag: device.TagSpec{ID: tag.ID(i + 1), Name: x.Address, Address: x.Address, Writable: true}, Value: v}
	}
	results := make([]device.Result, len(w))
	tried := false
	err := once(ctx, d, a, nil, &listener{timeout: timeout}, func(s device.Session, p device.Plan) error {
		tried = true
		return s.Write(ctx, p, writes, results)
	})
	for i := range results {
		if !tried {
			results[i].Err = fmt.Errorf("not sent: %w", err)
		}
	}
	return results, err
}

// once runs f on a session of its own.
func once(ctx context.Context, d device.Driver, a device.Addr, specs []device.TagSpec, o device.Observer, f func(device.Session, device.Plan) error) error {
	p, err := d.Compile(a, specs, device.Limits{})
	if err != nil {
		return err
	}
	s, err := d.Open(ctx, a, device.Limits{}, o)
	if err != nil {
		return err
	}
	err = f(s, p)
	end := s.Close()
	var unconfirmed *inflight.UnconfirmedError
	if errors.As(end, &unconfirmed) {
		end = nil // what the device said before is true all the same
	}
	return firstOf(err, end)
}

// mostReasons is how many reasons a RefusedError says.
const mostReasons = 5

// listener is an Observer that has a timeout, and keeps why something was refused.
type listener struct {
	timeout time.Duration
	mu      sync.Mutex
	reasons []string
	more    int
}

func (l *listener) Timeout() time.Duration       { return l.timeout }
func (*listener) Replied(time.Duration)          {}
func (*listener) Served(int, int, time.Duration) {}
func (*listener) TimedOut(time.Duration)         {}
func (*listener) Late(time.Duration)             {}
func (*listener) Foreign()                       {}
func (*listener) Learned(device.Limits)          {}

// Refused keeps the last few reasons: those of a search for the bad one among many become more exact.
func (l *listener) Refused(_ device.Span, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := err.Error()
	if slices.Contains(l.reasons, text) {
		return
	}
	if len(l.reasons) == mostReasons {
		l.reasons = slices.Delete(l.reasons, 0, 1)
		l.more++
	}
	l.reasons = append(l.reasons, text)
}

// refused returns what was kept, nil when that is nothing.
func (l *listener) refused() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.reasons) == 0 {
		return nil
	}
	return &RefusedError{l.reasons, l.more}
}
