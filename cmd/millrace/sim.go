package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/sim"
)

func newSimCommand() *cobra.Command {
	var path string
	var emit bool
	cmd := &cobra.Command{
		Use:   "sim -c PLANT.yaml",
		Short: "Simulate a plant, on loopback only",
		Long: `Sim plays PLCs for a gateway under test. It listens on loopback only and resets every connection that comes from elsewhere.

plant.yaml lists what to simulate; 'millrace sim modbus' does without a file. With --emit-config it prints the gateway configuration that
matches and ends.`,
		Example: "  millrace sim -c plant.yaml\n  millrace sim modbus --devices 200",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return usageError(err)
			}
			plant, err := sim.ParsePlant(path, text)
			if err != nil {
				return usageError(err)
			}
			return simulate(cmd, plant.Modbus, emit, sim.EmitOptions{})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&emit, "emit-config", false, "print the matching gateway configuration and end")
	cmd.AddCommand(newSimModbusCommand())
	return cmd
}

func newSimModbusCommand() *cobra.Command {
	var c sim.ModbusConfig
	var o sim.EmitOptions
	var faults []string
	var by string
	var emit bool
	cmd := &cobra.Command{
		Use:   "modbus",
		Short: "Simulate Modbus TCP devices",
		Long: `Device i answers at the listen address + i (127.0.0.1, 127.0.0.2, ...), or with --by port at the port + i, on every unit id 1-247 and 255:

  holding register a   a, but 60000-60999: 500 live float32 (ABCD) waves; writable
  input register a     65535 - a
  coil a               set when a is a multiple of 3; writable
  discrete input a     set when a is a multiple of 5

Faults, repeatable: KIND[:ARGUMENT][,p=0.01][,every=N][,after=10s][,for=5s][,period=60s][,devices=3-5]. Kinds: latency, jitter, late, duplicate, wrong_id,
wrong_function, cut, rst, silence, exception, unmapped, cap, refuse, slots, trickle. docs/simulator.md has them all.`,
		Example: "  millrace sim modbus --listen 127.0.0.1:1502 --devices 200 --fault silence:p=0.01\n" +
			"  millrace sim modbus --devices 10000 --emit-config > g.yaml",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch by {
			case "address":
			case "port":
				c.ByPort = true
			default:
				return usageError(fmt.Errorf("--by is address or port, not %q", by))
			}
			for _, s := range faults {
				f, err := sim.ParseFault(s)
				if err != nil {
					return usageError(err)
				}
				c.Faults = append(c.Faults, f)
			}
			return simulate(cmd, []sim.ModbusConfig{c}, emit, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Listen, "listen", "127.0.0.1:1502", "address of the first device")
	f.IntVar(&c.Devices, "devices", 1, "number of devices")
	f.StringVar(&by, "by", "address", "what tells devices apart: address or port")
	f.StringArrayVar(&faults, "fault", nil, "a fault; repeatable")
	f.Uint64Var(&c.Seed, "seed", 1, "of the faults' dice")
	f.BoolVar(&emit, "emit-config", false, "print the matching gateway configuration and end")
	f.IntVar(&o.Waves, "waves", 0, "with --emit-config: live values read of each device (default 10)")
	f.DurationVar(&o.Interval, "interval", time.Second, "with --emit-config: how often they are read")
	return cmd
}

// simulate runs plants until the command is interrupted, or prints the configuration that matches the first.
func simulate(cmd *cobra.Command, plants []sim.ModbusConfig, emit bool, o sim.EmitOptions) error {
	var all []*sim.Modbus
	for _, c := range plants {
		m, err := sim.NewModbus(c)
		if err != nil {
			return usageError(err)
		}
		all = append(all, m)
	}
	if emit {
		if len(all) != 1 {
			return usageError(errors.New("--emit-config prints the configuration of one simulator; this plant has several"))
		}
		return all[0].EmitConfig(cmd.OutOrStdout(), o)
	}
	return runSims(cmd.Context(), all, plants, cmd.ErrOrStderr())
}

func runSims(ctx context.Context, all []*sim.Modbus, plants []sim.ModbusConfig, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var errs errorList
	for i, m := range all {
		if err := m.Listen(ctx); err != nil {
			cancel()
			errs.add(err)
			break
		}
		n := max(1, plants[i].Devices)
		fmt.Fprintf(w, "simulating %d Modbus devices: %s to %s\n", n, m.Addr(1), m.Addr(n))
		wg.Go(func() {
			defer cancel()
			errs.add(m.Run(ctx))
		})
	}
	wg.Wait()
	for _, m := range all {
		s := m.Stats()
		fmt.Fprintf(w, "%d connections, %d requests\n", s.Connections, s.Requests)
	}
	return errs.join()
}
