package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/driver"
	"millrace/internal/tag"
)

func newReadCommand() *cobra.Command {
	var asJSON, big bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "read URL ADDRESS...",
		Short: "Read values from a device once",
		Long: `Read opens one connection, reads the addresses and closes it.

An address says area, number and type. Modbus: holding:100:float32, input:7:uint16, coil:7, discrete:3, holding:20.3 (a bit),
holding:40:string[20], holding:50:float32[4], holding:10:uint32:cdab. S7: DB1.DBD4:REAL, DB3.DBX0.0, MW20:INT, M10.5, T5, C3,
DB1.DBB10:STRING[20], DB1.DBD0:REAL[5]. Other dialects are understood: 40101, hr100, 1!40101, holding-register:101:REAL,
holding.100.INT16:scale=0.1; DB1,REAL4, DB1.R4, %DB1.DBD4:REAL, E0.0, VW100. OPC UA: nsu=urn:vendor:plc;s=Tank.Level,
ns=2;s=Tank.Level, i=2258, /Objects/2:Tank/2:Level, ns=2;s=Row;[2]. docs/addresses.md has them all.

With --json it prints [{"address","value","type","quality","time"}]; NaN and the infinities are null. The exit code is 1 when a value is bad.`,
		Example: "  millrace read modbus://127.0.0.1:1502/1 holding:100:float32 coil:7\n" +
			"  millrace read 's7://127.0.0.1:1102?slot=1' DB1.DBD4:REAL DB3.DBX0.0 M10.5\n" +
			"  millrace read opc.tcp://127.0.0.1:4840 'nsu=urn:vendor:plc;s=Tank.Level' i=2258",
		Args: usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, addr, err := dialectOf(args[0])
			if err != nil {
				return usageError(err)
			}
			for _, a := range args[1:] {
				if _, err := d.Canonical(a); err != nil {
					return usageError(fmt.Errorf("%s: %w", a, err))
				}
			}
			readings, err := driver.ReadOnce(cmd.Context(), d, addr, args[1:], timeout)
			var option *driver.OptionError
			if errors.As(err, &option) {
				return usageError(err) // nobody was asked
			}
			if readings == nil && err != nil {
				return err
			}
			if err := writeReadings(cmd.OutOrStdout(), readings, asJSON, tag.JSONOptions{BigAsString: big}); err != nil {
				return err
			}
			for _, r := range readings {
				if r.Quality.IsBad() && err == nil {
					err = &exitError{Code: exitFailed}
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&big, "big-as-string", false, "with --json: 64-bit integers as strings")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "wait for each reply")
	return cmd
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError(fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath()))
		}
		return nil
	}
}

// readingJSON is one value as `millrace read --json` and `millrace test --json` print it.
type readingJSON struct {
	Device  string          `json:"device,omitempty"`
	Tag     string          `json:"tag,omitempty"`
	Address string          `json:"address"`
	Value   json.RawMessage `json:"value"`
	Type    string          `json:"type"`
	Quality string          `json:"quality"`
	Time    time.Time       `json:"time"`
}

func writeReadings(w io.Writer, rs []driver.Reading, asJSON bool, o tag.JSONOptions) error {
	if asJSON {
		out := make([]readingJSON, len(rs))
		for i, r := range rs {
			out[i] = readingJSON{Address: r.Address, Value: r.Value.AppendJSON(nil, o), Type: r.Kind.String(), Quality: r.Quality.String(), Time: r.Time}
		}
		return json.NewEncoder(w).Encode(out)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rs {
		v := r.Value.String()
		if r.Quality.IsBad() {
			v = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Address, v, r.Kind, r.Quality)
	}
	return t.Flush()
}
