package sim

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Plant is everything that a plant.yaml simulates:
//
//	modbus:
//	  - listen: 127.0.0.1:1502
//	    devices: 200
//	    by: address            # or port
//	    seed: 7
//	    faults:
//	      - silence:p=0.01
//	      - latency:200ms,devices=3-5
//	s7:
//	  - listen: 127.0.0.1:1102
//	    model: 1200            # 300, 400, 1200, 1500
//	    faults: [refusal:0x8500,p=0.1]
//	opcua:
//	  - listen: 127.0.0.1:4840
//	    nodes: 10000
//	    faults: [session_loss,every=100]
type Plant struct {
	Modbus []ModbusConfig
	S7     []S7Config
	OPCUA  []OPCUAConfig
}

// Simulator plays the devices of one protocol: Listen, then Run; any goroutine may call the other methods.
type Simulator interface {
	Protocol() Protocol
	Devices() int
	Addr(n int) string // of device n, from 1 on
	Listen(ctx context.Context) error
	Run(ctx context.Context) error
	Stop(n int, mode Mode) error
	Start(n int) error
	Stats() Stats
	EmitConfig(w io.Writer, o EmitOptions) error
}

// Simulators makes all simulators of the plant, those of Modbus first. Nothing is open yet.
func (p Plant) Simulators() ([]Simulator, error) {
	var all []Simulator
	for _, c := range p.Modbus {
		m, err := NewModbus(c)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	for _, c := range p.S7 {
		m, err := NewS7(c)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	for _, c := range p.OPCUA {
		m, err := NewOPCUA(c)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// PlantError is what is wrong in a plant.yaml, and where.
type PlantError struct {
	File         string
	Line, Column int
	What         string
}

func (e *PlantError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.What)
}

// ParsePlant reads text; file is its name for errors. An unknown key, a key twice and a value of the wrong kind are errors.
func ParsePlant(file string, text []byte) (Plant, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return Plant{}, fmt.Errorf("%s: %w", file, err)
	}
	p := plantParser{file: file}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return Plant{}, &PlantError{file, 1, 1, "the file is empty; it begins with modbus:, s7: or opcua:"}
	}
	var plant Plant
	err := p.mapping(doc.Content[0], map[string]func(*yaml.Node) error{
		"modbus": func(n *yaml.Node) error {
			return p.list(n, func(n *yaml.Node) error {
				c, err := p.modbus(n)
				plant.Modbus = append(plant.Modbus, c)
				return err
			})
		},
		"s7": func(n *yaml.Node) error {
			return p.list(n, func(n *yaml.Node) error {
				c, err := p.s7(n)
				plant.S7 = append(plant.S7, c)
				return err
			})
		},
		"opcua": func(n *yaml.Node) error {
			return p.list(n, func(n *yaml.Node) error {
				c, err := p.opcua(n)
				plant.OPCUA = append(plant.OPCUA, c)
				return err
			})
		},
	})
	if err == nil && len(plant.Modbus)+len(plant.S7)+len(plant.OPCUA) == 0 {
		err = p.bad(doc.Content[0], "it simulates nothing; give modbus:, s7: or opcua: at least one item")
	}
	return plant, err
}

type plantParser struct{ file string }

func (p *plantParser) bad(n *yaml.Node, format string, args ...any) error {
	return &PlantError{p.file, n.Line, n.Column, fmt.Sprintf(format, args...)}
}

func (p *plantParser) mapping(n *yaml.Node, keys map[string]func(*yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return p.bad(n, "here must be keys with values")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		set, ok := keys[k.Value]
		if !ok {
			return p.bad(k, "unknown key %q; there are %s", k.Value, strings.Join(sortedKeys(keys), ", "))
		}
		if seen[k.Value] {
			return p.bad(k, "%q is there twice", k.Value)
		}
		seen[k.Value] = true
		if err := set(v); err != nil {
			return err
		}
	}
	return nil
}

func (p *plantParser) list(n *yaml.Node, item func(*yaml.Node) error) error {
	if n.Kind != yaml.SequenceNode {
		return p.bad(n, "here must be a list, each item with a dash")
	}
	for _, c := range n.Content {
		if err := item(c); err != nil {
			return err
		}
	}
	return nil
}

func (p *plantParser) text(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return "", p.bad(n, "here must be one value")
	}
	return n.Value, nil
}

func (p *plantParser) modbus(n *yaml.Node) (ModbusConfig, error) {
	s, err := p.site(n, ProtocolModbus, nil)
	return ModbusConfig{Listen: s.Listen, Devices: s.Devices, ByPort: s.ByPort, Faults: s.Faults, Seed: s.Seed}, err
}

func (p *plantParser) s7(n *yaml.Node) (S7Config, error) {
	model := ""
	s, err := p.site(n, ProtocolS7, map[string]func(*yaml.Node) error{
		"model": func(n *yaml.Node) (err error) {
			if model, err = p.text(n); err != nil {
				return err
			}
			if _, err = modelNamed(model); err != nil {
				return p.bad(n, "model is one of %s, not %q", strings.Join(S7ModelNames(), ", "), model)
			}
			return nil
		},
	})
	return S7Config{Listen: s.Listen, Devices: s.Devices, ByPort: s.ByPort, Faults: s.Faults, Seed: s.Seed, Model: model}, err
}

func (p *plantParser) opcua(n *yaml.Node) (OPCUAConfig, error) {
	nodes := 0
	s, err := p.site(n, ProtocolOPCUA, map[string]func(*yaml.Node) error{
		"nodes": func(n *yaml.Node) (err error) {
			if nodes, err = strconv.Atoi(n.Value); err != nil || nodes < 1 || nodes > maxOPCUANodes {
				return p.bad(n, "nodes is a number from 1 to %d, not %q", maxOPCUANodes, n.Value)
			}
			return nil
		},
	})
	return OPCUAConfig{Listen: s.Listen, Devices: s.Devices, ByPort: s.ByPort, Faults: s.Faults, Seed: s.Seed, Nodes: nodes}, err
}

// site reads a simulator of a protocol; own are the keys that no other has.
func (p *plantParser) site(n *yaml.Node, of Protocol, own map[string]func(*yaml.Node) error) (site, error) {
	var s site
	keys := map[string]func(*yaml.Node) error{
		"listen": func(n *yaml.Node) (err error) {
			s.Listen, err = p.text(n)
			return err
		},
		"devices": func(n *yaml.Node) (err error) {
			s.Devices, err = strconv.Atoi(n.Value)
			if err != nil || s.Devices < 1 {
				return p.bad(n, "devices is a number above 0, not %q", n.Value)
			}
			return nil
		},
		"by": func(n *yaml.Node) error {
			if n.Value != "address" && n.Value != "port" {
				return p.bad(n, "by is address or port, not %q", n.Value)
			}
			s.ByPort = n.Value == "port"
			return nil
		},
		"seed": func(n *yaml.Node) (err error) {
			if s.Seed, err = strconv.ParseUint(n.Value, 10, 64); err != nil {
				return p.bad(n, "seed is a number from 0 on, not %q", n.Value)
			}
			return nil
		},
		"faults": func(n *yaml.Node) error { return p.list(n, func(n *yaml.Node) error { return p.fault(n, of, &s) }) },
	}
	maps.Copy(keys, own)
	if err := p.mapping(n, keys); err != nil {
		return s, err
	}
	if _, _, err := s.withDefaults(of); err != nil {
		return s, p.bad(n, "%v", err)
	}
	return s, nil
}

func (p *plantParser) fault(n *yaml.Node, of Protocol, s *site) error {
	text, err := p.text(n)
	if err != nil {
		return err
	}
	f, err := of.ParseFault(text)
	if err != nil {
		return p.bad(n, "%v", err)
	}
	s.Faults = append(s.Faults, f)
	return nil
}

func sortedKeys(m map[string]func(*yaml.Node) error) []string {
	return slices.Sorted(maps.Keys(m))
}
