package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// press is a device of the tests: its fields are those of deviceObject, in order.
type press struct {
	name string
	rtt  time.Duration
	loss float64
	late int64
	tell map[string]string
}

func deviceObject() *Object {
	return &Object{Name: "device", Fields: []Var{{Name: "name", Kind: String}, {Name: "rtt", Kind: Duration}, {Name: "loss", Kind: Double}, {Name: "late", Kind: Int}, {Name: "labels", Kind: Map}}}
}

func (p *press) Field(i int) Value {
	switch i {
	case 0:
		return OfString(p.name)
	case 1:
		if p.rtt == 0 {
			return Value{}
		}
		return OfDuration(p.rtt)
	case 2:
		return OfDouble(p.loss)
	case 4:
		return OfTexts("device", "label", p.tell)
	}
	return OfInt(p.late)
}

type presses struct {
	of  *Object
	all []*press
}

func (p presses) Len() int         { return len(p.all) }
func (p presses) Item(i int) Value { return OfFields(p.of, p.all[i]) }

// plant is what the conditions of the tests look at.
type plant struct {
	of   *Object
	one  *press
	all  []*press
	tags map[string]Value
}

func (p *plant) Value(name, key string) Value {
	switch name {
	case "device":
		return OfFields(p.of, p.one)
	case "devices":
		return OfItems(presses{p.of, p.all})
	case "tag":
		return p.tags[key]
	case "ok":
		return OfBool(true)
	case "at":
		return OfTime(time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC))
	}
	return Value{}
}

func testEnv(t testing.TB) (*Env, *plant) {
	t.Helper()
	o := deviceObject()
	e, err := New(Var{Name: "device", Kind: Struct, Object: o}, Var{Name: "devices", Kind: Struct, Object: o, List: true}, Var{Name: "ok", Kind: Bool},
		Var{Name: "at", Kind: Time}, Var{Name: "absent", Kind: Int},
		Var{Name: "tag", Key: func(k string) (Kind, error) {
			switch k {
			case "press1/temp":
				return Double, nil
			case "press1/running":
				return Bool, nil
			}
			return 0, fmt.Errorf("there is no tag %s", k)
		}})
	if err != nil {
		t.Fatal(err)
	}
	one := &press{"press1", 120 * time.Millisecond, 0.08, 3, map[string]string{"site": "north", "cost-centre": "12"}}
	return e, &plant{o, one, []*press{one, {"press2", time.Millisecond, 0, 0, nil}, {"oven", 0, 1, 0, nil}},
		map[string]Value{"press1/temp": OfDouble(81.5), "press1/running": OfBool(true)}}
}

func TestEval(t *testing.T) {
	e, p := testEnv(t)
	for _, c := range []struct {
		src  string
		want bool
		uses string
	}{
		{"ok", true, "ok"},
		{"device.rtt > duration('100ms')", true, "device.rtt"},
		{"device.rtt > duration('200ms') && device.loss > 0.05", false, "device.loss device.rtt"},
		{"device.late > 2.5", true, "device.late"},
		{"device.name in ['press1', 'press9']", true, "device.name"},
		{"device.name.startsWith('oven')", false, "device.name"},
		{"devices.exists(d, d.loss > 0.5)", true, "devices"},
		{"devices.filter(d, d.loss > 0.01).size() * 2 > devices.size()", true, "devices"},
		{"devices.all(d, d.name != device.name || d.late == 3)", true, "device.name devices"},
		{"devices[1].name == 'press2'", true, "devices"},
		{"has(device.rtt) && !has(devices[2].rtt)", true, "device.rtt devices"},
		{"tag('press1/temp') > 80 && tag('press1/running')", true, "press1/running press1/temp"},
		{"tag('press1/temp') + 1.0 > 82.4", true, "press1/temp"},
		{"at.getHours() < 7", true, "at"},
		{"ok || absent > 1", true, "absent ok"},
		{"device.labels.site == 'north' && device.labels['cost-centre'] == '12'", true, "device.labels"},
		{"'line' in device.labels || has(device.labels.line) || !('site' in device.labels)", false, "device.labels"},
		{"has(device.labels.site) && device.labels.size() == 2", true, "device.labels"},
		{"device.labels.exists(k, device.labels[k] == 'north')", true, "device.labels"},
		{"device.labels == {'site': 'north', 'cost-centre': '12'}", true, "device.labels"},
		{"devices.filter(d, 'site' in d.labels && d.labels.site == 'north').size() == 1", true, "devices"},
		{"device.labels != devices[1].labels", true, "device.labels devices"},
	} {
		r, err := e.Compile(c.src)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		got, err := r.Eval(p)
		if err != nil || got != c.want {
			t.Errorf("%s is %v, %v", c.src, got, err)
		}
		if u := strings.Join(r.Uses(), " "); u != c.uses {
			t.Errorf("%s uses %q, want %q", c.src, u, c.uses)
		}
	}
}

func TestFaultsHaveAPlace(t *testing.T) {
	e, _ := testEnv(t)
	for _, c := range []struct {
		src, want string
	}{
		{"device.rtt >", "1:13: mismatched input '<EOF>'"},
		{"ok &&\n  device.lost > 1.0", "2:9: a device has no 'lost'; it has name, rtt, loss, late, labels"},
		{"devices.exists(d, d.lost > 1.0)", "1:20: a device has no 'lost'; it has name"},
		{"ok && gadget", "1:7: nothing is called 'gadget'; there are device, devices, ok, at, absent, tag(\"...\")"},
		{"device.rtt > 100", "1:12: > does not go between duration and int; write a duration as duration(\"200ms\")"},
		{"device.loss * 2 > 1.0", "1:13: * does not go between double and int; write a whole number that meets a double as 2.0"},
		{"device.name > 5", "1:13: > does not go between string and int; write numbers, true and false without quotes"},
		{"device.name.startsWith(5)", "1:23: startsWith does not go with string.(int)"},
		{"ok && device.rtt > duration('200 ms')", `1:29: "200 ms" is no duration; write it like 200ms, 10s or 1h30m`},
		{"ok &&\n device.name.matches('(')", `2:22: "(" is no pattern: `},
		{"ok and device.loss > 1.0", "1:4: mismatched input 'and'; and is &&, or is ||, not is !"},
		{"device.name = 'x'", "1:13: this cannot be read: '= '; equal is =="},
		{"device.loss > 5%", "1:17: mismatched input '<EOF>'; a share is 0.05, not 5 %"},
		{"device.rtt > 200ms", "1:17: extraneous input 'ms'; a duration is duration(\"200ms\")"},
		{"ok & ok", "1:4: this cannot be read: '& '; and is &&, or is ||"},
		{"device.loss > 0,05", "1:16: mismatched input ','; a number is 0.05, with a point"},
		{"device.name == \u201cx\u201d", "1:16: this cannot be read: '\u201c'; quotes are ' or \""},
		{"device.name == 'a and b' ok", "1:26: extraneous input 'ok'"},
		{"device.late", "1:1: a condition is true or false, and this is of kind int"},
		{"ok && tag('press1/tmp') > 1.0", "1:10: there is no tag press1/tmp"},
		{"tag(device.name) > 1.0", "1:11: tag takes one text in quotes, and nothing that is to be worked out"},
		{"tag('press1/running') > 1.0", "1:23: > does not go between bool and double"},
		{"devices.all(a, devices.all(b, a.loss == b.loss))", "1:1: this could cost"},
		{"device{name: 'x'} == device", "1:1: this could cost"},
		{strings.Repeat("ok && ", 1000) + "ok", "1:1: "},
		{strings.Repeat("(", 60) + "ok" + strings.Repeat(")", 60), "1:1: "},
	} {
		_, err := e.Compile(c.src)
		var list Errors
		if !errors.As(err, &list) {
			t.Errorf("%.60s: %v", c.src, err)
		} else if !strings.HasPrefix(list[0].Error(), c.want) {
			t.Errorf("%.60s:\n%v\nwant %s", c.src, err, c.want)
		}
	}
}

func TestNoValueIsAnError(t *testing.T) {
	e, p := testEnv(t)
	for _, src := range []string{"absent > 1", "device.labels.line == '7'", "device.labels['line'] != '7'", "devices[1].labels.site == 'north'", "devices[2].rtt > duration('1s')", "devices[7].loss > 1.0", "device.late / 0 > 1"} {
		r, err := e.Compile(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		held, err := r.Eval(p)
		var bad *EvalError
		var missing *MissingError
		if errors.As(err, &missing) != (strings.Contains(src, "rtt") || strings.Contains(src, "labels")) {
			t.Errorf("%s is %v, %v", src, held, err)
		}
		if held || !errors.As(err, &bad) || !bad.Retryable() {
			t.Errorf("%s is %v, %v", src, held, err)
		}
	}
}

// TestCostEndsARun holds the meter: a list that is longer than it was declared does not make a condition run on.
func TestCostEndsARun(t *testing.T) {
	o := deviceObject()
	e, err := New(Var{Name: "devices", Kind: Struct, Object: o, List: true, Max: 10})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Compile("devices.all(a, devices.all(b, devices.all(c, a.loss == b.loss && b.loss == c.loss)))")
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{of: o, all: slices.Repeat([]*press{{}}, 300)}
	if _, err := r.Eval(p); err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Errorf("27 million comparisons ended with %v", err)
	}
}

func TestTerms(t *testing.T) {
	e, p := testEnv(t)
	r, err := e.Compile("device.loss > 0.05 && (device.late > 5 || ok) && devices.exists(d, d.name == 'oven') && tag('press1/temp') < 20.0")
	if err != nil {
		t.Fatal(err)
	}
	terms, err := r.Terms()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range terms {
		held, err := x.Eval(p)
		got = append(got, fmt.Sprint(x.Source(), " ", held, " ", err))
	}
	want := []string{"device.loss > 0.05 true <nil>", "device.late > 5 || ok true <nil>", `devices.exists(d, d.name == "oven") true <nil>`,
		`tag("press1/temp") < 20.0 false <nil>`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestValuesReadWell(t *testing.T) {
	_, p := testEnv(t)
	for want, v := range map[string]Value{"not known": {}, "120ms": OfDuration(120 * time.Millisecond), "true": OfBool(true), "0.05": OfDouble(0.05), "7": OfInt(7),
		"oven": OfString("oven"), "a device": p.Value("device", ""), "a list": p.Value("devices", "")} {
		if v.String() != want {
			t.Errorf("%s, want %s", v, want)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	if _, err := New(Var{Name: "a", Kind: Int}, Var{Name: "a", Kind: Bool}); err == nil {
		t.Error("two variables have one name")
	}
	if _, err := New(Var{Name: "a", Kind: Struct}); err == nil {
		t.Error("a variable has fields and no object")
	}
}

func FuzzCompile(f *testing.F) {
	e, p := testEnv(f)
	for _, s := range []string{"ok", "device.rtt > duration('1s')", "devices.exists(d, d.loss > 0.1)", "tag('press1/temp') > 1", "tag(\"", "[1,2].map(x, [x, x]) == []"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		r, err := e.Compile(src)
		var list Errors
		if err != nil {
			if !errors.As(err, &list) || len(list) == 0 || list[0].Line < 1 || list[0].Column < 1 {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		_, _ = r.Eval(p)
		if _, err := r.Terms(); err != nil {
			t.Fatalf("%q: %v", src, err)
		}
	})
}

func benchmark(b *testing.B, src string) {
	e, p := testEnv(b)
	r, err := e.Compile(src)
	if err != nil {
		b.Fatal(err)
	}
	p.all = slices.Repeat(p.all[:1], 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Eval(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkField(b *testing.B) {
	benchmark(b, "device.rtt > duration('200ms') && device.loss > 0.05")
}
func BenchmarkTags(b *testing.B) { benchmark(b, "tag('press1/running') && tag('press1/temp') < 90.0") }
func BenchmarkWalk1000(b *testing.B) {
	benchmark(b, "devices.filter(d, d.loss > 0.5).size() * 2 > devices.size()")
}
func BenchmarkCompile(b *testing.B) {
	e, _ := testEnv(b)
	for b.Loop() {
		if _, err := e.Compile("tag('press1/running') && device.loss > 0.05"); err != nil {
			b.Fatal(err)
		}
	}
}
