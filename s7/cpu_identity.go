package s7

import (
	"cmp"
	"fmt"
)

// Model is a kind of PLC, of which a CPU takes what its configuration leaves open: order number, names, and how much it grants. It changes
// nothing about the services: all of them are there in each model, though an S7-1200 or 1500 has no use for some.
type Model uint16

// The models.
const (
	Model300  Model = 300  // CPU 315-2 PN/DP
	Model400  Model = 400  // CPU 414-3 PN/DP
	Model1200 Model = 1200 // CPU 1214C DC/DC/DC
	Model1500 Model = 1500 // CPU 1515-2 PN
)

// Identity is what a CPU says of itself.
type Identity struct {
	Order     string   // order number, at most 20 bytes: 6ES7 315-2EH14-0AB0
	Hardware  uint16   // version
	Firmware  [3]uint8 // {3, 2, 6} is V3.2.6
	System    string   // name of the station, at most 24 bytes
	Module    string   // name of the CPU in its project, at most 24 bytes
	Plant     string   // at most 32 bytes
	Copyright string   // at most 26 bytes
	Serial    string   // at most 24 bytes; those of the models are made up
	Type      string   // CPU 315-2 PN/DP, at most 32 bytes

	PDU         int // longest, bytes
	Window      int // jobs in flight
	Connections int // how many it says that it has; ServerConfig.MaxConns holds them to it
	MPIRate     int // bit/s
	BusRate     int // bit/s
}

const (
	siemensCopyright = "Original Siemens Equipment"
	mpiRate          = 187_500
	profibusRate     = 12_000_000
	ethernetRate     = 100_000_000
)

// identity returns the identity of a model. Order numbers and PDU lengths are those of real CPUs, and so are the window of the 1200 and the
// connections of the 300; the other windows, connections, versions and all serial numbers are plausible, no more.
func (m Model) identity() (Identity, bool) {
	switch m {
	case Model300:
		return Identity{
			Order: "6ES7 315-2EH14-0AB0", Hardware: 4, Firmware: [3]uint8{3, 2, 6}, System: "SIMATIC 300(1)", Module: "CPU 315-2 PN/DP",
			Copyright: siemensCopyright, Serial: "S C-C2UR28922012", Type: "CPU 315-2 PN/DP",
			PDU: 240, Window: 2, Connections: 16, MPIRate: mpiRate, BusRate: profibusRate,
		}, true
	case Model400:
		return Identity{
			Order: "6ES7 414-3EM06-0AB0", Hardware: 1, Firmware: [3]uint8{6, 0, 3}, System: "SIMATIC 400(1)", Module: "CPU 414-3 PN/DP",
			Copyright: siemensCopyright, Serial: "SVPA1233117", Type: "CPU 414-3 PN/DP",
			PDU: 480, Window: 8, Connections: 64, MPIRate: mpiRate, BusRate: profibusRate,
		}, true
	case Model1200:
		return Identity{
			Order: "6ES7 214-1AG40-0XB0", Hardware: 3, Firmware: [3]uint8{4, 2, 1}, System: "S7-1200 station_1", Module: "PLC_1",
			Copyright: siemensCopyright, Serial: "S C-H3P732082017", Type: "CPU 1214C DC/DC/DC",
			PDU: 240, Window: 3, Connections: 16, BusRate: ethernetRate,
		}, true
	case Model1500:
		return Identity{
			Order: "6ES7 515-2AM01-0AB0", Hardware: 1, Firmware: [3]uint8{2, 8, 3}, System: "S7-1500 station_1", Module: "PLC_1",
			Copyright: siemensCopyright, Serial: "S C-J9PS15452018", Type: "CPU 1515-2 PN",
			PDU: 960, Window: 8, Connections: 192, BusRate: ethernetRate,
		}, true
	}
	return Identity{}, false
}

// over returns the identity whose zero fields are taken from preset.
func (m Identity) over(preset *Identity) Identity {
	return Identity{
		Order: cmp.Or(m.Order, preset.Order), Hardware: cmp.Or(m.Hardware, preset.Hardware), Firmware: cmp.Or(m.Firmware, preset.Firmware),
		System: cmp.Or(m.System, preset.System), Module: cmp.Or(m.Module, preset.Module), Plant: cmp.Or(m.Plant, preset.Plant),
		Copyright: cmp.Or(m.Copyright, preset.Copyright), Serial: cmp.Or(m.Serial, preset.Serial), Type: cmp.Or(m.Type, preset.Type),
		PDU: cmp.Or(m.PDU, preset.PDU), Window: cmp.Or(m.Window, preset.Window), Connections: cmp.Or(m.Connections, preset.Connections),
		MPIRate: cmp.Or(m.MPIRate, preset.MPIRate), BusRate: cmp.Or(m.BusRate, preset.BusRate),
	}
}

func (m *Identity) check() error {
	for _, x := range []struct {
		name, text string
		most       int
	}{
		{"Order", m.Order, orderBytes}, {"System", m.System, 24}, {"Module", m.Module, 24}, {"Plant", m.Plant, componentBytes},
		{"Copyright", m.Copyright, 26}, {"Serial", m.Serial, 24}, {"Type", m.Type, componentBytes},
	} {
		if len(x.text) > x.most {
			return fmt.Errorf("s7: cpu: %s has %d bytes, at most %d", x.name, len(x.text), x.most)
		}
	}
	for _, x := range []struct {
		name        string
		v, from, to int
	}{
		{"PDU", m.PDU, MinPDU, maxServerPDU}, {"Window", m.Window, 1, maxWindow}, {"Connections", m.Connections, 1, 0xFFFF},
		{"MPIRate", m.MPIRate, 0, 1 << 30}, {"BusRate", m.BusRate, 0, 1 << 30},
	} {
		if x.v < x.from || x.v > x.to {
			return fmt.Errorf("s7: cpu: %s %d is not within %d and %d", x.name, x.v, x.from, x.to)
		}
	}
	return nil
}
