package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	writing "millrace/internal/write"
)

// tokensFile has the tokens of persons, in the data directory. Of a token it has the digest: whoever reads it gets no token.
const tokensFile = "tokens"

func newTokenCommand() *cobra.Command {
	var data, roles string
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a bearer token for a person or a program that writes over the API",
		Long: `Token makes a token, adds a line with its digest to the file tokens in the gateway's data directory, and prints it, once. The gateway takes it at once. The audit
log names whoever writes by NAME, and approval asks for two of them. Take the line away to take the token away.

Roles are write and admin. The gateway's own token (the file token) is that of the user admin.`,
		Example: "  millrace token shift-b --roles write --data ./data > shift-b.token",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, line, err := newToken(args[0], roles)
			if err != nil {
				return usageError(err)
			}
			book := tokenBook{path: filepath.Join(data, tokensFile)}
			if err := book.add(args[0], line); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&roles, "roles", "write", "what its owner may do: write, admin")
	return cmd
}

// newToken makes a token and the line that stands for it.
func newToken(name, roles string) (token, line string, err error) {
	if name == "" || name == gatewayUser || strings.ContainsFunc(name, unicode.IsSpace) || strings.HasPrefix(name, "#") {
		return "", "", fmt.Errorf("%q is no name for an owner: it has no spaces, does not begin with #, and is not admin, whom the gateway's own token is for", name)
	}
	if _, err := parseRole(roles); err != nil {
		return "", "", err
	}
	var raw [24]byte
	rand.Read(raw[:]) // never fails
	token = hex.EncodeToString(raw[:])
	return token, name + " " + roles + " " + digestOf(token), nil
}

func digestOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func parseRole(s string) (r writing.Role, err error) {
	for _, name := range strings.Split(s, ",") {
		switch name {
		case "write":
			r |= writing.RoleWrite
		case "admin":
			r |= writing.RoleAdmin
		default:
			return 0, fmt.Errorf("there is no role %q, there are write and admin", name)
		}
	}
	return r, nil
}

// tokenBook knows the tokens in a file, and follows it. Its methods are safe for concurrent use.
type tokenBook struct {
	path string
	log  *slog.Logger // nil in the command that adds one

	mu     sync.Mutex
	wrong  string    // what was logged of the file last
	at     time.Time // of the file when it was read
	size   int64
	owners map[string]writing.Caller // by digest
}

// add appends a line and reads the file again to see that it is there, unless there is one of that name.
func (b *tokenBook) add(name, line string) error {
	if _, err := os.Stat(filepath.Dir(b.path)); err != nil {
		return usageError(fmt.Errorf("%w; name the gateway's data directory with --data", err))
	}
	owners, err := readTokens(b.path)
	if err != nil {
		return err
	}
	for _, o := range owners {
		if o.User == name {
			return usageError(fmt.Errorf("%s has a token already; take its line out of %s first", name, b.path))
		}
	}
	if err := appendLine(b.path, line); err != nil {
		return err
	}
	if owners, err = readTokens(b.path); err != nil {
		return err
	}
	if digest := line[strings.LastIndexByte(line, ' ')+1:]; owners[digest].User != name {
		return fmt.Errorf("the token is not in %s after it was written there: somebody else changes the file", b.path)
	}
	return nil
}

// appendLine appends a line of its own to a file, which may end in the middle of one: editors leave them so.
func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], info.Size()-1); err != nil {
			return errors.Join(err, f.Close())
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}

// identify says whose token it is. While the file cannot be read it is nobody's, and the log says so once. The digest of what is asked for is looked up: how long that takes tells nothing about the tokens there are.
func (b *tokenBook) identify(token string) (writing.Caller, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.read()[digestOf(token)]
	return c, ok
}

// roleOf says what somebody may who asked for a write some time ago. Only those who came with a token of the file can have lost it meanwhile: users of OPC UA servers are known for as long as the gateway runs.
func (b *tokenBook) roleOf(c writing.Caller) (writing.Role, bool) {
	if c.Via != "api" || c.User == gatewayUser {
		return c.Role, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.read() {
		if o.User == c.User {
			return o.Role, true
		}
	}
	return 0, false
}

// gatewayUser is whom the gateway's own token is for.
const gatewayUser = "admin"

// read returns who has a token by now, by its digest; nobody while the file cannot be read. The caller holds the lock.
func (b *tokenBook) read() map[string]writing.Caller {
	info, err := os.Stat(b.path)
	if err != nil {
		b.owners, b.at, b.size = nil, time.Time{}, 0
		return nil
	}
	if info.ModTime().Equal(b.at) && info.Size() == b.size {
		return b.owners
	}
	owners, err := readTokens(b.path)
	if err != nil {
		b.complain(err)
		return nil
	}
	b.wrong = ""
	b.owners, b.at, b.size = owners, info.ModTime(), info.Size()
	return owners
}

// complain logs what is wrong with the file, unless it was the last that was logged. The caller holds the lock.
func (b *tokenBook) complain(err error) {
	if b.log == nil || err.Error() == b.wrong {
		return
	}
	b.wrong = err.Error()
	b.log.Error("no token is taken but the gateway's own: the file of tokens cannot be read", "error", err)
}

// readTokens reads a file of tokens; one that is not there has none.
func readTokens(path string) (map[string]writing.Caller, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	owners := map[string]writing.Caller{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 3 || !strings.HasPrefix(fields[2], "sha256:") {
			return nil, fmt.Errorf("%s:%d: want a name, roles and the digest of a token", path, n)
		}
		role, err := parseRole(fields[1])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		owners[fields[2]] = writing.Caller{User: fields[0], Role: role}
	}
	return owners, lines.Err()
}
