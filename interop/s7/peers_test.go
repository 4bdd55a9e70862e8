package s7_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"millrace/interop/outside"
)

const (
	debianPython = "/usr/bin/python3"
	nodeSnap7    = "peers/node_modules/node-snap7/build/Release/node_snap7.node"
	pythonSnap7  = "peers/python/snap7/__init__.py"
)

// asker answers the lines of a script, through one connection to a server.
type asker interface{ ask(line string) string }

// peer is a foreign client or server.
type peer struct{ *outside.Program }

func (p *peer) ask(line string) string { return p.Ask(line) }

func startPeer(t *testing.T, name string, args ...string) *peer {
	t.Helper()
	return &peer{outside.Start(t, name, args...)}
}

// connected fails the test when the peer could not connect.
func (p *peer) connected() *peer {
	p.Expect("connected")
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
		outside.Need(t, nodeSnap7)
		return startPeer(t, "node", "peers/snap7_client.js", portOf(t, addr), strconv.Itoa(pdu))
	}}
	gos7Client = client{name: "gos7", pdus: []int{480}, sees: gos7Sees, start: func(t *testing.T, addr string, _ int) *peer {
		return startPeer(t, buildGos7(t), addr, "5s")
	}}
	pythonClient = client{name: "python-snap7", pdus: []int{480, 240, 960}, sees: pythonSees, start: func(t *testing.T, addr string, pdu int) *peer {
		outside.Need(t, pythonSnap7)
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
	outside.Need(t, nodeSnap7)
	return serve(t, "node", "peers/snap7_server.js")
}

func pythonServer(t *testing.T) string {
	outside.Need(t, pythonSnap7)
	return serve(t, debianPython, "peers/python_server.py")
}

// serve tries again when somebody took the port that was free.
func serve(t *testing.T, name, script string) string {
	t.Helper()
	var p *peer
	for range 3 {
		port := freePort(t)
		p = startPeer(t, name, script, port)
		if line, ok := p.Line(); ok && line == "ready" {
			return net.JoinHostPort("127.0.0.1", port)
		}
	}
	t.Fatalf("%s does not serve: %s", script, p.Stderr())
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
