package heal

import (
	"net"
	"net/netip"
	"net/url"
	"path"
)

// RegionSpec says which devices make up a region: those of a subnet of it, and those whose name matches a pattern of it.
type RegionSpec struct {
	Name    string
	Subnets []netip.Prefix
	Devices []string // patterns, as of path.Match
}

// Elsewhere is the region of devices that have a host name and are in no region by their own name.
const Elsewhere = "elsewhere"

// RegionOf returns the region of a device at address, which is a URL: the first of specs that has it, and else its subnet, of 24 bits of IPv4 or 64 of IPv6.
func RegionOf(specs []RegionSpec, device, address string) string {
	addr, known := hostOf(address)
	for _, s := range specs {
		for _, p := range s.Subnets {
			if known && p.Contains(addr) {
				return s.Name
			}
		}
		for _, p := range s.Devices {
			if ok, _ := path.Match(p, device); ok {
				return s.Name
			}
		}
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
