package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/web"
)

// statusDocument is what `millrace status --json` prints: the API's own answers side by side.
type statusDocument struct {
	Gateway json.RawMessage `json:"gateway"`
	Devices json.RawMessage `json:"devices"`
	Sinks   json.RawMessage `json:"sinks"`
	Alarms  json.RawMessage `json:"alarms"`
	Ledger  json.RawMessage `json:"ledger"`
}

func newStatusCommand() *cobra.Command {
	c := &apiClient{}
	var asJSON, live bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show a running gateway at a glance",
		Long: `Status asks a running gateway how it is: what is wrong, which devices are not ready and why, how far the sinks are behind, and
whether the ledger adds up. Exit codes: 0 all is well, 1 something is wrong or the gateway does not answer.

With --live it only asks whether the gateway answers: 0 yes, 1 no. That is the question of a container's health check.`,
		Example: "  millrace status --server http://127.0.0.1:8080",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if live {
				return c.get(cmd.Context(), "/livez", nil)
			}
			var d statusDocument
			if err := d.fetch(cmd.Context(), c); err != nil {
				return err
			}
			wrong, err := d.report(cmd.OutOrStdout(), asJSON)
			if err == nil && wrong {
				err = &exitError{Code: exitFailed}
			}
			return err
		},
	}
	c.flags(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&live, "live", false, "only whether the gateway answers")
	return cmd
}

func (d *statusDocument) fetch(ctx context.Context, c *apiClient) error {
	var devices struct {
		Devices json.RawMessage `json:"devices"`
	}
	var sinks struct {
		Sinks json.RawMessage `json:"sinks"`
	}
	var alarms struct {
		Alarms json.RawMessage `json:"alarms"`
	}
	for _, q := range []struct {
		path string
		into any
	}{{"gateway", &d.Gateway}, {"devices", &devices}, {"sinks", &sinks}, {"alarms", &alarms}, {"ledger", &d.Ledger}} {
		if err := c.get(ctx, "/api/v1/"+q.path, q.into); err != nil {
			return err
		}
	}
	d.Devices, d.Sinks, d.Alarms = devices.Devices, sinks.Sinks, alarms.Alarms
	return nil
}

// statusDevice is what print needs of a device.
type statusDevice struct {
	ID           string    `json:"id"`
	State        string    `json:"state"`
	Reason       string    `json:"reason"`
	Since        time.Time `json:"since"`
	OutOfService bool      `json:"out_of_service"`
	Refuses      bool      `json:"refuses"`
	Endpoint     string    `json:"endpoint"`
	Route        int       `json:"route"`
	Suspicion    string    `json:"suspicion"`
	SlotsUsed    int       `json:"slots_used"`
	HalfOpen     int       `json:"half_open"`
	LoadWhy      string    `json:"load_why"`
	Stretch      float64   `json:"stretch"`
	StretchWhy   string    `json:"stretch_why"`
	WritesPaused string    `json:"writes_paused"`
}

// mostShown is how many devices with something to say about them are listed.
const mostShown = 20

// glance is what a person needs of a statusDocument.
type glance struct {
	gateway web.Gateway
	devices []statusDevice
	sinks   []web.Sink
	alarms  []web.Alarm
	ledger  web.Document
}

// report writes the document, or the glance, and says whether something is wrong.
func (d *statusDocument) report(w io.Writer, asJSON bool) (wrong bool, err error) {
	var g glance
	for _, x := range []struct {
		from json.RawMessage
		into any
	}{{d.Gateway, &g.gateway}, {d.Devices, &g.devices}, {d.Sinks, &g.sinks}, {d.Alarms, &g.alarms}, {d.Ledger, &g.ledger}} {
		if err := json.Unmarshal(x.from, x.into); err != nil {
			return false, err
		}
	}
	if asJSON {
		err = json.NewEncoder(w).Encode(d)
	} else {
		err = g.print(w, time.Now())
	}
	return len(g.alarms) > 0 || g.ledger.Residue != 0, err
}

func (g *glance) print(w io.Writer, now time.Time) error {
	fmt.Fprintf(w, "%s, millrace %s, up %s\n", g.gateway.Name, g.gateway.Version, now.Sub(g.gateway.Started).Round(time.Second))
	for _, a := range g.alarms {
		fmt.Fprintf(w, "  %s since %s: %s; %s\n", strings.ToUpper(a.Severity), clock(a.Since, now), a.Text, a.Todo)
	}
	if err := g.printDevices(w, now); err != nil {
		return err
	}
	for _, s := range g.sinks {
		fmt.Fprintf(w, "sink %s (%s): %s, %d delivered, %d waiting %s\n", s.ID, s.Kind, s.State, s.Delivered, s.Waiting, s.Reason)
	}
	v := g.ledger.Values
	_, err := fmt.Fprintf(w, "ledger: %d read, %d filtered, %d queued, %d journaled, residue %d\n", v.Read, v.Filtered, v.Queued, v.Journaled, g.ledger.Residue)
	return err
}

// printDevices counts the devices by state and lists those that are not ready, or refuse some of what they are asked.
func (g *glance) printDevices(w io.Writer, now time.Time) error {
	count := map[string]int{}
	for _, x := range g.devices {
		count[x.State]++
	}
	fmt.Fprintf(w, "devices: %d", len(g.devices))
	for _, s := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(w, ", %d %s", count[s], s)
	}
	fmt.Fprintln(w)
	g.printConnections(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	shown := 0
	for _, x := range g.devices {
		text := x.says()
		if text == "" {
			continue
		}
		if shown++; shown <= mostShown {
			fmt.Fprintf(t, "  %s\t%s\tsince %s\t%s\n", x.ID, x.State, clock(x.Since, now), text)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if shown > mostShown {
		fmt.Fprintf(w, "  and %d more that are not ready, or refuse something\n", shown-mostShown)
	}
	g.printLoad(w)
	return nil
}

// printLoad says what takes the time where little is left, and which devices are read less often for that.
func (g *glance) printLoad(w io.Writer) {
	if g.gateway.Overload != "" {
		fmt.Fprintf(w, "overload: %s\n", g.gateway.Overload)
	}
	shown, stretched := 0, 0
	for _, x := range g.devices {
		if x.Stretch > 1 {
			stretched++
		}
		if x.LoadWhy == "" && x.Stretch <= 1 {
			continue
		}
		if shown++; shown > mostShown {
			continue
		}
		if x.LoadWhy != "" {
			fmt.Fprintf(w, "load: %s\n", x.LoadWhy)
		}
		if x.Stretch > 1 {
			fmt.Fprintf(w, "  %s is read up to %g times less often: %s\n", x.ID, x.Stretch, x.StretchWhy)
		}
	}
	if stretched > mostShown {
		fmt.Fprintf(w, "  %d devices are read less often than configured\n", stretched)
	}
}

// says returns what there is to say about a device, "" when all is well: that it is at another than its first address is not.
func (x *statusDevice) says() string {
	var parts []string
	if x.State != web.StateReady || x.OutOfService || x.Refuses {
		parts = append(parts, x.Reason)
	}
	if x.Route > 0 {
		parts = append(parts, "by "+x.Endpoint)
	}
	if x.Suspicion != "" {
		parts = append(parts, x.Suspicion)
	}
	if x.WritesPaused != "" {
		parts = append(parts, x.WritesPaused)
	}
	if len(parts) == 1 && parts[0] == "" {
		return "-"
	}
	return strings.Join(parts, "; ")
}

// printConnections says how many devices are at another than their first address, and how many connections ended without their knowing.
func (g *glance) printConnections(w io.Writer) {
	routed, half := 0, 0
	for _, x := range g.devices {
		if x.Route > 0 {
			routed++
		}
		if x.HalfOpen > 0 {
			half++
		}
	}
	if routed > 0 {
		fmt.Fprintf(w, "  %d by another than their first address\n", routed)
	}
	if half > 0 {
		fmt.Fprintf(w, "  %d may count a connection still that ended without their knowing\n", half)
	}
}

// clock writes the time of day, and the day when it is not today's.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}
