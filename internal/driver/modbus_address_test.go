package driver

import (
	"errors"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		// ours
		{"holding:100:float32", "holding:100:float32"},
		{"coil:7", "coil:7"},
		{"discrete:7", "discrete:7"},
		{"holding:5:int16", "holding:5:int16"},
		{"holding:5", "holding:5:uint16"},
		{"input:10:uint32:cdab", "input:10:uint32:cdab"},
		{"input:10:uint32:CDAB", "input:10:uint32:cdab"},
		{"input:10:cdab:uint32", "input:10:uint32:cdab"},
		{"holding:10:uint32:abcd", "holding:10:uint32"},
		{"holding:20.3", "holding:20.3"},
		{"holding:20.15:bool", "holding:20.15"},
		{"holding:40:string[20]", "holding:40:string[20]"},
		{"holding:40:string[20]:lowbyte", "holding:40:string[20]:lowbyte"},
		{"holding:40:string[20]:highbyte", "holding:40:string[20]"},
		{"holding:40:bytes[3]", "holding:40:bytes[3]"},
		{"holding:50:float32[4]", "holding:50:float32[4]"},
		{"holding:50:float32[4]:dcba", "holding:50:float32[4]:dcba"},
		{"coil:8:bool[16]", "coil:8:bool[16]"},
		{"coil:8[16]", "coil:8:bool[16]"},
		{"holding:0x64:int16", "holding:100:int16"},
		{"  HOLDING:65535 ", "holding:65535:uint16"},
		{"holding:1:float64:cdab", "holding:1:float64:ghefcdab"},
		{"holding:1:float64:dcba", "holding:1:float64:hgfedcba"},
		{"holding:1:int64:badc", "holding:1:int64:badcfehg"},
		{"holding:1:efghabcd", "holding:1:uint64:efghabcd"},
		{"holding:1:int16:ba", "holding:1:int16:ba"},
		{"holding:1:float16", "holding:1:float16"},
		{"7!holding:1:int16", "7!holding:1:int16"},
		// shorthands
		{"hr100", "holding:100:uint16"},
		{"hr:100:dint", "holding:100:int32"},
		{"ir5", "input:5:uint16"},
		{"co0", "coil:0"},
		{"di9", "discrete:9"},
		// references
		{"40001", "holding:0:uint16"},
		{"400001", "holding:0:uint16"},
		{"465536", "holding:65535:uint16"},
		{"49999:REAL", "holding:9998:float32"},
		{"30001", "input:0:uint16"},
		{"10001", "discrete:0"},
		{"00001", "coil:0"},
		{"000017", "coil:16"},
		{"4x00001", "holding:0:uint16"},
		{"4x1", "holding:0:uint16"},
		{"3X100:INT", "input:99:int16"},
		{"0x17", "coil:16"},
		{"1x17", "discrete:16"},
		{"40001.3", "holding:0.3"},
		{"40001:float32:cdab", "holding:0:float32:cdab"},
		// Neuron
		{"1!40001", "1!holding:0:uint16"},
		{"1!400001#LB", "1!holding:0:uint32:badc"},
		{"1!400001#BL:float", "1!holding:0:float32:cdab"},
		{"1!400001#BB", "1!holding:0:uint32:dcba"},
		{"1!400001#LL", "1!holding:0:uint32"},
		{"1!300004#B", "1!input:3:uint16:ba"},
		{"1!300004#L", "1!input:3:uint16"},
		{"1!40001.15", "1!holding:0.15"},
		{"1!40001.10H", "1!holding:0:string[10]"},
		{"1!40001.10L", "1!holding:0:string[10]:lowbyte"},
		{"1!40001.10D", "1!holding:0:string[10]:lowonly"},
		{"1!40001.10E", "1!holding:0:string[10]:highonly"},
		{"1!40001.10:string", "1!holding:0:string[10]:lowbyte"},
		{"1!000001", "1!coil:0"},
		// PLC4X
		{"holding-register:1:REAL[2]", "holding:0:float32[2]"},
		{"input-register:17:DINT", "input:16:int32"},
		{"discrete-input:1", "discrete:0"},
		{"4x00001:LREAL", "holding:0:float64"},
		// benthos unified
		{"holding.100.INT16:scale=0.1", "holding:100:int16 scale=0.1"},
		{"temperature.holding.100.FLOAT32:order=CDAB", "holding:100:float32:cdab"},
		{"holding.100.STRING:length=12", "holding:100:string[12]"},
		{"coil.7.BIT", "coil:7"},
		{"holding.20.3", "holding:20.3"},
		{"holding.20.BIT:bit=3", "holding:20.3"},
	} {
		got, err := Modbus{}.Canonical(c.in)
		if err != nil || got != c.want {
			t.Errorf("Canonical(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestBadAddresses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "empty"},
		{"holdin:100", "did you mean holding:100?"},
		{"hodling:100:int16", "did you mean holding:100:int16?"},
		{"registers:1", "begins with holding, input, coil or discrete"},
		{"holding:100:flaot32", "did you mean float32?"},
		{"holding:100:ISTRING[5]", "did you mean string?"},
		{"holding:100:cdba", "did you mean"},
		{"holding:65536", "from 0 to 65535"},
		{"holding:65535:float32", "ends behind the last address"},
		{"holding:65530:string[20]", "ends behind the last address"},
		{"holding:", "no number"},
		{"holding:x", "no number"},
		{"holding:20.16", "no bit 16"},
		{"holding:20.3:int16", "did you mean holding:20:int16?"},
		{"holding:20.3[4]", "one bit of a register"},
		{"holding:20:bool", "did you mean one bit of it, holding:20.0?"},
		{"holding:40:string", "did you mean holding:40:string[20]?"},
		{"holding:40:string[0]", "no length"},
		{"holding:40:string[2][3]", "two lengths"},
		{"holding:40:float32:lowbyte", "is for texts"},
		{"holding:40:string[4]:cdab", "lowbyte"},
		{"holding:40:int16:cdab", "no byte order of int16; these are ab, ba"},
		{"holding:40:int32:abcdefgh", "no byte order of int32"},
		{"holding:40:int32:abcd:cdab", "two byte orders"},
		{"holding:40:int32:uint32", "two types"},
		{"holding:40 int32", "does not belong"},
		{"coil:7:int16", "did you mean holding:7:int16?"},
		{"coil:7.3", "bit 3 of a register, holding:7.3"},
		{"coil:7:bool:abcd", "no byte order"},
		{"100", "did you mean holding:100"},
		{"40000", "from 1 to 65536"},
		{"20001", "0 is coils"},
		{"2x1", "0 is coils"},
		{"465537", "from 1 to 65536"},
		{"holding-register:0", "from 1 to 65536"},
		{"300!40001", "unit"},
		{"x!40001", "unit"},
		{"1!400001#XY", "#XY is no byte order"},
		{"1!400001#LB:int16", "no byte order of int16"},
		{"1!40001.10Q", "neither a bit nor a length"},
		{"holding.100.INT16:scal=0.1", "did you mean scale?"},
		{"holding.100.INT16:scale=x", "multiply"},
		{"holding:99999999999999999999", "there is no holding"},
		{"holding:0xFFFFF", "from 0 to 65535"},
		{"holding:0xfffffffffffffffffff", "no address"},
	} {
		got, err := Modbus{}.Canonical(c.in)
		var ae *AddressError
		if !errors.As(err, &ae) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Canonical(%q) = %q, %v; want an error with %q", c.in, got, err, c.want)
		}
	}
}

func FuzzModbusAddress(f *testing.F) {
	for _, s := range []string{"holding:50:float32[4]:dcba", "1!400001#LB", "4x1", "holding.100.INT16:scale=0.1", "coil:8[16]", "hr0x10.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseModbus(s)
		if err != nil {
			return
		}
		c := p.String()
		p.scale = 0
		again, err := parseModbus(c)
		if err != nil || again != p {
			t.Fatalf("%q gives %+v, canonical %q gives %+v, %v", s, p, c, again, err)
		}
		if p.addr < 0 || p.end() > 65536 || p.span() < 1 {
			t.Fatalf("%q covers %d to %d", s, p.addr, p.end())
		}
	})
}
