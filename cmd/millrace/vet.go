package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
)

// newVetCommand runs go vet with this program as its tool, which does the loading, the caching and the flags.
func newVetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "vet [flags of go vet] [packages]",
		Short: "Find leaks of contexts, goroutines and resources in Go source",
		Long: `vet runs the analyzers of millrace/ctxguard/analyzers over Go packages, ./... when none are named. It takes the flags of go vet, and
each analyzer is one: -release=false leaves it out, -release alone runs nothing else. -fix applies the fixes that are safe. As the tool
of go vet itself it is go vet -vettool=$(which millrace) ./...

Exit codes: 0 nothing was found; 1 something was, or a package does not compile. The go command has to be installed.`,
		Example:            "  millrace vet ./...\n  millrace vet -fix ./internal/...",
		DisableFlagParsing: true, // the flags are go vet's
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
				return cmd.Help()
			}
			return vet(cmd, args)
		},
	}
}

func vet(cmd *cobra.Command, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("vet: %w", err)
	}
	goVet := exec.CommandContext(cmd.Context(), "go", vetArgs(self, args)...)
	goVet.Stdout, goVet.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
	err = goVet.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{Code: exitFailed} // go vet said why
	}
	if err != nil {
		return fmt.Errorf("vet: %w", err)
	}
	return nil
}

// vetArgs are the arguments of the go command: its vet with tool in place of its own, over ./... when nothing but flags is given.
func vetArgs(tool string, args []string) []string {
	out := append([]string{"vet", "-vettool=" + tool}, args...)
	for _, a := range args {
		if len(a) > 0 && a[0] != '-' {
			return out
		}
	}
	return append(out, "./...")
}
