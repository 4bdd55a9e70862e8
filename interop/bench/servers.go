package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

// servers are the servers of one protocol.
type servers struct {
	title string
	start func(ctx context.Context, name string) (c *child, addr string, err error)
	load  asker
}

var modbusServers = servers{fmt.Sprintf("Modbus server, %d registers", registers), startServer, holding{}}

// run has names take turns.
func (m servers) run(ctx context.Context, w io.Writer, names []string, set settings, conns, depth int) error {
	all := make([]*series, len(names))
	for i, n := range names {
		all[i] = &series{name: n}
	}
	for r := range set.rounds {
		for i := range names {
			s := all[(i+r)%len(all)]
			if err := m.round(ctx, s, conns, depth, set); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	print(w, fmt.Sprintf("%s, %d connections, depth %d", m.title, conns, depth), "requests", all)
	return nil
}

func (m servers) round(ctx context.Context, s *series, conns, depth int, set settings) error {
	c, addr, err := m.start(ctx, s.name)
	if err != nil {
		return err
	}
	defer c.stop()
	pid := c.cmd.Process.Pid
	if _, err := run(addr, pid, m.load, conns, depth, set.each/4); err != nil { // warm up
		return err
	}
	l, err := run(addr, pid, m.load, conns, depth, set.each)
	if err != nil {
		return err
	}
	s.perCPU, s.rate = append(s.perCPU, l.perCPU()), append(s.rate, l.rate())
	return nil
}

// startServer starts the Modbus server called name in a process of its own and returns its address.
func startServer(ctx context.Context, name string) (*child, string, error) {
	if name != "libmodbus" {
		return startSelf(ctx, name)
	}
	bin, err := libmodbusServer(ctx)
	if err != nil {
		return nil, "", err
	}
	c, err := start(ctx, bin)
	if err != nil {
		return nil, "", err
	}
	port, err := c.line()
	return c, "127.0.0.1:" + port, err
}

// libmodbusServer compiles the server of the interop suite once.
func libmodbusServer(ctx context.Context) (string, error) {
	bin := os.TempDir() + "/millrace-bench-libmodbus-" + strconv.Itoa(os.Getpid())
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	out, err := exec.CommandContext(ctx, "gcc", "-O2", "-o", bin, "modbus/peers/libmodbus_server.c", "-lmodbus").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("gcc: %w: %s (.ci/install installs libmodbus-dev; run from interop/)", err, out)
	}
	return bin, nil
}
