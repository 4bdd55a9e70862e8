package config

import (
	"fmt"
	"strings"
)

// Reference returns the tables of docs/config.md: every key of every mapping, in Markdown.
func Reference() []byte {
	var b strings.Builder
	tables := []struct {
		title string
		of    table
	}{
		{"gateway", &gatewayKeys}, {"shedding", &sheddingKeys}, {"journal", &journalKeys}, {"templates", &templateKeys}, {"devices", &deviceKeys}, {"groups", &groupKeys},
		{"tags", &tagKeys}, {"profile", &profileKeys}, {"options", &optionKeys}, {"sinks", &sinkKeys}, {"notify", &notifyKeys}, {"serve", &serveKeys},
		{"write", &writeKeys}, {"write rules", &writeRuleKeys},
		{"heal", &healKeys}, {"healing rules", &healRuleKeys}, {"actions", &healActionKeys}, {"healing limits", &healLimitKeys}, {"regions", &healRegionKeys},
	}
	for _, t := range tables {
		fmt.Fprintf(&b, "### %s\n\n", t.title)
		if _, doc := t.of.what(); doc != "" {
			fmt.Fprintf(&b, "%s\n\n", doc)
		}
		b.WriteString("| key | value | default | |\n|---|---|---|---|\n")
		for _, f := range t.of.facts() {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.describe(), f.presetCell(), strings.ReplaceAll(f.doc, "|", "\\|"))
		}
		b.WriteString("\n")
	}
	return []byte(strings.TrimRight(b.String(), "\n") + "\n")
}

func (f *facts) describe() string {
	s := ""
	switch f.form {
	case formText:
		s = "text"
	case formBool:
		s = "`true` or `false`"
	case formSecret:
		s = "text, never printed"
	case formChoice:
		s = "`" + strings.Join(f.choices, "`, `") + "`"
	case formChoices:
		s = "list of `" + strings.Join(f.choices, "`, `") + "`"
	case formList:
		s = "list"
	case formTexts:
		s = "list of texts"
	case formActions:
		s = "list"
	case formProfile:
		s = "`" + strings.Join(f.choices, "`, `") + "` or a mapping"
	case formLabels:
		s = "names, each with a text"
	case formNamed, formTags:
		s = "names, each with its own"
	case formDeadband:
		s = "a number, or one with %"
	default:
		_, s, _ = strings.Cut(f.form.article(), " ")
	}
	if f.max != 0 {
		s += fmt.Sprintf(", %s to %s", f.bound(f.min), f.bound(f.max))
	} else if f.min != 0 {
		s += ", at least " + f.bound(f.min)
	}
	if f.only != "" {
		s += " (" + f.only + ")"
	}
	return s
}

func (f *facts) presetCell() string {
	switch {
	case f.required:
		return "required"
	case f.preset == "":
		return ""
	}
	return "`" + f.preset + "`"
}
