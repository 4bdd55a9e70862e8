package driver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"millrace/internal/device"
	"millrace/s7"
)

// Browse asks a CPU for its identification and its blocks. The address must have diagnostics=true: there are CPUs that such questions have put
// into DEFECTIVE.
func (S7) Browse(ctx context.Context, a device.Addr, timeout time.Duration) (Survey, error) {
	opts, err := parseS7Options(a)
	if err != nil {
		return Survey{}, err
	}
	if !opts.diagnostics {
		return Survey{}, &OptionError{Option: "diagnostics", What: "browsing asks for system status lists, which have put some CPUs into DEFECTIVE; " +
			"where that is known not to happen, add diagnostics=true to the address"}
	}
	cfg := opts.config(device.Limits{})
	cfg.Timeout, cfg.DialTimeout = timeout, timeout
	c, err := s7.Dial(ctx, opts.host, cfg)
	if err != nil {
		return Survey{}, explain(err)
	}
	b := s7Browse{client: c}
	err = b.ask(ctx)
	return b.Survey, firstOf(err, c.Close())
}

// s7Browse is one survey of a CPU.
type s7Browse struct {
	Survey
	client *s7.Client
}

func (b *s7Browse) ask(ctx context.Context) error {
	for _, f := range [...]func(context.Context) error{b.modules, b.components, b.mode, b.protection, b.clock, b.connection, b.blocks} {
		if err := b.unlessRefused(f(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// unlessRefused notes a refusal, or an answer that is not what it should be, in the survey: a CPU that does not know one list knows others.
func (b *s7Browse) unlessRefused(err error) error {
	var e *s7.Error
	if err == nil || b.client.Err() != nil || !errors.As(err, &e) || e.Timeout() {
		return err
	}
	b.Refused = append(b.Refused, err.Error())
	return nil
}

func (b *s7Browse) modules(ctx context.Context) error {
	all, err := b.client.Modules(ctx)
	for _, m := range all {
		version := fmt.Sprintf("%d.%d.%d", m.Version[1], m.Version[2], m.Version[3])
		switch m.Index {
		case s7.ModuleOrder:
			b.say("order number", printable(string(m.Order)))
		case s7.ModuleHardware:
			b.say("hardware", version)
		case s7.ModuleFirmware:
			b.say("firmware", version)
		}
	}
	return err
}

func (b *s7Browse) components(ctx context.Context) error {
	names := map[uint16]string{s7.ComponentSystem: "system", s7.ComponentModule: "module", s7.ComponentPlant: "plant", s7.ComponentCopyright: "copyright",
		s7.ComponentSerial: "serial number", s7.ComponentType: "type"}
	all, err := b.client.Components(ctx)
	for _, m := range all {
		if name, ok := names[m.Index]; ok {
			b.say(name, printable(string(m.Text)))
		}
	}
	return err
}

func (b *s7Browse) mode(ctx context.Context) error {
	m, err := b.client.Mode(ctx)
	if err != nil {
		return err
	}
	switch m.Mode {
	case s7.ModeRun:
		b.say("mode", "RUN")
	case s7.ModeStop, s7.ModeStopOld:
		b.say("mode", "STOP")
	default:
		b.say("mode", "unknown ("+strconv.Itoa(int(m.Mode))+")")
	}
	return nil
}

func (b *s7Browse) protection(ctx context.Context) error {
	m, err := b.client.Protection(ctx)
	if err == nil {
		b.say("protection level", strconv.Itoa(int(m.Effective)))
	}
	return err
}

func (b *s7Browse) clock(ctx context.Context) error {
	t, err := b.client.ReadClock(ctx)
	if err == nil {
		b.say("clock", t.Format("2006-01-02 15:04:05.000"))
	}
	return err
}

func (b *s7Browse) connection(context.Context) error {
	b.say("PDU", strconv.Itoa(b.client.PDU())+" bytes")
	b.say("jobs in flight", strconv.Itoa(b.client.Window()))
	return nil
}

func (b *s7Browse) blocks(ctx context.Context) error {
	counts, err := b.client.BlockCounts(ctx)
	if err != nil {
		return err
	}
	for _, n := range counts {
		if n.Count == 0 {
			continue
		}
		if err := b.unlessRefused(b.blocksOf(ctx, n.Type)); err != nil {
			return err
		}
	}
	return nil
}

// blocksOf lists the blocks of a type; of DBs it asks how long they are.
func (b *s7Browse) blocksOf(ctx context.Context, t s7.BlockType) error {
	list, err := b.client.BlockList(ctx, t)
	for _, e := range list {
		o := Object{Name: t.String() + strconv.Itoa(int(e.Number)), Kind: e.Language.String(), Bytes: -1}
		if t == s7.BlockDB {
			info, err := b.client.BlockInfo(ctx, t, e.Number)
			if err == nil {
				o.Bytes = int(info.MC7Len)
			} else if err := b.unlessRefused(err); err != nil {
				return err
			}
		}
		b.Objects = append(b.Objects, o)
	}
	return err
}
