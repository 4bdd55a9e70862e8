// Package handbook holds the guides to their own rules.
package handbook

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	command  = regexp.MustCompile("(?m)^```sh\n(?:[^`]*\n)?[^`\n]*(?:millrace|make|go|[.]ci/bench) [^`]*```$")
	notYet   = regexp.MustCompile(`(?m)^(Not built yet: |尚未实现：).+$`)
	dated    = regexp.MustCompile(`\(20\d\d-\d\d-\d\d, (M\d+)\)`)
	figure   = regexp.MustCompile(`\d`)
	machine  = regexp.MustCompile(`(?m)^\| (M\d+) \|`)
	headline = regexp.MustCompile(`(?m)^## (\S+)`)
)

// problems returns what is wrong with one guide, by the names of the machines that the handbook knows.
func problems(guide string, machines map[string]bool) []string {
	var bad []string
	parts := strings.Split(guide, "\n## ")
	if len(parts) < 2 {
		return []string{"no section"}
	}
	for _, s := range parts[1:] {
		title, body, _ := strings.Cut(s, "\n")
		if !command.MatchString(body) && !notYet.MatchString(body) {
			bad = append(bad, title+": neither a command nor a line that says it is not built yet")
		}
		rows := 0
		for _, line := range strings.Split(body, "\n") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
				continue
			}
			if rows++; rows == 1 {
				continue // the header
			}
			if len(cells) != 4 {
				bad = append(bad, title+": a row without claim, measured, verdict and why: "+line)
				continue
			}
			m := dated.FindStringSubmatch(cells[1])
			if figure.MatchString(cells[1]) && m == nil {
				bad = append(bad, title+": a figure without date and machine: "+strings.TrimSpace(cells[1]))
			}
			if m != nil && !machines[m[1]] {
				bad = append(bad, title+": the handbook knows no machine "+m[1])
			}
		}
		if rows < 2 {
			bad = append(bad, title+": no claim")
		}
	}
	return bad
}

func machines(t *testing.T) map[string]bool {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range machine.FindAllStringSubmatch(string(readme), -1) {
		out[m[1]] = true
	}
	return out
}

func TestGuidesKeepTheRules(t *testing.T) {
	files, _ := filepath.Glob("*/*.md")
	if len(files) != 10 {
		t.Fatalf("%d guides, want five in each of two languages", len(files))
	}
	known := machines(t)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems(string(text), known) {
			t.Errorf("%s: %s", f, p)
		}
	}
}

func TestBothLanguagesHaveTheSameSections(t *testing.T) {
	files, _ := filepath.Glob("en/*.md")
	for _, f := range files {
		en, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		zh, err := os.ReadFile(filepath.Join("zh", filepath.Base(f)))
		if err != nil {
			t.Fatal(err)
		}
		a, b := numbers(en), numbers(zh)
		if strings.Join(a, " ") != strings.Join(b, " ") {
			t.Errorf("%s: sections %v, in Chinese %v", f, a, b)
		}
	}
}

func numbers(guide []byte) []string {
	var out []string
	for _, m := range headline.FindAllSubmatch(guide, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

func TestRulesBite(t *testing.T) {
	head := "# G\n\n## 1 S\n\nWhat.\n\n"
	table := "| claim | measured here | verdict | why |\n|---|---|---|---|\n"
	known := map[string]bool{"M1": true}
	for name, c := range map[string]struct {
		guide string
		want  int
	}{
		"no command":       {head + table + "| a | not measured yet | open | - |\n", 1},
		"undated figure":   {head + "```sh\nmillrace demo\n```\n\n" + table + "| a | 12 ms | true | b |\n", 1},
		"unknown machine":  {head + "```sh\nmillrace demo\n```\n\n" + table + "| a | 12 ms (2026-11-20, M9) | true | b |\n", 1},
		"no claim":         {head + "```sh\nmillrace demo\n```\n", 1},
		"good":             {head + "```sh\nmillrace demo\n```\n\n" + table + "| a | 12 ms (2026-11-20, M1) | true | b |\n", 0},
		"good, not built":  {head + "Not built yet: comes with X.\n\n" + table + "| a | not measured yet | open | - |\n", 0},
		"row short a cell": {head + "Not built yet: comes with X.\n\n" + table + "| a | b | c |\n", 1},
	} {
		if got := problems(c.guide, known); len(got) != c.want {
			t.Errorf("%s: %d problems, want %d: %v", name, len(got), c.want, got)
		}
	}
}
