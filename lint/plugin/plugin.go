// Package plugin is the linter ctxguard for golangci-lint v2, as a module plugin.
package plugin

import (
	"slices"

	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"

	"millrace/ctxguard/analyzers"
)

// Settings are what linters.settings.custom.ctxguard.settings holds in .golangci.yml. Nothing has to be set.
type Settings struct {
	Pairs   []string `json:"pairs"`   // further functions that acquire, with what releases their result: see analyzers.Config
	Disable []string `json:"disable"` // analyzers to leave out, by name: readdeadline
}

func init() { register.Plugin("ctxguard", New) } // golangci-lint knows its plugins by this alone

// New makes the linter from its settings.
func New(conf any) (register.LinterPlugin, error) {
	s, err := register.DecodeSettings[Settings](conf)
	if err != nil {
		return nil, err
	}
	return &linter{s}, nil
}

type linter struct{ settings Settings }

// BuildAnalyzers returns the analyzers that the settings leave.
func (l *linter) BuildAnalyzers() ([]*analysis.Analyzer, error) {
	all, err := analyzers.New(analyzers.Config{Pairs: l.settings.Pairs})
	if err != nil {
		return nil, err
	}
	var out []*analysis.Analyzer
	for _, a := range all {
		if !slices.Contains(l.settings.Disable, a.Name) {
			out = append(out, a)
		}
	}
	return out, nil
}

// GetLoadMode says that the analyzers need types.
func (l *linter) GetLoadMode() string { return register.LoadModeTypesInfo }
