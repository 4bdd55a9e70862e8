package plugin

import (
	"testing"

	"github.com/golangci/plugin-module-register/register"
)

// The plugin is registered under its name, takes its settings, and builds the analyzers that they leave.
func TestPlugin(t *testing.T) {
	newLinter, err := register.GetPlugin("ctxguard")
	if err != nil {
		t.Fatal(err)
	}
	all := built(t, newLinter, nil)
	some := built(t, newLinter, map[string]any{"disable": []string{"readdeadline", "loopexit"}, "pairs": []string{"example.com/pool.Get=Put"}})
	if some != all-2 {
		t.Errorf("%d analyzers, and %d without two", all, some)
	}
	if _, err := newLinter(map[string]any{"disabel": nil}); err == nil {
		t.Error("a misspelt setting is taken")
	}
	l, err := newLinter(map[string]any{"pairs": []string{"nonsense"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.BuildAnalyzers(); err == nil {
		t.Error("a bad pair is taken")
	}
}

func built(t *testing.T, newLinter register.NewPlugin, settings any) int {
	t.Helper()
	l, err := newLinter(settings)
	if err != nil {
		t.Fatal(err)
	}
	if l.GetLoadMode() != register.LoadModeTypesInfo {
		t.Errorf("load mode %s", l.GetLoadMode())
	}
	as, err := l.BuildAnalyzers()
	if err != nil {
		t.Fatal(err)
	}
	return len(as)
}
