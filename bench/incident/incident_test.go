package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the story says of each variant is so: where waiters and contexts stay, and what the guard finds.
func TestVariants(t *testing.T) {
	for _, c := range []struct {
		args                        string
		waiters, contexts, findings bool
	}{
		{"--variant lost --guard", true, true, true}, {"--variant lost --mended --guard", false, false, false},
		{"--variant map --guard", false, true, false}, {"--variant map --mended --guard", false, false, false},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), strings.Fields(c.args+" --json --load 300ms"), &out); err != nil {
			t.Fatal(err)
		}
		var f figures
		if err := json.Unmarshal(out.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		requests := f.Requests * 0.3 // contexts are counted by samples: a quarter is what they cannot miss
		if (f.Waiters > 0) != c.waiters || (f.Findings > 0) != c.findings || (float64(f.Contexts) > requests/4) != c.contexts || requests < 10 {
			t.Errorf("%s: %+v", c.args, f)
		}
		if c.findings && float64(f.Findings) < requests/2 {
			t.Errorf("%s: of %.0f leaks %d were found", c.args, requests, f.Findings)
		}
	}
}

func TestBadArguments(t *testing.T) {
	if err := run(t.Context(), []string{"--variant", "other"}, &bytes.Buffer{}); err == nil {
		t.Error("a variant that there is not")
	}
}
