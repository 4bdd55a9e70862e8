package s7_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	debianPython = "/usr/bin/python3"
	nodeSnap7    = "peers/node_modules/node-snap7/build/Release/node_snap7.node"
	pythonSnap7  = "peers/python/snap7/__init__.py"
)

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

// asker answers the lines of a script, through one connection to a server.
type asker interface{ ask(line string) string }

// peer is a foreign program: it is asked a line and answers a line that begins with "> ". What else it prints is its own business.
type peer struct {
	t      *testing.T
	stdin  io.WriteCloser
	stdout *bufio.Scanner
	stderr bytes.Buffer
}

func startPeer(t *testing.T, name string, args ...string) *peer {
	t.Helper()
	cmd := exec.Command(name, args...)
	// snap7 and node take their clocks for local ones.
	cmd.Env = append(os.Environ(), "TZ=UTC", "PYTHONPATH=peers/python", "PYTHONDONTWRITEBYTECODE=1")
	p := &peer{t: t}
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
	timer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		p.stdin.Close()
		for p.stdout.Scan() { // so that it can end
		}
		cmd.Wait()
		timer.Stop()
	})
	return p
}

func (p *peer) ask(line string) string {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("%s: %v: %s", line, err, p.stderr.Bytes())
	}
	return p.line()
}

func (p *peer) line() string {
	p.t.Helper()
	for p.stdout.Scan() {
		if answer, ok := strings.CutPrefix(p.stdout.Text(), "> "); ok {
			return answer
		}
	}
	p.t.Fatalf("the peer ended: %s", p.stderr.Bytes())
	return ""
}

// connected fails the test when the peer could not connect.
func (p *peer) connected() *peer {
	p.t.Helper()
	if s := p.line(); s != "connected" {
		p.t.Fatalf("the peer did not connect: %s", s)
	}
	return p
}

// client is a foreign client.
type client struct {
	name  string
	start func(t *testing.T, addr string, pdu int) *peer
	pdus  []int // it can ask for; the first is what it asks for by itself
	sees  func(line, answer string) string
}

func (c client) connect(t *testing.T, addr string, pdu int) *peer {
	return c.start(t, addr, pdu).connected()
}

var (
	snap7Client = client{name: "node-snap7", pdus: []int{480, 240, 960}, sees: snap7Sees, start: func(t *testing.T, addr string, pdu int) *peer {
		need(t, nodeSnap7)
		return startPeer(t, "node", "peers/snap7_client.js", portOf(t, addr), strconv.Itoa(pdu))
	}}
	gos7Client = client{name: "gos7", pdus: []int{480}, sees: gos7Sees, start: func(t *testing.T, addr string, _ int) *peer {
		return startPeer(t, buildGos7(t), addr, "5s")
	}}
	pythonClient = client{name: "python-snap7", pdus: []int{480, 240, 960}, sees: pythonSees, start: func(t *testing.T, addr string, pdu int) *peer {
		need(t, pythonSnap7)
		return startPeer(t, debianPython, "peers/python_client.py", portOf(t, addr), strconv.Itoa(pdu))
	}}
)

// buildGos7 builds the client that uses gos7.
func buildGos7(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "gos7")
	if out, err := exec.Command("go", "build", "-o", bin, "./peers/gos7").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// snap7Server and pythonServer start foreign servers with the plant and return their addresses.
func snap7Server(t *testing.T) string {
	need(t, nodeSnap7)
	return serve(t, "node", "peers/snap7_server.js")
}

func pythonServer(t *testing.T) string {
	need(t, pythonSnap7)
	return serve(t, debianPython, "peers/python_server.py")
}

// serve tries again when somebody took the port that was free.
func serve(t *testing.T, name, script string) string {
	t.Helper()
	var p *peer
	for range 3 {
		port := freePort(t)
		p = startPeer(t, name, script, port)
		if p.stdout.Scan() && p.stdout.Text() == "ready" {
			return net.JoinHostPort("127.0.0.1", port)
		}
	}
	t.Fatalf("%s does not serve: %s", script, p.stderr.Bytes())
	return ""
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(t, l.Addr().String())
}
