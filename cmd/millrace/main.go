// Command millrace is the gateway and its tools: one binary, a verb for each job.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"millrace/ctxguard/analyzers"
)

// The exit codes, the same for every verb.
const (
	exitOK     = 0
	exitFailed = 1 // the job could not be done, or was done in part: the message says what is missing
	exitUsage  = 2 // a wrong command line or configuration; nothing was done
)

// exitError carries the exit code that an error ends the program with. A nil Err says nothing more: the output said it already.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

func usageError(err error) error { return &exitError{Code: exitUsage, Err: err} }

func main() {
	if analyzers.IsVetCall(os.Args[1:]) { // go vet runs this program for each package
		analyzers.Main()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and returns its exit code. It is what main does, without the process around it.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	exit := &exitError{Code: exitFailed, Err: err}
	if errors.As(err, &exit) && exit.Err == nil {
		return exit.Code
	}
	fmt.Fprintln(stderr, "millrace:", err)
	return exit.Code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "millrace",
		Short: "An industrial gateway that loses nothing and says why",
		Long: `Millrace reads and writes PLCs, keeps every value it read until every consumer has it, heals itself, and says in plain
words why something is slow or bad.

Exit codes: 0 done; 1 failed, wholly or in part; 2 wrong command line or configuration, nothing was done.`,
		Example:       "  millrace demo\n  millrace run -c gateway.yaml",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	needsVerb(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath()))
	})
	root.AddCommand(
		newDemoCommand(), newRunCommand(), newCheckCommand(), newPlanCommand(), newTestCommand(), newStatusCommand(), newWhyCommand(), newHealCommand(), newMaintenanceCommand(),
		newReadCommand(), newWriteCommand(), newApproveCommand(), newAuditCommand(), newTokenCommand(), newBrowseCommand(), newJournalCommand(), newSinkCommand(), newUserCommand(), newSimCommand(), newTrustCommand(), newVetCommand(), newCtxguardCommand(), newVersionCommand(),
	)
	return root
}

// needsVerb makes cmd one that only its subcommands do anything for: alone it prints its help, and another word behind it is a usage error.
func needsVerb(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usageError(fmt.Errorf("unknown command %q; did you mean %q?", args[0], near[0]))
		}
		return usageError(fmt.Errorf("unknown command %q; see '%s --help'", args[0], cmd.CommandPath()))
	}
}
