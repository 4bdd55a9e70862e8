package driver

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
	"millrace/internal/tag"
	"millrace/modbus"
)

// how a plant of pipes is.
type plantMode uint8

const (
	plantWell    plantMode = iota
	plantRefuses           // dials
	plantDeaf              // dials are not answered
	plantSilent            // it takes connections, and answers nothing
)

// pipePlant is devices at the far ends of pipes, which read as zeros.
type pipePlant struct {
	mu    sync.Mutex
	mode  plantMode
	conns map[net.Conn]bool
	dials int
}

func (p *pipePlant) is() plantMode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode
}

// become changes the mode and ends all connections.
func (p *pipePlant) become(m plantMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *pipePlant) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *pipePlant) dialled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}

func (p *pipePlant) dial(ctx context.Context) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials++
	switch p.mode {
	case plantRefuses:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	case plantDeaf:
		p.mu.Unlock()
		<-ctx.Done()
		p.mu.Lock()
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: ctx.Err()}
	case plantWell, plantSilent:
	}
	near, far := net.Pipe()
	p.conns[far] = true
	go p.serve(far)
	return near, nil
}

func (p *pipePlant) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	req := make([]byte, 12) // MBAP 7, function 1, address 2, quantity 2
	for {
		if _, err := io.ReadFull(c, req); err != nil {
			return
		}
		if p.is() == plantSilent {
			continue
		}
		n := 2 * int(binary.BigEndian.Uint16(req[10:]))
		out := make([]byte, 9+n)
		copy(out, req[:8])
		binary.BigEndian.PutUint16(out[4:], uint16(3+n))
		out[8] = byte(n)
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// pipedModbus is the driver over the pipes of a plant.
type pipedModbus struct {
	Modbus
	plant *pipePlant
}

func (d pipedModbus) Open(ctx context.Context, a device.Addr, lim device.Limits, o device.Observer) (device.Session, error) {
	opts, err := parseModbusOptions(a)
	if err != nil {
		return nil, err
	}
	s, cfg, err := newModbusSession(&opts, lim, o)
	if err != nil {
		return nil, err
	}
	conn, err := d.plant.dial(ctx)
	if err != nil {
		return nil, err
	}
	if s.client, err = modbus.NewClient(conn, cfg); err != nil {
		return nil, err
	}
	s.learner.open(opts.limit(lim), time.Now(), 2*o.Timeout())
	return s, nil
}

// goroutinesHere counts the goroutines of the caller's bubble: the runtime has others, which come and go.
func goroutinesHere() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "synctest bubble")
}

// A day without any device, in each of the ways in which they can be gone, leaves not one goroutine and not one session more than there were, and all are read again.
func TestADayWithoutDevicesLeavesNothing(t *testing.T) {
	const devices = 3
	synctest.Test(t, func(t *testing.T) {
		plant := &pipePlant{conns: map[net.Conn]bool{}}
		rt, err := device.New(device.Config{Drivers: map[string]device.Driver{"modbus": pipedModbus{plant: plant}}, Output: forgetful{}, Ledger: forgetful{}})
		if err != nil {
			t.Fatal(err)
		}
		var specs []device.Spec
		for n := range devices {
			s := device.Spec{Name: fmt.Sprint("d", n+1), Number: uint32(n + 1), Driver: "modbus", Profile: resilience.LAN(), Addr: device.Addr{Scheme: "modbus", Host: fmt.Sprintf("10.0.0.%d:502", n+1)}}
			s.Groups = []device.Group{{Name: "fast", Interval: time.Second, Tags: []device.TagSpec{{ID: tag.ID(n + 1), Name: s.Name + "/t", Address: "holding:10:uint16"}}}}
			specs = append(specs, s)
		}
		if _, err := rt.Apply(specs); err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- rt.Run(ctx) }()
		rest := func() (goroutines, sessions int) {
			time.Sleep(time.Minute + time.Millisecond)
			synctest.Wait()
			if n := rt.Stats().States[device.Ready]; n != devices {
				t.Fatalf("%d of %d are ready", n, devices)
			}
			if n := plant.open(); n != rt.Stats().Sessions {
				t.Fatalf("%d sessions, and the plant has %d connections", rt.Stats().Sessions, n)
			}
			return goroutinesHere(), rt.Stats().Sessions
		}
		goroutines, sessions := rest()
		for _, m := range []plantMode{plantRefuses, plantDeaf, plantSilent} {
			plant.become(m)
			dials := plant.dialled()
			time.Sleep(8 * time.Hour)
			if n := rt.Stats().States[device.Ready]; n != 0 {
				t.Fatalf("%d are ready without a plant", n)
			}
			if n := plant.dialled() - dials; n < devices*8*3600/10 {
				t.Errorf("mode %d: only %d dials in eight hours", m, n)
			}
			plant.become(plantWell)
			if g, s := rest(); g != goroutines || s != sessions {
				t.Errorf("mode %d: %d goroutines and %d sessions, before %d and %d", m, g, s, goroutines, sessions)
			}
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		synctest.Wait() // the far ends hear of it
		if plant.open() != 0 {
			t.Errorf("%d connections are left", plant.open())
		}
	})
}

// forgetful is an output and a ledger that keep nothing.
type forgetful struct{}

func (forgetful) Offer(_ *tag.Batch, done func(error)) bool {
	if done != nil {
		done(nil)
	}
	return true
}
func (forgetful) Offered(int, int)    {}
func (forgetful) Dropped(string, int) {}
