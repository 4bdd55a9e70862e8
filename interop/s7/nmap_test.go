package s7_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"millrace/interop/capture"
	"millrace/interop/outside"
	"millrace/s7"
)

// TestNmap has nmap's s7-info script find out what our CPU is. It asks on port 102 alone, which only root may open.
func TestNmap(t *testing.T) {
	outside.Need(t, "/usr/bin/nmap")
	if os.Geteuid() != 0 {
		if os.Getenv("REQUIRE_INTEROP") == "1" {
			t.Fatal("port 102 needs root")
		}
		t.Skip("SKIPPED: port 102 needs root")
	}
	l, host := port102(t)
	proxy := capture.NewProxyAt(t, l, ourServer(t, s7.ServerConfig{Handler: newCPU(t, s7.CPUConfig{})}))
	out, err := exec.Command("/usr/bin/nmap", "-Pn", "-n", "-p", "102", "--script", "s7-info", host).CombinedOutput()
	if err != nil {
		t.Fatalf("nmap: %v\n%s", err, out)
	}
	want := []string{
		"Module: 6ES7 315-2EH14-0AB0", "Basic Hardware: 6ES7 315-2EH14-0AB0", "Version: 3.2.6", "System Name: mixer", "Module Type: CPU of the mixer",
		"Serial Number: S C-X4U421302009", "Plant Identification: north", "Copyright: Original Siemens Equipment",
	}
	for _, line := range want {
		if !strings.Contains(string(out), line) {
			t.Errorf("nmap does not say %q:\n%s", line, out)
		}
	}
	t.Logf("compared: %d answers, %d frames dissected", len(want), dissect(t, proxy))
}

// port102 opens port 102 of a loopback address where it is free.
func port102(t *testing.T) (l net.Listener, host string) {
	t.Helper()
	for _, host := range []string{"127.0.0.1", "127.0.0.102", "127.1.0.2"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "102"))
		if err == nil {
			return l, host
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
	t.Fatal("port 102 is taken everywhere")
	return nil, ""
}
