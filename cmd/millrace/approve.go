package main

import (
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/web"
)

func newApproveCommand() *cobra.Command {
	c := &apiClient{}
	var why string
	var reject bool
	cmd := &cobra.Command{
		Use:   "approve [NUMBER]",
		Short: "Approve or reject a write that waits for it, or list those that wait",
		Long: `Some tags are written only when somebody else than whoever asked approves it. Without a number approve lists what waits. It speaks to a running gateway with the token of whoever approves, which
is not that of whoever asked; 'millrace token' makes one for each. Whoever asked takes it back with --reject.`,
		Example: "  millrace approve --token-file mine.token\n  millrace approve 17 --token-file mine.token --why 'looked at the gauge'\n  millrace approve 18 --reject --why 'too hot' --token-file mine.token",
		Args:    usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.listWaiting(cmd)
			}
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usageError(fmt.Errorf("%q is not the number of a write", args[0]))
			}
			verb := map[bool]string{false: "approve", true: "reject"}[reject]
			var v web.WriteView
			if err := c.order(cmd.Context(), fmt.Sprintf("/api/v1/writes/%d/%s", id, verb), map[string]string{"why": why}, "", &v); err != nil {
				return err
			}
			printWrite(cmd.OutOrStdout(), &v)
			if !reject && v.End != "confirmed" {
				return &exitError{Code: exitFailed}
			}
			return nil
		},
	}
	c.flags(cmd, true)
	cmd.Flags().StringVar(&why, "why", "", "in words, for the audit log")
	cmd.Flags().BoolVar(&reject, "reject", false, "reject it, or take back what one has asked for")
	return cmd
}

// listWaiting prints the writes that wait to be approved.
func (c *apiClient) listWaiting(cmd *cobra.Command) error {
	var list struct {
		Waiting []web.WriteView `json:"waiting"`
	}
	if err := c.getWithToken(cmd.Context(), "/api/v1/writes", &list); err != nil {
		return err
	}
	if len(list.Waiting) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "nothing waits to be approved")
		return nil
	}
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tTAG\tIS\tSHALL BE\tBY\tWHY\tUNTIL")
	for _, w := range list.Waiting {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", w.ID, w.Tag, w.Old, w.New, w.By, w.Why, w.Until.Local().Format(time.TimeOnly))
	}
	return t.Flush()
}
