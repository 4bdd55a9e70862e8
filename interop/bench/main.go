// Command bench measures the gateway's parts beside other people's programs, in the same run, taking turns, and prints medians and
// ratios. It reports; it never fails on a figure.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// command runs one part, or the child process of one: serve NAME, client NAME ADDR SECONDS.
func command(ctx context.Context, args []string, w io.Writer) error {
	if len(args) > 1 && args[0] == "serve" {
		return serve(ctx, args[1])
	}
	if len(args) > 3 && args[0] == "client" {
		return client(ctx, args[1], args[2], args[3])
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rounds := flags.Int("rounds", 5, "rounds; each contestant runs once a round")
	each := flags.Duration("each", 2*time.Second, "length of one run")
	millrace := flags.String("millrace", "", "the gateway's binary, for the data path")
	part := flags.String("part", "all", "server, pipeline, bad, client, path or all")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s, %s, %d CPUs, %d rounds of %v\n", time.Now().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), *rounds, *each)
	all := *part == "all"
	if all || *part == "server" {
		if err := benchServers(ctx, w, []string{"millrace", "libmodbus", "simonvetter"}, *rounds, 100, 1, *each); err != nil {
			return err
		}
	}
	if all || *part == "pipeline" {
		if err := benchServers(ctx, w, []string{"millrace", "simonvetter"}, *rounds, 1, 16, *each); err != nil {
			return err
		}
	}
	if all || *part == "bad" {
		if err := benchBad(ctx, w); err != nil {
			return err
		}
	}
	if all || *part == "client" {
		if err := benchClients(ctx, w, *rounds, *each); err != nil {
			return err
		}
	}
	if all || *part == "path" {
		if *millrace == "" {
			return errors.New("the data path needs -millrace BINARY")
		}
		return benchPath(ctx, w, *millrace)
	}
	return nil
}

// child is a process that is measured; it ends when its standard input does.
type child struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	out    *bufio.Reader
	stderr bytes.Buffer // shown when it fails
}

func start(ctx context.Context, name string, args ...string) (*child, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	c := &child{cmd: cmd}
	cmd.Stderr = &c.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.stdin, c.out = stdin, bufio.NewReader(out)
	return c, cmd.Start()
}

func (c *child) line() (string, error) {
	s, err := c.out.ReadString('\n')
	return strings.TrimSpace(s), err
}

func (c *child) stop() error {
	c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, c.stderr.Bytes())
	}
	return nil
}

// startServer starts the server called name in a process of its own and returns its address.
func startServer(ctx context.Context, name string) (*child, string, error) {
	if name == "libmodbus" {
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
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	c, err := start(ctx, self, "serve", name)
	if err != nil {
		return nil, "", err
	}
	addr, err := c.line()
	return c, addr, err
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

func benchServers(ctx context.Context, w io.Writer, names []string, rounds, conns, depth int, d time.Duration) error {
	all := make([]*series, len(names))
	for i, n := range names {
		all[i] = &series{name: n}
	}
	for r := range rounds {
		for i := range names {
			s := all[(i+r)%len(all)]
			if err := serverRound(ctx, s, conns, depth, d); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	print(w, fmt.Sprintf("Modbus server, %d registers, %d connections, depth %d", registers, conns, depth), "requests", all)
	return nil
}

func serverRound(ctx context.Context, s *series, conns, depth int, d time.Duration) error {
	c, addr, err := startServer(ctx, s.name)
	if err != nil {
		return err
	}
	defer c.stop()
	if _, err := run(addr, conns, depth, d/4); err != nil { // warm up
		return err
	}
	before, err := cpuSeconds(c.cmd.Process.Pid)
	if err != nil {
		return err
	}
	l, err := run(addr, conns, depth, d)
	if err != nil {
		return err
	}
	after, err := cpuSeconds(c.cmd.Process.Pid)
	if err != nil {
		return err
	}
	s.perCPU = append(s.perCPU, float64(l.requests)/(after-before))
	s.rate = append(s.rate, float64(l.requests)/l.elapsed.Seconds())
	return nil
}

func benchClients(ctx context.Context, w io.Writer, rounds int, d time.Duration) error {
	all := []*series{{name: "millrace"}, {name: "simonvetter"}, {name: "aldas"}, {name: "goburrow"}}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	srv, addr, err := startServer(ctx, "millrace")
	if err != nil {
		return err
	}
	defer srv.stop()
	for r := range rounds {
		for i := range all {
			s := all[(i+r)%len(all)]
			c, err := start(ctx, self, "client", s.name, addr, strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
			if err != nil {
				return err
			}
			line, err := c.line()
			if err := errors.Join(err, c.stop()); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			var requests, cpu, wall float64
			if _, err := fmt.Sscan(line, &requests, &cpu, &wall); err != nil {
				return fmt.Errorf("%s: %q: %w", s.name, line, err)
			}
			s.perCPU = append(s.perCPU, requests/cpu)
			s.rate = append(s.rate, requests/wall)
		}
	}
	print(w, fmt.Sprintf("Modbus client, %d registers, one connection", registers), "requests", all)
	return nil
}

// client is the child process whose CPU time counts: it prints requests, CPU seconds and wall seconds.
func client(ctx context.Context, name, addr, seconds string) error {
	connect, ok := clients[name]
	if !ok {
		return fmt.Errorf("no client %q", name)
	}
	s, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return err
	}
	read, err := connect(ctx, addr)
	if err != nil {
		return err
	}
	for range 1000 { // warm up
		if err := read(); err != nil {
			return err
		}
	}
	before, err := cpuSeconds(os.Getpid())
	if err != nil {
		return err
	}
	begin, n := time.Now(), 0
	for until := begin.Add(time.Duration(s * float64(time.Second))); time.Now().Before(until); n++ {
		if err := read(); err != nil {
			return err
		}
	}
	wall := time.Since(begin).Seconds()
	after, err := cpuSeconds(os.Getpid())
	if err != nil {
		return err
	}
	fmt.Println(n, after-before, wall)
	return nil
}
