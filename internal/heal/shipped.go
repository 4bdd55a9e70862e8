package heal

import "time"

// Shipped returns the rules that come with the gateway, by name. None acts unless a configuration names it.
func Shipped() []Rule {
	return []Rule{
		{
			Name: "jitter", Doc: "Round trips vary by more than 100 ms: take another address where there is one, and ask half as often.",
			When: `device.up && device.jitter > duration("100ms")`, For: 30 * time.Second,
			Do:     []Action{{Type: Reroute}, {Type: Stretch, Factor: 2}},
			Verify: `device.up && device.jitter < duration("60ms")`, Hold: 10 * time.Second, Within: 2 * time.Minute, Keep: time.Hour,
		},
		{
			Name: "latency_loss", Doc: "Replies take more than 200 ms and more than 5 % never come: take another address where there is one, and ask for less at once.",
			When: `device.rtt > duration("200ms") && device.loss > 0.05`, For: 30 * time.Second,
			Do:     []Action{{Type: Standby}, {Type: Reroute}, {Type: Degrade}},
			Verify: `device.up && device.loss < 0.02`, Hold: 10 * time.Second, Within: 2 * time.Minute, Keep: time.Hour,
		},
		{
			Name: "node_cpu", Doc: "The machine is busy above 90 % for 5 minutes: ask a quarter of the devices half as often.",
			Each: EachNode, When: `node.cpu > 0.9`, Which: `device.up && device.stretch < 2.0`, For: 5 * time.Minute,
			Do:     []Action{{Type: Stretch, Factor: 2}, {Type: Notify, Text: "the machine is busy: {devices} are read half as often"}},
			Verify: `node.cpu < 0.85`, Hold: 30 * time.Second, Within: 3 * time.Minute, Keep: 30 * time.Minute,
			Limit: Limit{Devices: 100_000, Percent: 25},
		},
		{
			Name: "region_latency", Doc: "Half of a region answers slower than in 1 s: take other addresses where there are some, and ask a quarter as often.",
			Each: EachRegion, When: `region.up > 0 && region.rtt > duration("1s")`, Which: `device.up && device.rtt > duration("1s")`, For: time.Minute,
			Do:     []Action{{Type: Reroute}, {Type: Stretch, Factor: 4}, {Type: Notify, Text: "region {region} is slow: {devices} are read a quarter as often"}},
			Verify: `region.rtt < duration("800ms")`, Hold: 10 * time.Second, Within: 5 * time.Minute, Keep: time.Hour,
			Limit: Limit{Devices: 50, Percent: 50},
		},
	}
}
