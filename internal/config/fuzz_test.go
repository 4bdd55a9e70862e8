package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad loads arbitrary files. It never crashes, and ends with a configuration that can be planned or with errors that have a place.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml", "../../docs/examples/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if len(b) < 8<<10 {
				f.Add(string(b))
			}
		}
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(filepath.Join(dir, "tags.csv"), []byte("name,address\na,holding:1\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "${file:") || (strings.Contains(text, "csv:") || strings.Contains(text, "files:")) && strings.Contains(text, "/") {
			return // it would read files of the machine
		}
		l := newLoader(path, drivers())
		l.load([]byte(text))
		if l.problems.list == nil {
			l.problems = l.later
		}
		errs := l.problems.sorted(path)
		if len(errs) == 0 {
			PlanOf(l.cfg, drivers())
			if n := len(l.cfg.Devices); n == 0 || n < len(l.doc.devices) && !strings.Contains(text, "csv") {
				t.Fatalf("loaded %d devices of %d without an error", n, len(l.doc.devices))
			}
			return
		}
		for _, e := range errs {
			if e.File == "" || e.Msg == "" || strings.TrimSpace(e.Error()) == "" {
				t.Errorf("an error without place or text: %+v", e)
			}
		}
		var one *Error
		if !errors.As(error(errs), &one) {
			t.Error("the list has no single errors")
		}
	})
}

// FuzzStrings parses the small languages inside the file.
func FuzzStrings(f *testing.F) {
	f.Add(`holding:{base}:int16 scale=0.5 unit="a b" rw`)
	f.Add(`"db 1, the ""left"" press" desc="""0"`)
	f.Add("1d12h30m")
	f.Add("1.5GiB")
	f.Add("${param.x}{{y}}")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil && d < 0 {
			t.Errorf("duration %q is %v", s, d)
		}
		if n, err := ParseSize(s); err == nil {
			if again, err := ParseSize(FormatSize(n)); n < 0 || err != nil || again != n {
				t.Errorf("size %q is %d, and back %d %v", s, n, again, err)
			}
		}
		if p, err := parsePattern(s); err == nil {
			sc := &scope{id: "dev"}
			p.params(func(name string) { sc.params = append(sc.params, param{name: name, value: "v"}) })
			if got := p.fill(sc); p.constant() && !strings.ContainsAny(s, "{}") && got != s {
				t.Errorf("%q became %q", s, got)
			}
		}
		if words, err := splitWords(s); err == nil {
			for _, w := range words {
				doubled := strings.ReplaceAll(w.text, `"`, `""`) // as a quoted word has it
				if at := s[w.offset:]; !strings.HasPrefix(at, w.text) && !strings.HasPrefix(at, doubled) {
					t.Errorf("word %q is not at %d of %q", w.text, w.offset, s)
				}
			}
		}
		if Nearest(s, []string{s}) != s {
			t.Errorf("%q is not near itself", s)
		}
	})
}

// FuzzRules loads arbitrary files of healing rules. It never crashes, and ends with rules that are compiled, or with errors that have a place.
func FuzzRules(f *testing.F) {
	for _, file := range []string{"testdata/good/heal-rules.yml", "testdata/bad/heal-rules.yml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("\"0\r\r")
	f.Add("rules:\n  a:\n    when: |\n      device.up &&\n       nothing\n    do: [reconnect, {type: run, argv: [x]}]\n")
	f.Add("rules: {a: {when: \"device.loss > \\u0030.5\", do: [stretch], verify: >\n  device.up\n  && x}}\n")
	dir := f.TempDir()
	path := filepath.Join(dir, "gateway.yaml")
	const text = "devices:\n  - {id: a, address: \"modbus://127.0.0.1:502/1\", groups: {g: {tags: {a: \"holding:1\"}}}}\nheal: {files: [rules.yml]}\n"
	f.Fuzz(func(t *testing.T, rules string) {
		if strings.Contains(rules, "${file:") {
			return // it would read files of the machine
		}
		if err := os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		l := newLoader(path, drivers())
		l.load([]byte(text))
		errs := l.problems.sorted(path)
		for _, e := range errs {
			if e.File == "" || e.Msg == "" {
				t.Errorf("an error without place or text: %+v", e)
			}
		}
		breaks := strings.Count(rules, "\n") + strings.Count(rules, "\r") // and the others that YAML 1.1 knows
		for _, other := range []string{"\u0085", "\u2028", "\u2029"} {
			breaks += strings.Count(rules, other)
		}
		if len(errs) > 0 && errs[0].Line > breaks+2 {
			t.Errorf("an error behind the end of the file: %v", errs[0])
		}
	})
}
