package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"millrace/internal/config"
	"millrace/internal/tag"
)

// loadConfig loads the configuration at path. What is wrong with it is printed, one problem a line, and the error is a usage error that
// has been said already. Warnings are printed too.
func loadConfig(path string, stderr io.Writer) (*config.Config, error) {
	cfg, err := load(path)
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

// load loads the configuration at path, and tries whether its parts can be made.
func load(path string) (*config.Config, error) {
	cfg, err := config.Load(path, drivers())
	if err == nil {
		err = checkParts(cfg)
	}
	return cfg, err
}

// checkParts says which sinks and notifications of cfg cannot be made. Nothing is opened for that.
func checkParts(cfg *config.Config) error {
	var bad config.Errors
	for _, s := range cfg.Sinks {
		if _, err := sinkOf(cfg.Gateway.Name, s, func(tag.ID) string { return "" }); err != nil {
			bad = append(bad, &config.Error{Place: config.Place{File: cfg.Path}, Msg: fmt.Sprintf("sink %s: %v", s.ID, err)})
		}
	}
	if _, err := (&notes{log: slog.New(slog.DiscardHandler)}).makeHooks(cfg); err != nil {
		bad = append(bad, &config.Error{Place: config.Place{File: cfg.Path}, Msg: err.Error()})
	}
	if _, err := writeTargets(cfg); err != nil {
		bad = append(bad, config.AsErrors(err)...)
	}
	if bad == nil {
		return nil
	}
	return bad
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
