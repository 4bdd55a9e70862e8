package opcua

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"millrace/opcua/ua"
)

// Users is a list of users with their passwords hashed by argon2id [RFC 9106], one a line:
//
//	# name  roles        hash
//	line4   read         $argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2E$...
//	shift   read,write   $argon2id$v=19$...
//
// Names have no spaces. It is read once and never changes; several goroutines may use it. Clients without a user token are let in with Anonymous.
type Users struct {
	Anonymous Roles // default none: anonymous clients are turned away

	byName map[string]user
	costly argonCost // the largest of all hashes: what a name that is not there takes
}

type user struct {
	roles Roles
	hash  argonHash
}

// argonCost is what a hash takes.
type argonCost struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
}

type argonHash struct {
	argonCost
	salt, key []byte
}

// ownCost is that of HashPassword: the second choice of OWASP, 19 MiB and two passes.
var ownCost = argonCost{memory: 19 << 10, time: 2, threads: 1}

// What a line of the file may ask for. The memory is taken for each password that is checked.
const (
	maxArgonMemory = 256 << 10 // KiB
	maxArgonTime   = 16
	maxPassword    = 1024 // bytes
	maxUserName    = 256  // bytes
)

// LoadUsers reads the users in a file.
func LoadUsers(file string) (*Users, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("opcua: users: %w", err)
	}
	defer f.Close()
	u, err := ReadUsers(f)
	if err != nil {
		return nil, fmt.Errorf("opcua: users %s: %w", file, err)
	}
	return u, nil
}

// ReadUsers reads the lines of a file of users.
func ReadUsers(r io.Reader) (*Users, error) {
	u := &Users{byName: make(map[string]user), costly: ownCost}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if err := u.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return u, lines.Err()
}

func (u *Users) line(text string) error {
	fields := strings.Fields(text)
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
		return nil
	}
	if len(fields) != 3 {
		return errors.New("want name, roles and hash")
	}
	name := fields[0]
	if _, twice := u.byName[name]; twice {
		return fmt.Errorf("user %s is there twice", name)
	}
	roles, err := ParseRoles(fields[1])
	if err != nil {
		return err
	}
	h, err := parseArgon(fields[2])
	if err != nil {
		return fmt.Errorf("user %s: %w", name, err)
	}
	u.byName[name] = user{roles, h}
	u.costly.memory, u.costly.time = max(u.costly.memory, h.memory), max(u.costly.time, h.time)
	return nil
}

// Authenticate checks name and password. A name that is not there takes as long as the costliest that is. Certificates are refused: the file has none.
func (u *Users) Authenticate(_ context.Context, c Credentials) (Roles, error) {
	switch c.Kind {
	case ua.UserTokenTypeAnonymous:
		return u.Anonymous, nil
	case ua.UserTokenTypeUserName:
		return u.password(c.User, c.Password)
	}
	return 0, errors.New("opcua: no users with such tokens")
}

var errWrongPassword = errors.New("opcua: wrong name or password")

func (u *Users) password(name string, password []byte) (Roles, error) {
	if len(password) > maxPassword || len(name) > maxUserName {
		return 0, errWrongPassword
	}
	known, ok := u.byName[name]
	if !ok {
		known.hash = argonHash{u.costly, make([]byte, 16), make([]byte, 32)}
	}
	key := known.hash.of(password, len(known.hash.key))
	if subtle.ConstantTimeCompare(key, known.hash.key) != 1 || !ok {
		return 0, errWrongPassword
	}
	return known.roles, nil
}

func (h *argonHash) of(password []byte, n int) []byte {
	return argon2.IDKey(password, h.salt, h.time, h.memory, h.threads, uint32(n))
}

// HashPassword returns the third field of a user's line.
func HashPassword(password []byte) (string, error) {
	if len(password) == 0 || len(password) > maxPassword {
		return "", fmt.Errorf("opcua: a password has 1 to %d bytes", maxPassword)
	}
	h := argonHash{argonCost: ownCost, salt: make([]byte, 16)}
	_, _ = rand.Read(h.salt) // never fails
	h.key = h.of(password, 32)
	return h.String(), nil
}

// String returns the usual text of an argon2 hash, as other programs write it.
func (h *argonHash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b64(h.salt), b64(h.key))
}

func parseArgon(s string) (h argonHash, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return h, errors.New("the hash is not one of argon2id: $argon2id$v=19$ and costs, $ and salt, $ and key")
	}
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, fmt.Errorf("argon2 version %q, want v=%d", parts[2], argon2.Version)
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); n != 3 || err != nil {
		return h, fmt.Errorf("cost %q is not m=,t=,p= with numbers", parts[3])
	}
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return h, fmt.Errorf("salt: %w", err)
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return h, fmt.Errorf("key: %w", err)
	}
	return h, h.check()
}

func (h *argonHash) check() error {
	switch {
	case h.threads == 0, h.time == 0, h.memory < 8*uint32(h.threads):
		return errors.New("argon2 needs t >= 1, p >= 1, m >= 8*p")
	case h.memory > maxArgonMemory, h.time > maxArgonTime:
		return fmt.Errorf("argon2 with m=%d, t=%d is beyond m=%d, t=%d", h.memory, h.time, maxArgonMemory, maxArgonTime)
	case len(h.salt) < 8, len(h.key) < 16, len(h.key) > 64:
		return errors.New("want a salt of 8 bytes or more, and a key of 16 to 64")
	}
	return nil
}

// ParseRoles reads a list as in a configuration: read,write,admin. Who is an admin has the other roles too.
func ParseRoles(s string) (r Roles, err error) {
	for name := range strings.SplitSeq(s, ",") {
		i := 0
		for ; i < len(roleNames) && roleNames[i] != name; i++ {
		}
		if i == len(roleNames) {
			return 0, fmt.Errorf("no role %q; there are %s", name, strings.Join(roleNames[:], ", "))
		}
		r |= 1 << i
	}
	if r&RoleAdmin != 0 {
		r |= RoleRead | RoleWrite
	}
	return r, nil
}

var roleNames = [...]string{"read", "write", "admin"}

// String returns the list that ParseRoles reads, "none" for no roles.
func (r Roles) String() string {
	var names []string
	for i, name := range roleNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ",")
}

// validUser says whether a name may be looked up and shown: no spaces within the file, no control characters in a log.
func validUser(name string) bool {
	return name != "" && len(name) <= maxUserName && utf8.ValidString(name) && bytes.IndexFunc([]byte(name), func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}
