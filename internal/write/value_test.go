package write

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
)

func TestConditionsThatDoNotCompile(t *testing.T) {
	for src, want := range map[string]string{
		`tag("press/nobody") > 1`: `no tag "press/nobody"`,
		`tag("press/list") > 1`:   "int16[]",
		`tag("press/door") > 1`:   "> does not go between bool and int",
		`value`:                   "true or false",
		`value >`:                 "",
	} {
		r := Default()
		r.Interlock = src
		c := Compiler{Find: func(name string) (Known, bool) {
			k, ok := map[string]Known{"press/door": {2, tag.Bool, "press"}, "press/list": {5, tag.Int16 | tag.Array, "press"}}[name]
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
		v, err := Parse(c.text, c.target.kind())
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

// What the device has then counts: the nearest whole number may be past the limit that what was asked for keeps. The last digits of scaling do not count.
func TestRangeOfWhatTheDeviceHas(t *testing.T) {
	target := func(scale float64) *Target {
		return &Target{Rule: &Rule{Min: 0.3, HasMin: true, Max: 13, HasMax: true}, Kind: tag.Int16, Spec: &device.TagSpec{Shared: &device.Terms{Scale: scale}}}
	}
	for _, c := range []struct {
		scale, f float64
		want     string // "" is good
	}{
		{5, 12, ""}, {5, 13, "13 would be 15 in the device: 15 is not at most 13"}, {5, 2, "2 would be 0 in the device: 0 is not"}, {5, 20, "20 is not"},
		{0.1, 0.3, ""}, {0.1, 13, ""}, {0.1, 0.26, "0.26 is not"}, {0.1, 12.96, ""},
	} {
		why := target(c.scale).accepts(tag.Float64Value(c.f))
		if (why == nil) != (c.want == "") || why != nil && (!strings.HasPrefix(why.reason, strings.Split(c.want, " at ")[0]) || why.cause != OutOfRange) {
			t.Errorf("%g of scale %g: %v, want %q", c.f, c.scale, why, c.want)
		}
	}
	list := target(5)
	list.Kind |= tag.Array
	if why := list.accepts(tag.Value{Kind: tag.Float64 | tag.Array, Aux: tag.AppendElem(tag.AppendElem(nil, tag.Float64, math.Float64bits(5)), tag.Float64, math.Float64bits(13))}); why == nil {
		t.Error("a list with one that is past the limit in the device is accepted")
	}
}

// What does not fit is named as it was asked for.
func TestTooLargeToScale(t *testing.T) {
	scaled := &Target{Rule: &Rule{}, Kind: tag.Int16, Spec: &device.TagSpec{Shared: &device.Terms{Scale: -2, Bias: 10}}}
	if why := scaled.accepts(tag.Float64Value(65548)); why == nil || why.reason != "65548: that is -32769 in the device: it does not fit into int16" || why.cause != OutOfRange {
		t.Errorf("%+v", why)
	}
}

// What an address does not take is refused before anything of it is asked for or written down as on its way.
func TestCheckOfTheAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		target, _ := g.Target("press/temp")
		target.Check = func(raw tag.Value) error { return errors.New(raw.String() + " is not taken") }
		g.want(g.Submit(t.Context(), order(20.5)), Refused, "20.5 is not taken", "refused refused")
		o := order(20.5)
		if _, against := g.Would(&o); against != "20.5 is not taken" {
			t.Errorf("%q", against)
		}
	})
}

// Where the address does not say of which kind a tag is, the device's last value does.
func TestKindOfTheLastValue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		g := newRig(t, Default())
		target, _ := g.Target("press/temp")
		target.Kind = tag.Null
		for text, want := range map[string]tag.Value{
			"2026-01-02T03:04:05Z": {Kind: tag.DateTime, Bits: uint64(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())},
			"AQI=":                 {Kind: tag.ByteString, Aux: []byte{1, 2}},
			"0123":                 {Kind: tag.String, Aux: []byte("0123")},
			"123":                  {Kind: tag.String, Aux: []byte("123")},
		} {
			g.plant.put(1, tag.Value{Kind: want.Kind}, tag.Good)
			v, err := Parse(text, g.Takes(target))
			if err != nil || v.Kind != want.Kind || v.Bits != want.Bits || string(v.Aux) != string(want.Aux) {
				t.Errorf("%s: %v of kind %v, %v", text, v, v.Kind, err)
			}
			o := order(0)
			o.Value = v
			g.want(g.Submit(t.Context(), o), Confirmed, "")
		}
		g.plant.put(1, tag.Value{Kind: tag.String}, tag.BadDeviceFailure)
		if k := g.Takes(target); k != tag.Null {
			t.Errorf("of a bad value it takes the kind %v", k)
		}
	})
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
	known := map[string]Known{"a/door": {1, tag.Bool, "a"}, "b/door": {2, tag.Bool, "b"}, "c/door": {3, tag.Int16, "c"}, "all/stop": {9, tag.Bool, "all"}}
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
