package heal

import (
	"cmp"
	"fmt"
	"strings"
)

// Reference returns the tables of docs/healing.md: the names that conditions may use, and the rules that come with the gateway, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("| name | is | in rules for |\n|---|---|---|\n" +
		"| `device` | the device | each device, and in `which` |\n" +
		"| `region` | the region, of a device its own | each device, each region, and in `which` |\n" +
		"| `node` | the machine, and the gateway as a process of it | all |\n" +
		"| `all` | all devices together, as if they were one region | all |\n" +
		"| `devices` | the list of all devices, to look for some among them: `devices.exists(d, d.region == \"hall-a\" && d.down)` | all |\n")
	table(&b, "device", deviceFields())
	table(&b, "region", regionFields())
	table(&b, "node", nodeFields())
	return b.String()
}

// ShippedReference returns the table of the rules that come with the gateway.
func ShippedReference() string {
	var b strings.Builder
	b.WriteString("| rule | for each | when | for | does | helped when | undone after |\n|---|---|---|---|---|---|---|\n")
	for _, r := range Shipped() {
		var do []string
		for _, a := range r.Do {
			_ = a.check() // for its defaults; a test compiles them all
			do = append(do, a.String())
		}
		verify := fmt.Sprintf("`%s` for %v, within %v", r.Verify, r.Hold, r.Within)
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %v | %s | %s | %v |\n", r.Name, cmp.Or(r.Each, EachDevice), r.When, r.For, strings.ReplaceAll(strings.Join(do, ", "), "|", "\\|"), verify, r.Keep)
	}
	return b.String()
}

func table[T any](b *strings.Builder, name string, fields []field[T]) {
	fmt.Fprintf(b, "\n| field of `%s` | kind | |\n|---|---|---|\n", name)
	for _, f := range fields {
		fmt.Fprintf(b, "| `%s.%s` | %s | %s |\n", name, f.name, f.kind, f.doc)
	}
}
