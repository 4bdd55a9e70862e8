package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"millrace/opcua"
)

// uaRow is a contestant of a table about servers: our client asks it, and its CPU time counts.
type uaRow struct {
	figure
	server string
	sealed bool
	conns  int
	nodes  int // in a request of the caller
	most   int // in one on the wire; 0 is as many as the server takes
	items  int // of a subscription; 0 is a Read
}

// running is the servers of a part, each a process of its own, all the time.
type running map[string]struct {
	c   *child
	url string
}

func (r running) start(ctx context.Context, names ...string) error {
	for _, n := range names {
		c, url, err := startUAServer(ctx, n)
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		x := r[n]
		x.c, x.url = c, url
		r[n] = x
	}
	return nil
}

func (r running) stop() {
	for _, x := range r {
		_ = x.c.stop() // a peer that does not end well is not what is measured
	}
}

// benchOPCUAServers reads from every server and has ours notify.
func benchOPCUAServers(ctx context.Context, w io.Writer, set settings) error {
	all := running{}
	defer all.stop()
	if err := all.start(ctx, "millrace-opcua", "gopcua", "node-opcua"); err != nil {
		return err
	}
	for _, sealed := range []bool{false, true} {
		title, target, best := "None", "250", "263 open62541"
		if sealed {
			title, target, best = "SignAndEncrypt", "300", "305 open62541"
		}
		err := all.table(ctx, w, set, "OPC UA server, Read of 1,000 string ids, "+title+", one connection", "ns/value", 1, []*uaRow{
			{figure: figure{name: "millrace", target: target, best: best}, server: "millrace-opcua", sealed: sealed, conns: 1, nodes: uaValues},
			{figure: figure{name: "millrace, 32 a request"}, server: "millrace-opcua", sealed: sealed, conns: 1, nodes: uaValues, most: 32},
			{figure: figure{name: "gopcua, which takes 32 a request"}, server: "gopcua", sealed: sealed, conns: 1, nodes: uaValues, most: 32},
			{figure: figure{name: "node-opcua"}, server: "node-opcua", sealed: sealed, conns: 1, nodes: uaValues},
		})
		if err != nil {
			return err
		}
	}
	for _, conns := range []int{1, 16} {
		err := all.table(ctx, w, set, fmt.Sprintf("OPC UA server, Read of one value, None, connections: %d", conns), "us/request", 1000, []*uaRow{
			{figure: figure{name: "millrace", target: "8", best: "9.4 open62541"}, server: "millrace-opcua", conns: conns, nodes: 1},
			{figure: figure{name: "gopcua"}, server: "gopcua", conns: conns, nodes: 1},
			{figure: figure{name: "node-opcua"}, server: "node-opcua", conns: conns, nodes: 1},
		})
		if err != nil {
			return err
		}
	}
	return all.table(ctx, w, set, "OPC UA server, 1,000 nodes sampled, 100,000 values a second told to each client", "ns/value", 1, []*uaRow{
		{figure: figure{name: "1,000 every 10 ms, None", target: "300", best: "1050"}, server: "millrace-opcua", conns: 1, items: uaValues},
		{figure: figure{name: "the same, SignAndEncrypt"}, server: "millrace-opcua", sealed: true, conns: 1, items: uaValues},
		{figure: figure{name: "the same, None, 8 clients", target: "300", best: "1050"}, server: "millrace-opcua", conns: 8, items: uaValues},
		{figure: figure{name: "10,000 every 100 ms, None", target: "300", best: "1050"}, server: "millrace-opcua", conns: 1, items: 10 * uaValues},
	})
}

// table has the rows take turns. div is how many ns are one of the unit.
func (r running) table(ctx context.Context, w io.Writer, set settings, title, unit string, div float64, rows []*uaRow) error {
	figures := make([]*figure, len(rows))
	for i := range rows {
		figures[i] = &rows[i].figure
	}
	for n := range set.rounds {
		for i := range rows {
			row := rows[(i+n)%len(rows)]
			ns, rate, err := r.round(ctx, row, set.each)
			if err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
			row.values, row.notes = append(row.values, ns/div), []string{fmt.Sprintf("%.0f values/s", rate)}
		}
	}
	printFigures(w, title, unit, figures)
	return nil
}

// round returns what a value costs the row's server, and how many of them there were in a second.
func (r running) round(ctx context.Context, row *uaRow, d time.Duration) (ns, rate float64, err error) {
	asks, closing, err := row.connect(ctx, r[row.server].url)
	defer closing()
	if err != nil {
		return 0, 0, err
	}
	if _, err := askAll(asks, d/4); err != nil { // warm up
		return 0, 0, err
	}
	pid := r[row.server].c.cmd.Process.Pid
	before, err := cpuSeconds(pid)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	n, err := askAll(asks, d)
	if err != nil {
		return 0, 0, err
	}
	wall := time.Since(begin)
	after, err := cpuSeconds(pid)
	values := float64(n) * float64(row.each())
	return (after - before) * 1e9 / values, values / wall.Seconds(), err
}

// each is how many values one call of what connect returns is about.
func (row *uaRow) each() int {
	if row.items > 0 {
		return uaValues
	}
	return row.nodes
}

// connect returns a function for each connection that has the server give it values once.
func (row *uaRow) connect(ctx context.Context, url string) (asks []func() error, closing func(), err error) {
	var clients []*opcua.Client
	closing = func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}
	for range row.conns {
		c, err := dialUA(ctx, url, row.sealed, func(cfg *opcua.Config) { cfg.MaxOperations = row.most })
		if err != nil {
			return nil, closing, err
		}
		clients = append(clients, c)
		var ask func() error
		if row.items > 0 {
			values, subscribing := uaSubscribe(ctx, c, row.items)
			ask, err = values.thousand, subscribing
		} else {
			ask, err = uaReader(ctx, c, row.nodes)
		}
		if err != nil {
			return nil, closing, err
		}
		asks = append(asks, ask)
	}
	return asks, closing, nil
}

// askAll calls each function again and again, side by side, and returns how often in all.
func askAll(asks []func() error, d time.Duration) (uint64, error) {
	var wg sync.WaitGroup
	var total atomic.Uint64
	errs := make(chan error, len(asks)) // one at most from each
	until := time.Now().Add(d)
	for _, ask := range asks {
		wg.Go(func() {
			n := uint64(0)
			for ; time.Now().Before(until); n++ {
				if err := ask(); err != nil {
					errs <- err
					break
				}
			}
			total.Add(n)
		})
	}
	wg.Wait()
	close(errs)
	return total.Load(), <-errs
}

// uaClientRow is a contestant of a table about clients, all of which ask our server.
type uaClientRow struct {
	figure
	client string
}

// benchOPCUAClients has the clients read, and be notified.
func benchOPCUAClients(ctx context.Context, w io.Writer, set settings) error {
	all := running{}
	defer all.stop()
	if err := all.start(ctx, "millrace-opcua"); err != nil {
		return err
	}
	url := all["millrace-opcua"].url
	err := clientTable(ctx, w, set, "OPC UA client, Read of 1,000 nodes, one connection", url, []*uaClientRow{
		{figure{name: "millrace, None", target: "200, 40 B", best: "532"}, "millrace-opcua"},
		{figure{name: "gopcua, None"}, "gopcua"},
		{figure{name: "millrace, SignAndEncrypt"}, "millrace-opcua-sealed"},
		{figure{name: "gopcua, SignAndEncrypt"}, "gopcua-sealed"},
	})
	if err != nil {
		return err
	}
	err = clientTable(ctx, w, set, "OPC UA client, 10,000 values every 100 ms, one subscription", url, []*uaClientRow{
		{figure{name: "millrace, SignAndEncrypt", target: "120", best: "414"}, "millrace-opcua-slow-sealed"},
		{figure{name: "gopcua, SignAndEncrypt"}, "gopcua-slow-sealed"},
	})
	if err != nil {
		return err
	}
	return clientTable(ctx, w, set, "OPC UA client, 1,000 values every 10 ms, one subscription", url, []*uaClientRow{
		{figure{name: "millrace, SignAndEncrypt", target: "120", best: "414"}, "millrace-opcua-told-sealed"},
		{figure{name: "gopcua, SignAndEncrypt"}, "gopcua-told-sealed"},
		{figure{name: "millrace, None"}, "millrace-opcua-told"},
		{figure{name: "gopcua, None"}, "gopcua-told"},
	})
}

// clientTable has the clients take turns, each in a process of its own.
func clientTable(ctx context.Context, w io.Writer, set settings, title, url string, rows []*uaClientRow) error {
	figures := make([]*figure, len(rows))
	for i := range rows {
		figures[i] = &rows[i].figure
	}
	for n := range set.rounds {
		for i := range rows {
			row := rows[(i+n)%len(rows)]
			if err := row.round(ctx, url, set.each); err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
		}
	}
	printFigures(w, title, "ns/value", figures)
	return nil
}

func (row *uaClientRow) round(ctx context.Context, url string, d time.Duration) error {
	c, err := startClient(ctx, row.client, url, strconv.FormatFloat(d.Seconds(), 'f', -1, 64))
	if err != nil {
		return err
	}
	line, err := c.line()
	if err := errors.Join(err, c.stop()); err != nil {
		return err
	}
	var calls, cpu, wall, allocated float64
	if _, err := fmt.Sscan(line, &calls, &cpu, &wall, &allocated); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	values := calls * uaValues
	row.values = append(row.values, cpu*1e9/values)
	row.notes = []string{fmt.Sprintf("%.1f B/value", allocated/values), fmt.Sprintf("%.0f values/s, %.3f core", values/wall, cpu/wall)}
	return nil
}
