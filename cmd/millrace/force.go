package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"millrace/ctxguard"
)

// forcedFile is the record of what was cancelled by force, or would have been, in the data directory.
const forcedFile = "forced.jsonl"

// newForcer makes what may cut the gateway's live streams: a dry run until somebody posts a policy to the debug server. Everything else in the gateway that waits for
// somebody has a deadline of its own, and what does not obey that would not obey a Forcer either.
func newForcer(data string) (*ctxguard.Forcer, error) {
	return ctxguard.NewForcer(ctxguard.ForceConfig{
		Policy: ctxguard.Policy{Version: "as started"},
		Audit:  func(r ctxguard.Record) error { return appendRecord(filepath.Join(data, forcedFile), r) },
	})
}

// appendRecord adds a line to a file and syncs it. Records are rare, so the file is open only meanwhile.
func appendRecord(path string, r ctxguard.Record) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("record of forced cancels: %w", err)
	}
	return errors.Join(ctxguard.AuditTo(f)(r), f.Close())
}
