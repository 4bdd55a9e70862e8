package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// uaIdle is sessions that ask for nothing.
type uaIdle struct {
	figure
	server, client string
	sessions       int
	ofClient       float64 // kB a session
}

// benchOPCUAIdle measures what sessions that ask for nothing cost their server and their client, without the garbage of their making.
func benchOPCUAIdle(ctx context.Context, w io.Writer, _ settings) error {
	rows := []*uaIdle{
		{figure: figure{name: "millrace, None", target: "15", best: "45"}, server: "millrace-opcua", client: "millrace-opcua", sessions: 2000},
		{figure: figure{name: "millrace, SignAndEncrypt", target: "25", best: "77"}, server: "millrace-opcua", client: "millrace-opcua-sealed", sessions: 1000},
		{figure: figure{name: "millrace, None, 10 items", target: "25", best: "45"}, server: "millrace-opcua", client: "millrace-opcua-told", sessions: 1000},
		{figure: figure{name: "millrace's server, gopcua's client"}, server: "millrace-opcua", client: "gopcua", sessions: 200},
		{figure: figure{name: "gopcua's server, millrace's client"}, server: "gopcua", client: "millrace-opcua", sessions: 200},
	}
	servers, clients := []*figure{}, []*figure{}
	for _, row := range rows {
		if err := row.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		servers = append(servers, &row.figure)
		c := &figure{name: row.name, values: []float64{row.ofClient}}
		if row.client != "gopcua" {
			c.target, c.best = "20", "149"
		}
		clients = append(clients, c)
	}
	printFigures(w, "OPC UA, memory of the server for a session that is idle", "kB/session", servers)
	printFigures(w, "OPC UA, memory of the client for a session that is idle", "kB/session", clients)
	return nil
}

func (row *uaIdle) run(ctx context.Context) error {
	srv, url, err := startUAServer(ctx, row.server)
	if err != nil {
		return err
	}
	defer srv.stop()
	warm, err := dialUA(ctx, url, strings.HasSuffix(row.client, "-sealed"), nil)
	if err != nil {
		return err
	}
	defer warm.Close()
	before, _, err := srv.settled()
	if err != nil {
		return err
	}
	held, grown, err := startSessions(ctx, row.client, url, row.sessions)
	if err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	after, with, err := srv.settled()
	if err != nil {
		return err
	}
	n := float64(row.sessions)
	row.values, row.ofClient = []float64{float64(after-before) / n / 1e3}, float64(grown)/n/1e3
	row.notes = []string{fmt.Sprintf("%d sessions, %.1f kB with garbage", row.sessions, float64(with-before)/n/1e3)}
	return held.stop()
}

// startSessions has a child hold sessions: they would count among the descriptors of this process too. It returns by how many bytes the child grew.
func startSessions(ctx context.Context, client, url string, n int) (*child, int64, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	held, err := start(ctx, self, "sessions", client, url, strconv.Itoa(n))
	if err != nil {
		return nil, 0, err
	}
	line, err := held.line()
	if err != nil {
		return nil, 0, fmt.Errorf("sessions: %w: %v", err, held.stop())
	}
	grown, err := strconv.ParseInt(line, 10, 64)
	return held, grown, err
}

// settled returns the resident memory of a server of this program, without garbage and with it.
func (c *child) settled() (without, with int64, err error) {
	pid := c.cmd.Process.Pid
	if with, err = memory(pid); err != nil {
		return 0, 0, err
	}
	if _, err := io.WriteString(c.stdin, "collect\n"); err != nil {
		return 0, 0, err
	}
	if line, err := c.line(); err != nil || line != "collected" {
		return 0, 0, errors.Join(fmt.Errorf("collect: %q", line), err)
	}
	without, err = memory(pid)
	return without, with, err
}

// benchOPCUAStorm has 10,000 clients come at once: such whose keys take a third of the time, in place of other machines, then ordinary ones on the server's own CPUs, and such with ECC_nistP256.
func benchOPCUAStorm(ctx context.Context, w io.Writer, _ settings) error {
	const title = "OPC UA server, 10,000 clients, 1,000 of which try at any moment, SignAndEncrypt; all on the same CPUs"
	fmt.Fprintf(w, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	for _, keys := range []string{"light", "ordinary", "curve"} {
		if err := stormOnce(ctx, w, keys); err != nil {
			return err
		}
	}
	return nil
}

func stormOnce(ctx context.Context, w io.Writer, keys string) error {
	srv, url, err := startUAServer(ctx, "millrace-opcua")
	if err != nil {
		return err
	}
	defer srv.stop()
	before, _, err := srv.settled()
	if err != nil {
		return err
	}
	pid := srv.cmd.Process.Pid
	from, err := cpuSeconds(pid)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c, err := start(ctx, self, "storm", keys, url, strconv.Itoa(stormSessions))
	if err != nil {
		return err
	}
	line, err := c.line()
	if err != nil {
		return fmt.Errorf("storm: %w: %v", err, c.stop())
	}
	var early, in, refused, failed int
	var last, signed float64
	if _, err := fmt.Sscan(line, &early, &in, &last, &refused, &failed, &signed); err != nil {
		return fmt.Errorf("storm: %q: %w", line, err)
	}
	to, err := cpuSeconds(pid)
	if err != nil {
		return err
	}
	its, err := cpuSeconds(c.cmd.Process.Pid)
	if err != nil {
		return err
	}
	after, _, err := srv.settled()
	if err != nil {
		return err
	}
	peak, err := peakMemory(pid)
	if err != nil {
		return err
	}
	n := float64(in)
	fmt.Fprintf(w, "clients with %s keys: in within 60 s: %d; in: %d, the last after %.1f s, %.0f/s (target: all within 60 s; best known: 26/s .NET)\n", keys, early, in, last, n/last)
	fmt.Fprintf(w, "  told BadTcpServerTooBusy: %d times; failed otherwise: %d %s\n", refused, failed, strings.TrimSpace(c.stderr.String()))
	fmt.Fprintf(w, "  server: %.2f ms CPU a session, %.1f kB a session then, peak %d MB\n", (to-from)*1e3/n, float64(after-before)/n/1e3, peak>>20)
	fmt.Fprintf(w, "  clients: %.2f ms CPU a session, %.3f operations with the private key (4 is none in vain, 2 with a curve)\n", its*1e3/n, signed/n)
	return c.stop()
}
