// Serve shows the page with a plant that exists only in memory, for its browser test and for working on it. Commands on standard input
// change the plant, one a line: down DEVICE, up DEVICE, degrade DEVICE, sink down, sink up, residue N.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"millrace/internal/web"
	"millrace/internal/web/webtest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve at")
	devices := flag.Int("devices", 40, "devices")
	tags := flag.Int("tags", 250, "tags of each device")
	token := flag.String("token", "a-token-for-tests", "bearer token of the switches")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *listen, *devices, *tags, *token); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string, devices, tags int, token string) error {
	plant := webtest.New(devices, tags, time.Now())
	srv, err := web.New(web.Config{Token: token, Metrics: http.NotFoundHandler()}, plant)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go plant.Run(ctx, 500*time.Millisecond)
	go func() {
		obey(plant, os.Stdin)
		cancel() // who started us is gone
	}()
	fmt.Printf("http://%s/\n", ln.Addr())
	return srv.Run(ctx, ln)
}

func obey(plant *webtest.Plant, in io.Reader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := command(plant, strings.Fields(lines.Text())); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func command(plant *webtest.Plant, words []string) error {
	if len(words) != 2 {
		return errors.New("a command has two words")
	}
	what, arg := words[0], words[1]
	switch what {
	case "down":
		return plant.SetState(arg, web.StateCooling, "no reply to 3 requests in 10 s, then the connection was refused; next try in 4 s")
	case "up":
		return plant.SetState(arg, web.StateReady, "")
	case "degrade":
		return plant.SetState(arg, web.StateDegraded, "2 of 10 replies late; reading half as often")
	case "sink":
		if arg == "down" {
			plant.SetSink("historian", "retrying", "connection to 10.20.0.5:5432 refused")
		} else {
			plant.SetSink("historian", "ok", "")
		}
		return nil
	case "residue":
		n, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return err
		}
		plant.SetResidue(n)
		return nil
	}
	return fmt.Errorf("no command %q", what)
}
