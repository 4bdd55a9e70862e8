package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"millrace/internal/config"
)

// loadConfig loads the configuration at path. What is wrong with it is printed, one problem a line, and the error is a usage error that
// has been said already. Warnings are printed too.
func loadConfig(path string, stderr io.Writer) (*config.Config, error) {
	cfg, err := config.Load(path, drivers())
	if err != nil {
		printProblems(stderr, err)
		return cfg, &exitError{Code: exitUsage}
	}
	if len(cfg.Overrides) > 0 {
		fmt.Fprintf(stderr, "set by the environment: %s\n", strings.Join(cfg.Overrides, ", "))
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintf(stderr, "warning: %v\n", w)
	}
	return cfg, nil
}

func printProblems(w io.Writer, err error) {
	list := config.AsErrors(err)
	if list == nil {
		fmt.Fprintln(w, "millrace:", err)
		return
	}
	for _, e := range list {
		fmt.Fprintln(w, e)
	}
	plural := "s"
	if len(list) == 1 {
		plural = ""
	}
	fmt.Fprintf(w, "%d problem%s; nothing was done\n", len(list), plural)
}

// configFlag adds -c, which must be given.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "", "configuration file")
	old := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *path == "" {
			return usageError(fmt.Errorf("no configuration given: add -c FILE; see '%s --help'", cmd.CommandPath()))
		}
		if old != nil {
			return old(cmd, args)
		}
		return nil
	}
}

// newLog writes what happens to w, one line each, from level on.
func newLog(w io.Writer, level string, asJSON bool) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError(errors.New("--log-level must be debug, info, warn or error"))
	}
	o := &slog.HandlerOptions{Level: l}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}
