package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"millrace/ctxguard"
)

func newCtxguardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ctxguard",
		Short: "Ask a running program what leaks in it",
		Long: `ctxguard asks a program that serves millrace/ctxguard: a gateway with --debug, or any Go program that mounts the package's handler.
What leaks in source text is found by 'millrace vet'.`,
		Example: "  millrace ctxguard report --server 127.0.0.1:6060",
	}
	needsVerb(cmd)
	cmd.AddCommand(newCtxguardReportCommand())
	return cmd
}

// leakReport is one call of `millrace ctxguard report`.
type leakReport struct {
	server string
	over   time.Duration
	most   int
	asJSON bool
	tree   bool
}

func newCtxguardReportCommand() *cobra.Command {
	r := &leakReport{}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Print what leaks, and the line that made it",
		Long: `Report prints the contexts that were dropped, that are overdue, and that are too many below their root, with the stacks that made them.

With --over it looks twice, that long apart, and prints what has grown: goroutines by stack, contexts by the line that made them, which
of them belong together, how often they blocked meanwhile, and what the heap did. With --tree it prints how the contexts hang on each other.

Exit codes: 0 nothing is wrong, or the question was another one; 1 something leaks, or nobody answers.`,
		Example: "  millrace ctxguard report --server 127.0.0.1:6060\n  millrace ctxguard report --server 127.0.0.1:6060 --over 10s",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case r.over < 0 || r.most < 0:
				return usageError(fmt.Errorf("--over and --most must not be below 0"))
			case r.over > 0 && r.tree:
				return usageError(fmt.Errorf("--over and --tree are two questions"))
			case r.over > 0:
				return r.diff(cmd.Context(), cmd.OutOrStdout())
			case r.tree:
				return r.showTree(cmd.Context(), cmd.OutOrStdout())
			}
			return r.show(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&r.server, "server", "127.0.0.1:6060", "address that the program was given for --debug")
	cmd.Flags().DurationVar(&r.over, "over", 0, "look twice, so long apart, and print what has grown")
	cmd.Flags().IntVar(&r.most, "most", 10, "stacks to print of each sort, 0 for all")
	cmd.Flags().BoolVar(&r.asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&r.tree, "tree", false, "print how contexts hang on each other")
	return cmd
}

// show prints the Summary.
func (r *leakReport) show(ctx context.Context, w io.Writer) error {
	var s ctxguard.Summary
	if err := r.get(ctx, "", url.Values{"format": {"json"}}, 0, &s); err != nil {
		return err
	}
	if err := r.print(w, s, func() error { return s.WriteText(w, r.most) }); err != nil {
		return err
	}
	if s.Dropped+s.OverdueEver+s.Excess+s.LeftBehind > 0 {
		return &exitError{Code: exitFailed}
	}
	return nil
}

func (r *leakReport) showTree(ctx context.Context, w io.Writer) error {
	if r.asJSON {
		var nodes []*ctxguard.Node
		if err := r.get(ctx, "/tree", url.Values{"format": {"json"}}, 0, &nodes); err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(nodes)
	}
	b, err := r.fetch(ctx, "/tree", nil, 0)
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// longestRecording bounds how much of the time in between is recorded: a busy program writes some megabytes a second.
const longestRecording = 5 * time.Second

// diff takes two snapshots. The recording is the end of the time between them.
func (r *leakReport) diff(ctx context.Context, w io.Writer) error {
	var before, after ctxguard.Snapshot
	if err := r.get(ctx, "/snapshot", url.Values{"gc": {"1"}}, 0, &before); err != nil {
		return err
	}
	record := min(r.over, longestRecording)
	if err := sleep(ctx, r.over-record); err != nil {
		return err
	}
	if err := r.get(ctx, "/snapshot", url.Values{"gc": {"1"}, "trace": {record.String()}}, record, &after); err != nil {
		return err
	}
	d := ctxguard.Diff(before, after)
	return r.print(w, d, func() error { return d.WriteText(w, r.most) })
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *leakReport) print(w io.Writer, v any, text func() error) error {
	if r.asJSON {
		return json.NewEncoder(w).Encode(v)
	}
	return text()
}

func (r *leakReport) get(ctx context.Context, path string, query url.Values, more time.Duration, v any) error {
	b, err := r.fetch(ctx, path, query, more)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s answers something else than ctxguard: %w", r.server, err)
	}
	return nil
}

// fetch asks, and waits for the answer for as long as usual and more.
func (r *leakReport) fetch(ctx context.Context, path string, query url.Values, more time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*apiTimeout+more)
	defer cancel()
	server := strings.TrimRight(r.server, "/")
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+ctxguard.Path+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, usageError(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w; does a program run there with --debug? name it with --server", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s: %s: %s", r.server, ctxguard.Path+path, resp.Status, strings.TrimSpace(string(b)))
	}
	return b, err
}
