package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"millrace/internal/config"
)

func newCheckCommand() *cobra.Command {
	var path string
	var schema, asJSON bool
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Check a configuration, or print its JSON Schema",
		Long: `Check says everything that is wrong with a configuration, each with file, line and column, and touches nothing.

Exit codes: 0 good, 2 not. With --json it prints {"ok","devices","tags","sinks","problems":[{"file","line","column","message"}]}.`,
		Example: "  millrace check -c gateway.yaml\n  millrace check --schema > millrace.schema.json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if schema {
				_, err := cmd.OutOrStdout().Write(config.Schema())
				return err
			}
			if path == "" {
				return usageError(errors.New("no configuration given: add -c FILE, or --schema"))
			}
			if asJSON {
				return checkJSON(cmd, path)
			}
			cfg, err := loadConfig(path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: good: %d devices, %d tags, %d sinks\n", path, len(cfg.Devices), len(cfg.TagNames()), len(cfg.Sinks))
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of the configuration")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// checkResult is what `millrace check --json` prints.
type checkResult struct {
	OK       bool          `json:"ok"`
	Devices  int           `json:"devices"`
	Tags     int           `json:"tags"`
	Sinks    int           `json:"sinks"`
	Problems []problemJSON `json:"problems"`
	Warnings []problemJSON `json:"warnings"`
}

type problemJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

func problemList(list config.Errors) []problemJSON {
	out := []problemJSON{}
	for _, e := range list {
		out = append(out, problemJSON{File: e.Place.File, Line: e.Place.Line, Column: e.Place.Column, Message: e.Error()})
	}
	return out
}

func checkJSON(cmd *cobra.Command, path string) error {
	cfg, err := load(path)
	r := checkResult{OK: err == nil, Problems: []problemJSON{}, Warnings: []problemJSON{}}
	switch list := config.AsErrors(err); {
	case list != nil:
		r.Problems = problemList(list)
	case err != nil:
		r.Problems = []problemJSON{{File: path, Message: err.Error()}}
	default:
		r.Devices, r.Tags, r.Sinks, r.Warnings = len(cfg.Devices), len(cfg.TagNames()), len(cfg.Sinks), problemList(cfg.Warnings)
	}
	if e := json.NewEncoder(cmd.OutOrStdout()).Encode(r); e != nil {
		return e
	}
	if err != nil {
		return &exitError{Code: exitUsage}
	}
	return nil
}
