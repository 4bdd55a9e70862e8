package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/web"
	writing "millrace/internal/write"
)

// writeOptions are the flags of `millrace write`.
type writeOptions struct {
	client  apiClient
	asJSON  bool
	timeout time.Duration // direct
	why     string        // by the gateway, as all that follows
	key     string
	expire  time.Duration
}

func newWriteCommand() *cobra.Command {
	var o writeOptions
	cmd := &cobra.Command{
		Use:   "write URL ADDRESS=VALUE... | write --server URL TAG=VALUE...",
		Short: "Write values, by a running gateway or directly to a device",
		Long: `With --server write has a running gateway write tags by their full names, one after the other. The gateway checks type, range, role and interlock, has the write in its audit log before it
leaves, sends it once, reads it back and says how it ended: confirmed, differs, refused (nothing was sent), failed (it was not executed), or unknown (it may have been).

Without --server it opens one connection to a device, writes the values in order and closes it. That goes straight to the device: nothing is audited, verified or checked against limits. Nothing is
sent when an address or a value is wrong.

With --json it prints what the gateway answers, a line for each write; without --server [{"address","value","written","may_have_happened","error"}]. The exit code is 1 when a write was not confirmed.`,
		Example: "  millrace write --server http://127.0.0.1:8080 press1/temp_set=180 --why 'recipe 7'\n" +
			"  millrace write modbus://127.0.0.1:1502/1 holding:5:int16=42 coil:7=true\n" +
			"  millrace write s7://127.0.0.1:1102/0/1 DB1.DBW0:INT=42 M10.5=true",
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.client.server != "" {
				return o.byGateway(cmd, args)
			}
			for _, name := range []string{"token-file", "why", "key", "expire"} {
				if cmd.Flags().Changed(name) {
					return usageError(fmt.Errorf("--%s goes with --server: a direct write has no use for it", name))
				}
			}
			return o.direct(cmd, args)
		},
	}
	o.client.flags(cmd, true)
	cmd.Flags().Lookup("server").DefValue = ""
	o.client.server = ""
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 2*time.Second, "without --server: wait for each reply")
	cmd.Flags().StringVar(&o.why, "why", "", "with --server: why, in words, for the audit log")
	cmd.Flags().StringVar(&o.key, "key", "", "with --server and one tag: an idempotency key; two writes with one key are one")
	cmd.Flags().DurationVar(&o.expire, "expire", 0, "with --server: how long it may wait to leave, if that is less than its rule says")
	return cmd
}

// direct writes to the device itself.
func (o *writeOptions) direct(cmd *cobra.Command, args []string) error {
	if len(args) < 2 {
		return usageError(errors.New("a direct write needs a device's URL and ADDRESS=VALUE; --server URL writes by a running gateway"))
	}
	d, addr, err := dialectOf(args[0])
	if err != nil {
		return usageError(err)
	}
	writes, err := parseAssignments(d, args[1:])
	if err != nil {
		return usageError(err)
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "direct write: not audited, not verified")
	results, err := driver.WriteOnce(cmd.Context(), d, addr, writes, o.timeout)
	var option *driver.OptionError
	if errors.As(err, &option) {
		return usageError(err) // nobody was asked
	}
	if results == nil && err != nil {
		return err
	}
	if err := writeResults(cmd.OutOrStdout(), writes, results, o.asJSON); err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil && err == nil {
			err = &exitError{Code: exitFailed}
		}
	}
	return err
}

// byGateway has a gateway write. What stands behind a write that was not confirmed is not written: it may have counted on it.
func (o *writeOptions) byGateway(cmd *cobra.Command, args []string) error {
	if o.key != "" && len(args) > 1 {
		return usageError(errors.New("--key is for one write"))
	}
	bodies := make([]map[string]string, len(args))
	for i, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return usageError(fmt.Errorf("%q is not TAG=VALUE", a))
		}
		bodies[i] = map[string]string{"tag": name, "text": value, "why": o.why}
		if o.expire > 0 {
			bodies[i]["expire"] = o.expire.String()
		}
	}
	for i, b := range bodies {
		var v web.WriteView
		if err := o.client.order(cmd.Context(), "/api/v1/writes", b, o.key, &v); err != nil {
			return err
		}
		if o.asJSON {
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(&v); err != nil {
				return err
			}
		} else {
			printWrite(cmd.OutOrStdout(), &v)
		}
		if v.End == writing.Confirmed || v.End == writing.Pending {
			continue
		}
		if left := len(bodies) - i - 1; left > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "%d more were not tried\n", left)
		}
		return &exitError{Code: exitFailed}
	}
	return nil
}

// printWrite says what became of a write.
func printWrite(w io.Writer, v *web.WriteView) {
	fmt.Fprintf(w, "%s = %s: %s", v.Tag, v.New, v.End)
	if v.End == writing.Pending {
		fmt.Fprintf(w, " (number %d)", v.ID)
	}
	if v.Reason != "" {
		fmt.Fprintf(w, ": %s", v.Reason)
	}
	if v.Repeated {
		fmt.Fprint(w, " (the key was there before: this is what became of that write)")
	}
	if v.Todo != "" {
		fmt.Fprintf(w, "; %s", v.Todo)
	}
	fmt.Fprintln(w)
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
