// Command incident is a server with a leak, as they are found in production, and the same server mended: what it costs while nobody notices, and how
// it is found. docs/ctxguard.md tells the story.
//
//	go run ./bench/incident                                      figures of all variants, side by side
//	go run ./bench/incident --serve 127.0.0.1:6061 --variant lost  leak, and let me look
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// options are the command line.
type options struct {
	variant string
	mended  bool
	serve   string
	load    time.Duration
	asJSON  bool
	guard   bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // main makes it
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "incident:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, w io.Writer) error {
	var o options
	flags := flag.NewFlagSet("incident", flag.ContinueOnError)
	flags.StringVar(&o.variant, "variant", "lost", "lost: the cancel function is lost below a long-lived parent; map: the context stays in a map while its cancel runs")
	flags.BoolVar(&o.mended, "mended", false, "the same without the mistake")
	flags.StringVar(&o.serve, "serve", "", "serve and leak at a gentle rate until interrupted, with ctxguard and pprof at this address")
	flags.DurationVar(&o.load, "load", 4*time.Second, "how long to load the server")
	flags.BoolVar(&o.asJSON, "json", false, "one variant under load, its figures as JSON")
	flags.BoolVar(&o.guard, "guard", false, "look after every context with ctxguard while under load")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.variant != "lost" && o.variant != "map" {
		return fmt.Errorf("there is no variant %q", o.variant)
	}
	switch {
	case o.serve != "":
		return serve(ctx, o, w)
	case o.asJSON:
		return measure(ctx, o, w)
	}
	return table(ctx, o, w)
}
