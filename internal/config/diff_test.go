package config

import (
	"strings"
	"testing"

	"millrace/internal/tag"
)

// mustLoad loads the text of a configuration.
func mustLoad(t testing.TB, text string) *Config {
	t.Helper()
	c, err := Load(writeFile(t, "gateway.yaml", text), drivers())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const before = `
gateway: {name: x}
templates:
  press:
    params: {base: 0}
    groups: {g: {tags: {t: "holding:{base} unit=bar deadband=2", u: "coil:1"}}}
devices:
  - {id: a, template: press, address: "modbus://127.0.0.1/1"}
  - {id: b, template: press, address: "modbus://127.0.0.2/1"}
  - {id: c, template: press, address: "modbus://127.0.0.3/1"}
  - {id: d, template: press, address: "modbus://127.0.0.4/1"}
sinks:
  - {id: keep, type: postgres, url: "postgres://u:p@h/d"}
  - {id: gone, type: postgres, url: "postgres://u:p@h/d"}
  - {id: turn, type: postgres, url: "postgres://u:p@h/d"}
notify: [{id: n, type: webhook, url: "http://h/1"}]
`

func TestDiff(t *testing.T) {
	old := mustLoad(t, before)
	old.Gateway.Data, old.Path = "", ""
	edit := func(pairs ...string) *Config {
		c := mustLoad(t, strings.NewReplacer(pairs...).Replace(before))
		if err := assign(c); err != nil {
			t.Fatal(err)
		}
		c.Gateway.Data = ""
		return c
	}
	for _, c := range []struct {
		name string
		new  *Config
		want string
	}{
		{"nothing, though numbers were assigned", edit(), "nothing changed"},
		{"a comment and another order", edit("gateway:", "# hello\ngateway:"), "nothing changed"},
		{"another spelling of an address", edit("coil:1", "0x2"), "nothing changed"},
		{"a parameter", edit(`127.0.0.2/1"`, `127.0.0.2/1", params: {base: 4}`), "devices changed: b"},
		{"an address", edit("127.0.0.2/1", "127.0.0.2/2"), "devices changed: b"},
		{"an option", edit(`127.0.0.2/1"`, `127.0.0.2/1", options: {gap: 4}`), "devices changed: b"},
		{"a label", edit(`127.0.0.2/1"`, `127.0.0.2/1", labels: {site: north}`), "devices changed: b"},
		{"a profile", edit(`127.0.0.2/1"`, `127.0.0.2/1", profile: site`), "devices changed: b"},
		{"the template", edit("coil:1", "coil:2"), "devices changed: a, b, c, d"},
		{"a tag's unit", edit("coil:1", "coil:1 unit=K"), "devices changed: a, b, c, d"},
		{"a tag's deadband", edit("deadband=2", "deadband=3"), "devices changed: a, b, c, d"},
		{"added and removed", edit("id: b", "id: z"), "devices added: z; devices removed: b"},
		{"sinks", edit("id: gone", "id: new", "{id: turn,", "{id: turn, from: oldest,"), "sinks added: new; sinks changed: turn; sinks removed: gone"},
		{"a sink's password", edit("{id: turn, type: postgres, url: \"postgres://u:p@", "{id: turn, type: postgres, url: \"postgres://u:q@"), "sinks changed: turn"},
		{"notifications", edit("http://h/1", "http://h/2"), "notifications changed"},
		{"what needs a restart", edit("name: x", "name: y, listen: off, dial_rate: 5", "templates:", "journal: {max_age: 1h}\ntemplates:"),
			"needs a restart: gateway.name changed from x to y: metrics and notifications carry the name given at start\n" +
				"needs a restart: gateway.listen changed from 127.0.0.1:8080 to off: the listener is opened at start\n" +
				"needs a restart: gateway.dial_rate changed from 400 to 5: all devices share the bucket made at start\n" +
				"needs a restart: journal.max_age changed from 168h0m0s to 1h0m0s: the journal is open with the old value"},
	} {
		if got := Diff(old, c.new); got.String() != c.want || got.Empty() != (c.want == "nothing changed") {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// What the tags of many devices have in common is in memory once, whether it comes from a template or from lines of their own.
func TestTermsAreShared(t *testing.T) {
	c := mustLoad(t, strings.Replace(before, "sinks:", `  - {id: e, address: "modbus://127.0.0.5/1", groups: {g: {tags: {t: "holding:7 deadband=2 unit=bar", u: "holding:8 unit=bar"}}}}
sinks:`, 1))
	first, last := c.Devices[0].Groups[0].Tags, c.Devices[len(c.Devices)-1].Groups[0].Tags
	if x := first[0].Terms(); x.Unit != "bar" || x.Deadband.Abs != 2 || last[1].Terms().Deadband.Abs != 0 {
		t.Errorf("%+v and %+v", x, last[1].Terms())
	}
	for _, d := range c.Devices {
		if d.Groups[0].Tags[0].Shared != first[0].Shared {
			t.Errorf("%s has terms of its own", d.Name)
		}
	}
	if first[1].Shared != nil || last[1].Shared == last[0].Shared {
		t.Error("tags share what they do not have in common")
	}
}

// assign gives c numbers from 1 on and IDs from 101 on.
func assign(c *Config) error {
	numbers := make([]uint32, len(c.DeviceNames()))
	for i := range numbers {
		numbers[i] = uint32(i + 1)
	}
	ids := make([]tag.ID, len(c.TagNames()))
	for i := range ids {
		ids[i] = tag.ID(i + 101)
	}
	return c.Assign(numbers, ids)
}

func TestAssign(t *testing.T) {
	c := mustLoad(t, before)
	if got := strings.Join(c.DeviceNames()[:2], " ") + " " + strings.Join(c.TagNames()[:3], " "); got != "a b a/t a/u b/t" {
		t.Errorf("names %s", got)
	}
	if err := assign(c); err != nil {
		t.Fatal(err)
	}
	if d := c.Devices[1]; d.Number != 2 || d.Groups[0].Tags[0].ID != 103 || d.Groups[0].Tags[1].ID != 104 {
		t.Errorf("%+v", d)
	}
	if c.Assign(make([]uint32, len(c.Devices)), nil) == nil || c.Assign(nil, make([]tag.ID, len(c.TagNames()))) == nil {
		t.Error("too few were taken")
	}
}
