package s7_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"millrace/interop/outside"
	"millrace/s7"
)

const isoMicro = "2006-01-02T15:04:05.000000"

// typed is a value of a data type, as our codec takes it.
type typed struct {
	kind  s7.DataType
	value any // int64, uint64, float64, string, time.Duration or time.Time
}

// typedValues are for every type the ends of its range and something between. python-snap7 keeps times in microseconds.
func typedValues() []typed {
	var out []typed
	add := func(t s7.DataType, values ...any) {
		for _, v := range values {
			out = append(out, typed{t, v})
		}
	}
	for t, bits := range map[s7.DataType]int{s7.TypeSInt: 8, s7.TypeInt: 16, s7.TypeDInt: 32, s7.TypeLInt: 64} {
		add(t, int64(0), int64(-1), int64(77), int64(-1)<<(bits-1), int64(1)<<(bits-1)-1)
	}
	for t, bits := range map[s7.DataType]int{s7.TypeByte: 8, s7.TypeWord: 16, s7.TypeDWord: 32, s7.TypeLWord: 64,
		s7.TypeUSInt: 8, s7.TypeUInt: 16, s7.TypeUDInt: 32, s7.TypeULInt: 64} {
		add(t, uint64(0), uint64(0x5A), uint64(1)<<(bits-1), uint64(math.MaxUint64)>>(64-bits))
	}
	add(s7.TypeReal, 0.0, 1.5, -0.1, float64(math.MaxFloat32), float64(math.SmallestNonzeroFloat32))
	add(s7.TypeLReal, 0.0, 1.5, -0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi)
	add(s7.TypeChar, "A", "~")
	add(s7.TypeWChar, "A", "Ω", "語")
	add(s7.TypeString, "", "Millrace", "0123456789")
	add(s7.TypeWString, "", "Grüße Ω", "0123456789")
	add(s7.TypeS5Time, time.Duration(0), 10*time.Millisecond, 12300*time.Millisecond, 999*time.Second, 9990*time.Second)
	add(s7.TypeTime, time.Duration(0), -3723004*time.Millisecond, time.Duration(math.MaxInt32)*time.Millisecond, time.Duration(math.MinInt32)*time.Millisecond)
	add(s7.TypeTOD, time.Duration(0), 47655678*time.Millisecond, 24*time.Hour-time.Millisecond)
	add(s7.TypeLTime, time.Duration(0), -90*time.Minute, 3723000004*time.Microsecond)
	add(s7.TypeLTOD, time.Duration(0), 24*time.Hour-time.Microsecond)
	leap := time.Date(2024, 2, 29, 13, 14, 15, 678e6, time.UTC)
	add(s7.TypeDate, time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), leap.Truncate(24*time.Hour), time.Date(2168, 12, 31, 0, 0, 0, 0, time.UTC))
	add(s7.TypeDT, time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), leap, time.Date(2089, 12, 31, 23, 59, 59, 999e6, time.UTC))
	add(s7.TypeLDT, time.Unix(0, 0).UTC(), leap.Add(123*time.Microsecond))
	add(s7.TypeDTL, time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), leap.Add(123*time.Microsecond))
	return out
}

func (v typed) append() ([]byte, error) {
	switch x := v.value.(type) {
	case int64:
		return v.kind.AppendInt(nil, x)
	case uint64:
		return v.kind.AppendUint(nil, x)
	case float64:
		return v.kind.AppendFloat(nil, x)
	case string:
		return v.kind.AppendText(nil, x, 10)
	case time.Duration:
		return v.kind.AppendDuration(nil, x)
	case time.Time:
		return v.kind.AppendTime(nil, x)
	}
	return nil, fmt.Errorf("no such value: %v", v.value)
}

func (v typed) String() string {
	switch x := v.value.(type) {
	case time.Duration:
		return strconv.FormatInt(int64(x), 10)
	case time.Time:
		return x.Format(isoMicro)
	}
	return fmt.Sprint(v.value)
}

// shows reports whether text stands for the value; floats are written in several ways.
func (v typed) shows(text string) bool {
	if x, ok := v.value.(float64); ok {
		got, err := strconv.ParseFloat(text, 64)
		return err == nil && (got == x || v.kind == s7.TypeReal && got == float64(float32(x)))
	}
	return text == v.String()
}

// TestTypes has python-snap7 read values of every data type that our codec made, and make the same bytes.
func TestTypes(t *testing.T) {
	outside.Need(t, pythonSnap7)
	p := startPeer(t, debianPython, "peers/python_types.py")
	n := 0
	for _, v := range typedValues() {
		b, err := v.append()
		if err != nil {
			t.Errorf("%v %v: %v", v.kind, v, err)
			continue
		}
		n++
		if got := p.ask(fmt.Sprintf("get %v %x", v.kind, b)); !v.shows(got) {
			t.Errorf("%v %x is %s to python-snap7, want %v", v.kind, b, got, v)
		}
		got := p.ask(fmt.Sprintf("set %v %v", v.kind, v))
		if got == "unserved" {
			continue
		}
		want := hex.EncodeToString(b)
		if v.kind == s7.TypeString { // what is behind its text is filled with blanks there, with zeros here
			got, want = got[:min(len(got), 4+2*len(v.String()))], want[:4+2*len(v.String())]
		}
		if n++; got != want {
			t.Errorf("%v %v is %s from python-snap7, want %s", v.kind, v, got, want)
		}
	}
	t.Logf("compared: %d answers", n)
}
