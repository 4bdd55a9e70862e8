package write

import (
	"math"
	"strings"
	"testing"

	"millrace/internal/device"
	"millrace/internal/tag"
)

func TestConditionsThatDoNotCompile(t *testing.T) {
	for src, want := range map[string]string{
		`tag("press/nobody") > 1`: `no tag "press/nobody"`,
		`tag("press/list") > 1`:   "int16[]",
		`tag("press/door") > 1`:   "no matching overload",
		`value`:                   "true or false",
		`value >`:                 "",
	} {
		r := Default()
		r.Interlock = src
		c := Compiler{Find: func(name string) (Known, bool) {
			k, ok := map[string]Known{"press/door": {2, tag.Bool}, "press/list": {5, tag.Int16 | tag.Array}}[name]
			return k, ok
		}}
		_, err := c.Compile(&r, "press")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", src, err)
		}
	}
}

func TestValues(t *testing.T) {
	scaled := func(k tag.Kind) *Target {
		return &Target{Kind: k, Spec: &device.TagSpec{Shared: &device.Terms{Scale: 0.1, Bias: -40}}}
	}
	for _, c := range []struct {
		target *Target
		text   string
		raw    string // "" is refused
		shown  string
	}{
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int16}, "-32768", "-32768", "-32768"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int16}, "32768", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int16}, "1.5", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int16}, "2.0", "2", "2"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Uint16}, "-1", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Uint64}, "18446744073709551615", "18446744073709551615", "18446744073709551615"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int64}, "18446744073709551615", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int64}, "-9223372036854775808", "-9223372036854775808", "-9223372036854775808"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Bool}, "true", "true", "true"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Bool}, "1", "true", "true"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Bool}, "2", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Float32}, "0.1", "0.1", "0.1"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Float32}, "true", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.String}, "42", "42", "42"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.String}, `say "x"`, `say "x"`, `say "x"`},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int32 | tag.Array}, "[1,2,3]", "[1,2,3]", "[1,2,3]"},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int32 | tag.Array}, "1", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.Int32}, "[1]", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.DateTime}, "2026-01-02T03:04:05Z", `"2026-01-02T03:04:05Z"`, `"2026-01-02T03:04:05Z"`},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.DateTime}, "yesterday", "", ""},
		{&Target{Spec: &device.TagSpec{}, Kind: tag.ByteString}, "AQI=", `"AQI="`, `"AQI="`},
		{&Target{Spec: &device.TagSpec{}}, "7", "7", "7"},
		{scaled(tag.Int16), "21.56", "616", "21.6"},
		{scaled(tag.Int16), "4000", "", ""},
		{scaled(tag.Null), "21.5", "615", "21.5"},
		{scaled(tag.Int16 | tag.Array), "[-40, 0]", "[0,400]", "[-40,0]"},
	} {
		v, err := c.target.Parse(c.text)
		var raw tag.Value
		if err == nil {
			raw, err = c.target.raw(v, tag.Null)
		}
		switch {
		case (err != nil) != (c.raw == ""):
			t.Errorf("%v %s: %v", c.target.Kind, c.text, err)
		case err == nil && (raw.String() != c.raw || c.target.engineering(raw).String() != c.shown):
			t.Errorf("%v %s: %v, shown as %v", c.target.Kind, c.text, raw, c.target.engineering(raw))
		}
	}
}

// The range of a tag, as its own and as its rule says.
func TestRange(t *testing.T) {
	tg := &Target{Rule: &Rule{Min: 0, HasMin: true}, Spec: &device.TagSpec{Shared: &device.Terms{Deadband: device.Deadband{Low: -5, High: 80}}}}
	for f, ok := range map[float64]bool{-1: false, 0: true, 80: true, 80.1: false, math.Inf(1): false, math.NaN(): false} {
		if err := tg.within(f); (err == nil) != ok {
			t.Errorf("%v: %v", f, err)
		}
	}
	if err := (&Target{Rule: &Rule{}, Spec: &device.TagSpec{}}).within(math.NaN()); err != nil {
		t.Error(err)
	}
}

func TestRuleCheck(t *testing.T) {
	for i, bad := range []func(r *Rule){
		func(r *Rule) { r.Min, r.Max, r.HasMin, r.HasMax = 2, 1, true, true },
		func(r *Rule) { r.Mode, r.Approve = Desired, true },
		func(r *Rule) { r.Mode, r.Verify = Desired, Ack },
		func(r *Rule) { r.Tolerance = -1 },
		func(r *Rule) { r.Tolerance = math.NaN() },
	} {
		r := Default()
		if r.Check() != nil {
			t.Fatal("the default is refused")
		}
		if bad(&r); r.Check() == nil {
			t.Errorf("rule %d is good", i)
		}
	}
}

// One condition serves all devices whose tags are of its kinds, and looks at each one's own.
func TestConditionsOfManyDevices(t *testing.T) {
	known := map[string]Known{"a/door": {1, tag.Bool}, "b/door": {2, tag.Bool}, "c/door": {3, tag.Int16}, "all/stop": {9, tag.Bool}}
	c := Compiler{Find: func(name string) (Known, bool) { k, ok := known[name]; return k, ok }}
	r := Default()
	r.Interlock = `tag("./door") == false && !tag("all/stop")`
	var made []*Interlock
	for _, d := range []string{"a", "b"} {
		i, err := c.Compile(&r, d)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, i)
	}
	if made[0].rule != made[1].rule || made[0].inputs[0].ID != 1 || made[1].inputs[0].ID != 2 || made[1].inputs[1].ID != 9 {
		t.Errorf("%+v, %+v", made[0], made[1])
	}
	for _, d := range []string{"c", "d"} {
		if _, err := c.Compile(&r, d); err == nil {
			t.Errorf("%s: compiled", d)
		}
	}
}
