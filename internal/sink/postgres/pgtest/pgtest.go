// Package pgtest starts a PostgreSQL server for a test: Debian's programs, an own data directory, a free port on 127.0.0.1.
package pgtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// ErrMissing says that PostgreSQL is not installed.
var ErrMissing = errors.New("pgtest: no PostgreSQL in PATH or /usr/lib/postgresql/*/bin (apt-get install postgresql)")

// Required says whether a test without PostgreSQL fails instead of being skipped: REQUIRE_POSTGRES=1.
func Required() bool { return os.Getenv("REQUIRE_POSTGRES") == "1" }

// Server is a PostgreSQL server. Its methods are for one goroutine.
type Server struct {
	bin, dir string
	port     int
	running  bool
	guard    *exec.Cmd      // stops the server when this process ends in whatever way
	alive    io.WriteCloser // what guard waits on
}

// Start starts a server in a directory of tb's and stops it when tb ends. Without PostgreSQL tb is skipped, or fails when Required.
func Start(tb testing.TB) *Server {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the server runs as another user when the test runs as root
		tb.Fatal(err)
	}
	s, err := New(dir)
	if errors.Is(err, ErrMissing) && !Required() {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// New makes a data directory below dir and starts a server on it. Who calls it calls Close. ErrMissing when PostgreSQL is not there.
func New(dir string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: filepath.Join(dir, "postgres")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, err
	}
	if err := giveAway(s.dir); err != nil {
		return nil, err
	}
	err = s.run("initdb", "-D", s.data(), "-U", "millrace", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if err != nil {
		return nil, err
	}
	if err := s.watch(); err != nil {
		return nil, err
	}
	for range 3 { // the port can be taken between being free and being bound
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
		if err = s.Start(); err == nil {
			return s, nil
		}
	}
	return nil, errors.Join(err, s.Close())
}

// watch starts a shell that stops the server when this process is gone: a test that panics or is killed runs no cleanup.
func (s *Server) watch() error {
	s.guard = exec.Command("/bin/sh", "-c", `read -r _; "$0" stop -D "$1" -m immediate -w >/dev/null 2>&1 || true`, filepath.Join(s.bin, "pg_ctl"), s.data())
	s.guard.Dir = s.dir
	if err := asOther(s.guard); err != nil {
		return err
	}
	var err error
	if s.alive, err = s.guard.StdinPipe(); err != nil {
		return err
	}
	return s.guard.Start()
}

// Close kills the server.
func (s *Server) Close() error {
	return errors.Join(s.Kill(), s.alive.Close(), s.guard.Wait())
}

// find returns the directory of PostgreSQL's programs: initdb's, or the newest version's.
func find() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil && executable(filepath.Join(filepath.Dir(p), "pg_ctl")) {
			return filepath.Dir(p), nil
		}
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is right
	sort.Slice(dirs, func(i, k int) bool { return version(dirs[i]) > version(dirs[k]) })
	for _, d := range dirs {
		if executable(filepath.Join(d, "pg_ctl")) && executable(filepath.Join(d, "initdb")) {
			return d, nil
		}
	}
	return "", ErrMissing
}

func version(bin string) int {
	v, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin)))
	return v
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode()&0o111 != 0
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Addr returns host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the connection string of the superuser.
func (s *Server) URL() string { return URL(s.Addr()) }

// URL returns the connection string for the server, or a proxy before it, at addr.
func URL(addr string) string { return "postgres://millrace@" + addr + "/postgres?sslmode=disable" }

// Start starts a stopped server on its port and returns when it answers.
func (s *Server) Start() error {
	// fsync is off: these servers live through kill -9, and nobody cuts their power.
	opts := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=30 -c shared_buffers=32MB", s.port)
	if err := s.run("pg_ctl", "start", "-D", s.data(), "-l", filepath.Join(s.dir, "log"), "-w", "-t", "60", "-o", opts); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return fmt.Errorf("%w\n%s", err, log)
	}
	s.running = true
	return nil
}

// Stop stops the server as an administrator does: sessions are ended, transactions in flight rolled back.
func (s *Server) Stop() error { return s.stop("fast") }

// Kill stops the server without a checkpoint, as a crash does; the next Start recovers. It does nothing when the server is stopped.
func (s *Server) Kill() error { return s.stop("immediate") }

func (s *Server) stop(mode string) error {
	if !s.running {
		return nil
	}
	s.running = false
	return s.run("pg_ctl", "stop", "-D", s.data(), "-m", mode, "-w", "-t", "60")
}

func (s *Server) run(program string, args ...string) error {
	out, err := os.CreateTemp("", "pgtest")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = out, out // a file: the server would hold a pipe open
	if err := asOther(cmd); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("pgtest: %s: %w: %s", program, err, strings.TrimSpace(string(text)))
	}
	return nil
}
