package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/device"
	"millrace/internal/driver"
)

func newWriteCommand() *cobra.Command {
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "write URL ADDRESS=VALUE...",
		Short: "Write values to a device once, directly",
		Long: `Write opens one connection, writes the values in order and closes it. It goes straight to the device: nothing is audited, verified
or checked against limits. Nothing is sent when an address or a value is wrong.

With --json it prints [{"address","value","written","may_have_happened","error"}]. The exit code is 1 when a write was not confirmed.`,
		Example: "  millrace write modbus://127.0.0.1:1502/1 holding:5:int16=42 coil:7=true\n" +
			"  millrace write s7://127.0.0.1:1102/0/1 DB1.DBW0:INT=42 M10.5=true",
		Args: usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, addr, err := dialectOf(args[0])
			if err != nil {
				return usageError(err)
			}
			writes, err := parseAssignments(d, args[1:])
			if err != nil {
				return usageError(err)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "direct write: not audited, not verified")
			results, err := driver.WriteOnce(cmd.Context(), d, addr, writes, timeout)
			var option *driver.OptionError
			if errors.As(err, &option) {
				return usageError(err) // nobody was asked
			}
			if results == nil && err != nil {
				return err
			}
			if err := writeResults(cmd.OutOrStdout(), writes, results, asJSON); err != nil {
				return err
			}
			for _, r := range results {
				if r.Err != nil && err == nil {
					err = &exitError{Code: exitFailed}
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "wait for each reply")
	return cmd
}

// parseAssignments reads ADDRESS=VALUE arguments and says everything that is wrong with them.
func parseAssignments(d driver.Dialect, args []string) ([]driver.Assignment, error) {
	out := make([]driver.Assignment, len(args))
	var errs []error
	for i, s := range args {
		a, err := driver.ParseAssignment(d, s)
		if err == nil {
			_, err = d.ParseValue(a.Address, a.Value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
		}
		out[i] = a
	}
	return out, errors.Join(errs...)
}

// resultJSON is one write as `millrace write --json` prints it.
type resultJSON struct {
	Address         string `json:"address"`
	Value           string `json:"value"`
	Written         bool   `json:"written"`
	MayHaveHappened bool   `json:"may_have_happened"`
	Error           string `json:"error,omitempty"`
}

func writeResults(w io.Writer, writes []driver.Assignment, results []device.Result, asJSON bool) error {
	rows := make([]resultJSON, len(results))
	for i, r := range results {
		rows[i] = resultJSON{Address: writes[i].Address, Value: writes[i].Value, Written: r.Err == nil, MayHaveHappened: r.MayHaveHappened}
		if r.Err != nil {
			rows[i].Error = r.Err.Error()
		}
	}
	if asJSON {
		return json.NewEncoder(w).Encode(rows)
	}
	for _, r := range rows {
		end := "written"
		switch {
		case !r.Written && r.MayHaveHappened:
			end = "unknown, it may have happened: " + r.Error
		case !r.Written:
			end = "not written: " + r.Error
		}
		fmt.Fprintf(w, "%s = %s: %s\n", r.Address, r.Value, end)
	}
	return nil
}
