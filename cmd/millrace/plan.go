package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"millrace/internal/config"
)

func newPlanCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &apiClient{}
	cmd := &cobra.Command{
		Use:   "plan -c FILE",
		Short: "Show what the gateway will ask of each device",
		Long: `Plan says, before anything is sent, which requests each PLC will get: how many a second, how many bytes, how many connections, how
long a cycle will take for the round trip that its profile assumes, and where an interval cannot be kept.

With --server it asks a running gateway as well, and shows beside the plan what that has measured: how many requests a cycle really has, how
long they take, and what a request and a byte cost each device, from which follows how long the planned ones should take.`,
		Example: "  millrace plan -c gateway.yaml --json\n  millrace plan -c gateway.yaml --server http://127.0.0.1:8080",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			r := config.PlanOf(cfg, drivers())
			if cmd.Flags().Changed("server") {
				if err := compareWith(cmd.Context(), c, &r); err != nil {
					return err
				}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			return errors.Join(r.WriteText(cmd.OutOrStdout()), r.WriteMeasured(cmd.OutOrStdout()))
		},
	}
	configFlag(cmd, &path)
	c.flags(cmd, false)
	cmd.Flags().Lookup("server").DefValue = "none"
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// compareWith puts what the gateway behind c has measured beside r.
func compareWith(ctx context.Context, c *apiClient, r *config.Report) error {
	var measured struct {
		Devices []config.MeasuredDevice `json:"devices"`
	}
	if err := c.get(ctx, "/api/v1/devices", &measured); err != nil {
		return err
	}
	if r.Compare(measured.Devices) == 0 && len(r.Devices) > 0 {
		return fmt.Errorf("the gateway at %s has none of the devices of this configuration", c.server)
	}
	return nil
}
