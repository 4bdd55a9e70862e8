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
	said, err := d.fill(sc)
	if err != nil {
		return err
	}
	if err := l.checkRule(&said); err != nil {
		return fmt.Errorf("tag %s: %w", d.name, err)
	}
	address, scale, _ := strings.Cut(l.canonical(driver, d.address.fill(sc), d.address.constant()), " scale=")
	own := said.Scale
	if scale != "" {
		if err := setAttr(&said, "scale", scale); err != nil {
			return fmt.Errorf("tag %s: scale inside the address: %w", d.name, err)
		}
	}
	if own != 0 && own != said.Scale {
		return fmt.Errorf("tag %s: scale=%g and the scale=%g inside the address differ; leave one of them out", d.name, own, said.Scale)
	}
	if said.Bias != 0 && said.Scale == 0 {
		said.Scale = 1 // a Scale of 0 is no scaling at all, bias included
	}
	*t = device.TagSpec{Name: sc.id + "/" + d.name, Address: address, Writable: said.writable, Shared: l.sharedTerms(said.Terms)}
	return nil
}

// sharedTerms returns t as it is there once for all tags with the same, nil for the zero Terms.
func (l *loader) sharedTerms(t device.Terms) *device.Terms {
	if t == (device.Terms{}) {
		return nil
	}
	one := l.terms[t]
	if one == nil {
		c := t // not every t: most are there already
		one = &c
		l.terms[t] = one
	}
	return one
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
