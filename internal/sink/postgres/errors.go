package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/sink"
)

// The codes that the sink itself acts on [PostgreSQL appendix A].
const (
	codeUniqueViolation = "23505"
	codeNotNull         = "23502"
	codeCheckViolation  = "23514"
	codeBadBinary       = "22P03"
	codeBadCopy         = "22P04"
)

// Error is a failed operation on the database.
type Error struct {
	Op    string // connect, begin, move cursor, copy, commit, ...
	Table string
	Range sink.Range // zero outside Write
	Code  string     // SQLSTATE, "" when the server did not answer
	Err   error

	constraint string
}

func (e *Error) Error() string {
	at := ""
	if e.Range != (sink.Range{}) {
		at = " " + e.Range.String()
	}
	return fmt.Sprintf("postgres: %s%s of %s: %v", e.Op, at, e.Table, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// MayHaveHappened says whether the transaction may be committed all the same: the commit was not answered, or by a server that
// was going away (57). Writing the same range again finds out.
func (e *Error) MayHaveHappened() bool {
	return e.Op == "commit" && (e.Code == "" || strings.HasPrefix(e.Code, "57"))
}

// Retryable is false only when the server named the data as the fault: data exceptions (22), broken constraints (23), rows larger
// than its limits (54), and exceptions that triggers raise (P0). Everything else, from a lost connection over a full disk to a
// missing privilege, can be put right without losing a row. So can a missing partition, which is a check violation without a
// constraint, a column of another type, which is a data exception of every row, and a column of somebody else's that must have a
// value: those of the sink that must have one always do.
func (e *Error) Retryable() bool {
	switch {
	case len(e.Code) != 5, e.Code == codeBadBinary, e.Code == codeBadCopy, e.Code == codeNotNull:
		return true
	case e.Code == codeCheckViolation && e.constraint == "":
		return true
	}
	switch e.Code[:2] {
	case "22", "23", "54", "P0":
		return false
	}
	return true
}

func (s *Sink) failed(op string, r sink.Range, err error) error {
	e := &Error{Op: op, Table: s.cfg.Schema + "." + s.cfg.Table, Range: r, Err: err}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		e.Code, e.constraint = pe.Code, pe.ConstraintName
	}
	return e
}

// SchemaError says that a table is there, and not as the sink needs it.
type SchemaError struct {
	Table string
	Wrong []string // one sentence each
}

func (e *SchemaError) Error() string {
	return "postgres: table " + e.Table + ": " + strings.Join(e.Wrong, "; ")
}

// Retryable is true: the table can be altered while the gateway runs.
func (e *SchemaError) Retryable() bool { return true }
