package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/resilience/linktrace"
)

// predictPolls are those of each trace: 83 hours at one a second.
const predictPolls = 300_000

// detector is a way to suspect a device. known is what the reference measured of it, by link: seconds until it was found, and false alarms a device and day.
type detector struct {
	name  string
	set   resilience.Prediction
	known map[string]string
}

// benchPredict scores what prediction says of generated traces with known cuts, and of the same links without any.
func benchPredict(_ context.Context, w io.Writer, _ settings) error {
	const nothing = 1000 * time.Hour // of no sign that is not silence
	fmt.Fprintf(w, "\n## Prediction, %d polls a link with a cut of 30 s every 20 minutes or so; every other one announces itself by round trips that grow\n\n", predictPolls)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "link\tdetector\tcuts\tprecision\trecall\tlead\tsudden cut found after\tdown after\tfalse a day, without cuts\tfalse downs a day\tknown: found, false a day")
	for _, l := range linktrace.Links() {
		with, without := l.Make(1, predictPolls, true), l.Make(2, predictPolls, false)
		for _, d := range []detector{
			{"all signs", resilience.Prediction{}, nil},
			{"phi 8 alone, pause of one interval", resilience.Prediction{Deviation: nothing, Decay: nothing},
				map[string]string{"LAN": "2.5 s, 0.6", "radio": "3.7 s, 44", "slow PLC": "9.9 s (pause 1 s), 0"}},
			{"phi 8 alone, no pause", resilience.Prediction{Deviation: nothing, Decay: nothing, Pause: 1},
				map[string]string{"LAN": "1.5 s, 81", "radio": "2.7 s, 330", "slow PLC": "8.9 s, 1.5"}},
		} {
			s, calm := with.Rate(d.set), without.Rate(d.set)
			fmt.Fprintf(t, "%s\t%s\t%d, %d announced\t%.2f\t%.2f\t%s\t%s\t%s\t%.2f\t%.2f\t%s\n", l.Name, d.name, s.Cuts, s.Announced, s.Precision(), s.Recall(),
				inSeconds(linktrace.Median(s.Leads)), inSeconds(linktrace.Median(s.Delays)), inSeconds(linktrace.Median(s.DownDelays)), calm.WrongPerDay(), calm.WrongDownsPerDay(), d.known[l.Name])
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\nPrecision: of suspicions, those that a cut followed within a minute. Recall: of the cuts that announce themselves, those that were suspected before they were there; lead: how long before.")
	return err
}

func inSeconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
