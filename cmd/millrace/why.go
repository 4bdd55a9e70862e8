package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/why"
)

func newWhyCommand() *cobra.Command {
	c := &apiClient{}
	var asJSON, all bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "why DEVICE|DEVICE/TAG|URL [ADDRESS...]",
		Short: "Explain why a device or a tag is bad",
		Long: `Why asks a running gateway what is the matter with a device or a tag: in which layer (the gateway itself, name, network, TCP, handshake, sessions, device,
request, address, value, schedule, journal and sinks), since when, what changed just before, the evidence with its numbers, and what to do.

What explains most comes first, in full; what else fits follows in a line each, with --all in full too. docs/why.md has the table of all causes.

With a URL it asks no gateway: it tries that address itself, step by step (resolve, connect, shake hands, ask for the addresses, or for one that most devices have), and
explains where that ends.
Exit codes: 0 it was explained, also when something is wrong; 1 there is no such device or tag, or the gateway does not answer.`,
		Example: "  millrace why press-007\n  millrace why press-007/temperature --json\n  millrace why modbus://127.0.0.1:1502/1 holding:100:float32",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case strings.Contains(args[0], "://"):
				return whyURL(cmd, args[0], args[1:], timeout, asJSON, all)
			case len(args) > 1:
				return usageError(errNotAddressable)
			}
			var raw json.RawMessage
			if err := c.get(cmd.Context(), "/api/v1/why?of="+url.QueryEscape(args[0]), &raw); err != nil {
				return err
			}
			if asJSON {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", raw)
				return err
			}
			var e why.Explanation
			if err := json.Unmarshal(raw, &e); err != nil {
				return err
			}
			return printWhy(cmd.OutOrStdout(), &e, all)
		},
	}
	c.flags(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "all that fits, in full")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "with a URL: wait for each step and each reply")
	return cmd
}

// whyURL tries an address without a gateway.
func whyURL(cmd *cobra.Command, url string, addresses []string, timeout time.Duration, asJSON, all bool) error {
	t, err := tryAddress(cmd.Context(), url, addresses, timeout)
	switch {
	case err != nil:
		return err
	case asJSON:
		return json.NewEncoder(cmd.OutOrStdout()).Encode(t)
	}
	return printTrial(cmd.OutOrStdout(), &t, all)
}

// printWhy writes how the device stands, and why.
func printWhy(w io.Writer, e *why.Explanation, all bool) error {
	fmt.Fprintf(w, "%s %s is %s", e.What, e.Of, e.State)
	if e.What == "tag" {
		fmt.Fprint(w, " (its device)")
	}
	if e.Reason != "" {
		fmt.Fprintf(w, ": %s", e.Reason)
	}
	fmt.Fprintln(w)
	return printFindings(w, e, all)
}

// printFindings writes the first finding in full, and the others in a line each, or in full too.
func printFindings(w io.Writer, e *why.Explanation, all bool) error {
	for i := range e.Findings {
		x := &e.Findings[i]
		switch {
		case i == 0 || all:
			fmt.Fprintln(w)
			printFinding(w, x, e.Time)
		case i == 1:
			fmt.Fprintln(w, "\nWhat else fits:")
			fallthrough
		default:
			fmt.Fprintf(w, "  %s (%s, %s)\n", x.Title, x.Layer, x.Confidence)
		}
	}
	return nil
}

func printFinding(w io.Writer, x *why.Finding, now time.Time) {
	fmt.Fprintf(w, "%s\n  layer: %s; %s", x.Title, x.Layer, x.Confidence)
	if !x.Since.IsZero() {
		fmt.Fprintf(w, "; since %s, for %s", clock(x.Since, now), now.Sub(x.Since).Round(time.Second))
	}
	fmt.Fprintln(w)
	for _, m := range x.Before {
		fmt.Fprintf(w, "  just before, at %s: %s\n", clock(m.At, now), m.What)
	}
	for _, line := range x.Evidence {
		fmt.Fprintf(w, "  - %s\n", line)
	}
	fmt.Fprintln(w, "What to do:")
	for i, step := range x.Todo {
		fmt.Fprintf(w, "  %d. %s\n", i+1, upper(step))
	}
}

// upper writes a sentence with a capital, but for one that begins with a command.
func upper(s string) string {
	for _, command := range []string{"millrace ", "ping ", "getent ", "ip "} {
		if strings.HasPrefix(s, command) {
			return s
		}
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
