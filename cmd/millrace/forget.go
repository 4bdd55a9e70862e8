package main

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"github.com/spf13/cobra"

	"millrace/internal/journal"
	"millrace/internal/journal/vfs"
)

func newSinkCommand() *cobra.Command {
	var data string
	forget := &cobra.Command{
		Use:   "forget ID...",
		Short: "Give up the place of a sink that is not to come back",
		Long: `A sink that was taken out of the configuration keeps its place in the journal, so that it can go on where it was: retention deletes
nothing that it did not get until max_bytes is reached. Forget gives that place up. The gateway must not be running.`,
		Example: "  millrace sink forget old-db --data ./data",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			dir := filepath.Join(data, "journal")
			if _, err := journal.Stat(cmd.Context(), vfs.OS{}, dir); err != nil {
				return noJournal(err, data)
			}
			j, err := journal.Open(journal.Config{Dir: dir, MaxBytes: math.MaxInt64, MaxAge: math.MaxInt64}) // it is not for this command to remove values
			if err != nil {
				return err
			}
			var errs []error
			for _, id := range ids {
				if !j.Forget(id) {
					errs = append(errs, fmt.Errorf("no sink called %q has a place in %s; 'millrace journal stat' lists them", id, dir))
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: forgotten\n", id)
			}
			return errors.Join(append(errs, j.Close())...)
		},
	}
	dataFlag(forget, &data)
	cmd := &cobra.Command{
		Use: "sink forget", Short: "Look after the places of sinks in the journal", Example: "  millrace sink forget old-db --data ./data",
	}
	needsVerb(cmd)
	cmd.AddCommand(forget)
	return cmd
}
