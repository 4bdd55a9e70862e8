package opcua

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// node is where node-opcua lies.
const node = "peers/node_modules/node-opcua/package.json"

// need ends the test when a peer is not installed: a failure when REQUIRE_INTEROP=1, else a skip that says so.
func need(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Stat(file); err == nil {
		return
	}
	if os.Getenv("REQUIRE_INTEROP") == "1" {
		t.Fatalf("%s is not there; .ci/install makes it", file)
	}
	t.Skipf("%s is not there; nothing was compared", file)
}

// program is a foreign program: it is asked a line and answers a line that begins with "> ". What else it prints is its own business.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr bytes.Buffer
}

func startPeer(t *testing.T, name string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	p := &program{t: t, cmd: cmd}
	cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewScanner(stdout)
	p.stdout.Buffer(nil, 1<<20)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A peer that hangs ends with the pipe that it should have written to.
	timer := time.AfterFunc(3*time.Minute, p.kill)
	t.Cleanup(func() {
		p.stdin.Close()
		p.kill()
		cmd.Wait()
		timer.Stop()
	})
	if got := p.answer(); got != "ready" {
		t.Fatalf("%s %v: %s\n%s", name, args, got, p.stderr.String())
	}
	return p
}

func (p *program) kill() { p.cmd.Process.Kill() }

func (p *program) ask(line string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("%s: %v\n%s", line, err, p.stderr.String())
	}
	return p.answer()
}

func (p *program) answer() string {
	p.t.Helper()
	for p.stdout.Scan() {
		if s, ok := strings.CutPrefix(p.stdout.Text(), "> "); ok {
			return s
		}
	}
	p.t.Fatalf("the peer has ended\n%s", p.stderr.String())
	return ""
}

// nodeClient starts node-opcua's client, which connects when it is asked to.
func nodeClient(t *testing.T) *program {
	t.Helper()
	need(t, node)
	return startPeer(t, "node", "peers/client.js", t.TempDir())
}

// nodeConnect has node-opcua's client connect, in place of what it was connected to.
func nodeConnect(t *testing.T, p *program, url string, s security, user string, lifetime time.Duration) asker {
	t.Helper()
	if got := p.ask(strings.Join([]string{"connect", url, s.policy, s.mode, user, strconv.FormatInt(lifetime.Milliseconds(), 10)}, " ")); got != "connected" {
		t.Fatalf("%v, %s: %s", s, user, got)
	}
	return p
}

// nodeServer starts node-opcua's server and returns its URL.
func nodeServer(t *testing.T, port int) (*program, string) {
	t.Helper()
	need(t, node)
	if port == 0 {
		port = freePort(t)
	}
	p := startPeer(t, "node", "peers/server.js", strconv.Itoa(port), t.TempDir())
	return p, "opc.tcp://127.0.0.1:" + strconv.Itoa(port) + "/UA/peer"
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
