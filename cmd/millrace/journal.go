package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"millrace/internal/journal"
	"millrace/internal/journal/vfs"
	"millrace/internal/store"
	"millrace/internal/tag"
)

func newJournalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "journal check|stat|dump",
		Short:   "Look into a journal, in use or not",
		Long:    `Journal reads a gateway's journal. It takes no lock and changes nothing; of a gateway that runs it may miss the last commits.`,
		Example: "  millrace journal check --data ./data\n  millrace journal dump --data ./data --from 1000 --limit 20",
	}
	needsVerb(cmd)
	cmd.AddCommand(
		newJournalReportCommand("check", "Read and decode every record; exit code 1 when one is damaged", journal.Check),
		newJournalReportCommand("stat", "Sum up segments, offsets and cursors", journal.Stat),
		newJournalDumpCommand(),
	)
	return cmd
}

// dataFlag adds --data, the gateway's data directory.
func dataFlag(cmd *cobra.Command, data *string) {
	cmd.Flags().StringVar(data, "data", "data", "the gateway's data directory")
}

func newJournalReportCommand(name, short string, report func(context.Context, vfs.FS, string) (*journal.Report, error)) *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     name,
		Short:   short,
		Example: "  millrace journal " + name + " --data ./data --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := report(cmd.Context(), vfs.OS{}, filepath.Join(data, "journal"))
			if err != nil {
				return noJournal(err, data)
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			} else {
				err = r.WriteText(cmd.OutOrStdout())
			}
			if err == nil && !r.Sound() {
				err = &exitError{Code: exitFailed}
			}
			return err
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// noJournal says what to do when there is none.
func noJournal(err error, data string) error {
	if errors.Is(err, os.ErrNotExist) {
		return usageError(fmt.Errorf("%s holds no journal; name the gateway's data directory with --data", data))
	}
	return err
}

func newJournalDumpCommand() *cobra.Command {
	var data string
	var o journal.DumpOptions
	var from, to uint64
	var last time.Duration
	cmd := &cobra.Command{
		Use:     "dump",
		Short:   "Print the values in a journal, oldest first",
		Example: "  millrace journal dump --data ./data --from 1000 --limit 20\n  millrace journal dump --data ./data --last 10m --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Max < 0 || last < 0 {
				return usageError(errors.New("--limit and --last are 0 or more"))
			}
			o.From, o.To = journal.Offset(from), journal.Offset(to)
			if last > 0 {
				o.Since = time.Now().Add(-last)
			}
			if err := nameRows(cmd.Context(), data, &o); err != nil {
				return err
			}
			return noJournal(journal.Dump(cmd.Context(), vfs.OS{}, filepath.Join(data, "journal"), o, cmd.OutOrStdout()), data)
		},
	}
	dataFlag(cmd, &data)
	f := cmd.Flags()
	f.Uint64Var(&from, "from", 0, "first offset")
	f.Uint64Var(&to, "to", 0, "offset to stop before; 0 is the end")
	f.DurationVar(&last, "last", 0, "only what was received within this time")
	f.IntVar(&o.Max, "limit", 0, "most values to print; 0 is all")
	f.BoolVar(&o.JSON, "json", false, "print one JSON object a line")
	f.BoolVar(&o.BigAsString, "big-as-string", false, "with --json: 64-bit integers as strings")
	return cmd
}

// nameRows gives o the names of tags and devices, when the data directory knows them.
func nameRows(ctx context.Context, data string, o *journal.DumpOptions) error {
	if _, err := os.Stat(filepath.Join(data, store.FileName)); err != nil {
		return nil // a journal alone: numbers are printed
	}
	s, err := store.Open(ctx, data)
	if err != nil {
		return err
	}
	o.Name = s.Catalog().Name
	o.Device = func(n uint32) string { return s.Devices().Name(tag.ID(n)) }
	return s.Close() // the catalogs stay in memory
}
