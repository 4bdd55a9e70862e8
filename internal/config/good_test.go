package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/resilience"
	"millrace/internal/sim"
)

// TestGoodFiles holds what each file of testdata/good comes to against the reviewed text beside it.
func TestGoodFiles(t *testing.T) {
	t.Setenv("PG_URL", "pg.example")
	files, _ := filepath.Glob("testdata/good/*.yaml")
	if len(files) < 3 {
		t.Fatalf("%d good files", len(files))
	}
	for _, file := range files {
		c, err := Load(file, drivers())
		if err != nil {
			t.Error(err)
			continue
		}
		golden(t, strings.TrimSuffix(file, ".yaml")+".txt", dump(c))
	}
}

// paths returns the paths of c's files.
func paths(c *Config) []string {
	var out []string
	for _, f := range c.Files {
		out = append(out, f.Path)
	}
	return out
}

// dump writes everything that a configuration says, a line each.
func dump(c *Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "files %q\ngateway %+v\njournal %+v\n", paths(c), c.Gateway, c.Journal)
	for _, d := range c.Devices {
		fmt.Fprintf(&b, "device %s %s driver=%s options=%v slots=%d rate=%v pause=%v\n  profile %+v\n", d.Name, d.Addr, d.Driver, d.Addr.Options, d.Slots, d.RequestsPerSecond, d.PauseAfterConnect, d.Profile)
		if len(d.Labels) > 0 {
			fmt.Fprintf(&b, "  labels %v\n", d.Labels)
		}
		for _, r := range d.Routes {
			fmt.Fprintf(&b, "  route %s %q options=%v\n", r.Addr, r.Name, r.Addr.Options)
		}
		if d.Routing != (device.Routing{}) || d.Prediction != (resilience.Prediction{}) {
			fmt.Fprintf(&b, "  routing %q %+v\n  prediction %+v\n", d.RouteName, d.Routing, d.Prediction)
		}
		for _, g := range d.Groups {
			fmt.Fprintf(&b, "  group %s every %v\n", g.Name, g.Interval)
			for _, t := range g.Tags {
				x := t.Terms()
				fmt.Fprintf(&b, "    %s %q scale=%v bias=%v unit=%q deadband=%+v rw=%v\n", t.Name, t.Address, x.Scale, x.Bias, x.Unit, x.Deadband, t.Writable)
			}
		}
	}
	for _, s := range c.Sinks {
		fmt.Fprintf(&b, "sink %+v\n", s)
	}
	for _, n := range c.Notify {
		fmt.Fprintf(&b, "notify %+v\n", n)
	}
	for _, v := range c.Serve {
		fmt.Fprintf(&b, "serve %+v\n", v)
	}
	for _, r := range c.Heal.Regions.Named {
		fmt.Fprintf(&b, "region %+v\n", r)
	}
	if c.Heal.Regions.Label != "" {
		fmt.Fprintf(&b, "region by label %s\n", c.Heal.Regions.Label)
	}
	for _, p := range c.Heal.Policies {
		fmt.Fprintf(&b, "rule %+v\n", p.Rule)
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "warning %v\n", w)
	}
	return filepath.ToSlash(b.String())
}

func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "hunter22"
	c := mustLoad(t, before+"# ")
	c.Sinks[0].URL, c.Notify[0].URL = NewSecret(secret), NewSecret(secret)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, c, c.Sinks[0], c.Notify[0], c.Sinks[0].URL)
		fmt.Fprintf(&out, verb, &c.Sinks[0].URL)
	}
	if err := json.NewEncoder(&out).Encode(c.Sinks); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "sink", c.Sinks[0], "url", c.Sinks[0].URL)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "sink", c.Sinks[0], "url", c.Sinks[0].URL)
	for _, form := range []string{secret, fmt.Sprintf("%x", secret)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("a secret is printed: %s", out.String())
		}
	}
	if c.Sinks[0].URL.Reveal() != secret || c.Sinks[0].URL.String() != "(redacted)" || (Secret{}).String() != "" {
		t.Error("Reveal, String")
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	t.Setenv("HOOK", `ftp://to"ken`)
	_, err := Load(writeFile(t, "g.yaml", before+`  # more
devices2: "${env:HOOK}"
journal: {max_age: "${env:HOOK}"}
`), drivers())
	if err == nil || strings.Contains(err.Error(), "ken") || !strings.Contains(err.Error(), "${env:HOOK}") {
		t.Errorf("error %v", err)
	}
}

// TestMissingFile has no configuration, and says what to wait for.
func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	c, err := Load(path, drivers())
	if !errors.Is(err, fs.ErrNotExist) || AsErrors(err) != nil || !slices.Equal(paths(c), []string{path}) {
		t.Errorf("%v, %v", c, err)
	}
}

// TestFilesOfABadConfiguration names what to watch for a better one, files that are missing included.
func TestFilesOfABadConfiguration(t *testing.T) {
	path := writeFile(t, "g.yaml", "devices:\n  - {csv: none.csv, template: t}\ntemplates: {t: {groups: {g: {tags: {a: 'coil:1'}}}}}\ngateway: {name: '${file:name.txt}'}\n")
	c, err := Load(path, drivers())
	want := []string{path, filepath.Join(filepath.Dir(path), "name.txt"), filepath.Join(filepath.Dir(path), "none.csv")}
	if got := paths(c); err == nil || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("files %q, want %q; %v", got, want, err)
	}
}

// TestSimulatorsConfiguration loads what a simulator emits.
func TestSimulatorsConfiguration(t *testing.T) {
	m, err := sim.NewModbus(sim.ModbusConfig{Devices: 300})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := m.EmitConfig(&b, sim.EmitOptions{Waves: 20, Statics: 5}); err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, b.String())
	if len(c.Devices) != 300 || len(c.TagNames()) != 300*25 || len(c.Warnings) != 0 {
		t.Errorf("%d devices, %d tags, warnings %v", len(c.Devices), len(c.TagNames()), c.Warnings)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour, "0": 0, "0s": 0,
	} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "5", "-1s", "1.5", "d", "-1d", "1d-5h", "NaNd", "1e9d", "300y", "10000000h", "1d1d", "1w"} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1048576": 1 << 20, "64MiB": 64 << 20, "1.5GiB": 3 << 29, "100MB": 100e6, "10 kB": 10000, "5B": 5, "2TiB": 2 << 40,
	} {
		got, err := ParseSize(s)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
		if again, err := ParseSize(FormatSize(got)); err != nil || again != got {
			t.Errorf("%s and back: %s, %v", s, FormatSize(got), err)
		}
	}
	for _, s := range []string{"", "B", "-1", "1.5", "MiB", "-1MiB", "NaNMiB", "1e30GiB", "64 mebibytes", "0x10"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"interval", "tags", "csv", "max_registers", "window"}
	for s, want := range map[string]string{
		"intervall": "interval", "Interval": "interval", "itnerval": "interval", "tag": "tags", "cvs": "csv", "max-registers": "max_registers",
		"maxregister": "max_registers", "": "", "frobnicate": "", "xyz": "", strings.Repeat("interval", 1000): "",
	} {
		if got := Nearest(s, known); got != want {
			t.Errorf("%.20q: %q, want %q", s, got, want)
		}
	}
}

// TestRelativePaths reads everything from beside the file, wherever the process is.
func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("conf", 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(before, "gateway: {name: x}", "gateway: {data: state}") + "\n"
	if err := os.WriteFile("conf/g.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load("conf/g.yaml", drivers())
	if err != nil || filepath.ToSlash(c.Gateway.Data) != "conf/state" {
		t.Errorf("%v, %v", c, err)
	}
}
