package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

func newMaintenanceCommand() *cobra.Command {
	c := &apiClient{}
	var reason string
	cmd := &cobra.Command{
		Use:   "maintenance on|off DEVICE|DEVICE/TAG...",
		Short: "Take devices or tags of a running gateway out of service, or put them back",
		Long: `A device that is out of service is not polled and its connection is given back; its tags are bad (out of service) and raise no
alarm. It stays so over restarts until it is put back.`,
		Example: "  millrace maintenance on press-007 --reason 'valve is changed'\n  millrace maintenance off press-007",
		Args:    usageArgs(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			on := args[0] == "on"
			if !on && args[0] != "off" {
				return usageError(fmt.Errorf("%q is neither on nor off", args[0]))
			}
			if on && reason == "" {
				return usageError(errors.New("add --reason 'why': whoever finds it out of service wants to know"))
			}
			var errs []error
			for _, name := range args[1:] {
				body := map[string]any{"on": on, "reason": reason}
				path := "/api/v1/devices/" + url.PathEscape(name) + "/maintenance"
				if strings.Contains(name, "/") {
					path, body["tags"] = "/api/v1/tags/maintenance", []string{name}
				}
				if err := c.post(cmd.Context(), path, body, nil); err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, map[bool]string{true: "out of service", false: "in service"}[on])
			}
			return errors.Join(errs...)
		},
	}
	c.flags(cmd, true)
	cmd.Flags().StringVar(&reason, "reason", "", "why, in words, for whoever looks at the page; on needs it")
	return cmd
}
