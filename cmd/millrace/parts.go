package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/sink"
	"millrace/internal/sink/file"
	"millrace/internal/sink/postgres"
	"millrace/internal/tag"
)

// protocol is what a driver must be able to do to stand in the table.
type protocol interface {
	driver.Dialect
	Ports() map[string]int // the schemes it takes, each with its default port
}

// dialects is the table of protocols: every driver that the gateway has, by the name that configurations use.
func dialects() map[string]protocol {
	return map[string]protocol{
		"modbus": driver.NewModbus(),
		"s7":     driver.NewS7(),
		"opcua":  driver.OPCUA{},
	}
}

// drivers is the same table for what only needs to read devices.
func drivers() map[string]device.Driver { return asDrivers(dialects()) }

func asDrivers(all map[string]protocol) map[string]device.Driver {
	out := make(map[string]device.Driver, len(all))
	for name, d := range all {
		out[name] = d
	}
	return out
}

// dialectsOf is the table for a gateway of that configuration: certificates are kept in its data directory.
func dialectsOf(cfg *config.Config) map[string]protocol {
	out := dialects()
	out["opcua"] = driver.OPCUA{PKI: pkiOf(cfg)}
	return out
}

// driversOf is the same table for what only needs to read devices.
func driversOf(cfg *config.Config) map[string]device.Driver { return asDrivers(dialectsOf(cfg)) }

func pkiOf(cfg *config.Config) string { return filepath.Join(cfg.Gateway.Data, pkiFolder) }

// ensureIdentities makes the own certificates that the OPC UA devices of cfg need and that are not there, one after the other: devices that are opened at
// once would each make one.
func ensureIdentities(cfg *config.Config) error {
	done := map[string]bool{}
	for i := range cfg.Devices {
		d := &cfg.Devices[i]
		if d.Driver != "opcua" {
			continue
		}
		dir, ok := driver.OPCUA{PKI: pkiOf(cfg)}.NeedsIdentity(d.Addr)
		if !ok || done[dir] {
			continue
		}
		done[dir] = true
		if _, _, err := driver.EnsureIdentities(dir, servedHosts(cfg)...); err != nil {
			return fmt.Errorf("device %s: %w", d.Name, err)
		}
	}
	return nil
}

// sinkOf makes the sink that c describes. gateway and c.ID name its cursor; names gives tags their names.
func sinkOf(gateway string, c config.Sink, names func(tag.ID) string) (sink.Sink, error) {
	switch c.Type {
	case "postgres":
		return postgres.New(postgres.Config{URL: c.URL.Reveal(), Cursor: gateway + "/" + c.ID, Names: names, Schema: c.Schema, Table: c.Table})
	case "file":
		return file.New(file.Config{Dir: c.Dir, Names: names, MaxBytes: c.RotateBytes, MaxAge: c.RotateEvery, MaxFiles: c.MaxFiles, Gzip: c.Gzip})
	}
	return nil, fmt.Errorf("sink %s: there is no sink type %q; there are postgres and file", c.ID, c.Type)
}

// dialectOf returns the driver that takes the scheme of url, its name, or its name and a variant as in modbus+tls, and the address in url.
func dialectOf(url string) (protocol, device.Addr, error) {
	scheme, _, _ := strings.Cut(url, ":")
	d, ok := dialectOfScheme(scheme)
	if !ok {
		var known []string
		for _, d := range dialects() {
			known = append(known, slices.MinFunc(slices.Collect(maps.Keys(d.Ports())), func(a, b string) int { return len(a) - len(b) })+"://")
		}
		slices.Sort(known)
		return nil, device.Addr{}, fmt.Errorf("%q: there is no such protocol; an address begins with %s", url, strings.Join(known, " or "))
	}
	a, err := device.ParseAddr(url, d.Ports())
	if err == nil {
		_, err = d.Compile(a, nil, device.Limits{}) // what is wrong with its path or an option
	}
	return d, a, err
}

// dialectOfScheme returns the driver that takes a scheme. A variant that it does not know is for it to refuse.
func dialectOfScheme(scheme string) (protocol, bool) {
	for _, d := range dialects() {
		if _, ok := d.Ports()[scheme]; ok {
			return d, true
		}
	}
	name, _, _ := strings.Cut(scheme, "+")
	d, ok := dialects()[name]
	return d, ok
}
