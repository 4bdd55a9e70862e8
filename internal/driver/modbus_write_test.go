package driver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/modbus"
)

func TestWrites(t *testing.T) {
	f := newFake(t)
	a := f.addrOf("1", nil)
	write := func(unknown ...modbus.Function) string {
		clear(f.unknown)
		for _, fn := range unknown {
			f.unknown[fn] = true
		}
		f.mem.regs[areaHolding][20] = 0x00F0
		w := []Assignment{{"holding:5:int16", "42"}, {"holding:6:float32:cdab", "1.5"}, {"coil:7", "true"}, {"coil:8:bool[10]", "[1,1,1,1,1,1,1,1,0,1]"},
			{"holding:20.3", "true"}, {"holding:20.4", "false"}, {"holding:30:string[4]", "ab"}}
		results, err := WriteOnce(context.Background(), Modbus{}, a, w, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil || r.MayHaveHappened {
				t.Errorf("%v: %+v", w[i], r)
			}
		}
		readings, err := ReadOnce(context.Background(), Modbus{}, a, []string{"holding:5:int16", "holding:6:float32:cdab", "coil:7", "coil:8[10]",
			"holding:20", "holding:30:string[4]"}, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range readings {
			got = append(got, r.Value.String())
		}
		if want := "42 1.5 true [true,true,true,true,true,true,true,true,false,true] 232 ab"; strings.Join(got, " ") != want {
			t.Errorf("read back %v, want %v", got, want)
		}
		return strings.Join(f.take(), "\n")
	}
	if got := write(); strings.Count(got, "mask write") != 2 {
		t.Errorf("bits are set by mask write:\n%s", got)
	}
	if got := write(modbus.FuncMaskWrite); strings.Count(got, "mask write") != 1 || strings.Count(got, "write register 20") != 2 {
		t.Errorf("without mask write a bit is read and written, and the function is not tried again:\n%s", got)
	}
	if got := write(modbus.FuncWriteRegister); strings.Count(got, "write registers 5 1") != 1 {
		t.Errorf("without function 06 one register goes by 10:\n%s", got)
	}
}

func TestRefusedWrites(t *testing.T) {
	f := newFake(t)
	a := f.addrOf("1", map[string]string{"max_write": "2"})
	s := open(t, a, newWatcher())
	p := mustPlan(t, a, device.Limits{})
	i16 := tag.Value{Kind: tag.Int16, Bits: 1}
	for _, c := range []struct {
		address string
		want    string
	}{
		{"input:5", "the device only gives it"},
		{"discrete:5", "the device only gives it"},
		{"holding:5:float64", "one request takes 2"},
		{"holding:5:int16[2]", "it has 2 elements"},
		{"holdin:5", "did you mean holding:5?"},
		{"holding.5.INT16:scale=0.1", "scale"},
	} {
		r := []device.Result{{}}
		err := s.Write(context.Background(), p, []device.Write{{Tag: device.TagSpec{Address: c.address}, Value: i16}}, r)
		if err != nil || r[0].Err == nil || !strings.Contains(r[0].Err.Error(), c.want) || r[0].MayHaveHappened {
			t.Errorf("%s: %v, %+v", c.address, err, r[0])
		}
	}
	if got := f.take(); len(got) != 0 {
		t.Errorf("sent %q", got)
	}
}

func TestAWriteWithoutAReplyMayHaveHappened(t *testing.T) {
	f, w := newFake(t), newWatcher()
	w.timeout = 20 * time.Millisecond
	f.mute = true
	a := f.addrOf("1", nil)
	s := open(t, a, w)
	r := make([]device.Result, 2)
	one := device.Write{Tag: device.TagSpec{Address: "holding:5"}, Value: tag.Value{Kind: tag.Uint16, Bits: 7}}
	err := s.Write(context.Background(), mustPlan(t, a, device.Limits{}), []device.Write{one, one}, r)
	if err == nil || r[0].Err == nil || !r[0].MayHaveHappened {
		t.Errorf("%v, %+v", err, r[0])
	}
	if r[1].Err == nil || r[1].MayHaveHappened || !strings.Contains(r[1].Err.Error(), "not sent") {
		t.Errorf("%+v", r[1])
	}
	if got := f.take(); len(got) != 1 || f.mem.regs[areaHolding][5] != 7 {
		t.Errorf("%q", got)
	}
}

func TestOneShotReadings(t *testing.T) {
	f := newFake(t)
	f.mem.regs[areaHolding][100] = 215
	f.mem.regs[areaHolding][101] = 0xFFFF
	got, err := ReadOnce(context.Background(), Modbus{}, f.addrOf("1", nil), []string{"400102:int16", "holding.100.INT16:scale=0.1", "hr100"}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"holding:101:int16 -1 good", "holding:100:int16 21.5 good", "holding:100:uint16 215 good"}
	for i, r := range got {
		if s := fmt.Sprint(r.Address, " ", r.Value, " ", r.Quality); s != want[i] || time.Since(r.Time) > time.Minute {
			t.Errorf("%s, want %s", s, want[i])
		}
	}
	kinds := []string{"holding:0:int16", "holding:0:uint64", "holding:0:float32[2]", "holding:0:string[4]", "holding:0.3", "coil:1", "coil:1:bool[9]", "holding:0:bytes[2]",
		"holding.1.INT16:scale=0.1"}
	there, err := ReadOnce(context.Background(), Modbus{}, f.addrOf("1", nil), kinds, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := ReadOnce(context.Background(), Modbus{}, device.Addr{Scheme: "modbus", Host: "127.0.0.1:1", Path: "1"}, kinds, time.Second)
	if err == nil {
		t.Fatal("somebody listens at port 1")
	}
	for i := range kinds {
		if there[i].Kind != there[i].Value.Kind || gone[i].Kind != there[i].Kind || gone[i].Time.IsZero() {
			t.Errorf("%s: kind %v of a %v, without a value %v at %v", kinds[i], there[i].Kind, there[i].Value.Kind, gone[i].Kind, gone[i].Time)
		}
	}
	if _, err := ReadOnce(context.Background(), Modbus{}, f.addrOf("1", nil), []string{"holdin:1"}, time.Second); err == nil || !strings.Contains(err.Error(), "did you mean") {
		t.Error(err)
	}
}

// A value that cannot be written is refused before anything is sent, and zeros in front do not make a number octal.
func TestParseValue(t *testing.T) {
	for _, c := range []struct{ address, value, want string }{
		{"holding:5", "010", "10"}, {"holding:5:int16", "-0099", "-99"}, {"holding:5", "0x10", "16"}, {"holding:5", "0", "0"}, {"holding:5", "0o17", "15"},
		{"holding:5.3", "true", "true"}, {"holding:5:uint64", "18446744073709551615", "18446744073709551615"},
		{"holding:5", "70000", "goes from 0 to 65535"}, {"holding:5", "1.5", "whole numbers"}, {"holding:5:float32", "1e39", "goes up to"},
		{"holding:5:string[2]", "abc", "2 fit"}, {"holding:5:int16[2]", "[1]", "2 elements"},
		{"input:5", "1", "only gives it"}, {"discrete:5", "true", "only gives it"}, {"holding.5.INT16:scale=0.1", "1", "without scale"},
	} {
		v, err := Modbus{}.ParseValue(c.address, c.value)
		got := v.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s=%s: %s, want %s", c.address, c.value, got, c.want)
		}
	}
}

// What was never sent is not reported as written.
func TestWriteOnceWithoutADevice(t *testing.T) {
	a := device.Addr{Scheme: "modbus", Host: "127.0.0.1:1", Path: "1"}
	results, err := WriteOnce(t.Context(), Modbus{}, a, []Assignment{{"holding:5", "1"}, {"coil:1", "true"}}, time.Second)
	if err == nil || len(results) != 2 {
		t.Fatalf("%v, %v", results, err)
	}
	for _, r := range results {
		if r.Err == nil || r.MayHaveHappened {
			t.Errorf("%+v", r)
		}
	}
}

func TestParseAssignment(t *testing.T) {
	for in, want := range map[string]Assignment{
		"holding:5:int16=42":          {"holding:5:int16", "42"},
		"holding:5:string[9]=a=b":     {"holding:5:string[9]", "a=b"},
		"holding.5.STRING:length=9=x": {"holding.5.STRING:length=9", "x"},
	} {
		if got, err := ParseAssignment(Modbus{}, in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"holding:5", "holdin:5=1"} {
		if _, err := ParseAssignment(Modbus{}, in); err == nil {
			t.Error(in)
		}
	}
}
