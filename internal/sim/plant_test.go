package sim

import (
	"strings"
	"testing"
)

func TestPlantFile(t *testing.T) {
	p, err := ParsePlant("plant.yaml", []byte("modbus:\n  - listen: 127.0.0.1:1502\n    devices: 5\n    by: port\n    seed: 7\n    faults:\n      - silence:p=0.01\n      - latency:200ms,devices=3-5\n"))
	if err != nil || len(p.Modbus) != 1 || !p.Modbus[0].ByPort || p.Modbus[0].Devices != 5 || p.Modbus[0].Seed != 7 || len(p.Modbus[0].Faults) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	p, err = ParsePlant("plant.yaml", []byte("s7:\n  - model: 1200\n    devices: 2\n    faults: [refusal:0x8500, 'download:100,after=1m']\nmodbus:\n  - seed: 1\n"))
	if err != nil || len(p.S7) != 1 || len(p.Modbus) != 1 || p.S7[0].Model != "1200" || p.S7[0].Devices != 2 || len(p.S7[0].Faults) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if all, err := p.Simulators(); err != nil || len(all) != 2 || all[1].Protocol() != ProtocolS7 || all[1].Addr(2) != "127.0.0.2:1102" {
		t.Errorf("%v, %v", all, err)
	}
	for text, want := range map[string]string{
		"":                                        "p:1:1: the file is empty",
		"modbus: []\n":                            "simulates nothing",
		"modbus: {}\n":                            "p:1:9: here must be a list",
		"s7: []\n":                                "simulates nothing",
		"opcua: []\n":                             "simulates nothing",
		"mqtt: []\n":                              `p:1:1: unknown key "mqtt"; there are modbus, opcua, s7`,
		"opcua:\n  - nodes: 0\n":                  "p:2:12: nodes is a number from 1 to 1000000",
		"modbus:\n  - model: 300\n":               `p:2:5: unknown key "model"; there are by, devices`,
		"s7:\n  - model: 200\n":                   "p:2:12: model is one of 300, 400, 1200, 1500, not \"200\"",
		"s7:\n  - faults: [cap:16]\n":             `p:2:14: fault "cap:16": cap is of Modbus devices; those of S7 have latency`,
		"s7:\n  - faults: ['unmapped:coil/1']\n":  "coil is an area of Modbus devices; those of S7 have i, q, m, t, c, db1, db2, db3",
		"modbus:\n  - device: 3\n":                `p:2:5: unknown key "device"; there are by, devices`,
		"modbus:\n  - devices: many\n":            "p:2:14: devices is a number",
		"modbus:\n  - devices: 1\n    devices: 2": `p:3:5: "devices" is there twice`,
		"modbus:\n  - by: name\n":                 "p:2:9: by is address or port",
		"modbus:\n  - seed: -1\n":                 "p:2:11: seed is",
		"modbus:\n  - faults: [quiet]\n":          `p:2:14: fault "quiet"`,
		"modbus:\n  - faults:\n      - [a]\n":     "p:3:9: here must be one value",
		"modbus:\n  - listen: 10.0.0.1:1\n":       "outside 127.0.0.0/8",
		"modbus:\n - x: [\n":                      "p: yaml",
	} {
		if _, err := ParsePlant("p", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
