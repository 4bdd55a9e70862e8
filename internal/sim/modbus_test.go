package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"

	"millrace/internal/listen/listentest"
	"millrace/modbus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a simulator on free ports until the test ends.
func start(t *testing.T, cfg ModbusConfig, faults ...string) *Modbus {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	for _, s := range faults {
		f, err := ParseFault(s)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	m, err := NewModbus(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listentest.Run(t, m)
	return m
}

// dial connects to device n.
func dial(t *testing.T, m *Modbus, n int) *modbus.Client {
	t.Helper()
	c, err := modbus.Dial(context.Background(), m.Addr(n), modbus.Config{Timeout: 5 * time.Second, Window: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// do sends one call and returns its data.
func do(t *testing.T, c *modbus.Client, call modbus.Call) []byte {
	t.Helper()
	calls := []modbus.Call{call}
	if err := c.Do(context.Background(), calls); err != nil {
		t.Fatal(err)
	}
	if calls[0].Err != nil {
		t.Fatal(calls[0].Err)
	}
	return calls[0].Data
}

func exception(t *testing.T, c *modbus.Client, call modbus.Call) modbus.ExceptionCode {
	t.Helper()
	calls := []modbus.Call{call}
	if err := c.Do(context.Background(), calls); err != nil {
		t.Fatal(err)
	}
	var e *modbus.Error
	if !errors.As(calls[0].Err, &e) {
		return 0
	}
	return e.Exception
}

func TestTheImageOfAllAddresses(t *testing.T) {
	c := dial(t, start(t, ModbusConfig{}), 1)
	for _, unit := range []uint8{1, 247, 255} {
		for at := 0; at < 65536; at += 64 {
			h := do(t, c, modbus.Call{Unit: unit, Function: modbus.FuncReadHolding, Address: uint16(at), Quantity: 64})
			in := do(t, c, modbus.Call{Unit: unit, Function: modbus.FuncReadInput, Address: uint16(at), Quantity: 64})
			co := do(t, c, modbus.Call{Unit: unit, Function: modbus.FuncReadCoils, Address: uint16(at), Quantity: 64})
			di := do(t, c, modbus.Call{Unit: unit, Function: modbus.FuncReadDiscreteInputs, Address: uint16(at), Quantity: 64})
			for i := range 64 {
				a := at + i
				wave := a >= 60000 && a <= 60999
				if v := binary.BigEndian.Uint16(h[2*i:]); !wave && int(v) != a {
					t.Fatalf("holding %d is %d", a, v)
				}
				if v := binary.BigEndian.Uint16(in[2*i:]); int(v) != 65535-a {
					t.Fatalf("input %d is %d", a, v)
				}
				if v := co[i/8]>>(i%8)&1 == 1; v != (a%3 == 0) {
					t.Fatalf("coil %d is %v", a, v)
				}
				if v := di[i/8]>>(i%8)&1 == 1; v != (a%5 == 0) {
					t.Fatalf("discrete %d is %v", a, v)
				}
			}
		}
	}
}

func TestWavesAreFloatsOfTheMoment(t *testing.T) {
	c := dial(t, start(t, ModbusConfig{Devices: 2}), 2)
	before := time.Now()
	data := do(t, c, modbus.Call{Unit: 1, Function: modbus.FuncReadHolding, Address: 60998, Quantity: 2})
	after := time.Now()
	got := math.Float32frombits(binary.BigEndian.Uint32(data))
	for at := before.Truncate(time.Millisecond); !at.After(after); at = at.Add(time.Millisecond) {
		if Wave(2, 499, at) == got {
			return
		}
	}
	t.Errorf("%v is not wave 499 at any moment of the request", got)
}

func TestWavesMoveSmoothlyAndDiffer(t *testing.T) {
	t0 := time.Unix(1_800_000_000, 0)
	for k := range Waves {
		least, most := float32(math.Inf(1)), float32(math.Inf(-1))
		for s := range 300 {
			v, next := Wave(1, k, t0.Add(time.Duration(s)*time.Second)), Wave(1, k, t0.Add(time.Duration(s)*time.Second+100*time.Millisecond))
			least, most = min(least, v), max(most, v)
			if d := math.Abs(float64(v - next)); d > 3.2 {
				t.Fatalf("wave %d jumps by %v within 100 ms", k, d)
			}
		}
		if least < 0 || most > 100 || least > 3 || most < 97 { // a sample a second misses the peaks of the fastest
			t.Errorf("wave %d goes from %v to %v", k, least, most)
		}
	}
	if Wave(1, 3, t0) == Wave(2, 3, t0) || Wave(1, 3, t0) == Wave(1, 4, t0) {
		t.Error("two waves are one")
	}
}

func TestOtherUnitsHaveNoPath(t *testing.T) {
	c := dial(t, start(t, ModbusConfig{}), 1)
	for _, unit := range []uint8{0, 248, 254} {
		if e := exception(t, c, modbus.Call{Unit: unit, Function: modbus.FuncReadHolding, Quantity: 1}); e != modbus.GatewayPathUnavailable {
			t.Errorf("unit %d: %v", unit, e)
		}
	}
	if e := exception(t, c, modbus.Call{Unit: 1, Function: modbus.FuncReadFIFO}); e != modbus.IllegalFunction {
		t.Errorf("%v", e)
	}
}

func TestOnlyWrittenCellsAreKept(t *testing.T) {
	m := start(t, ModbusConfig{Devices: 2})
	c, other := dial(t, m, 1), dial(t, m, 2)
	holding := func(c *modbus.Client, unit uint8, at, n uint16) []byte {
		return do(t, c, modbus.Call{Unit: unit, Function: modbus.FuncReadHolding, Address: at, Quantity: n})
	}
	do(t, c, modbus.Call{Unit: 1, Function: modbus.FuncWriteRegister, Address: 5, Values: []byte{1, 2}})
	do(t, c, modbus.Call{Unit: 1, Function: modbus.FuncWriteRegisters, Address: 6, Quantity: 2, Values: []byte{3, 4, 5, 6}})
	do(t, c, modbus.Call{Unit: 1, Function: modbus.FuncMaskWrite, Address: 8, Values: []byte{0xFF, 0xF0, 0, 7}})
	if got := holding(c, 1, 4, 6); !bytes.Equal(got, []byte{0, 4, 1, 2, 3, 4, 5, 6, 0, 7, 0, 9}) {
		t.Errorf("% x", got)
	}
	for _, untouched := range [][]byte{holding(c, 2, 5, 1), holding(other, 1, 5, 1)} {
		if !bytes.Equal(untouched, []byte{0, 5}) {
			t.Errorf("another unit or device changed: % x", untouched)
		}
	}
	do(t, c, modbus.Call{Unit: 1, Function: modbus.FuncWriteCoil, Address: 0, Values: []byte{0, 0}})
	do(t, c, modbus.Call{Unit: 1, Function: modbus.FuncWriteCoils, Address: 1, Quantity: 3, Values: []byte{0b011}})
	if got := do(t, c, modbus.Call{Unit: 1, Function: modbus.FuncReadCoils, Address: 0, Quantity: 7}); got[0] != 0b1000110 {
		t.Errorf("%b", got)
	}
	got := do(t, c, modbus.Call{Unit: 1, Function: modbus.FuncReadWrite, Address: 20, Quantity: 2, WriteAddress: 21, Values: []byte{9, 9}})
	if !bytes.Equal(got, []byte{0, 20, 9, 9}) {
		t.Errorf("% x", got)
	}
	if n := kept(m, 1); n != 9 {
		t.Errorf("%d cells kept, want the 9 written", n)
	}
	if n := kept(m, 2); n != 0 {
		t.Errorf("a device that nobody wrote to keeps %d cells", n)
	}
}

// kept returns how many cells device n keeps.
func kept(m *Modbus, n int) int {
	d := &m.devices[n-1]
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(m.memories[n-1].written)
}

func TestTenThousandDevicesOnOneSocket(t *testing.T) {
	m := start(t, ModbusConfig{Devices: 10_000})
	for n, want := range map[int]string{1: "127.0.0.1", 2: "127.0.0.2", 255: "127.0.0.255", 256: "127.0.1.0", 10_000: "127.0.39.16"} {
		host, _, _ := net.SplitHostPort(m.Addr(n))
		if host != want {
			t.Errorf("device %d is at %s, want %s", n, host, want)
		}
		do(t, dial(t, m, n), modbus.Call{Unit: 1, Function: modbus.FuncReadHolding, Quantity: 1})
		if s := m.DeviceStats(n); s.Requests != 1 || s.Connections != 1 {
			t.Errorf("device %d: %+v", n, s)
		}
	}
	if len(m.lns) != 1 {
		t.Errorf("%d sockets", len(m.lns))
	}
	if size := unsafe.Sizeof(device{}) + unsafe.Sizeof(memory{}); size > 256 {
		t.Errorf("a device takes %d bytes", size)
	}
	_, port, _ := net.SplitHostPort(m.Addr(1))
	wantReset(t, "127.0.39.17:"+port) // behind the last device
	if s := m.Stats(); s.Stray != 1 || s.Devices != 10_000 || s.Requests != 5 {
		t.Errorf("%+v", s)
	}
}

// wantReset connects and expects to be reset before an answer.
func wantReset(t *testing.T, addr string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return // reset already
	}
	defer c.Close()
	_, _ = c.Write([]byte{0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1})
	if n, err := c.Read(make([]byte, 100)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s answered %d bytes, %v", addr, n, err)
	}
}

func TestByPort(t *testing.T) {
	m := start(t, ModbusConfig{Devices: 3, ByPort: true})
	for n := 1; n <= 3; n++ {
		do(t, dial(t, m, n), modbus.Call{Unit: 1, Function: modbus.FuncReadHolding, Quantity: 1})
		if m.DeviceStats(n).Requests != 1 {
			t.Errorf("device %d at %s heard nothing", n, m.Addr(n))
		}
	}
}

// strangers is a listener whose connections have addresses of choice.
type strangers struct {
	net.Listener
	conns []*stranger
}

type stranger struct {
	net.Conn
	local, remote string
	closed        bool
}

func (s *stranger) LocalAddr() net.Addr  { return tcpAddr(s.local) }
func (s *stranger) RemoteAddr() net.Addr { return tcpAddr(s.remote) }
func (s *stranger) Close() error         { s.closed = true; return nil }

func tcpAddr(s string) net.Addr {
	a, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		panic(err)
	}
	return a
}

func (l *strangers) Accept() (net.Conn, error) {
	if len(l.conns) == 0 {
		return nil, net.ErrClosed
	}
	c := l.conns[0]
	l.conns = l.conns[1:]
	return c, nil
}

func TestOnlyLoopbackIsLetIn(t *testing.T) {
	m, err := NewModbus(ModbusConfig{Listen: "127.0.0.1:1502", Devices: 4})
	if err != nil {
		t.Fatal(err)
	}
	conns := []*stranger{
		{local: "10.0.0.1:1502", remote: "127.0.0.1:4000"},
		{local: "127.0.0.1:1502", remote: "10.0.0.9:4000"},
		{local: "127.0.0.5:1502", remote: "127.0.0.1:4000"},
		{local: "[::1]:1502", remote: "[::1]:4000"},
		{local: "127.0.0.4:1502", remote: "127.0.0.1:4000"},
	}
	g := &gate{Listener: &strangers{conns: append([]*stranger(nil), conns...)}, f: &m.fleet}
	c, err := g.Accept()
	if err != nil || c.(*stranger) != conns[4] {
		t.Fatalf("%v, %v", c, err)
	}
	for i, c := range conns[:4] {
		if !c.closed {
			t.Errorf("connection %d was let in", i)
		}
	}
	if m.Stats().Stray != 4 {
		t.Errorf("%+v", m.Stats())
	}
}

func TestBadConfigs(t *testing.T) {
	for _, c := range []struct {
		cfg  ModbusConfig
		want string
	}{
		{ModbusConfig{Listen: "localhost"}, "not an address with a port"},
		{ModbusConfig{Listen: "0.0.0.0:1502"}, "outside 127.0.0.0/8"},
		{ModbusConfig{Listen: "[::1]:1502"}, "outside 127.0.0.0/8"},
		{ModbusConfig{Devices: -1}, "there may be 1 to"},
		{ModbusConfig{Listen: "127.255.255.254:1502", Devices: 2}, "beyond 127.255.255.254"},
		{ModbusConfig{Listen: "127.0.0.1:65535", Devices: 2, ByPort: true}, "beyond port 65535"},
		{ModbusConfig{Devices: 2, Faults: []Fault{{Kind: Silence, P: 1, Devices: []Range{{3, 3}}}}}, "not there"},
	} {
		if _, err := NewModbus(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.want)
		}
	}
	m, err := NewModbus(ModbusConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context()); err == nil {
		t.Error("Run before Listen is an error")
	}
	var nd *NoDeviceError
	if err := m.Stop(2, Refusing); !errors.As(err, &nd) {
		t.Error(err)
	}
}

func TestSlotLimit(t *testing.T) {
	m := start(t, ModbusConfig{}, "slots:2")
	a, b := dial(t, m, 1), dial(t, m, 1)
	do(t, a, modbus.Call{Unit: 1, Function: modbus.FuncReadHolding, Quantity: 1})
	do(t, b, modbus.Call{Unit: 1, Function: modbus.FuncReadHolding, Quantity: 1})
	wantReset(t, m.Addr(1))
	if s := m.DeviceStats(1); s.Refused != 1 || s.Faults[Slots] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestEvery(t *testing.T) {
	m := start(t, ModbusConfig{}, "exception:6,every=3")
	c := dial(t, m, 1)
	var got []modbus.ExceptionCode
	for range 7 {
		got = append(got, exception(t, c, modbus.Call{Unit: 1, Function: modbus.FuncReadHolding, Quantity: 1}))
	}
	if s := fmt.Sprint(got); s != fmt.Sprint([]modbus.ExceptionCode{0, 0, 6, 0, 0, 6, 0}) {
		t.Error(s)
	}
}

func TestUnmappedAndCap(t *testing.T) {
	m := start(t, ModbusConfig{}, "unmapped:holding/100-199", "cap:16")
	c := dial(t, m, 1)
	for _, x := range []struct {
		fn      modbus.Function
		addr, n uint16
		want    modbus.ExceptionCode
	}{
		{modbus.FuncReadHolding, 99, 1, 0}, {modbus.FuncReadHolding, 99, 2, 2}, {modbus.FuncReadHolding, 199, 1, 2}, {modbus.FuncReadHolding, 200, 16, 0},
		{modbus.FuncReadHolding, 200, 17, 3}, {modbus.FuncReadInput, 100, 16, 0}, {modbus.FuncReadInput, 100, 17, 3}, {modbus.FuncReadCoils, 0, 100, 0},
	} {
		if got := exception(t, c, modbus.Call{Unit: 1, Function: x.fn, Address: x.addr, Quantity: x.n}); got != x.want {
			t.Errorf("%v %d+%d: %v, want %v", x.fn, x.addr, x.n, got, x.want)
		}
	}
}

// Of four requests in one segment the first two are answered, and each that comes alone.
func TestSerial(t *testing.T) {
	m := start(t, ModbusConfig{}, "serial:2")
	conn, err := net.Dial("tcp", m.Addr(1))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(ids ...uint16) {
		var out []byte
		for _, id := range ids {
			out = modbus.FramingTCP.Append(out, modbus.Frame{Transaction: id, Unit: 1, PDU: []byte{3, 0, 7, 0, 1}})
		}
		if _, err := conn.Write(out); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(id uint16) {
		t.Helper()
		in := make([]byte, 11)
		if _, err := io.ReadFull(conn, in); err != nil {
			t.Fatal(err)
		}
		if want := []byte{0, byte(id), 0, 0, 0, 5, 1, 3, 2, 0, 7}; !bytes.Equal(in, want) {
			t.Errorf("got % x, want % x", in, want)
		}
	}
	ask(1, 2, 3, 4)
	hear(1)
	hear(2)
	ask(5)
	hear(5)
	ask(6, 7)
	hear(6)
	hear(7)
	if n := m.Stats().Faults[Serial]; n != 2 {
		t.Errorf("%d were not answered", n)
	}
}

func TestEmittedConfig(t *testing.T) {
	m, err := NewModbus(ModbusConfig{Listen: "127.0.0.255:1502", Devices: 2})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.EmitConfig(&b, EmitOptions{Waves: 1, Statics: 1}); err != nil {
		t.Fatal(err)
	}
	want := `gateway:
  name: simulated
  data: "data"
  listen: 127.0.0.1:8080
templates:
  sim:
    protocol: modbus
    profile: lan
    groups:
      live:
        interval: 1s
        tags:
          wave000: "holding:60000:float32 unit=bar deadband=0.5"
          static00000: "holding:0:float32"
devices:
  - {id: sim-00001, template: sim, address: "modbus://127.0.0.255:1502/1"}
  - {id: sim-00002, template: sim, address: "modbus://127.0.1.0:1502/1"}
sinks:
  - {id: files, type: file, dir: "out"}
`
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	if err := m.EmitConfig(&b, EmitOptions{Waves: 501}); err == nil {
		t.Error("501 waves")
	}
}
