// Package postgres is the sink that copies values into a table of PostgreSQL and moves its cursor in the same transaction: a value
// arrives exactly once, also when the answer to a COMMIT is lost.
package postgres

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/internal/tag"
)

// Config says which database and which tables.
type Config struct {
	URL         string              // postgres://user@host/db?sslmode=... or key=value pairs, as libpq takes them. Required
	Cursor      string              // name of the cursor: one for each gateway and sink that writes to this database. Required
	Names       func(tag.ID) string // the name of a tag, "" for one that is unknown. Required
	Schema      string              // of both tables; "" is public. Made when missing
	Table       string              // "" is millrace_values. Made when missing
	CursorTable string              // "" is millrace_cursors. Made when missing

	ConnectTimeout time.Duration // 0 is 10 s
	WriteTimeout   time.Duration // of one transaction, on both sides; 0 is 60 s
}

func (c Config) withDefaults() (Config, *pgconn.Config, error) {
	if c.URL == "" || c.Cursor == "" || c.Names == nil {
		return c, nil, errors.New("postgres: url, cursor name and tag names are required")
	}
	for _, d := range []struct {
		s    *string
		name string
	}{{&c.Schema, "public"}, {&c.Table, "millrace_values"}, {&c.CursorTable, "millrace_cursors"}} {
		if *d.s == "" {
			*d.s = d.name
		}
		if len(*d.s) > 63 || strings.ContainsRune(*d.s, 0) {
			return c, nil, fmt.Errorf("postgres: %q is no name of a schema or table: at most 63 bytes", *d.s)
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = time.Minute
	}
	if c.ConnectTimeout < 0 || c.WriteTimeout < time.Millisecond {
		return c, nil, fmt.Errorf("postgres: connect timeout %v and write timeout %v must be positive", c.ConnectTimeout, c.WriteTimeout)
	}
	pc, err := pgconn.ParseConfig(c.URL)
	if err != nil {
		return c, nil, errors.New("postgres: url: " + withoutURL(err))
	}
	pc.ConnectTimeout = c.ConnectTimeout
	pc.RuntimeParams["client_encoding"] = "UTF8"
	if pc.RuntimeParams["application_name"] == "" {
		pc.RuntimeParams["application_name"] = "millrace"
	}
	return c, pc, nil
}

// withoutURL returns what pgconn has against a URL, without the URL that it quotes: not every form of a password in it is made unreadable.
func withoutURL(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		return text[i+len("`: "):]
	}
	return text
}

// quote returns an identifier as SQL text.
func quote(parts ...string) string {
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}
