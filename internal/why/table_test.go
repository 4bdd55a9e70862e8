package why

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTableIsWhole(t *testing.T) {
	ids := map[string]bool{}
	for _, c := range Causes() {
		if c.ID == "" || ids[c.ID] || c.Means == "" || c.Rule == "" || c.find == nil || c.Layer >= layers {
			t.Errorf("%+v", c)
		}
		ids[c.ID] = true
	}
}

// The table in the documentation is this one.
func TestDocs(t *testing.T) {
	const path, begin, end = "../../docs/why.md", "<!-- causes: begin -->\n", "<!-- causes: end -->\n"
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(was), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	now := head + begin + table() + end + tail
	switch {
	case now == string(was):
	case *update:
		if err := os.WriteFile(path, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not have the table as it is: go test ./internal/why -update", path)
	}
}

// table writes the causes as Markdown.
func table() string {
	var b strings.Builder
	b.WriteString("| cause | layer | what it is | evidence | sure | what to do |\n|---|---|---|---|---|---|\n")
	for _, c := range Causes() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", c.ID, c.Layer, c.Means, c.Rule, c.sure, strings.Join(c.Todo, "; "))
	}
	return b.String()
}

func TestNames(t *testing.T) {
	if layers.String() != "layer 14" || Confidence(9).String() != "confidence 9" || LayerTCP.String() != "TCP" || Certain.String() != "certain" {
		t.Errorf("%v %v", layers, Confidence(9))
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 123 * time.Microsecond: "123µs", 1234567: "1.23ms", 12345678: "12.3ms", 1234 * time.Millisecond: "1.23s", 12345 * time.Millisecond: "12.3s", 90 * time.Second: "1m30s", -time.Hour: "-1h0m0s",
	} {
		if got := short(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
