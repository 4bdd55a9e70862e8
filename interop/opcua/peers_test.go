package opcua

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/interop/outside"
)

// node is where node-opcua lies.
const node = "peers/node_modules/node-opcua/package.json"

// asyncua is where asyncua lies.
const asyncua = "peers/python/asyncua/__init__.py"

// python is the interpreter that asyncua was installed for.
const python = "/usr/bin/python3"

// program is a foreign client or server.
type program struct{ *outside.Program }

func (p *program) ask(line string) string { return p.Ask(line) }

func startPeer(t *testing.T, name string, args ...string) *program {
	t.Helper()
	p := &program{outside.Start(t, name, args...)}
	t.Cleanup(p.Kill) // a server does not end with its standard input
	p.Expect("ready")
	return p
}

// nodeClient starts node-opcua's client, which connects when it is asked to.
func nodeClient(t *testing.T) *program {
	t.Helper()
	outside.Need(t, node)
	return startPeer(t, "node", "peers/client.js", t.TempDir())
}

// asyncuaClient starts asyncua's client.
func asyncuaClient(t *testing.T) *program {
	t.Helper()
	outside.Need(t, asyncua)
	return startPeer(t, python, "peers/client.py", t.TempDir())
}

// connect has a foreign client connect, in place of what it was connected to.
func connect(t *testing.T, p *program, url string, s security, user string, lifetime time.Duration) asker {
	t.Helper()
	if got := p.ask(strings.Join([]string{"connect", url, s.policy, s.mode, user, strconv.FormatInt(lifetime.Milliseconds(), 10)}, " ")); got != "connected" {
		t.Fatalf("%v, %s: %s", s, user, got)
	}
	return p
}

// nodeServer starts node-opcua's server and returns its URL.
func nodeServer(t *testing.T, port int) (*program, string) {
	t.Helper()
	outside.Need(t, node)
	if port == 0 {
		port = freePort(t)
	}
	p := startPeer(t, "node", "peers/server.js", strconv.Itoa(port), t.TempDir())
	return p, "opc.tcp://127.0.0.1:" + strconv.Itoa(port) + "/UA/peer"
}

// asyncuaServer starts asyncua's server and returns its URL.
func asyncuaServer(t *testing.T) string {
	t.Helper()
	outside.Need(t, asyncua)
	port := strconv.Itoa(freePort(t))
	startPeer(t, python, "peers/server.py", port, t.TempDir())
	return "opc.tcp://127.0.0.1:" + port
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
