package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	gserver "github.com/gopcua/opcua/server"

	"millrace/opcua"
)

// starters make a server with all of namespace 0 and nothing else.
var starters = map[string]func() (any, error){
	"millrace-opcua": func() (any, error) {
		space, err := opcua.NewSpace(opcua.SpaceConfig{})
		if err != nil {
			return nil, err
		}
		return opcua.NewServer(opcua.ServerConfig{Space: space})
	},
	"gopcua": func() (any, error) { return gserver.New(), nil },
}

// benchOPCUAStart makes servers, each in a new process.
func benchOPCUAStart(ctx context.Context, w io.Writer, set settings) error {
	names := []string{"millrace-opcua", "gopcua"}
	took := []*figure{{name: names[0], target: "100", best: "140"}, {name: names[1]}}
	grown := []*figure{{name: names[0], target: "15"}, {name: names[1]}}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for r := range set.rounds {
		for i := range names {
			at := (i + r) % len(names)
			c, err := start(ctx, self, "start", names[at])
			if err != nil {
				return err
			}
			line, err := c.line()
			if err := errors.Join(err, c.stop()); err != nil {
				return err
			}
			var ms, mb float64
			if _, err := fmt.Sscan(line, &ms, &mb); err != nil {
				return fmt.Errorf("%s: %q: %w", names[at], line, err)
			}
			took[at].values, grown[at].values = append(took[at].values, ms), append(grown[at].values, mb)
		}
	}
	printFigures(w, "OPC UA server, start with all of namespace 0, time", "ms", took)
	printFigures(w, "OPC UA server, the same, resident memory with the garbage of it", "MB", grown)
	return nil
}

// startServerOnce is the child that makes one server: it prints milliseconds and megabytes.
func startServerOnce(name string) error {
	create, ok := starters[name]
	if !ok {
		return fmt.Errorf("no server %q", name)
	}
	before, err := memory(os.Getpid())
	if err != nil {
		return err
	}
	begin := time.Now()
	s, err := create()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := memory(os.Getpid())
	runtime.KeepAlive(s)
	fmt.Println(took.Seconds()*1e3, float64(after-before)/1e6)
	return err
}
