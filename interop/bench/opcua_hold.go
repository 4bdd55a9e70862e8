package main

import (
	"bufio"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// holders make a session and leave it alone; they are called from several goroutines.
var holders = map[string]func(ctx context.Context, url string, me *uasc.Identity) error{
	"millrace-opcua":        func(ctx context.Context, url string, _ *uasc.Identity) error { return holdUA(ctx, url, nil, false) },
	"millrace-opcua-sealed": func(ctx context.Context, url string, me *uasc.Identity) error { return holdUA(ctx, url, me, false) },
	"millrace-opcua-told":   func(ctx context.Context, url string, _ *uasc.Identity) error { return holdUA(ctx, url, nil, true) },
	"gopcua": func(ctx context.Context, url string, _ *uasc.Identity) error {
		_, err := dialGopcua(ctx, url, false)
		return err
	},
	"gopcua-sealed": func(ctx context.Context, url string, _ *uasc.Identity) error {
		_, err := dialGopcua(ctx, url, true)
		return err
	},
}

// holdUA makes a session of our client, with a subscription to ten values that stay if told. It lives as long as the process.
func holdUA(ctx context.Context, url string, me *uasc.Identity, told bool) error {
	c, err := enter(ctx, url, uaConfig(me))
	if err != nil || !told {
		return err
	}
	s, err := c.Subscribe(ctx, opcua.SubscriptionConfig{Notify: func(m *opcua.Notification) { m.Receipt().Done() }})
	if err != nil {
		return err
	}
	ids, err := uaIds(c, "v", 10)
	if err != nil {
		return err
	}
	return s.Add(ctx, uaItems(ids))
}

// enter dials until the server is not too busy.
func enter(ctx context.Context, url string, cfg opcua.Config) (*opcua.Client, error) {
	for {
		c, err := opcua.Dial(ctx, url, cfg)
		if !tooBusy(err) {
			return c, err
		}
		if err := pause(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

func tooBusy(err error) bool {
	var failed *opcua.DialError
	return errors.As(err, &failed) && failed.Status == ua.BadTcpServerTooBusy
}

// holdSessions is the child that holds sessions: it prints by how much they made it grow, and lets them go when standard input ends.
func holdSessions(ctx context.Context, name, url, sessions string) error {
	hold, ok := holders[name]
	if !ok {
		return fmt.Errorf("no client %q", name)
	}
	n, err := strconv.Atoi(sessions)
	if err != nil {
		return err
	}
	me, err := uaIdentity()
	if err != nil {
		return err
	}
	if err := hold(ctx, url, me); err != nil { // what the first one needs, the others share
		return err
	}
	before, err := collected()
	if err != nil {
		return err
	}
	if err := eightAtOnce(n, func() error { return hold(ctx, url, me) }); err != nil {
		return err
	}
	after, err := collected()
	if err != nil {
		return err
	}
	fmt.Println(after - before)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func eightAtOnce(n int, f func() error) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make(chan error, 8) // one at most from each
	for range 8 {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := f(); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// collected returns the resident memory of this process without garbage.
func collected() (int64, error) {
	debug.FreeOSMemory() // pools let go of what they have with the second one
	debug.FreeOSMemory()
	return memory(os.Getpid())
}

// storm is the child whose clients all come at once, each from an address of its own, and come again, each time later, when the server is too busy. It prints how many were
// in within a minute and in the end, after how many seconds the last one was, how often one was refused or failed, and how often their private key was used. keys are light, ordinary or curve, which is ECC_nistP256.
func storm(ctx context.Context, keys, url, sessions string) error {
	n, err := strconv.Atoi(sessions)
	if err != nil {
		return err
	}
	identity := uaIdentity
	switch keys {
	case "light":
		identity = lightIdentity
	case "curve":
		identity = curveIdentity
	}
	me, err := identity()
	if err != nil {
		return err
	}
	used := &countedKey{Signer: me.Signer}
	me.Signer = used
	ctx, cancel := context.WithTimeout(ctx, stormWithin)
	defer cancel()
	var wg sync.WaitGroup
	s := stormCounts{trying: make(chan struct{}, stormTrying)}
	begin := time.Now()
	for i := range n {
		wg.Go(func() { s.client(ctx, url, me, i, begin) })
	}
	wg.Wait()
	if s.failure != nil {
		fmt.Fprintln(os.Stderr, "storm:", s.failure)
	}
	fmt.Println(s.early, s.in, s.last.Seconds(), s.refused, s.failed, used.operations.Load())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

const (
	stormSessions = 10_000
	stormTrying   = 1000 // at the same moment: the clients have but the CPUs that the server has, and would be late with their own answers
	stormWithin   = 2 * time.Minute
)

// countedKey counts operations with a private key.
type countedKey struct {
	crypto.Signer
	operations atomic.Int64
}

// Sign is of crypto.Signer.
func (k *countedKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.operations.Add(1)
	return k.Signer.Sign(rand, digest, opts)
}

// Decrypt is of crypto.Decrypter, which an RSA key is too.
func (k *countedKey) Decrypt(rand io.Reader, c []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	k.operations.Add(1)
	return k.Signer.(crypto.Decrypter).Decrypt(rand, c, opts)
}

// stormCounts is what became of the clients.
type stormCounts struct {
	trying                     chan struct{}
	mu                         sync.Mutex
	early, in, refused, failed int
	last                       time.Duration
	failure                    error // the first one
}

// client is in when the server lets it, and tries again whatever comes in between, at most every four to twelve seconds.
func (s *stormCounts) client(ctx context.Context, url string, me *uasc.Identity, i int, begin time.Time) {
	from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))}
	cfg := uaConfig(me)
	cfg.SessionTimeout = 10 * time.Minute
	cfg.Dialer = func(ctx context.Context, addr string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: from}
		return d.DialContext(ctx, "tcp", addr)
	}
	for wait := 2 * time.Second; ctx.Err() == nil; wait = min(2*wait, 8*time.Second) {
		s.trying <- struct{}{}
		_, err := opcua.Dial(ctx, url, cfg)
		<-s.trying
		s.count(err, time.Since(begin))
		if failed := (*opcua.DialError)(nil); errors.As(err, &failed) && failed.Known != nil {
			cfg.Known = failed.Known // asking for endpoints is for the first time
		}
		if err == nil || pause(ctx, wait/2+rand.N(wait)) != nil {
			return
		}
	}
}

func (s *stormCounts) count(err error, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case tooBusy(err):
		s.refused++
		return
	case err != nil:
		s.failed++
		if s.failure == nil {
			s.failure = err
		}
		return
	}
	s.in++
	if after <= time.Minute {
		s.early++
	}
	s.last = max(s.last, after)
}

// serveUntil does what the parent asks of a server's child, by lines on standard input: "collect" gives the garbage back to the system.
func serveUntil(in io.Reader) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if lines.Text() == "collect" {
			debug.FreeOSMemory()
			fmt.Println("collected")
		}
	}
	return lines.Err()
}
