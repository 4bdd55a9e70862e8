// Command bench measures the gateway's parts beside other people's programs, in the same run, taking turns, and prints medians and
// ratios. It reports; it never fails on a figure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are how long a run is.
type settings struct {
	rounds   int           // each contestant runs once a round
	each     time.Duration // one run
	millrace string        // the gateway's binary, for the data path and the devices
	debug    string        // where a gateway with many devices serves its profiles; empty is nowhere
}

// part is a table of the report.
type part struct {
	name string
	run  func(ctx context.Context, w io.Writer, s settings) error
}

var parts = []part{
	{"server", func(ctx context.Context, w io.Writer, s settings) error {
		return modbusServers.run(ctx, w, []string{"millrace", "libmodbus", "simonvetter"}, s, 100, 1)
	}},
	{"pipeline", func(ctx context.Context, w io.Writer, s settings) error {
		return modbusServers.run(ctx, w, []string{"millrace", "simonvetter"}, s, 1, 16)
	}},
	{"bad", func(ctx context.Context, w io.Writer, _ settings) error { return benchBad(ctx, w) }},
	{"client", modbusClients.run},
	{"path", func(ctx context.Context, w io.Writer, s settings) error {
		if s.millrace == "" {
			return errors.New("the data path needs -millrace BINARY")
		}
		return benchPath(ctx, w, s.millrace)
	}},
	{"s7server", benchS7Servers},
	{"s7pipeline", func(ctx context.Context, w io.Writer, s settings) error {
		return s7Servers.run(ctx, w, []string{"millrace-s7", "snap7"}, s, 1, 8)
	}},
	{"s7idle", benchS7Idle},
	{"s7client", s7Clients.run},
	{"s7tags", s7Tags.run},
	{"opcuacodec", benchOPCUACodec},
	{"opcuaserver", benchOPCUAServers},
	{"opcuaclient", benchOPCUAClients},
	{"opcuaidle", benchOPCUAIdle},
	{"opcuastart", benchOPCUAStart},
	{"opcuastorm", benchOPCUAStorm},
	{"resilience", benchResilience},
	{"degrade", benchDegrade},
	{"devices", benchDevices},
	{"return", benchReturn},
	{"isolation", benchIsolation},
	{"predict", benchPredict},
	{"writes", func(ctx context.Context, w io.Writer, s settings) error {
		if s.millrace == "" {
			return errors.New("writes need -millrace BINARY")
		}
		return benchWrites(ctx, w, s.millrace)
	}},
}

// command runs one part, or the child process of one: serve NAME, client NAME ADDR SECONDS, hold ADDR CONNECTIONS,
// sessions NAME URL COUNT, storm KEYS URL COUNT, start NAME.
func command(ctx context.Context, args []string, w io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1])
	case len(args) == 4 && args[0] == "client":
		return client(ctx, args[1], args[2], args[3])
	case len(args) == 3 && args[0] == "hold":
		return hold(ctx, args[1], args[2])
	case len(args) == 4 && args[0] == "sessions":
		return holdSessions(ctx, args[1], args[2], args[3])
	case len(args) == 4 && args[0] == "storm":
		return storm(ctx, args[1], args[2], args[3])
	case len(args) == 3 && args[0] == "outage":
		return outage(ctx, w, args[1], args[2])
	case len(args) == 2 && args[0] == "start":
		return startServerOnce(args[1])
	}
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "rounds", 5, "rounds; each contestant runs once a round")
	flags.DurationVar(&s.each, "each", 2*time.Second, "length of one run")
	flags.StringVar(&s.millrace, "millrace", "", "the gateway's binary, for the data path and the devices")
	flags.StringVar(&s.debug, "debug", "", "where a gateway with many devices serves its profiles")
	one := flags.String("part", "all", strings.Join(names, ", ")+" or all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *one != "all" && !slices.Contains(names, *one) {
		return fmt.Errorf("no part %q; there are %s", *one, strings.Join(names, ", "))
	}
	fmt.Fprintf(w, "%s, %s, %d CPUs, %d rounds of %v\n", time.Now().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), s.rounds, s.each)
	var errs []error
	for _, p := range parts {
		if *one != "all" && *one != p.name || ctx.Err() != nil {
			continue
		}
		if err := p.run(ctx, w, s); err != nil {
			fmt.Fprintf(w, "NOT RUN to its end: %v\n", err) // the others are no worse for it
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return errors.Join(errs...)
}
