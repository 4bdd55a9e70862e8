package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/driver"
)

func newBrowseCommand() *cobra.Command {
	var asJSON, asYAML bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "browse URL",
		Short: "Ask a device what it is and what is in it",
		Long: `Browse opens one connection, asks a device for its identification and for what can be read of it, and closes the connection.

An S7 CPU says order number, firmware, names, mode, protection level, clock, and its blocks with the length of each DB. That takes questions which have
put some CPUs into DEFECTIVE: they are only asked when the address says diagnostics=true. A Modbus device says its identification (function 2B/0E), if it
has one. An OPC UA server says what it is, its namespaces, and its nodes: as a tree, with the type of each value, rw where it may be written, and the
address that reads it.

With --yaml it prints a configuration with a tag for each node that can be read, and files for the values, which runs as it is: cut it down to what is
wanted.
With --json it prints {"facts":[{"name","value"}],"objects":[{"name","kind","bytes"}],"nodes":[{"depth","name","kind","address","tag","rw"}],"refused":[...]};
bytes is null when the device does not say it. The exit code is 1 when the device said nothing.`,
		Example: "  millrace browse 's7://127.0.0.1:1102?slot=1&diagnostics=true'\n  millrace browse modbus://127.0.0.1:1502/1\n" +
			"  millrace browse opc.tcp://127.0.0.1:4840 --yaml > gateway.yaml",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON && asYAML {
				return usageError(errors.New("--json and --yaml: take one of them"))
			}
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
			if asYAML {
				return writeSurveyConfig(cmd.OutOrStdout(), cmd.ErrOrStderr(), survey, addr)
			}
			if err := writeSurvey(cmd.OutOrStdout(), survey, asJSON); err != nil {
				return err
			}
			if len(survey.Facts)+len(survey.Objects)+len(survey.Nodes) == 0 {
				return &exitError{Code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&asYAML, "yaml", false, "print a configuration with a tag for each node")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Second, "wait for the connection and for each answer")
	return cmd
}

// surveyJSON is what `millrace browse --json` prints.
type surveyJSON struct {
	Facts   []factJSON   `json:"facts"`
	Objects []objectJSON `json:"objects"`
	Nodes   []nodeJSON   `json:"nodes"`
	Refused []string     `json:"refused"`
}

type nodeJSON struct {
	Depth    int    `json:"depth"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Address  string `json:"address"`
	Tag      string `json:"tag,omitempty"`
	Writable bool   `json:"rw"`
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
		out := surveyJSON{Facts: []factJSON{}, Objects: []objectJSON{}, Nodes: []nodeJSON{}, Refused: append([]string{}, s.Refused...)}
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
		for _, n := range s.Nodes {
			out.Nodes = append(out.Nodes, nodeJSON{n.Depth, n.Name, n.Kind, n.Address, n.Tag, n.Writable})
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
	for _, n := range s.Nodes {
		rw := ""
		if n.Writable {
			rw = "rw"
		}
		fmt.Fprintf(t, "%s%s\t%s\t%s\t%s\n", strings.Repeat("  ", n.Depth), n.Name, n.Kind, rw, n.Address)
	}
	for _, r := range s.Refused {
		fmt.Fprintf(t, "not said:\t%s\n", r)
	}
	return t.Flush()
}

// writeSurveyConfig prints a configuration with a tag for each node that can be read, and to notes what is missing in it.
func writeSurveyConfig(w, notes io.Writer, s driver.Survey, a device.Addr) error {
	d := config.EmitDevice{ID: "device", Address: a.String(), Options: maps.Clone(a.Options)}
	for _, f := range s.Facts {
		if f.Name == "application" {
			d.ID = f.Value
		}
	}
	if _, said := d.Options["password"]; said {
		delete(d.Options, "password")
		fmt.Fprintln(notes, "the password is left out: say it as password: ${env:NAME} or ${file:PATH} among the options")
	}
	switch {
	case bare(a) && s.OnlyOpen:
		if d.Options == nil {
			d.Options = map[string]string{}
		}
		d.Options["security"] = "none"
		fmt.Fprintln(notes, "the server offers no security at all: security: none is written, without which a gateway refuses it")
	case bare(a):
		fmt.Fprintln(notes, "a gateway has a certificate of its own: the server is refused until `millrace trust accept`, and the gateway until the server's operator trusts it;",
			"for a server without security say security: none among the options")
	}
	for _, n := range s.Nodes {
		if n.Tag != "" {
			d.Tags = append(d.Tags, config.EmitTag{Name: n.Tag, Address: n.Address}) // who wants to write says so
		}
	}
	for _, r := range s.Refused {
		fmt.Fprintf(notes, "not said: %s\n", r)
	}
	if len(d.Tags) == 0 {
		return &exitError{Code: exitFailed, Err: errors.New("the device names no nodes that could be tags")}
	}
	_, err := w.Write(config.Emit(d))
	return err
}

// bare says that an OPC UA server was browsed without security, which a gateway's session to it will have.
func bare(a device.Addr) bool {
	_, needs := driver.OPCUA{PKI: pkiFolder}.NeedsIdentity(a)
	return a.Scheme == "opc.tcp" && needs && a.Options["pki"] == ""
}
