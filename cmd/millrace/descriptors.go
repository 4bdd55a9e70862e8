package main

import (
	"fmt"

	"millrace/internal/config"
)

// spareDescriptors are for files, the page and its clients.
const spareDescriptors = 500

// checkDescriptors refuses a configuration that needs more sockets than the process may open.
func checkDescriptors(cfg *config.Config) error {
	limit := descriptorLimit()
	if limit == 0 {
		return nil
	}
	known := drivers()
	slots := map[string]int{}
	for _, d := range cfg.Devices {
		slots[known[d.Driver].Endpoint(d.Addr)] = max(1, d.Slots)
		for _, r := range d.Routes { // a session may be open at each
			if key := known[d.Driver].Endpoint(r.Addr); slots[key] == 0 {
				slots[key] = max(1, d.Slots)
			}
		}
	}
	sessions, other := uint64(0), uint64(otherDescriptors(cfg))
	for _, n := range slots {
		sessions += uint64(n)
	}
	if need := sessions + other; need > limit {
		return fmt.Errorf("%d connections and %d other files and clients need a descriptor limit of %d, and it is %d; raise it (ulimit -n, or LimitNOFILE in the service)",
			sessions, other, need, limit)
	}
	return nil
}

// otherDescriptors returns how many are not for devices: the spare ones, and those of the clients that the gateway serves.
func otherDescriptors(cfg *config.Config) int {
	n := spareDescriptors
	for _, s := range cfg.Serve {
		n += servedConns(s)
	}
	return n
}

// mostSessions returns how many connections to devices may be open at once, 0 when there is no limit to speak of.
func mostSessions(cfg *config.Config) int {
	return max(0, int(descriptorLimit())-otherDescriptors(cfg))
}
