package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace/internal/journal"
	"millrace/internal/tag"
)

// deliverAll reads and writes ranges until ctx ends and nothing is left, or an error says that the cursor is somewhere else.
func (w *Worker) deliverAll(ctx, life context.Context) error {
	r := w.cfg.Log.NewReader(journal.Offset(w.cursor))
	defer r.Close()
	for {
		ended := ctx.Err() != nil
		to, err := w.collect(ctx, r)
		if err == nil {
			w.setState(OK, nil)
		}
		if to > w.cursor {
			w.waitingSince(w.rows)
			if err := w.deliver(ctx, life, Range{w.cfg.Log.Epoch(), w.cursor, to}, w.rows); err != nil {
				return err
			}
			w.waitingSince(nil)
		} else if ended || life.Err() != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
}

// collect fills w.rows and w.gaps with a range that begins at the cursor, and returns its end. It waits for the first row, then up to
// Linger for more. When ctx has ended it takes what is there and does not wait.
func (w *Worker) collect(ctx context.Context, r Reader) (uint64, error) {
	w.rows, w.gaps = w.rows[:0], w.gaps[:0]
	w.shrink()
	g := gathering{to: w.cursor, room: room{rows: w.cfg.MaxRows, bytes: w.cfg.MaxBytes}}
	if w.carry.Len() > 0 {
		g.used, g.to = 1, w.take(w.carry, &g.room)
	} else if err := w.gather(ctx, ctx, r, &g); err != nil {
		return g.end(ctx, err)
	}
	linger, cancel := context.WithTimeout(ctx, max(w.cfg.Linger, 0))
	defer cancel()
	for g.room.rows > 0 && g.room.bytes > 0 && w.carry.Len() == 0 {
		if err := w.gather(ctx, linger, r, &g); err != nil {
			return g.end(ctx, err)
		}
	}
	return g.to, nil
}

// gathering is a range on its way to be full.
type gathering struct {
	to   uint64
	used int // of Worker.batches
	room room
}

// end returns the range's end, and err unless that only says that there is nothing more now.
func (g *gathering) end(ctx context.Context, err error) (uint64, error) {
	if errors.Is(err, errNothing) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	return g.to, err
}

// gather adds the next record, or the gap that is there instead.
func (w *Worker) gather(ctx, wait context.Context, r Reader, g *gathering) error {
	b := w.batch(g.used)
	off, err := next(wait, ctx, r, b)
	var trimmed *journal.TrimmedError
	var damaged *journal.DamagedError
	switch {
	case err == nil:
		g.to = w.take(Rows{Batch: b, End: b.Len(), Offset: uint64(off)}, &g.room)
		w.batches[0], w.batches[g.used] = w.batches[g.used], w.batches[0] // where the carry's has to be
		g.used++
	case errors.As(err, &trimmed):
		g.to = uint64(trimmed.To)
		w.gaps = append(w.gaps, gap{uint64(trimmed.From), g.to, trimmed.Rows, ReasonRetention})
	case errors.As(err, &damaged):
		g.to = uint64(damaged.To)
		w.gaps = append(w.gaps, gap{uint64(damaged.From), g.to, damaged.Rows, ReasonDamaged})
	default:
		return err
	}
	return nil
}

// errNothing says that the journal has no more rows now.
var errNothing = errors.New("no more rows")

// next reads a record; it waits until wait ends, and not at all once ctx has.
func next(wait, ctx context.Context, r Reader, b *tag.Batch) (journal.Offset, error) {
	if ctx.Err() == nil {
		return r.NextInto(wait, b)
	}
	off, ok, err := r.TryNextInto(b)
	if err == nil && !ok {
		err = errNothing
	}
	return off, err
}

// room is what still fits a range.
type room struct{ rows, bytes int }

// rowBytes is what a row counts beside its text: a number, its stamp and its quality.
const rowBytes = 24

// take adds as much of v to the range as there is room for, keeps the rest for the next one, and returns the range's end.
func (w *Worker) take(v Rows, room *room) uint64 {
	size := rowBytes + len(v.Batch.Aux)/max(v.Batch.Len(), 1)
	n := max(min(v.Len(), room.rows, room.bytes/size), 1)
	taken := v
	taken.End = v.First + n
	w.carry = Rows{Batch: v.Batch, First: taken.End, End: v.End, Offset: taken.Next()}
	w.rows = append(w.rows, taken)
	room.rows -= n
	room.bytes -= n * size
	return taken.Next()
}

// shrink gives memory back. There are as many batches as one range ever had records, and in time each has the size of the largest record.
func (w *Worker) shrink() {
	limit := 4 * (w.cfg.MaxRows*rowBytes + w.cfg.MaxBytes)
	for i, b := range w.batches {
		if limit -= cap(b.ID)*rowBytes + cap(b.Aux); limit < 0 && i > 0 { // the first may hold the carry
			clear(w.batches[i:])
			w.batches = w.batches[:i]
			return
		}
	}
}

// batch returns the memory for the record number i of a range.
func (w *Worker) batch(i int) *tag.Batch {
	for len(w.batches) <= i {
		w.batches = append(w.batches, &tag.Batch{})
	}
	return w.batches[i]
}

// deliver writes a range. When the sink refuses it for good it finds the rows that are at fault, puts them into the dead-letter file,
// and writes the others. Everything is in order, and each part that is written moves the cursor.
func (w *Worker) deliver(ctx, life context.Context, r Range, rows []Rows) error {
	err := w.write(ctx, life, r, rows)
	var named *PartialError
	var moved *CursorError
	switch {
	case err == nil:
		w.passed(r.To, rows)
		return nil
	case errors.As(err, &moved), Retryable(err), life.Err() != nil:
		return err
	case errors.As(err, &named):
		rest, poison := without(rows, named.Rows)
		if len(poison) > 0 {
			if err := w.bury(ctx, r.Epoch, poison); err != nil {
				return err
			}
			return w.deliver(ctx, life, r, rest)
		}
	}
	if Count(rows) == 1 {
		if err := w.bury(ctx, r.Epoch, []poisoned{{rows[0], err.Error()}}); err != nil {
			return err
		}
		return w.deliver(ctx, life, r, nil)
	}
	left, right := halves(rows)
	middle := right[0].Offset
	if err := w.deliver(ctx, life, Range{r.Epoch, r.From, middle}, left); err != nil {
		return err
	}
	return w.deliver(ctx, life, Range{r.Epoch, middle, r.To}, right)
}

// write calls the sink until it succeeds, refuses for good, or ctx ends.
func (w *Worker) write(ctx, life context.Context, r Range, rows []Rows) error {
	for {
		call, cancel := context.WithTimeout(life, w.cfg.WriteTimeout)
		start := time.Now()
		err := w.cfg.Sink.Write(call, r, rows)
		cancel()
		if err == nil {
			w.backoff.Reset()
			w.wrote(Count(rows), time.Since(start))
			return nil
		}
		var moved *CursorError
		if errors.As(err, &moved) || !Retryable(err) && len(rows) > 0 { // without rows there is none at fault
			return err
		}
		if !w.again(ctx, err) {
			w.failed(err, 0)
			return &gaveUpError{err}
		}
	}
}

// gaveUpError is an error that could have been retried, had there been time.
type gaveUpError struct{ error }

func (e *gaveUpError) Unwrap() error   { return e.error }
func (e *gaveUpError) Retryable() bool { return true }

// passed moves the cursor to to: rows are delivered, and the gaps before to are passed over.
func (w *Worker) passed(to uint64, rows []Rows) {
	w.cursor = to
	if err := w.cfg.Log.SetCursor(w.cfg.ID, journal.Offset(to)); err != nil {
		w.cfg.Alarm(fmt.Sprintf("sink %s: %v", w.cfg.ID, err)) // start set one of that name, so it cannot be
	}
	i := 0
	for i < len(w.gaps) && w.gaps[i].to <= to {
		i++
	}
	w.count(to, w.gaps[:i], rows)
	w.gaps = append(w.gaps[:0], w.gaps[i:]...)
}

// count moves the account to to, unless it is there already.
func (w *Worker) count(to uint64, gaps []gap, rows []Rows) {
	w.mu.Lock()
	counted := w.counted
	w.counted = max(counted, to)
	n := 0
	for _, v := range rows {
		if v.Next() > counted {
			n += int(v.Next() - max(v.Offset, counted))
		}
	}
	w.stats.Delivered += uint64(n)
	w.stats.Cursor = Cursor{w.cfg.Log.Epoch(), to}
	w.mu.Unlock()
	w.cfg.Account.Delivered(n)
	for _, g := range gaps {
		lost := g.rows
		if g.from < counted { // the sink went back, and this is not new
			lost = w.cfg.Log.Rows(journal.Offset(counted), journal.Offset(g.to))
		}
		if lost == 0 {
			continue
		}
		w.cfg.Account.Dropped(g.reason, lost)
		w.mu.Lock()
		w.stats.Dropped[g.reason] += lost
		w.mu.Unlock()
		w.cfg.Alarm(fmt.Sprintf("sink %s: %d values %s", w.cfg.ID, lost, reasonWords[g.reason]))
	}
}

// poisoned is a view of one row and why the sink refuses it.
type poisoned struct {
	row    Rows
	reason string
}

// bury puts rows into the dead-letter file, synced, trying until ctx ends. They become gaps, which the cursor passes over with the next write.
func (w *Worker) bury(ctx context.Context, epoch uint64, rows []poisoned) error {
	for {
		err := w.dead.add(epoch, rows)
		if err == nil {
			break
		}
		if !w.again(ctx, err) {
			return &gaveUpError{err}
		}
	}
	w.backoff.Reset()
	for _, p := range rows {
		at := len(w.gaps)
		for at > 0 && w.gaps[at-1].from > p.row.Offset {
			at--
		}
		w.gaps = append(w.gaps, gap{})
		copy(w.gaps[at+1:], w.gaps[at:])
		w.gaps[at] = gap{p.row.Offset, p.row.Next(), 1, ReasonPoison}
	}
	return nil
}

// without takes the rows that a sink named out of the views.
func without(rows []Rows, named []Poison) (rest []Rows, out []poisoned) {
	for _, v := range rows {
		for len(named) > 0 && named[0].Offset < v.Next() {
			if p := named[0]; p.Offset >= v.Offset {
				left, right := v.cut(int(p.Offset - v.Offset))
				one, right := right.cut(1)
				out = append(out, poisoned{one, p.Reason})
				if left.Len() > 0 {
					rest = append(rest, left)
				}
				v = right
			}
			named = named[1:]
		}
		if v.Len() > 0 {
			rest = append(rest, v)
		}
	}
	return rest, out
}

// halves cuts views, which have two rows at least, into two parts of about as many rows each.
func halves(rows []Rows) (left, right []Rows) {
	half := Count(rows) / 2
	for i, v := range rows {
		if half == 0 {
			return left, append(right, rows[i:]...)
		}
		a, b := v.cut(min(half, v.Len()))
		half -= a.Len()
		left = append(left, a)
		if b.Len() > 0 {
			right = append(right, b)
		}
	}
	return left, right
}

// cut divides a view behind its first n rows.
func (r Rows) cut(n int) (Rows, Rows) {
	a, b := r, r
	a.End = r.First + n
	b.First, b.Offset = a.End, a.Next()
	return a, b
}
