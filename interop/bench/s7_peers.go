package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
)

var s7Servers = servers{fmt.Sprintf("S7 server, %d bytes", readBytes), startS7Server, dbRead{}}

// benchS7Servers has no more connections than snap7 can have: its descriptors go into a set of 1,024.
func benchS7Servers(ctx context.Context, w io.Writer, s settings) error {
	for _, conns := range []int{1, 100, 900} {
		if err := s7Servers.run(ctx, w, []string{"millrace-s7", "snap7"}, s, conns, 1); err != nil {
			return err
		}
	}
	return nil
}

func startS7Server(ctx context.Context, name string) (*child, string, error) {
	if name != "snap7" {
		return startSelf(ctx, name)
	}
	bin, err := snap7(ctx, "server")
	if err != nil {
		return nil, "", err
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	c, err := start(ctx, bin, port)
	if err != nil {
		return nil, "", err
	}
	_, err = c.line()
	return c, net.JoinHostPort("127.0.0.1", port), err
}

// snap7 compiles a peer of the interop suite once, against the library that node-snap7 has built.
func snap7(ctx context.Context, what string) (string, error) {
	bin := os.TempDir() + "/millrace-bench-snap7-" + what + "-" + strconv.Itoa(os.Getpid())
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	const lib = "s7/peers/node_modules/node-snap7/"
	out, err := exec.CommandContext(ctx, "g++", "-O2", "-I"+lib+"src", "-o", bin, "s7/peers/snap7_"+what+".cpp", lib+"src/snap7.cpp",
		lib+"build/Release/snap7.a", "-lpthread").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("g++: %w: %s (.ci/install installs node-snap7; run from interop/)", err, out)
	}
	return bin, nil
}
