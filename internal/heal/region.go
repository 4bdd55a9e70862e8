package heal

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
)

// Regions says which region a device is in.
type Regions struct {
	Named []RegionSpec // the first that has it
	Label string       // else what its label of this key says, "" for none
}

// RegionSpec says which devices make up a region: those of a subnet of it, those whose name matches a pattern of it, and those that have all of its labels.
type RegionSpec struct {
	Name    string
	Subnets []netip.Prefix
	Devices []string // patterns, as of path.Match
	Labels  map[string]string
}

func (s *RegionSpec) has(device string, addr netip.Addr, labels map[string]string) bool {
	return slices.ContainsFunc(s.Subnets, func(p netip.Prefix) bool { return p.Contains(addr) }) ||
		slices.ContainsFunc(s.Devices, func(p string) bool { ok, _ := path.Match(p, device); return ok }) ||
		len(s.Labels) > 0 && within(s.Labels, labels)
}

// within says whether all of some is in all.
func within(some, all map[string]string) bool {
	for k, v := range some {
		if have, ok := all[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Elsewhere is the region of devices that have a host name and are in no region by their own name or labels.
const Elsewhere = "elsewhere"

// Of returns the region of a device at address, which is a URL: the first named one that has it, else that of its label, else its subnet, of 24 bits of IPv4 or 64 of IPv6.
func (r *Regions) Of(device, address string, labels map[string]string) string {
	addr, known := hostOf(address)
	for i := range r.Named {
		if r.Named[i].has(device, addr, labels) {
			return r.Named[i].Name
		}
	}
	if l := labels[r.Label]; r.Label != "" && l != "" {
		return l
	}
	if !known {
		return Elsewhere
	}
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return Elsewhere
	}
	return p.String()
}

func hostOf(address string) (netip.Addr, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return netip.Addr{}, false
	}
	host := u.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap().WithZone(""), err == nil
}
