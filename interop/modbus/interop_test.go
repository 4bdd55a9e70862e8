package modbus_test

import (
	"crypto/tls"

	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	simon "github.com/simonvetter/modbus"

	"millrace/internal/listen/listentest"
	"millrace/interop/capture"
	"millrace/interop/peer"
	"millrace/modbus"
)

// modbusPort is what the dissector is told that the recorded connections went to.
const modbusPort = 502

// ourServer serves a fresh plant on loopback until the test ends.
func ourServer(t *testing.T, cfg modbus.ServerConfig) string {
	t.Helper()
	s, err := modbus.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return listentest.Serve(t, s).Addr
}

// askEverything asks what the foreign clients ask, by our client, and returns the lines that they would print.
func askEverything(t *testing.T, c *modbus.Client) []string {
	t.Helper()
	ctx := t.Context()
	var out []string
	line := func(what string, a, n int, err error, value func(i int) int) {
		var code *modbus.Error
		switch {
		case errors.As(err, &code) && code.Exception != 0:
			out = append(out, fmt.Sprintf("%s %d %d: error %d", what, a, n, uint8(code.Exception)))
		case err != nil:
			t.Fatalf("%s %d %d: %v", what, a, n, err)
		case value == nil:
			out = append(out, fmt.Sprintf("%s %d %d: ok", what, a, n))
		default:
			var b strings.Builder
			fmt.Fprintf(&b, "%s %d %d:", what, a, n)
			for i := range n {
				fmt.Fprintf(&b, " %d", value(i))
			}
			out = append(out, b.String())
		}
	}
	regs, bits := make([]uint16, 125), make([]bool, 2000)
	register := func(i int) int { return int(regs[i]) }
	flag := func(i int) int { return bit(bits[i]) }
	holding := func(a, n int) {
		line("holding", a, n, c.ReadHolding(ctx, 1, uint16(a), uint16(n), regs[:n]), register)
	}
	coil := func(a, n int) { line("coil", a, n, c.ReadCoils(ctx, 1, uint16(a), uint16(n), bits[:n]), flag) }
	for _, a := range []int{0, 1, 100, 9999, 65535 - 124} {
		for _, n := range []int{1, 2, 7, 124, 125} {
			holding(a, n)
			line("input", a, n, c.ReadInput(ctx, 1, uint16(a), uint16(n), regs[:n]), register)
		}
	}
	for _, a := range []int{0, 1, 100, 9999} {
		for _, n := range []int{1, 8, 9, 1999, 2000} {
			coil(a, n)
			line("discrete", a, n, c.ReadDiscreteInputs(ctx, 1, uint16(a), uint16(n), bits[:n]), flag)
		}
	}
	// Our client checks the range itself and sends nothing: the line stands for that.
	if err := c.ReadHolding(ctx, 1, 65535, 2, regs[:2]); err == nil {
		t.Error("a read beyond 65535 went well")
	}
	out = append(out, "holding 65535 2: error 2")

	line("write register", 500, 1, c.WriteRegister(ctx, 1, 500, 12345), nil)
	holding(499, 3)
	line("write coil", 501, 1, c.WriteCoil(ctx, 1, 501, false), nil)
	line("write coil", 502, 1, c.WriteCoil(ctx, 1, 502, true), nil)
	coil(500, 4)
	values := make([]uint16, 123)
	for i := range values {
		values[i] = uint16(40000 + i)
	}
	line("write registers", 600, 123, c.WriteRegisters(ctx, 1, 600, values), nil)
	holding(599, 125)
	pattern := make([]bool, 1968)
	for i := range pattern {
		pattern[i] = i%2 == 1
	}
	line("write coils", 3000, 1968, c.WriteCoils(ctx, 1, 3000, pattern), nil)
	coil(2999, 1970)
	line("mask", 500, 1, c.MaskWrite(ctx, 1, 500, 0x00F2, 0x0025), nil)
	holding(500, 1)
	for i := range 121 {
		values[i] = uint16(50000 + i)
	}
	line("read-write", 698, 125, c.ReadWrite(ctx, 1, 698, 125, regs, 700, values[:121]), register)
	return out
}

// withoutUnserved drops what a peer's server does not serve, from both sides.
func withoutUnserved(lines []string, unserved ...string) []string {
	var out []string
	mask := false
	for _, l := range lines {
		skip := false
		for _, u := range unserved {
			skip = skip || strings.HasPrefix(l, u)
		}
		// The register behind a mask write shows what it did.
		if mask && strings.HasPrefix(l, "holding 500 1:") {
			skip = true
		}
		mask = skip && strings.HasPrefix(l, "mask")
		if !skip {
			out = append(out, l)
		}
	}
	return out
}

func TestOurClient(t *testing.T) {
	for _, p := range []struct {
		name     string
		start    func(t *testing.T) string
		unserved []string // what the peer's server does not serve
	}{
		{"libmodbus", func(t *testing.T) string { return serve(t, true, 0, compile(t, "libmodbus_server.c")) }, nil},
		{"pymodbus", func(t *testing.T) string {
			need(t, "python3-pymodbus", havePymodbus())
			port := freePort(t)
			return serve(t, false, port, debianPython, "peers/pymodbus_server.py", fmt.Sprint(port))
		}, nil},
		{"simonvetter", func(t *testing.T) string {
			addr, stop, err := peer.Serve(peer.NewImage(), simon.ServerConfiguration{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { stop() })
			return addr
		}, []string{"mask", "read-write"}},
		{"ours", func(t *testing.T) string { return ourServer(t, modbus.ServerConfig{Handler: peer.NewPlant()}) }, nil},
	} {
		t.Run(p.name, func(t *testing.T) {
			proxy := capture.NewProxy(t, p.start(t))
			c, err := modbus.Dial(t.Context(), proxy.Addr, modbus.Config{Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			got := askEverything(t, c)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			proxy.Close()
			n := compare(t, withoutUnserved(got, p.unserved...), withoutUnserved(transcript(), p.unserved...))
			t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, proxy))
		})
	}
}

func TestOurServer(t *testing.T) {
	for _, p := range []struct {
		name string
		run  func(t *testing.T, port string) []string
	}{
		{"libmodbus", func(t *testing.T, port string) []string { return run(t, compile(t, "libmodbus_client.c"), port, "1") }},
		{"pymodbus", func(t *testing.T, port string) []string {
			need(t, "python3-pymodbus", havePymodbus())
			lines := run(t, debianPython, "peers/pymodbus_client.py", port, "1")
			last := len(lines) - 1
			if lines[last] != "device id: error 1" {
				t.Errorf("%s: this plant has no identification", lines[last])
			}
			return lines[:last]
		}},
		{"simonvetter", func(t *testing.T, port string) []string { return simonAsks(t, "tcp://127.0.0.1:"+port, nil) }},
	} {
		t.Run(p.name, func(t *testing.T) {
			proxy := capture.NewProxy(t, ourServer(t, modbus.ServerConfig{Handler: peer.NewPlant()}))
			_, port, err := net.SplitHostPort(proxy.Addr)
			if err != nil {
				t.Fatal(err)
			}
			got := p.run(t, port)
			proxy.Close()
			want := transcript()
			if p.name == "simonvetter" {
				want = withoutUnserved(want, "mask", "read-write")
			}
			t.Logf("compared: %d answers, %d frames dissected", compare(t, got, want), dissect(t, proxy))
		})
	}
}

// dissect has Wireshark's dissector read a recording and holds its count of frames against ours, cut by the length field.
func dissect(t *testing.T, p *capture.Proxy) int {
	t.Helper()
	want := 0
	for n := 1; n <= p.Conns(); n++ {
		for _, fromPeer := range []bool{false, true} {
			for b := p.Stream(n, fromPeer); len(b) >= 6; want++ {
				b = b[6+int(b[4])<<8+int(b[5]):]
			}
		}
	}
	got := p.Dissect(t, modbusPort, "mbtcp", "mbtcp.len")
	if got != want || want == 0 {
		t.Errorf("the dissector saw %d frames of %d", got, want)
	}
	return got
}

// simonAsks asks what the others ask as far as simonvetter's client can.
func simonAsks(t *testing.T, url string, secure *simon.ClientConfiguration) []string {
	t.Helper()
	conf := simon.ClientConfiguration{}
	if secure != nil {
		conf = *secure
	}
	conf.URL, conf.Timeout, conf.Logger = url, 5*time.Second, peer.Quiet()
	c, err := simon.NewClient(&conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out []string
	regs := func(what string, a, n int, kind simon.RegType) {
		v, err := c.ReadRegisters(uint16(a), uint16(n), kind)
		if err != nil {
			t.Fatalf("%s %d %d: %v", what, a, n, err)
		}
		out = append(out, strings.TrimRight(fmt.Sprintf("%s %d %d: %s", what, a, n, strings.Trim(fmt.Sprint(v), "[]")), " "))
	}
	flags := func(what string, a, n int, read func(a, n uint16) ([]bool, error)) {
		v, err := read(uint16(a), uint16(n))
		if err != nil {
			t.Fatalf("%s %d %d: %v", what, a, n, err)
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s %d %d:", what, a, n)
		for _, on := range v {
			fmt.Fprintf(&b, " %d", bit(on))
		}
		out = append(out, b.String())
	}
	done := func(what string, a, n int, err error) {
		if err != nil {
			t.Fatalf("%s %d %d: %v", what, a, n, err)
		}
		out = append(out, fmt.Sprintf("%s %d %d: ok", what, a, n))
	}
	for _, a := range []int{0, 1, 100, 9999, 65535 - 124} {
		for _, n := range []int{1, 2, 7, 124, 125} {
			regs("holding", a, n, simon.HOLDING_REGISTER)
			regs("input", a, n, simon.INPUT_REGISTER)
		}
	}
	for _, a := range []int{0, 1, 100, 9999} {
		for _, n := range []int{1, 8, 9, 1999, 2000} {
			flags("coil", a, n, c.ReadCoils)
			flags("discrete", a, n, c.ReadDiscreteInputs)
		}
	}
	// Its client checks the range itself and sends nothing: the line stands for that.
	if _, err := c.ReadRegisters(65535, 2, simon.HOLDING_REGISTER); err == nil {
		t.Error("a read beyond 65535 went well")
	}
	out = append(out, "holding 65535 2: error 2")
	done("write register", 500, 1, c.WriteRegister(500, 12345))
	regs("holding", 499, 3, simon.HOLDING_REGISTER)
	done("write coil", 501, 1, c.WriteCoil(501, false))
	done("write coil", 502, 1, c.WriteCoil(502, true))
	flags("coil", 500, 4, c.ReadCoils)
	values := make([]uint16, 123)
	for i := range values {
		values[i] = uint16(40000 + i)
	}
	done("write registers", 600, 123, c.WriteRegisters(600, values))
	regs("holding", 599, 125, simon.HOLDING_REGISTER)
	pattern := make([]bool, 1968)
	for i := range pattern {
		pattern[i] = i%2 == 1
	}
	done("write coils", 3000, 1968, c.WriteCoils(3000, pattern))
	flags("coil", 2999, 1970, c.ReadCoils)
	return out
}

func TestRTUOverTCP(t *testing.T) {
	t.Run("our client, pymodbus' server", func(t *testing.T) {
		need(t, "python3-pymodbus", havePymodbus())
		port := freePort(t)
		proxy := capture.NewProxy(t, serve(t, false, port, debianPython, "peers/pymodbus_server.py", fmt.Sprint(port), "rtu"))
		c, err := modbus.Dial(t.Context(), proxy.Addr, modbus.Config{Framing: modbus.FramingRTU, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		got := askEverything(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		proxy.Close()
		t.Logf("compared: %d answers, %d frames dissected", compare(t, got, transcript()), dissectRTU(t, proxy))
	})
	t.Run("pymodbus' client, our server", func(t *testing.T) {
		need(t, "python3-pymodbus", havePymodbus())
		proxy := capture.NewProxy(t, ourServer(t, modbus.ServerConfig{Handler: peer.NewPlant(), Framing: modbus.FramingRTU}))
		_, port, err := net.SplitHostPort(proxy.Addr)
		if err != nil {
			t.Fatal(err)
		}
		lines := run(t, debianPython, "peers/pymodbus_client.py", port, "1", "rtu")
		proxy.Close()
		t.Logf("compared: %d answers, %d frames dissected", compare(t, lines, withoutUnserved(transcript(), "mask", "read-write")), dissectRTU(t, proxy))
	})
	t.Run("simonvetter's client, our server", func(t *testing.T) {
		proxy := capture.NewProxy(t, ourServer(t, modbus.ServerConfig{Handler: peer.NewPlant(), Framing: modbus.FramingRTU}))
		got := simonAsks(t, "rtuovertcp://"+proxy.Addr, &simon.ClientConfiguration{Speed: 115200})
		proxy.Close()
		t.Logf("compared: %d answers, %d frames dissected", compare(t, got, withoutUnserved(transcript(), "mask", "read-write")), dissectRTU(t, proxy))
	})
}

// dissectRTU has Wireshark's dissector read a recording of RTU frames.
func dissectRTU(t *testing.T, p *capture.Proxy) int {
	t.Helper()
	n := p.Dissect(t, modbusPort, "mbrtu", "mbrtu.unit_id")
	if n == 0 {
		t.Error("the dissector saw no frame")
	}
	return n
}

func TestTLSWithRole(t *testing.T) {
	ca := newAuthority(t)
	serverCert, operator, nobody := ca.issue(t, ""), ca.issue(t, "operator"), ca.issue(t, "")

	t.Run("their client, our server", func(t *testing.T) {
		roles := make(chan string, 1000)
		p := peer.NewPlant()
		p.Seen = func(role string) { roles <- role }
		addr := ourServer(t, modbus.ServerConfig{Handler: p, TLS: &tls.Config{Certificates: []tls.Certificate{serverCert}, ClientCAs: ca.pool}, RequireRole: true})
		got := simonAsks(t, "tcp+tls://"+addr, &simon.ClientConfiguration{TLSClientCert: &operator, TLSRootCAs: ca.pool})
		t.Logf("compared: %d answers", compare(t, got, withoutUnserved(transcript(), "mask", "read-write")))
		close(roles)
		n := 0
		for r := range roles {
			if n++; r != "operator" {
				t.Fatalf("role %q", r)
			}
		}
		if n == 0 {
			t.Error("no request was seen")
		}
		c, err := simon.NewClient(&simon.ClientConfiguration{URL: "tcp+tls://" + addr, Timeout: 5 * time.Second, TLSClientCert: &nobody, TLSRootCAs: ca.pool, Logger: peer.Quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Open(); err == nil {
			if _, err := c.ReadRegister(1, simon.HOLDING_REGISTER); err == nil {
				t.Error("a client without a role was served")
			}
			c.Close()
		}
	})

	t.Run("our client, their server", func(t *testing.T) {
		m := peer.NewImage()
		m.Roles = make(chan string, 1000)
		addr, stop, err := peer.Serve(m, simon.ServerConfiguration{TLSServerCert: &serverCert, TLSClientCAs: ca.pool})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		c, err := modbus.Dial(t.Context(), addr, modbus.Config{TLS: &tls.Config{Certificates: []tls.Certificate{operator}, RootCAs: ca.pool, ServerName: "127.0.0.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := withoutUnserved(askEverything(t, c), "mask", "read-write")
		t.Logf("compared: %d answers", compare(t, got, withoutUnserved(transcript(), "mask", "read-write")))
		if r := <-m.Roles; r != "operator" {
			t.Errorf("role %q", r)
		}
	})
}
