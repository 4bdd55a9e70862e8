package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"millrace/internal/config"
	"millrace/internal/sim"
)

// dialectValues are tags as a configuration has them, and what they must read of the simulator's documented image: holding register a holds
// a, input register a 65535 - a, coil a is set when 3 divides a, discrete input a when 5 does.
var dialectValues = []struct{ tag, want string }{
	{"holding:100", "100"},
	{"holding:0x64:int16", "100"},
	{"holding:100:uint32", "6553701"},
	{"holding:100:uint32:cdab", "6619236"},
	{"holding:256:uint16:ba", "1"},
	{"holding:100:uint64", "28147931469447271"},
	{"holding:100:int16[3]", "[100,101,102]"},
	{"holding:4.2", "true"},
	{"holding:4.1", "false"},
	{"7!holding:100", "100"},
	{"coil:6", "true"},
	{"coil:7", "false"},
	{"discrete:10", "true"},
	{"discrete:3", "false"},
	{"input:40", "65495"},
	{"hr100", "100"},
	{"ir40", "65495"},
	{"co6", "true"},
	{"di10", "true"},

	// Modicon and Neuron count from 1.
	{"40101", "100"},
	{"400101", "100"},
	{"4x0101", "100"},
	{"30041", "65495"},
	{"10011", "true"},
	{"1x0011", "true"},
	{"00007", "true"},
	{"0x0007", "true"},
	{"40005.2", "true"},
	{"1!40005.2", "true"},
	{"1!400101#BL", "6619236"},
	{"1!400101#LL", "6553701"},
	{"1!416707.2H", `"AB"`},
	{"1!416707.2L", `"BA"`},
	{"1!416707.2D", `"BC"`},
	{"1!416707.2E", `"AA"`},

	// PLC4X counts from 1.
	{"holding-register:101:INT", "100"},
	{"holding-register:101:UINT[2]", "[100,101]"},
	{"input-register:41:WORD", "65495"},
	{"discrete-input:11", "true"},

	// benthos-umh counts from 0, and carries a scale.
	{"holding.100.INT16", "100"},
	{"holding.100.INT16:scale=0.1", "10"},
	{"temperature.holding.100.UINT16:scale=0.5", "50"},
	{"holding.100.INT16:scale=0.1 bias=1", "11"},
	{"holding.100.INT16:scale=0.1 scale=0.1", "10"},
	{"holding.100.UINT32:order=CDAB", "6619236"},
	{"holding:100:int16[2]:scale=0.5", "[50,50.5]"},

	{"holding:100:int16 scale=0.1 bias=2", "12"},
	{"holding:100:int16 bias=-3", "97"},
	{"holding:100:int16[2] scale=2 bias=1", "[201,203]"},
}

var documentedSpelling = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\| ")

// TestDialectsReadTheSame takes every spelling through a configuration to a simulated device and back, by `millrace test` and by a gateway
// that runs. What docs/addresses.md says are two spellings of one thing must read the same.
func TestDialectsReadTheSame(t *testing.T) {
	doc, err := os.ReadFile("../../docs/addresses.md")
	if err != nil {
		t.Fatal(err)
	}
	modbus, s7, _ := strings.Cut(string(doc), "\n## S7\n")
	s7, _, _ = strings.Cut(s7, "\n## OPC UA\n") // whose spellings the driver's tests read
	pairs, s7Pairs := documentedSpelling.FindAllStringSubmatch(modbus, -1), documentedSpelling.FindAllStringSubmatch(s7, -1)
	if len(pairs) < 15 || len(s7Pairs) < 40 {
		t.Fatalf("%d and %d spellings in the document", len(pairs), len(s7Pairs))
	}
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "gateway: {data: %q, listen: off}\ntemplates:\n  t:\n    params: {base: 101}\n    groups: {g: {tags: {scaled: 'holding-register:{base}:INT:scale=0.1'}, csv: tags.csv}}\n", filepath.Join(dir, "data"))
	fmt.Fprintf(&b, "devices:\n  - {id: c, template: t, address: 'modbus://%[1]s/1'}\n  - id: d\n    address: modbus://%[1]s/1\n    groups:\n      g:\n        tags:\n", plant(t, sim.ModbusConfig{}).Addr(1))
	for i, v := range dialectValues {
		fmt.Fprintf(&b, "          v%d: '%s'\n", i, v.tag)
	}
	for i, p := range pairs {
		fmt.Fprintf(&b, "          w%d: '%s'\n          c%d: '%s'\n", i, p[1], i, p[2])
	}
	fmt.Fprintf(&b, "  - id: s\n    address: s7://%s\n    groups:\n      g:\n        tags:\n", s7Plant(t, sim.S7Config{}).Addr(1))
	for i, p := range s7Pairs {
		fmt.Fprintf(&b, "          w%d: '%s'\n          c%d: '%s'\n", i, p[1], i, p[2])
	}
	write(t, dir, "tags.csv", "name,address,scale,bias\nown,40101,0.1,\nfrom1,holding.100.INT16:scale=0.1,,5\n")
	path := write(t, dir, "g.yaml", b.String())
	for how, got := range map[string]map[string]string{"test": valuesOfTest(t, path), "run": valuesOfRun(t, path)} {
		for i, v := range dialectValues {
			if g := got[fmt.Sprintf("d/v%d", i)]; g != v.want {
				t.Errorf("%s: %s read %s, want %s", how, v.tag, g, v.want)
			}
		}
		for i, p := range pairs {
			if w, c := got[fmt.Sprintf("d/w%d", i)], got[fmt.Sprintf("d/c%d", i)]; w != c || w == "" {
				t.Errorf("%s: %s read %s, and %s read %s", how, p[1], w, p[2], c)
			}
		}
		for i, p := range s7Pairs {
			if w, c := got[fmt.Sprintf("s/w%d", i)], got[fmt.Sprintf("s/c%d", i)]; w != c || w == "" || w == "null" {
				t.Errorf("%s: %s read %s, and %s read %s", how, p[1], w, p[2], c)
			}
		}
		for name, want := range map[string]string{"c/own": "10", "c/from1": "15", "c/scaled": "10"} {
			if got[name] != want {
				t.Errorf("%s: %s read %s, want %s", how, name, got[name], want)
			}
		}
	}
}

// valuesOfTest returns what `millrace test` prints, by tag.
func valuesOfTest(t *testing.T, path string) map[string]string {
	t.Helper()
	out, errs, code := millrace(t, "test", "-c", path, "--json")
	var rows []readingJSON
	if err := json.Unmarshal([]byte(out), &rows); err != nil || code != exitOK {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errs)
	}
	got := map[string]string{}
	for _, r := range rows {
		got[r.Tag] = string(r.Value)
	}
	return got
}

// valuesOfRun runs a gateway until it has synced a value of every tag, and returns them.
func valuesOfRun(t *testing.T, path string) map[string]string {
	t.Helper()
	cfg, err := config.Load(path, drivers())
	if err != nil {
		t.Fatal(err)
	}
	g, err := openGateway(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var wg sync.WaitGroup
	var errs errorList
	wg.Go(func() { errs.add(g.Run(ctx)) })
	wg.Go(func() { _ = g.tap(ctx, w) }) // it ends with the pipe
	got := map[string]string{}
	for lines := bufio.NewScanner(r); len(got) < len(cfg.TagNames()) && lines.Scan(); {
		var line tapLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Error(err)
		}
		for _, row := range line.Rows {
			got[row.Tag] = string(row.Value)
		}
	}
	cancel()
	r.Close()
	wg.Wait()
	errs.add(g.Close())
	if err := errs.join(); err != nil {
		t.Error(err)
	}
	return got
}
