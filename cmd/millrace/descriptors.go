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
	}
	need := uint64(spareDescriptors)
	for _, n := range slots {
		need += uint64(n)
	}
	if need > limit {
		return fmt.Errorf("%d connections and %d other files need a descriptor limit of %d, and it is %d; raise it (ulimit -n, or LimitNOFILE in the service)",
			need-spareDescriptors, spareDescriptors, need, limit)
	}
	return nil
}

// mostSessions returns how many connections to devices may be open at once, 0 when there is no limit to speak of.
func mostSessions() int { return max(0, int(descriptorLimit())-spareDescriptors) }
