package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	manyConns  = 10_000
	snap7Conns = 1000 // it has room for 1,024 descriptors
	idleFor    = 10 * time.Second
	idleSettle = 12 * time.Second // at the deadline of the handshake, 10 s, each connection's timer goes off once more
)

// benchS7Idle holds connections that have been set up and ask for nothing, and measures what they cost their server; then all of them ask.
func benchS7Idle(ctx context.Context, w io.Writer, set settings) error {
	const title = "S7 server, connections that are idle, and then all of them at work, depth 1"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	fmt.Fprintf(w, "%-24s %12s %16s %12s %16s %14s %10s\n", "", "connections", "RSS/connection", "CPU idle", "requests/CPU s", "requests/s", "peak RSS")
	for _, c := range []struct {
		name  string
		conns int
	}{{"millrace-s7", manyConns}, {"millrace-s7", snap7Conns}, {"snap7", snap7Conns}} {
		if err := idleRound(ctx, w, c.name, c.conns, set.each); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func idleRound(ctx context.Context, w io.Writer, name string, conns int, d time.Duration) error {
	srv, addr, err := startS7Server(ctx, name)
	if err != nil {
		return err
	}
	defer srv.stop()
	pid := srv.cmd.Process.Pid
	if _, err := run(addr, pid, dbRead{}, 10, 1, d/4); err != nil { // warm up
		return err
	}
	before, err := memory(pid)
	if err != nil {
		return err
	}
	after, cpu, err := idle(ctx, addr, pid, conns)
	if err != nil {
		return err
	}
	l, err := run(addr, pid, dbRead{}, conns, 1, d)
	if err != nil {
		return err
	}
	peak, err := peakMemory(pid)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%-24s %12d %14.1fkB %11.2f%% %16.0f %14.0f %8dMB\n", name, conns, float64(after-before)/float64(conns)/1e3,
		100*cpu/idleFor.Seconds(), l.perCPU(), l.rate(), peak>>20)
	return nil
}

// idle has a child hold the connections: they would count among the descriptors of this process too. It returns the server's memory with them and the
// CPU seconds that they cost it in idleFor.
func idle(ctx context.Context, addr string, pid, conns int) (rss int64, cpu float64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, 0, err
	}
	held, err := start(ctx, self, "hold", addr, strconv.Itoa(conns))
	if err != nil {
		return 0, 0, err
	}
	if _, err := held.line(); err != nil {
		return 0, 0, fmt.Errorf("hold: %w: %v", err, held.stop())
	}
	if err := pause(ctx, idleSettle); err != nil {
		return 0, 0, err
	}
	start, err := cpuSeconds(pid)
	if err != nil {
		return 0, 0, err
	}
	if err := pause(ctx, idleFor); err != nil {
		return 0, 0, err
	}
	end, err := cpuSeconds(pid)
	if err != nil {
		return 0, 0, err
	}
	rss, err = memory(pid)
	if err != nil {
		return 0, 0, err
	}
	return rss, end - start, held.stop()
}

// hold is the child that holds connections: it prints a line when they stand, and lets them go when standard input ends.
func hold(_ context.Context, addr, conns string) error {
	n, err := strconv.Atoi(conns)
	if err != nil {
		return err
	}
	held := make([]net.Conn, n)
	for i := range held {
		c, err := dbRead{}.connect(addr)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i+1, err)
		}
		defer c.Close()
		held[i] = c
	}
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
