package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"millrace/internal/journal/vfs"
	writing "millrace/internal/write"
	"millrace/internal/write/audit"
)

func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit verify|list|show",
		Short: "Check the log of all writes, or show it",
		Long: `The audit log has who wrote what, when, why, what the value was before and after, and how it ended. It lies in the folder audit of the gateway's data directory.
All verbs read it, whether or not a gateway runs on it, and change nothing.`,
		Example: "  millrace audit verify --data ./data\n  millrace audit list --tag press1/temp_set --since 24h",
	}
	needsVerb(cmd)
	cmd.AddCommand(newAuditVerifyCommand(), newAuditListCommand(), newAuditShowCommand())
	return cmd
}

// auditDir is the directory that a command's arguments name.
func auditDir(args []string, data string) (string, error) {
	dir := filepath.Join(data, auditFolder)
	if len(args) > 0 {
		dir = args[0]
	}
	if _, err := os.Stat(dir); err != nil {
		return dir, usageError(fmt.Errorf("%w; name the audit folder, or the gateway's data directory with --data", err))
	}
	return dir, nil
}

// namesFolder says how a folder is named, when err is that there is no log in it.
func namesFolder(err error) error {
	var none *audit.NoLogError
	if errors.As(err, &none) {
		return fmt.Errorf("%w; name the audit folder, or the gateway's data directory with --data", err)
	}
	return err
}

func newAuditVerifyCommand() *cobra.Command {
	var data, at string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Find records that were changed, removed, moved or cut off; exit code 1 when there are any",
		Long: `Verify goes over the chain of hashes from the first record to the last and says where it does not hold. What a crash leaves behind the last record was never acknowledged, and is
noted, not counted as tampering.

Whoever can write the directory can make a log anew as a whole. Keep the number and hash that verify prints elsewhere: with --at it says whether the log still has that record.`,
		Example: "  millrace audit verify --data ./data\n  millrace audit verify /backup/audit --at 1042:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Args:    usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := auditDir(args, data)
			if err != nil {
				return err
			}
			r, err := audit.VerifyAt(vfs.OS{}, dir, at)
			if err != nil {
				return namesFolder(err)
			}
			if err := printReport(cmd.OutOrStdout(), r, asJSON); err != nil {
				return err
			}
			if len(r.Found) > 0 {
				return &exitError{Code: exitFailed}
			}
			return nil
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&at, "at", "", "NUMBER:HASH of a record, as an earlier verify printed it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReport(w io.Writer, r audit.Report, asJSON bool) error {
	if asJSON {
		r.Found, r.Notes = append([]audit.Finding{}, r.Found...), append([]audit.Finding{}, r.Notes...) // [], not null
		return json.NewEncoder(w).Encode(r)
	}
	for _, f := range r.Found {
		fmt.Fprintf(w, "WRONG %v\n", f)
	}
	for _, f := range r.Notes {
		fmt.Fprintf(w, "note  %v\n", f)
	}
	word := "the chain holds"
	if len(r.Found) > 0 {
		word = fmt.Sprintf("the chain does not hold: %d findings", len(r.Found))
	}
	fmt.Fprintf(w, "%d records in %d files, the last is %d:%s\n%s\n", r.Records, r.Files, r.Last, r.Hash, word)
	return nil
}

// auditFilter chooses records.
type auditFilter struct {
	audit.Query
	since, until string
}

func (f *auditFilter) parse(now time.Time) (err error) {
	if f.End != "" && !slices.Contains(writing.Ends(), writing.End(f.End)) {
		return fmt.Errorf("there is no end %q: they are confirmed, differs, refused, failed and unknown", f.End)
	}
	if f.Limit < 0 {
		return fmt.Errorf("--limit %d is less than 0", f.Limit)
	}
	if f.From, err = parseWhen(f.since, now); err != nil {
		return err
	}
	f.To, err = parseWhen(f.until, now)
	return err
}

// parseWhen reads a time, or how long ago.
func parseWhen(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a time like 2026-01-31T08:00:00Z nor a duration like 24h", s)
}

func newAuditListCommand() *cobra.Command {
	var data string
	var asJSON bool
	var f auditFilter
	cmd := &cobra.Command{
		Use:     "list [DIR]",
		Short:   "Show the records of the audit log, the oldest first",
		Example: "  millrace audit list --who shift-b --since 24h\n  millrace audit list --write 17 --json",
		Args:    usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.parse(time.Now()); err != nil {
				return usageError(err)
			}
			dir, err := auditDir(args, data)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			return readAudit(dir, &f, func(r *audit.Record) error { return printRecord(out, r, asJSON) })
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&f.Tag, "tag", "", "only records of this tag, by its full name")
	cmd.Flags().StringVar(&f.Who, "who", "", "only records of this user")
	cmd.Flags().StringVar(&f.End, "end", "", "only ends: confirmed, differs, refused, failed, unknown")
	cmd.Flags().StringVar(&f.since, "since", "", "only records from then on: a time, or how long ago")
	cmd.Flags().StringVar(&f.until, "until", "", "only records before then")
	cmd.Flags().Uint64Var(&f.Write, "write", 0, "only records of the write of this number")
	cmd.Flags().IntVar(&f.Limit, "limit", 0, "only the last so many of these; 0 is all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each record as a JSON line")
	return cmd
}

// readAudit shows the records of the log in dir that f takes, the oldest first.
func readAudit(dir string, f *auditFilter, show func(r *audit.Record) error) error {
	var errs []error
	var last []audit.Record // of a list with a limit
	r, err := audit.Verify(vfs.OS{}, dir, func(r audit.Record) {
		switch {
		case !f.Takes(&r):
		case f.Limit == 0:
			errs = append(errs, show(&r))
		default:
			last = append(last[max(0, len(last)+1-f.Limit):], r)
		}
	})
	if err != nil {
		return namesFolder(err)
	}
	for i := range last {
		errs = append(errs, show(&last[i]))
	}
	if len(r.Found) > 0 {
		errs = append(errs, errors.New("the log is not as the gateway wrote it, and some of it is not shown; see 'millrace audit verify'"))
	}
	return errors.Join(errs...)
}

func newAuditShowCommand() *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show NUMBER [DIR]",
		Short:   "Show all that the audit log has of one write",
		Example: "  millrace audit show 17\n  millrace audit show 17 --json | jq .reason",
		Args:    usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var f auditFilter
			var err error
			if f.Write, err = strconv.ParseUint(args[0], 10, 64); err != nil || f.Write == 0 {
				return usageError(fmt.Errorf("%q is not the number of a write", args[0]))
			}
			dir, err := auditDir(args[1:], data)
			if err != nil {
				return err
			}
			out, n := cmd.OutOrStdout(), 0
			err = readAudit(dir, &f, func(r *audit.Record) error {
				n++
				if asJSON {
					return printRecord(out, r, true)
				}
				return printFields(out, r)
			})
			if err == nil && n == 0 {
				err = fmt.Errorf("the audit log has no write %d; 'millrace audit list' shows those that it has", f.Write)
			}
			return err
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each record as a JSON line")
	return cmd
}

// oneLine is s, quoted when it has what a terminal would act upon: names of tags that there are not are in the words of who asked.
func oneLine(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}

// printFields prints a record, a field a line.
func printFields(w io.Writer, r *audit.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s", r.Time.Format("2006-01-02T15:04:05.000Z07:00"), r.Stage)
	if r.End != "" {
		fmt.Fprintf(&b, ": %s", r.End)
	}
	took := ""
	if r.TookUS > 0 {
		took = (time.Duration(r.TookUS) * time.Microsecond).String()
	}
	for _, f := range [][2]string{
		{"record", strconv.FormatUint(r.Seq, 10)}, {"tag", oneLine(r.Tag)}, {"new", string(r.New)}, {"old", string(r.Old)}, {"old quality", r.OldQuality}, {"read", string(r.Read)},
		{"who", oneLine(r.Who)}, {"via", r.Via}, {"from", r.From}, {"why", oneLine(r.Why)}, {"reason", oneLine(r.Reason)}, {"key", oneLine(r.Key)}, {"took", took},
	} {
		if f[1] != "" {
			fmt.Fprintf(&b, "\n  %-12s %s", f[0], f[1])
		}
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

func printRecord(w io.Writer, r *audit.Record, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	words := []string{r.Time.Format("2006-01-02T15:04:05.000Z07:00"), fmt.Sprintf("#%d", r.Write), string(r.Stage)}
	if r.End != "" && r.End != string(r.Stage) {
		words = append(words, r.End)
	}
	words = append(words, oneLine(r.Tag)+" = "+string(r.New))
	if len(r.Old) > 0 {
		words = append(words, "(was "+string(r.Old)+")")
	}
	if len(r.Read) > 0 {
		words = append(words, "(read "+string(r.Read)+")")
	}
	words = append(words, "by "+oneLine(r.Who))
	if r.Via != "" {
		words = append(words, "over "+r.Via)
	}
	for _, s := range []struct{ name, text string }{{"why", r.Why}, {"reason", r.Reason}} {
		if s.text != "" {
			words = append(words, fmt.Sprintf("%s: %q", s.name, s.text))
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(words, " "))
	return err
}
