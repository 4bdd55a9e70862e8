package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"

	"millrace/internal/journal"
	"millrace/internal/tag"
)

// tapLine is one synced record: what the gateway has acknowledged.
type tapLine struct {
	Epoch  uint64   `json:"epoch,string"`
	Offset uint64   `json:"offset"`
	Rows   []tapRow `json:"rows"`
}

type tapRow struct {
	Tag   string          `json:"tag"`
	TS    int64           `json:"ts"`
	Value json.RawMessage `json:"value"`
}

// tap writes every record that is synced from now on to w, one JSON line each, until ctx ends. It is how a test knows what must
// survive a power cut.
func (g *gateway) tap(ctx context.Context, w io.WriteCloser) error {
	defer w.Close()
	_, next := g.journal.Bounds()
	r := g.journal.NewReader(next)
	defer r.Close()
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for {
		rec, err := r.Next(ctx)
		var trimmed *journal.TrimmedError
		var damaged *journal.DamagedError
		switch {
		case errors.As(err, &trimmed), errors.As(err, &damaged):
			continue
		case err != nil && (ctx.Err() != nil || errors.Is(err, journal.ErrClosed)):
			return nil
		case err != nil:
			return err
		}
		line := tapLine{Epoch: g.journal.Epoch(), Offset: uint64(rec.Offset)}
		for i := range rec.Batch.ID {
			line.Rows = append(line.Rows, tapRow{g.name(rec.Batch.ID[i]), rec.Batch.TS[i], rec.Batch.Value(i).AppendJSON(nil, tag.JSONOptions{})})
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}
