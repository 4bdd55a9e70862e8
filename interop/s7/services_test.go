package s7_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/interop/capture"
	"millrace/s7"
)

// identity is what our CPU says of itself in this suite.
var identity = s7.Identity{
	Order: "6ES7 315-2EH14-0AB0", Hardware: 4, Firmware: [3]uint8{3, 2, 6}, System: "mixer", Module: "CPU of the mixer", Plant: "north",
	Copyright: "Original Siemens Equipment", Serial: "S C-X4U421302009", Type: "CPU 315-2 PN/DP",
	PDU: 960, Window: 8, Connections: 16, MPIRate: 187500, BusRate: 12000000,
}

func newCPU(t *testing.T, cfg s7.CPUConfig) *s7.CPU {
	t.Helper()
	cfg.Model, cfg.Identity, cfg.Memory = s7.Model300, identity, memory(t)
	cpu, err := s7.NewCPU(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cpu
}

// exchange is a line and what a PLC answers. In an answer a code that begins with ! is as it is on the wire.
type exchange struct{ ask, want string }

// download is an image of a DB of n bytes.
func download(n int) string {
	b := s7.NewDataBlock(7, pattern(n))
	return hex.EncodeToString(b.AppendTo(nil))
}

// services are the lines for everything but memory, at a CPU that allows all of it.
func services() []exchange {
	db3 := hex.EncodeToString(pattern(99))
	return []exchange{
		{"order", "6ES7 315-2EH14-0AB0 V3.2.6"},
		{"cpu", "CPU 315-2 PN/DP | S C-X4U421302009 | mixer | Original Siemens Equipment | CPU of the mixer"},
		{"cp", "960 16 187500 12000000"},
		{"status", "8"},
		{"protection", "1 0 1 1 0"},
		{"szl 4711 0000", "!D402"},

		{"counts", "OB=0 DB=3 SDB=0 FC=0 SFC=0 FB=0 SFB=0"},
		{"list DB", "1 2 3"},
		{"list OB", "!D20E"},
		{"info DB 3", "3 5 10 99 191 0 20 1 MILLRACE - -"},
		{"info DB 1", "1 5 10 8192 8284 0 20 1 MILLRACE - -"},
		{"info DB 77", "!D209"},
		{"upload DB 3", db3},
		{"upload DB 1", hex.EncodeToString(pattern(8192))},
		{"upload DB 77", "!D209"},
		{"dbget 3", db3},
		{"dbfill 3 aa", "ok"},
		{"dbget 3", strings.Repeat("aa", 99)},

		{"password secret", "!D605"},
		{"stop", "ok"},
		{"status", "4"},
		{"stop", "!stopped"},
		{"hotstart", "ok"},
		{"status", "8"},
		{"hotstart", "!running"},
		{"coldstart", "!running"},
		{"stop", "ok"},
		{"copyramtorom", "ok"},
		{"compress", "ok"},
		{"coldstart", "ok"},
		{"status", "8"},
	}
}

// clocks are the lines for a client that can set a clock.
func clocks() []exchange {
	return []exchange{
		{"setclock 2024-02-29T12:34:56", "ok"},
		{"clock", "2024-02-29T12:34:56"},
		{"setclock 2031-12-31T23:59:01", "ok"},
		{"clock", "2031-12-31T23:59:01"},
	}
}

// programs are the lines that download a block, link it and delete it.
func programs() []exchange {
	return []exchange{
		{"download 7 " + download(999), "ok"},
		{"info DB 7", "7 5 10 999 1091 0 20 0 - - -"},
		{"read DB 7 0 BYTE 999", hex.EncodeToString(pattern(999))},
		{"list DB", "1 2 3 7"},
		{"delete DB 7", "ok"},
		{"list DB", "1 2 3"},
		{"read DB 7 0 BYTE 9", "!0A"},
	}
}

// converse asks line by line and returns how many answers were compared. sees is what the client makes of an answer.
func converse(t *testing.T, a asker, lines []exchange, sees func(line, answer string) string) int {
	t.Helper()
	n := 0
	for _, x := range lines {
		got := a.ask(x.ask)
		if got == "unserved" {
			continue
		}
		n++
		want := sees(x.ask, x.want)
		if x.ask == "clock" && sameMinute(got, want) {
			continue
		}
		if got != want {
			t.Errorf("%.100s: %.300q, want %.300q", x.ask, got, want)
		}
	}
	return n
}

// sameMinute reports whether a clock went on for less than a minute, but for the hour: node-snap7 leaves open whether it is summer when it has the C
// library make a time of what it read.
func sameMinute(got, want string) bool {
	const layout = "2006-01-02T15:04:05"
	g, err := time.Parse(layout, got)
	if err != nil {
		return false
	}
	w, err := time.Parse(layout, want)
	since := g.Sub(w)
	return err == nil && (within(since) || within(since+time.Hour) || within(since-time.Hour))
}

func within(d time.Duration) bool { return d >= 0 && d < time.Minute }

func TestServicesOfOurServer(t *testing.T) {
	for _, x := range []struct {
		client
		lines []exchange
	}{
		{snap7Client, slices.Concat(services(), clocks(), programs())},
		{gos7Client, services()}, // its PGClockRead, which sets the clock, always panics; it has no downloads
		{pythonClient, slices.Concat(services(), clocks(), []exchange{{"download 7 " + download(999), "ok"}, {"list DB", "1 2 3"}})}, // it links nothing
	} {
		t.Run(x.name, func(t *testing.T) {
			proxy := capture.NewProxy(t, ourServer(t, s7.ServerConfig{Handler: newCPU(t, s7.CPUConfig{Programming: true})}))
			n := converse(t, x.connect(t, proxy.Addr, x.pdus[0]), x.lines, x.sees)
			t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, proxy))
		})
	}
}

// TestPassword has clients enter a password, and be refused until they do.
func TestPassword(t *testing.T) {
	script := []exchange{
		{"protection", "1 3 3 1 0"},
		{"read DB 1 0 BYTE 4", "!03"},
		{"write DB 2 0 BYTE 1 01", "!03"},
		{"stop", "!D241"},
		{"upload DB 3", "!D241"},
		{"order", "6ES7 315-2EH14-0AB0 V3.2.6"},
		{"password wrong", "!D602"},
		{"read DB 1 0 BYTE 4", "!03"},
		{"password open", "ok"},
		{"read DB 1 0 BYTE 4", "00010203"},
		{"write DB 2 0 BYTE 1 01", "ok"},
		{"protection", "1 3 1 1 0"},
		{"stop", "ok"},
		{"hotstart", "ok"},
		{"clearpassword", "ok"},
		{"read DB 1 0 BYTE 4", "!03"},
	}
	run := func(name string, sees func(line, answer string) string, connect func(t *testing.T, addr string) asker) {
		t.Run(name, func(t *testing.T) {
			cpu := newCPU(t, s7.CPUConfig{Level: 3, Password: "open"})
			proxy := capture.NewProxy(t, ourServer(t, s7.ServerConfig{Handler: cpu}))
			n := converse(t, connect(t, proxy.Addr), script, sees)
			t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, proxy))
		})
	}
	for _, c := range []client{snap7Client, gos7Client, pythonClient} {
		run(c.name, c.sees, func(t *testing.T, addr string) asker { return c.connect(t, addr, c.pdus[0]) })
	}
	run("ours", oursSees, func(t *testing.T, addr string) asker { return ourClient(t, addr, s7.Config{}) })
}
