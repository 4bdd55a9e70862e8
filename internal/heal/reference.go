package heal

import (
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

func table[T any](b *strings.Builder, name string, fields []field[T]) {
	fmt.Fprintf(b, "\n| field of `%s` | kind | |\n|---|---|---|\n", name)
	for _, f := range fields {
		fmt.Fprintf(b, "| `%s.%s` | %s | %s |\n", name, f.name, f.kind, f.doc)
	}
}
