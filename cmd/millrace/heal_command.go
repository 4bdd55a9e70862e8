package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/heal"
	"millrace/internal/web"
)

func newHealCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "heal list|explain|dry-run|history|pause|resume",
		Short: "Look after the rules by which a running gateway heals devices",
		Long: `Heal shows the healing rules of a running gateway: which there are, what each would do and why it does not do it now, and what each has done. Rules
stand under heal in the configuration; docs/healing.md says how to write one.

Exit codes: 0 it was shown or done; 1 there is no such rule, or the gateway does not answer.`,
		Example: "  millrace heal list\n  millrace heal explain latency_loss\n  millrace heal dry-run latency_loss --subject press-007",
	}
	needsVerb(cmd)
	cmd.AddCommand(newHealListCommand(), newHealExplainCommand(), newHealDryRunCommand(), newHealHistoryCommand(), newHealPauseCommand(), newHealResumeCommand())
	return cmd
}

// shown is a verb that gets a document of the API and prints it, as it came with --json.
func shown[T any](c *apiClient, cmd *cobra.Command, path string, asJSON bool, show func(io.Writer, *T) error) error {
	var raw json.RawMessage
	if err := c.get(cmd.Context(), path, &raw); err != nil {
		return err
	}
	if asJSON {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", raw)
		return err
	}
	var doc T
	if err := json.Unmarshal(raw, &doc); err != nil {
		return err
	}
	return show(cmd.OutOrStdout(), &doc)
}

type healList struct {
	Rules []heal.Summary `json:"rules"`
	Pause heal.Pause     `json:"pause"`
}

func newHealListCommand() *cobra.Command {
	c := &apiClient{}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the rules, and how each stands", Example: "  millrace heal list --json", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return shown(c, cmd, "/api/v1/heal/rules", asJSON, printHealList)
		},
	}
	c.flags(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printHealList(w io.Writer, l *healList) error {
	if l.Pause.Reason != "" {
		fmt.Fprintf(w, "healing is paused since %s%s: %s\n", clock(l.Pause.Since, time.Now()), untilText(l.Pause.Until), l.Pause.Reason)
	}
	if len(l.Rules) == 0 {
		fmt.Fprintln(w, "there are no rules; 'heal: {use: [jitter]}' in the configuration is a beginning")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tFOR EACH\tSTATE\tRUNS\tHELPED\t")
	for _, s := range l.Rules {
		state := s.State
		if s.Dry {
			state += ", dry"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", s.Name, s.Each, state, ended(s.Runs), percent(s.Success), s.Why)
	}
	return t.Flush()
}

func untilText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + clock(t, time.Now())
}

func ended(runs map[heal.Outcome]uint64) (n uint64) {
	for _, x := range runs {
		n += x
	}
	return n
}

func percent(share float64) string {
	if share < 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

func newHealExplainCommand() *cobra.Command {
	c := &apiClient{}
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain RULE", Short: "Explain in words what a rule does, and why it does or does not do it now",
		Long: `Explain says what a rule does, for how many devices (or regions) each part of its condition holds now, and of those for which all do, or else of those that come
closest, why nothing is done.`,
		Example: "  millrace heal explain latency_loss", Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return shown(c, cmd, "/api/v1/heal/rules/"+url.PathEscape(args[0]), asJSON, printExplanation)
		},
	}
	c.flags(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printExplanation(w io.Writer, x *heal.Explanation) error {
	fmt.Fprintf(w, "rule %s, for each %s: %s, %s\n", x.Name, x.Each, x.State, x.Why)
	if x.Doc != "" {
		fmt.Fprintf(w, "  %s\n", x.Doc)
	}
	if x.Dry {
		fmt.Fprintln(w, "  It is dry: it only says what it would do.")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  when\t%s\n", strings.ReplaceAll(strings.TrimSpace(x.When), "\n", "\n  \t"))
	fmt.Fprintf(t, "  for\t%s\n  do\t%s\n  then\t%s; %s\n  limit\t%s\n", x.For, strings.Join(x.Do, ", "), x.Verify, x.After, x.Limit)
	if len(x.On) > 0 {
		fmt.Fprintf(t, "  on\t%s\n", strings.Join(x.On, ", "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "it is tried for %d; of its conditions\n", x.Watched)
	for _, c := range x.Terms {
		fmt.Fprintf(w, "  %d fulfil  %s\n", c.Holds, c.Source)
	}
	for _, s := range x.Told {
		fmt.Fprintf(w, "%s: %s\n  %s\n", s.Subject, s.Why, factLine(s.Values))
	}
	if x.Untold > 0 {
		fmt.Fprintf(w, "and %d more for which it holds\n", x.Untold)
	}
	return nil
}

func factLine(facts []heal.Fact) string {
	parts := make([]string, len(facts))
	for i, f := range facts {
		parts[i] = f.Name + " is " + f.Value
	}
	return strings.Join(parts, ", ")
}

type healPreviews struct {
	Would []heal.Preview `json:"would"`
}

func newHealDryRunCommand() *cobra.Command {
	c := &apiClient{}
	var asJSON bool
	var subject string
	cmd := &cobra.Command{
		Use: "dry-run [RULE]", Short: "Show what rules would do now, and to which devices, without doing it",
		Long: `Dry-run shows for each device or region for which a rule's condition holds now what would be done, with all values filled in, and how it would be undone. With
--subject it shows that one, whether or not the condition holds. Nothing is done.`,
		Example: "  millrace heal dry-run\n  millrace heal dry-run node_cpu --subject node", Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{"subject": {subject}}
			if len(args) == 1 {
				q.Set("rule", args[0])
			}
			return shown(c, cmd, "/api/v1/heal/dry-run?"+q.Encode(), asJSON, printPreviews)
		},
	}
	c.flags(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&subject, "subject", "", "show it for this device or region, or for node, whether or not the condition holds")
	return cmd
}

func printPreviews(w io.Writer, p *healPreviews) error {
	if len(p.Would) == 0 {
		fmt.Fprintln(w, "nothing would be done: no condition holds; --subject shows what would be done to a device")
		return nil
	}
	for _, x := range p.Would {
		fmt.Fprintf(w, "rule %s for %s (%s)\n", x.Rule, x.Subject, factLine(x.Values))
		if x.Against != "" {
			fmt.Fprintf(w, "  nothing is done now: %s\n", x.Against)
		}
		for i := range x.Steps {
			printStep(w, &x.Steps[i])
		}
		if x.Left > 0 {
			fmt.Fprintf(w, "  and %d devices more, which are beyond the limit\n", x.Left)
		}
		fmt.Fprintf(w, "  %s\n", x.Verify)
		for _, u := range x.Undo {
			fmt.Fprintf(w, "  otherwise: %s\n", u)
		}
		if x.More > 0 {
			fmt.Fprintf(w, "and for %d more; --subject shows one\n", x.More)
		}
	}
	return nil
}

func printStep(w io.Writer, s *heal.Step) {
	text := "  " + s.Action
	if s.Device != "" {
		text = "  " + s.Device + ": " + s.Action
	}
	switch {
	case s.Note != "":
		text += " (left out: " + s.Note + ")"
	case s.Error != "":
		text += ": " + s.Error
	}
	fmt.Fprintln(w, text)
	for line := range strings.Lines(s.Output) {
		fmt.Fprintf(w, "    | %s\n", strings.TrimRight(line, "\n"))
	}
}

func newHealHistoryCommand() *cobra.Command {
	c := &apiClient{}
	var asJSON, all bool
	var limit int
	cmd := &cobra.Command{
		Use: "history [RULE]", Short: "Show what rules have done, and how often it helped",
		Long: `History shows the runs that are kept, the newest last, and of each rule how often it helped. Runs outlive a restart of the gateway; the newest 2000 are kept. With
--all each is shown with its steps and with how its devices were before and afterwards.`,
		Example: "  millrace heal history latency_loss --limit 5 --all", Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			rule, q := "", url.Values{"limit": {fmt.Sprint(limit)}}
			if len(args) == 1 {
				rule = args[0]
				q.Set("rule", rule)
			}
			return shown(c, cmd, "/api/v1/heal/history?"+q.Encode(), asJSON, func(w io.Writer, h *web.HealHistory) error { return printHealHistory(w, h, rule, all) })
		},
	}
	c.flags(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "each run in full")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many runs are shown, at most 2000")
	return cmd
}

func printHealHistory(w io.Writer, h *web.HealHistory, rule string, all bool) error {
	switch {
	case len(h.Runs) == 0 && rule != "":
		fmt.Fprintf(w, "nothing is kept of a rule %s; millrace heal list names the rules\n", rule)
		return nil
	case len(h.Runs) == 0:
		fmt.Fprintln(w, "no rule has done anything yet")
		return nil
	}
	now := time.Now()
	for _, r := range slices.Backward(h.Runs) {
		fmt.Fprintf(w, "%s  %d  %s for %s: %s: %s\n", clock(r.Begun, now), r.ID, r.Rule, r.Subject, strings.ReplaceAll(string(r.Outcome), "_", " "), r.Reason)
		if all {
			printRun(w, &r, now)
		}
	}
	for _, t := range h.Rules {
		var parts []string
		for _, o := range slices.Sorted(maps.Keys(t.Runs)) {
			parts = append(parts, fmt.Sprintf("%d %s", t.Runs[o], strings.ReplaceAll(string(o), "_", " ")))
		}
		fmt.Fprintf(w, "%s helped: %s (%s)\n", t.Rule, percent(t.Success), strings.Join(parts, ", "))
	}
	return nil
}

func printRun(w io.Writer, r *heal.Record, now time.Time) {
	fmt.Fprintf(w, "  since %s\n", factLine(r.Because))
	for i := range r.Steps {
		printStep(w, &r.Steps[i])
	}
	for _, b := range r.Before {
		fmt.Fprintf(w, "  before %s\n", evidenceLine(&b))
	}
	for _, a := range r.After {
		fmt.Fprintf(w, "  after  %s\n", evidenceLine(&a))
	}
	switch {
	case !r.Undone.IsZero():
		fmt.Fprintf(w, "  undone %s\n", clock(r.Undone, now))
	case !r.UndoAt.IsZero():
		fmt.Fprintf(w, "  is undone %s\n", clock(r.UndoAt, now))
	}
}

func evidenceLine(e *heal.Evidence) string {
	text := fmt.Sprintf("%s: %s, round trip %g ms, jitter %g ms, loss %.1f %%, address %d, intervals times %g", e.Device, e.State, e.RTTMS, e.JitterMS, 100*e.Loss, e.Route, e.Stretch)
	for _, x := range []struct {
		on   bool
		word string
	}{{e.Degraded, "degraded"}, {e.Standby, "standby open"}, {e.OutOfService, "out of service"}} {
		if x.on {
			text += ", " + x.word
		}
	}
	return text
}

func newHealPauseCommand() *cobra.Command {
	c := &apiClient{}
	var reason string
	var length time.Duration
	cmd := &cobra.Command{
		Use: "pause", Short: "Heal nothing for a while",
		Long: `Pause keeps rules from beginning anything, over restarts too, until 'millrace heal resume' or the end of --for. What is under way is verified, and undone when it
does not help.`,
		Example: "  millrace heal pause --reason 'line 2 is being rebuilt' --for 4h", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := map[string]any{"on": true, "reason": reason}
			if length > 0 {
				body["for"] = length.String()
			}
			var p heal.Pause
			if reason == "" {
				return usageError(fmt.Errorf("add --reason 'why': whoever finds that nothing is healed wants to know"))
			}
			if err := c.post(cmd.Context(), "/api/v1/heal/pause", body, &p); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "healing is paused%s\n", untilText(p.Until))
			return err
		},
	}
	c.flags(cmd, true)
	cmd.Flags().StringVar(&reason, "reason", "", "why, in words; it is needed")
	cmd.Flags().DurationVar(&length, "for", 0, "how long; without it until resume")
	return cmd
}

func newHealResumeCommand() *cobra.Command {
	c := &apiClient{}
	cmd := &cobra.Command{
		Use: "resume", Short: "End a pause of healing", Example: "  millrace heal resume", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.post(cmd.Context(), "/api/v1/heal/pause", map[string]any{"on": false}, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "healing goes on")
			return err
		},
	}
	c.flags(cmd, true)
	return cmd
}
