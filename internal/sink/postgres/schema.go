package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/sink"
)

// column is a column of a table as the sink writes it: COPY in binary needs exactly that type.
type column struct {
	name  string
	ddl   string
	types []string // as format_type prints them, those that share the binary form
}

var (
	text        = []string{"text", "character varying"}
	timestamptz = []string{"timestamp with time zone"}
	bigint      = []string{"bigint"}
	double      = []string{"double precision"}
	bytea       = []string{"bytea"}
)

// valueColumns are in the order in which rows are copied.
var valueColumns = []column{
	{"tag", "text not null", text},
	{"ts", "timestamptz not null", timestamptz},
	{"received", "timestamptz not null", timestamptz},
	{"value_double", "float8", double},
	{"value_int", "int8", bigint},
	{"value_text", "text", text},
	{"value_bytes", "bytea", bytea},
	{"quality", "int8 not null", bigint},
	{"epoch", "int8 not null", bigint},
	{"offset", "int8 not null", bigint},
}

const valueKey = `tag, ts, epoch, "offset"`

// cursorColumns: writer is a random number of the process that writes with the cursor now.
var cursorColumns = []column{
	{"name", "text not null", text},
	{"epoch", "int8 not null", bigint},
	{"offset", "int8 not null", bigint},
	{"writer", "int8 not null", bigint},
	{"updated", "timestamptz not null", timestamptz},
}

func columnList(cols []column, ddl bool) string {
	out := ""
	for i, c := range cols {
		if i > 0 {
			out += ", "
		}
		out += quote(c.name)
		if ddl {
			out += " " + c.ddl
		}
	}
	return out
}

// ensureSchema makes what is missing and holds what is there to the columns above. Nothing is made that exists, so that a user
// without the right to create can run on tables made by hand.
func (s *Sink) ensureSchema(ctx context.Context) error {
	for _, t := range []struct {
		name, key string
		cols      []column
	}{{s.cfg.Table, valueKey, valueColumns}, {s.cfg.CursorTable, "name", cursorColumns}} {
		have, err := s.columns(ctx, t.name)
		if err == nil && have == nil {
			if err = s.create(ctx, t.name, t.cols, t.key); err == nil {
				have, err = s.columns(ctx, t.name)
			}
		}
		if err != nil {
			return s.failed("prepare", sink.Range{}, err)
		}
		if wrong := compare(have, t.cols); wrong != nil {
			return &SchemaError{Table: s.cfg.Schema + "." + t.name, Wrong: wrong}
		}
	}
	return nil
}

// columns returns the types of a table's columns by name, nil when there is no such table.
func (s *Sink) columns(ctx context.Context, table string) (map[string]string, error) {
	rows, err := s.query(ctx, `select a.attname, format_type(a.atttypid, null)
from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped`, s.cfg.Schema, table)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	have := map[string]string{}
	for _, r := range rows {
		have[string(r[0])] = string(r[1])
	}
	return have, nil
}

func compare(have map[string]string, want []column) []string {
	var wrong []string
	for _, c := range want {
		switch t, ok := have[c.name]; {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("column %s is missing", c.name))
		case !slices.Contains(c.types, t):
			wrong = append(wrong, fmt.Sprintf("column %s is %s, must be %s", c.name, t, c.types[0]))
		}
	}
	return wrong
}

func (s *Sink) create(ctx context.Context, table string, cols []column, key string) error {
	there, err := s.query(ctx, `select 1 from pg_catalog.pg_namespace where nspname = $1`, s.cfg.Schema)
	if err != nil {
		return err
	}
	var stmts []string
	if len(there) == 0 {
		stmts = append(stmts, "create schema if not exists "+quote(s.cfg.Schema))
	}
	stmts = append(stmts, fmt.Sprintf("create table if not exists %s (%s, primary key (%s))", quote(s.cfg.Schema, table), columnList(cols, true), key))
	for _, sql := range stmts {
		err := s.exec(ctx, sql)
		var pe *pgconn.PgError
		// Two that create at once: the catalogue's own unique index tells the second (23505), or the name is taken (42P06, 42P07).
		if errors.As(err, &pe) && slices.Contains([]string{codeUniqueViolation, "42P06", "42P07"}, pe.Code) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
