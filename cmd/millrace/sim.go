package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/sim"
)

func newSimCommand() *cobra.Command {
	var path, metrics string
	var emit bool
	cmd := &cobra.Command{
		Use:   "sim -c PLANT.yaml",
		Short: "Simulate a plant, on loopback only",
		Long: `Sim plays PLCs for a gateway under test. It listens on loopback only and resets every connection that comes from elsewhere.

plant.yaml lists what to simulate; 'millrace sim modbus', 'sim s7' and 'sim opcua' do without a file. With --emit-config it prints the gateway configuration that
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
			all, err := plant.Simulators()
			if err != nil {
				return usageError(err)
			}
			return simulate(cmd, all, emit, sim.EmitOptions{}, metrics)
		},
	}
	configFlag(cmd, &path)
	metricsFlag(cmd, &metrics)
	cmd.Flags().BoolVar(&emit, "emit-config", false, "print the matching gateway configuration and end")
	cmd.AddCommand(newSimModbusCommand(), newSimS7Command(), newSimOPCUACommand())
	return cmd
}

// simFlags are the flags that the simulators of all protocols have.
type simFlags struct {
	listen  string
	devices int
	by      string
	faults  []string
	seed    uint64
	emit    bool
	metrics string
	options sim.EmitOptions
}

func metricsFlag(cmd *cobra.Command, addr *string) {
	cmd.Flags().StringVar(addr, "metrics", "", "loopback address with a port at which /metrics shows what the servers count (default: nowhere)")
}

func (o *simFlags) add(cmd *cobra.Command, listen string) {
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", listen, "address of the first device")
	f.IntVar(&o.devices, "devices", 1, "number of devices")
	f.StringVar(&o.by, "by", "address", "what tells devices apart: address or port")
	f.StringArrayVar(&o.faults, "fault", nil, "a fault; repeatable")
	f.Uint64Var(&o.seed, "seed", 1, "of the faults' dice")
	metricsFlag(cmd, &o.metrics)
	f.BoolVar(&o.emit, "emit-config", false, "print the matching gateway configuration and end")
	f.IntVar(&o.options.Waves, "waves", 0, "with --emit-config: live values read of each device (default 10)")
	f.DurationVar(&o.options.Interval, "interval", time.Second, "with --emit-config: how often they are read")
}

// parse reads what flags cannot check by themselves.
func (o *simFlags) parse(p sim.Protocol) (byPort bool, faults []sim.Fault, err error) {
	if o.by != "address" && o.by != "port" {
		return false, nil, fmt.Errorf("--by is address or port, not %q", o.by)
	}
	for _, s := range o.faults {
		f, err := p.ParseFault(s)
		if err != nil {
			return false, nil, err
		}
		faults = append(faults, f)
	}
	return o.by == "port", faults, nil
}

// faultHelp ends the help of a simulator.
func faultHelp(p sim.Protocol) string {
	return "\n\nFaults, repeatable: KIND[:ARGUMENT][,p=0.01][,every=N][,after=10s][,for=5s][,period=60s][,devices=3-5]. Kinds:\n" +
		strings.Join(sim.FaultKinds(p), ", ") + ".\ndocs/simulator.md has them all."
}

func newSimModbusCommand() *cobra.Command {
	var o simFlags
	cmd := &cobra.Command{
		Use:   "modbus",
		Short: "Simulate Modbus TCP devices",
		Long: `Device i answers at the listen address + i (127.0.0.1, 127.0.0.2, ...), or with --by port at the port + i, on every unit id 1-247 and 255:

  holding register a   a, but 60000-60999: 500 live float32 (ABCD) waves; writable
  input register a     65535 - a
  coil a               set when a is a multiple of 3; writable
  discrete input a     set when a is a multiple of 5` + faultHelp(sim.ProtocolModbus),
		Example: "  millrace sim modbus --listen 127.0.0.1:1502 --devices 200 --fault silence:p=0.01\n" +
			"  millrace sim modbus --devices 10000 --emit-config > g.yaml",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			byPort, faults, err := o.parse(sim.ProtocolModbus)
			if err != nil {
				return usageError(err)
			}
			m, err := sim.NewModbus(sim.ModbusConfig{Listen: o.listen, Devices: o.devices, ByPort: byPort, Faults: faults, Seed: o.seed})
			if err != nil {
				return usageError(err)
			}
			return simulate(cmd, []sim.Simulator{m}, o.emit, o.options, o.metrics)
		},
	}
	o.add(cmd, "127.0.0.1:1502")
	return cmd
}

func newSimS7Command() *cobra.Command {
	var o simFlags
	var model string
	cmd := &cobra.Command{
		Use:   "s7",
		Short: "Simulate S7 CPUs",
		Long: `Device i answers at the listen address + i (127.0.0.1, 127.0.0.2, ...), or with --by port at the port + i:

  DB1   8,192 bytes, byte i is i modulo 251; writable
  DB2   256 live REAL waves
  DB3   a variable of each type, and some that are broken; writable
  I     1,024 bytes, byte i is i modulo 251
  Q, M  1,024 bytes of zeros each; writable
  T, C  256 each, n holds n, as S5TIME and as COUNTER; writable` + faultHelp(sim.ProtocolS7),
		Example: "  millrace sim s7 --listen 127.0.0.1:1102 --devices 200 --model 1200 --fault silence:p=0.01\n" +
			"  millrace read 's7://127.0.0.1:1102?slot=1' DB2.DBD0:REAL M10.5",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			byPort, faults, err := o.parse(sim.ProtocolS7)
			if err != nil {
				return usageError(err)
			}
			m, err := sim.NewS7(sim.S7Config{Listen: o.listen, Devices: o.devices, ByPort: byPort, Faults: faults, Seed: o.seed, Model: model})
			if err != nil {
				return usageError(err)
			}
			return simulate(cmd, []sim.Simulator{m}, o.emit, o.options, o.metrics)
		},
	}
	o.add(cmd, "127.0.0.1:1102")
	cmd.Flags().StringVar(&model, "model", "1500", "what the CPUs are: "+strings.Join(sim.S7ModelNames(), ", "))
	return cmd
}

func newSimOPCUACommand() *cobra.Command {
	var o simFlags
	var nodes int
	cmd := &cobra.Command{
		Use:   "opcua",
		Short: "Simulate OPC UA servers",
		Long: `Device i answers at the listen address + i (127.0.0.1, 127.0.0.2, ...), or with --by port at the port + i. All of them show one address space, in the
namespace ` + sim.OPCUANamespace + `:

  s=static.TYPE, s=static.TYPEArray   a variable of each built-in type with a stated value
  s=rw.TYPE, s=rw.TYPEArray           the same, writable
  s=v0, s=v1, ...                     live Double waves
  s=recipe                            a structure that clients do not know
  s=Add                               a method: the sum of two Int32

They offer no security and every policy, trust every certificate, and let in anonymous users, users with a certificate, and ` + sim.OPCUAUser + ` with the password
` + sim.OPCUAPassword + `.` + faultHelp(sim.ProtocolOPCUA),
		Example: "  millrace sim opcua --listen 127.0.0.1:4840 --nodes 10000 --fault session_loss,every=1000\n" +
			"  millrace read 'opc.tcp://127.0.0.1:4840?security=None' 'nsu=urn:millrace:sim;s=v0'",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			byPort, faults, err := o.parse(sim.ProtocolOPCUA)
			if err != nil {
				return usageError(err)
			}
			m, err := sim.NewOPCUA(sim.OPCUAConfig{Listen: o.listen, Devices: o.devices, ByPort: byPort, Faults: faults, Seed: o.seed, Nodes: nodes})
			if err != nil {
				return usageError(err)
			}
			return simulate(cmd, []sim.Simulator{m}, o.emit, o.options, o.metrics)
		},
	}
	o.add(cmd, "127.0.0.1:4840")
	cmd.Flags().IntVar(&nodes, "nodes", 100, "how many live values there are")
	return cmd
}

// simulate runs simulators until the command is interrupted, or prints the configuration that matches the only one.
func simulate(cmd *cobra.Command, all []sim.Simulator, emit bool, o sim.EmitOptions, metrics string) error {
	if emit {
		if len(all) != 1 {
			return usageError(errors.New("--emit-config prints the configuration of one simulator; this plant has several"))
		}
		return all[0].EmitConfig(cmd.OutOrStdout(), o)
	}
	return runSims(cmd.Context(), all, metrics, cmd.ErrOrStderr())
}

// runSims runs simulators, and their metrics unless the address is empty, until ctx ends or one of them does.
func runSims(ctx context.Context, all []sim.Simulator, metrics string, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var errs errorList
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			defer cancel()
			errs.add(f(ctx))
		})
	}
	if err := startSims(ctx, all, metrics, w, run); err != nil {
		cancel()
		errs.add(err)
	}
	wg.Wait()
	for _, m := range all {
		s := m.Stats()
		fmt.Fprintf(w, "%d connections, %d requests\n", s.Connections, s.Requests)
	}
	return errs.join()
}

// startSims opens all sockets and has what is behind them run, up to the first that cannot be opened.
func startSims(ctx context.Context, all []sim.Simulator, metrics string, w io.Writer, run func(func(context.Context) error)) error {
	for _, m := range all {
		if err := m.Listen(ctx); err != nil {
			return err
		}
		n := m.Devices()
		fmt.Fprintf(w, "simulating %d %v devices: %s to %s\n", n, m.Protocol(), m.Addr(1), m.Addr(n))
		run(m.Run)
	}
	if metrics == "" {
		return nil
	}
	m, err := listenMetrics(ctx, metrics, all) // behind the simulators, whose addresses it shows
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "metrics at http://%s/metrics\n", m.ln.Addr())
	run(m.run)
	return nil
}
