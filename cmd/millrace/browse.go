package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/driver"
)

func newBrowseCommand() *cobra.Command {
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "browse URL",
		Short: "Ask a device what it is and what is in it",
		Long: `Browse opens one connection, asks a device for its identification and for what can be read of it, and closes the connection.

An S7 CPU says order number, firmware, names, mode, protection level, clock, and its blocks with the length of each DB. That takes questions which have
put some CPUs into DEFECTIVE: they are only asked when the address says diagnostics=true. A Modbus device says its identification (function 2B/0E), if it
has one.

With --json it prints {"facts":[{"name","value"}],"objects":[{"name","kind","bytes"}],"refused":[...]}; bytes is null when the device does not say it.
The exit code is 1 when the device said nothing.`,
		Example: "  millrace browse 's7://127.0.0.1:1102?slot=1&diagnostics=true'\n  millrace browse modbus://127.0.0.1:1502/1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, addr, err := dialectOf(args[0])
			if err != nil {
				return usageError(err)
			}
			b, ok := d.(driver.Browser)
			if !ok {
				return usageError(fmt.Errorf("%s: devices of this protocol cannot be browsed", args[0]))
			}
			survey, err := b.Browse(cmd.Context(), addr, timeout)
			var option *driver.OptionError
			if errors.As(err, &option) {
				return usageError(err)
			}
			if err != nil {
				return err
			}
			if err := writeSurvey(cmd.OutOrStdout(), survey, asJSON); err != nil {
				return err
			}
			if len(survey.Facts)+len(survey.Objects) == 0 {
				return &exitError{Code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "wait for the connection and for each answer")
	return cmd
}

// surveyJSON is what `millrace browse --json` prints.
type surveyJSON struct {
	Facts   []factJSON   `json:"facts"`
	Objects []objectJSON `json:"objects"`
	Refused []string     `json:"refused"`
}

type factJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type objectJSON struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Bytes *int   `json:"bytes"`
}

func writeSurvey(w io.Writer, s driver.Survey, asJSON bool) error {
	if asJSON {
		out := surveyJSON{Facts: []factJSON{}, Objects: []objectJSON{}, Refused: append([]string{}, s.Refused...)}
		for _, f := range s.Facts {
			out.Facts = append(out.Facts, factJSON(f))
		}
		for _, o := range s.Objects {
			j := objectJSON{Name: o.Name, Kind: o.Kind}
			if o.Bytes >= 0 {
				j.Bytes = &o.Bytes
			}
			out.Objects = append(out.Objects, j)
		}
		return json.NewEncoder(w).Encode(out)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range s.Facts {
		fmt.Fprintf(t, "%s\t%s\n", f.Name, f.Value)
	}
	for _, o := range s.Objects {
		size := ""
		if o.Bytes >= 0 {
			size = strconv.Itoa(o.Bytes) + " bytes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", o.Name, o.Kind, size)
	}
	for _, r := range s.Refused {
		fmt.Fprintf(t, "not said:\t%s\n", r)
	}
	return t.Flush()
}
