package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/tag"
)

func newTestCommand() *cobra.Command {
	var path, only string
	var asJSON, big bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "test -c FILE",
		Short: "Read every tag once and show values and reasons",
		Long: `Test does one real cycle: it connects to every device, reads every tag once and prints the value, or why there is none. Nothing is kept
and nothing is delivered. The exit code is 1 when a value is bad.

With --json it prints [{"device","tag","address","value","type","quality","time"}].`,
		Example: "  millrace test -c gateway.yaml --device press-001",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			rows, err := oneCycle(cmd.Context(), cfg, only, timeout)
			if err != nil {
				return err
			}
			o := tag.JSONOptions{BigAsString: big}
			if err := writeCycle(cmd.OutOrStdout(), rows, asJSON, o); err != nil {
				return err
			}
			if slices.ContainsFunc(rows, func(r cycleRow) bool { return r.Quality.IsBad() }) {
				return &exitError{Code: exitFailed}
			}
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&only, "device", "", "only this device")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&big, "big-as-string", false, "with --json: 64-bit integers as strings")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "wait for each reply")
	return cmd
}

// cycleRow is one tag read once.
type cycleRow struct {
	driver.Reading
	device, tag string
	reason      string // why there is no value
}

// cyclesAtOnce is how many devices are asked at the same time.
const cyclesAtOnce = 32

// oneCycle reads every tag of cfg once, of one device when only is its name.
func oneCycle(ctx context.Context, cfg *config.Config, only string, timeout time.Duration) ([]cycleRow, error) {
	var devices []device.Spec
	for _, d := range cfg.Devices {
		if only == "" || d.Name == only {
			devices = append(devices, d)
		}
	}
	if len(devices) == 0 {
		return nil, usageError(fmt.Errorf("there is no device %q in the configuration", only))
	}
	if err := ensureIdentities(cfg); err != nil {
		return nil, err
	}
	speak := dialectsOf(cfg)
	out := make([][]cycleRow, len(devices))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(cyclesAtOnce, len(devices)) {
		wg.Go(func() {
			for i := range next {
				out[i] = cycleOf(ctx, speak[devices[i].Driver], devices[i], timeout)
			}
		})
	}
	for i := range devices {
		next <- i
	}
	close(next)
	wg.Wait()
	return slices.Concat(out...), context.Cause(ctx)
}

// cycleOf reads every tag of one device once.
func cycleOf(ctx context.Context, speak driver.Dialect, d device.Spec, timeout time.Duration) []cycleRow {
	var rows []cycleRow
	var addresses []string
	var specs []device.TagSpec
	for _, g := range d.Groups {
		for _, t := range g.Tags {
			addresses, specs = append(addresses, t.Address), append(specs, t)
		}
	}
	readings, err := driver.ReadOnce(ctx, speak, d.Addr, addresses, timeout)
	for i, t := range specs {
		r := cycleRow{device: d.Name, tag: t.Name, Reading: driver.Reading{Address: t.Address, Quality: tag.BadNoCommunication}}
		if readings != nil {
			r.Reading = readings[i]
		}
		if err != nil && r.Quality.IsBad() {
			r.reason = err.Error()
		}
		if terms := t.Terms(); terms.Scale != 0 {
			r.Scale(terms.Scale, terms.Bias)
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b cycleRow) int { return cmp.Compare(a.tag, b.tag) })
	return rows
}

func writeCycle(w io.Writer, rows []cycleRow, asJSON bool, o tag.JSONOptions) error {
	if asJSON {
		out := make([]readingJSON, len(rows))
		for i, r := range rows {
			out[i] = readingJSON{Device: r.device, Tag: r.tag, Address: r.Address, Value: r.Value.AppendJSON(nil, o), Type: r.Kind.String(),
				Quality: r.Quality.String(), Time: r.Time}
		}
		return json.NewEncoder(w).Encode(out)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	bad := 0
	var said cycleRow // whose reason stands above: often one is that of all tags of a device
	for _, r := range rows {
		v := r.Value.String()
		if r.Quality.IsBad() {
			v = "-"
			bad++
		}
		reason := r.reason
		if reason != "" && reason == said.reason && r.device == said.device {
			reason = "as above"
		} else if reason != "" {
			said = r
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.tag, r.Address, v, r.Kind, r.Quality, reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d tags, %d bad\n", len(rows), bad)
	return nil
}
