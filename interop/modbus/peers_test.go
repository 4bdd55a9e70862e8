package modbus_test

import (
	"bufio"
	"bytes"
	"context"
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

// debianPython is the interpreter that Debian's python3-pymodbus belongs to.
const debianPython = "/usr/bin/python3"

// need ends the test when a peer is not installed: a failure when REQUIRE_INTEROP=1, else a skip that says so.
func need(t *testing.T, what string, ok bool) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("REQUIRE_INTEROP") == "1" {
		t.Fatalf("%s is not installed; .ci/install installs it", what)
	}
	t.Skipf("%s is not installed; nothing was compared", what)
}

func havePymodbus() bool {
	return exec.Command(debianPython, "-c", "import pymodbus.client").Run() == nil
}

// compile builds a C peer against libmodbus.
func compile(t *testing.T, source string) string {
	t.Helper()
	_, err := os.Stat("/usr/include/modbus/modbus.h")
	need(t, "libmodbus-dev", err == nil)
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(source, ".c"))
	cmd := exec.Command("gcc", "-O2", "-Wall", "-Werror", "-o", out, filepath.Join("peers", source), "-lmodbus")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc %s: %v\n%s", source, err, msg)
	}
	return out
}

// run runs a foreign client and returns the lines that it printed.
func run(t *testing.T, name string, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, stderr.Bytes())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// serve starts a foreign server. With printsPort it prints the port as its first line, else port is where it will listen.
func serve(t *testing.T, printsPort bool, port int, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if !printsPort {
			cmd.Process.Kill()
		}
		cmd.Wait()
	})
	if printsPort {
		first, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatalf("%s said no port: %v", name, err)
		}
		port, err = strconv.Atoi(strings.TrimSpace(first))
		if err != nil {
			t.Fatal(err)
		}
	} else {
		go io.Copy(io.Discard, stdout)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	waitListening(t, addr, &stderr)
	return addr
}

// waitListening returns when addr accepts connections.
func waitListening(t *testing.T, addr string, stderr *bytes.Buffer) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		<-tick.C
	}
	t.Fatalf("nothing listens on %s after 20 s: %s", addr, stderr.Bytes())
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

// compare holds the lines that a client printed against the transcript and returns how many were compared.
func compare(t *testing.T, got, want []string) int {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("answer %d is missing: want %.100q", i, want[i])
		case i >= len(want):
			t.Errorf("answer %d is not asked for: %.100q", i, got[i])
		case got[i] != want[i]:
			t.Errorf("answer %d: %.200q, want %.200q", i, got[i], want[i])
		}
	}
	return len(want)
}
