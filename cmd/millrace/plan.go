package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"millrace/internal/config"
)

func newPlanCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan -c FILE",
		Short: "Show what the gateway will ask of each device",
		Long: `Plan says, before anything is sent, which requests each PLC will get: how many a second, how many bytes, how many connections, how
long a cycle will take for the round trip that its profile assumes, and where an interval cannot be kept.`,
		Example: "  millrace plan -c gateway.yaml --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			r := config.PlanOf(cfg, drivers())
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			return r.WriteText(cmd.OutOrStdout())
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
