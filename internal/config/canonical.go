package config

import (
	"fmt"
	"strings"

	"millrace/internal/device"
)

// canonizer is a driver that understands several spellings of an address. Canonical returns the one form of it; a spelling that carries a
// scale gives it as the attribute of a tag: "holding:100:int16 scale=0.1". What Canonical refuses, Compile refuses too. The addresses of a
// driver that is none are taken as they are written.
type canonizer interface {
	Canonical(address string) (string, error)
}

// spelling is an address as written, for the driver whose spelling it is.
type spelling struct {
	driver  string
	address string
}

// fillTag makes t from its draft: with its address in canonical form, and with the scale that the address carries.
func (l *loader) fillTag(t *device.TagSpec, d *tagDraft, driver string, sc *scope) error {
	var err error
	if *t, err = d.fill(sc); err != nil {
		return err
	}
	if err := l.checkRule(t); err != nil {
		return fmt.Errorf("tag %s: %w", d.name, err)
	}
	own, scale := t.Scale, ""
	t.Address, scale, _ = strings.Cut(l.canonical(driver, t.Address, d.address.constant()), " scale=")
	if scale != "" {
		if err := setAttr(t, "scale", scale); err != nil {
			return fmt.Errorf("tag %s: scale inside the address: %w", d.name, err)
		}
	}
	if own != 0 && own != t.Scale {
		return fmt.Errorf("tag %s: scale=%g and the scale=%g inside the address differ; leave one of them out", d.name, own, t.Scale)
	}
	if t.Bias != 0 && t.Scale == 0 {
		t.Scale = 1 // a Scale of 0 is no scaling at all, bias included
	}
	return nil
}

// canonical returns what the driver makes of an address, or the address itself when the driver refuses it: Compile will say why. Addresses
// that many devices share are asked for once.
func (l *loader) canonical(driver, address string, shared bool) string {
	c, ok := l.drivers[driver].(canonizer)
	if !ok {
		return address
	}
	key := spelling{driver, address}
	if known, ok := l.spellings[key]; shared && ok {
		return known
	}
	out, err := c.Canonical(address)
	if err != nil || out == address {
		out = address // the text that is there already
	}
	if shared {
		l.spellings[key] = out
	}
	return out
}
