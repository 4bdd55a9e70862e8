package driver

import (
	"errors"
	"strings"
	"testing"

	"millrace/internal/tag"
	"millrace/s7"
)

func TestS7Canonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		// STEP 7 and TIA
		{"DB1.DBX0.0", "DB1.DBX0.0"},
		{"DB65535.DBX65535.7", "DB65535.DBX65535.7"},
		{"DB1.DBB1", "DB1.DBB1"},
		{"DB1.DBW2", "DB1.DBW2"},
		{"DB1.DBD4", "DB1.DBD4"},
		{"  db1.dbd4:real ", "DB1.DBD4:REAL"},
		{"DB1.DBW2:WORD", "DB1.DBW2"},
		{"DB1.DBB2:SINT", "DB1.DBB2:SINT"},
		{"M10.5", "M10.5"},
		{"M10.5:BOOL", "M10.5"},
		{"MB10", "MB10"},
		{"MW20", "MW20"},
		{"MW20:INT", "MW20:INT"},
		{"MD20:TIME", "MD20:TIME"},
		{"I0.0", "I0.0"},
		{"E0.0", "I0.0"},
		{"EB3", "IB3"},
		{"EW4", "IW4"},
		{"ED4:DINT", "ID4:DINT"},
		{"Q0.0", "Q0.0"},
		{"A0.1", "Q0.1"},
		{"AB1", "QB1"},
		{"QB1", "QB1"},
		{"AW2", "QW2"},
		{"AD2", "QD2"},
		{"PIW256", "PIW256"},
		{"PEW256:INT", "PIW256:INT"},
		{"PEB3", "PIB3"},
		{"PAW256", "PQW256"},
		{"PQW256", "PQW256"},
		{"%IW64:P", "PIW64"},
		{"%QW64:P:INT", "PQW64:INT"},
		{"I0.4:P", "PI0.4"},
		{"T5", "T5"},
		{"T0[10]", "T0:TIMER[10]"},
		{"T5:S5TIME", "T5"},
		{"T5:TIMER", "T5"},
		{"C3", "C3"},
		{"Z3", "C3"},
		{"C3:COUNTER[2]", "C3:COUNTER[2]"},
		{"DB1.DBW4:S5TIME", "DB1.DBW4:S5TIME"},
		{"DB1.DBW4:TIMER", "DB1.DBW4:S5TIME"},
		{"DB1.DBW4:COUNTER", "DB1.DBW4:COUNTER"},
		{"DB1.DBB10:STRING[20]", "DB1.DBB10:STRING[20]"},
		{"DB1.DBB10:STRING", "DB1.DBB10:STRING[254]"},
		{"DB1.DBB10:STRING[20][3]", "DB1.DBB10:STRING[20][3]"},
		{"DB1.DBB10:WSTRING[300]", "DB1.DBB10:WSTRING[300]"},
		{"DB1.DBB10:CHAR", "DB1.DBB10:CHAR"},
		{"DB1.DBB10:CHAR[12]", "DB1.DBB10:CHAR[12]"},
		{"DB1.DBW10:WCHAR[12]", "DB1.DBW10:WCHAR[12]"},
		{"DB1.DBD0:REAL[5]", "DB1.DBD0:REAL[5]"},
		{"DB1.DBW0[5]", "DB1.DBW0:WORD[5]"},
		{"DB1.DBX0.3:BOOL[13]", "DB1.DBX0.3:BOOL[13]"},
		{"DB1.DBX0.3[13]", "DB1.DBX0.3:BOOL[13]"},
		{"M0.0[16]", "M0.0:BOOL[16]"},
		{"DB1.DBB8:LREAL", "DB1.DBB8:LREAL"},
		{"DB1.DBD8:LREAL", "DB1.DBB8:LREAL"},
		{"DB1.DBX8.0:LREAL", "DB1.DBB8:LREAL"},
		{"DB1.DBB8:DTL", "DB1.DBB8:DTL"},
		{"DB1.DBB4:REAL", "DB1.DBD4:REAL"},
		{"DB1.DBB8:DATE_AND_TIME", "DB1.DBB8:DT"},
		{"DB1.DBD8:TIME_OF_DAY", "DB1.DBD8:TOD"},
		{"DB1.DBB8:LTIME_OF_DAY", "DB1.DBB8:LTOD"},
		{"DB1.DBB8:DATE_AND_LTIME", "DB1.DBB8:LDT"},
		{"DB1.DBW8:DATE", "DB1.DBW8:DATE"},
		{"DB1.DBW8:int16", "DB1.DBW8:INT"},
		{"DB1.DBD8:float", "DB1.DBD8:REAL"},
		// python-snap7
		{"DB1:10:INT", "DB1.DBW10:INT"},
		{"DB1:10:STRING[20]", "DB1.DBB10:STRING[20]"},
		{"DB1:0:REAL[5]", "DB1.DBD0:REAL[5]"},
		{"DB1:0.3:BOOL", "DB1.DBX0.3"},
		{"DB1:10:FSTRING[8]", "DB1.DBB10:CHAR[8]"},
		{"DB1,WS10.10", "DB1.DBB10:WSTRING[10]"},
		{"DB1,ULI10", "DB1.DBB10:ULINT"},
		{"DB1,USINT3", "DB1.DBB3:USINT"},
		// PLC4X
		{"%I0.0:INT", "IW0:INT"}, // PLC4X takes bit 0 for the byte's begin
		{"%I0.0:BOOL", "I0.0"},
		{"%DB1.DBD0:REAL[5]", "DB1.DBD0:REAL[5]"},
		{"%DB1.DBX38.1:BOOL", "DB1.DBX38.1"},
		{"%DB1.DBX8:LREAL", "DB1.DBB8:LREAL"},
		{"%DB1.DBX10:STRING(20)", "DB1.DBB10:STRING[20]"},
		{"%DB1.DBX10:STRING(20)[3]", "DB1.DBB10:STRING[20][3]"},
		{"%DB1:4:REAL", "DB1.DBD4:REAL"},
		{"%DB1.DB4:REAL", "DB1.DBD4:REAL"},
		{"%M20:INT", "MW20:INT"},
		{"%MW20:INT", "MW20:INT"},
		{"%Q0.4:BOOL", "Q0.4"},
		// Kepware, Node-RED, Ignition
		{"DB1,REAL4", "DB1.DBD4:REAL"},
		{"DB1,R4", "DB1.DBD4:REAL"},
		{"DB1,X0.1", "DB1.DBX0.1"},
		{"DB1,X0.1.8", "DB1.DBX0.1:BOOL[8]"},
		{"DB1,S10.20", "DB1.DBB10:STRING[20]"},
		{"DB1,STRING10.20", "DB1.DBB10:STRING[20]"},
		{"DB10,S20.30.3", "DB10.DBB20:STRING[30][3]"},
		{"DB201,STRING1024.0", "DB201.DBB1024:STRING[254]"},
		{"DB201,STRING1024", "DB201.DBB1024:STRING[254]"},
		{"DB23,B1", "DB23.DBB1"},
		{"DB23,BYTE1", "DB23.DBB1"},
		{"DB100,C2", "DB100.DBB2:CHAR"},
		{"DB10,C22.30", "DB10.DBB22:CHAR[30]"},
		{"DB42,I3", "DB42.DBW3:INT"},
		{"DB42,INT3", "DB42.DBW3:INT"},
		{"DB57,WORD4", "DB57.DBW4"},
		{"DB13,DI5", "DB13.DBD5:DINT"},
		{"DB13,DINT5", "DB13.DBD5:DINT"},
		{"DB19,DW6", "DB19.DBD6"},
		{"DB19,D6", "DB19.DBD6"},
		{"DB19,DWORD6", "DB19.DBD6"},
		{"DB1,REAL0.20", "DB1.DBD0:REAL[20]"},
		{"DB1,REAL0[20]", "DB1.DBD0:REAL[20]"},
		{"DB1,INT0[2]", "DB1.DBW0:INT[2]"},
		{"DB1,INT0.20", "DB1.DBW0:INT[20]"},
		{"DB1,B0.40", "DB1.DBB0:BYTE[40]"},
		{"DB1,DT0", "DB1.DBB0:DT"},
		{"DB1,DTZ10", "DB1.DBB10:DT"},
		{"DB2,DTL2", "DB2.DBB2:DTL"},
		{"DB2,DTLZ12", "DB2.DBB12:DTL"},
		{"DB2,S5TIME12", "DB2.DBW12:S5TIME"},
		{"DB1,LREAL4", "DB1.DBB4:LREAL"},
		{"DB10,LR32", "DB10.DBB32:LREAL"},
		{"IC7", "IB7:CHAR"},
		{"AC8", "QB8:CHAR"},
		{"MC9", "MB9:CHAR"},
		{"II10", "IW10:INT"},
		{"AI12", "QW12:INT"},
		{"EI12", "IW12:INT"},
		{"MI14", "MW14:INT"},
		{"IDI22", "ID22:DINT"},
		{"ADI24", "QD24:DINT"},
		{"ID28", "ID28"},
		{"IR34", "ID34:REAL"},
		{"AR36", "QD36:REAL"},
		{"MR38", "MD38:REAL"},
		{"IX20.3", "I20.3"},
		{"QX12.1", "Q12.1"},
		{"ISTRING24.50", "IB24:STRING[50]"},
		{"F10.5", "M10.5"},
		{"FW10", "MW10"},
		{"PIW30", "PIW30"},
		// Telegraf and benthos-umh, S7NetPlus
		{"DB1.R4", "DB1.DBD4:REAL"},
		{"DB1.X2.1", "DB1.DBX2.1"},
		{"DB2.S1.32", "DB2.DBB1:STRING[32]"},
		{"DB2.DT2", "DB2.DBB2:DT"},
		{"DB3.LR12", "DB3.DBB12:LREAL"},
		{"DB3.I270", "DB3.DBW270:INT"},
		{"DB1.DW20", "DB1.DBD20"},
		{"DB1.W4", "DB1.DBW4"},
		{"DB1.STRING2.18", "DB1.DBB2:STRING[18]"},
		{"PE.W0", "IW0"},
		{"PE0.W4", "IW4"},
		{"PA0.B1", "QB1"},
		{"MK.X1.2", "M1.2"},
		{"MK0.DW4", "MD4"},
		{"C0.W5", "C5"},
		{"T.W5", "T5"},
		{"C.C5", "C5"},
		// S7-200 and LOGO!
		{"V10.2", "DB1.DBX10.2"},
		{"V10", "DB1.DBB10"},
		{"VB10", "DB1.DBB10"},
		{"VW100", "DB1.DBW100"},
		{"VD100:REAL", "DB1.DBD100:REAL"},
	} {
		got, err := S7{}.Canonical(c.in)
		if err != nil || got != c.want {
			t.Errorf("Canonical(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
		if again, err := (S7{}).Canonical(c.want); err != nil || again != c.want {
			t.Errorf("Canonical(%q) = %q, %v", c.want, again, err)
		}
	}
}

func TestBadS7Addresses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "empty"},
		{"%", "empty"},
		{"holding:100", "an address begins with DB1, I, Q, M"},
		{"DB1", "did you mean DB1.DBW0?"},
		{"DB0.DBW0", "DB1 to DB65535"},
		{"DB65536.DBW0", "DB1 to DB65535"},
		{"DBW20", "say which DB: DB1.DBW0"},
		{"DB.DBW20", "say which DB"},
		{"DB105,ISTRING12.24", "did you mean DB105,STRING12.24?"},
		{"DB105,DSTRING12.24", "did you mean DB105,STRING12.24?"},
		{"DB105.ISTRING12.24", "did you mean DB105.STRING12.24?"},
		{"MSTRIG12.24", "did you mean MSTRING12.24?"},
		{"DB1.DBD4:REEL", "did you mean REAL?"},
		{"DB1.DBD4:FLOT", "did you mean FLOAT?"},
		{"DB1.DBD4:QQQQ", "types are BOOL"},
		{"DB1.DBR4", "did you mean DB1.DBD4:REAL?"},
		{"DB1.DBQ4", "X is for bits"},
		{"DB57,RWORD4", "as in DB57,WORD4"},
		{"DB1,4", "a type stands before the number"},
		{"DB1,REAL", "has no number"},
		{"DB1,REAL4.", "ends without a number"},
		{"DB1,X0", "did you mean DB1.DBX0.0?"},
		{"DB1.DBX0", "did you mean DB1.DBX0.0?"},
		{"DB1.DBX0.8", "bits go from .0 to .7"},
		{"DB1.DBX0.x", "no bit"},
		{"DB1.DBW0.3", "did you mean DB1.DBX1.3?"},
		{"DB1.DBW0.12", "did you mean DB1.DBX0.4?"},
		{"DB1.DBD0.31", "did you mean DB1.DBX0.7?"},
		{"DB1.DBB12.0", "did you mean DB1.DBX12.0?"},
		{"MB10.3", "did you mean M10.3?"},
		{"DB1,W0.3", "did you mean DB1.DBX1.3, or DB1.DBW0:WORD[3]?"},
		{"DB10,INT6.2", "did you mean DB10.DBX7.2, or DB10.DBW6:INT[2]?"},
		{"M10", "did you mean M10.0, MB10 or MW10?"},
		{"DB1:10", "did you mean DB1:10:INT?"},
		{"M10.3:INT", "begins at a byte"},
		{"DB1.DBW4:REAL", "did you mean DB1.DBD4:REAL?"},
		{"DB1.DBD4:INT", "did you mean DB1.DBW4:INT?"},
		{"MW4:BOOL", "a BOOL needs a bit; did you mean M4.0?"},
		{"DB1.DBB4.1:BOOL", "did you mean DB1.DBX4.1?"},
		{"DB1.DBW65535", "ends behind the last address"},
		{"DB1.DBW65536", "from 0 to 65535"},
		{"T65535[2]", "ends behind the last address"},
		{"T5:INT", "T5 is a TIMER, not INT"},
		{"C5:TIMER", "C5 is a COUNTER, not S5TIME"},
		{"T5.1", "has no bits"},
		{"DB1.DBB0:STRING[255]", "at most 254"},
		{"DB1.DBB0:WSTRING[16383]", "at most 16382"},
		{"DB1.DBB0:STRING[0]", "no length"},
		{"DB1.DBD0:REAL[2][3]", "one dimension"},
		{"DB1,INT0[2][3]", "one dimension"},
		{"DB1.DBD0:REAL[2", "no length"},
		{"DB1.DBD0 REAL", "behind a colon"},
		{"DB1,R4:INT", "two types"},
		{"DB1,REAL0.0", "no elements"},
		{"AIW0", "analog inputs of an S7-200"},
		{"AQW0", "analog outputs of an S7-200"},
		{"SM0.0", "special memory"},
		{"HC0", "high-speed counters"},
		{"DI5.DIW0", "an instance block is read as the DB"},
		{"L0.0", "local data"},
		{"0.0", "begins with no area"},
		{"MW", "has no number"},
	} {
		got, err := S7{}.Canonical(c.in)
		var ae *AddressError
		if err == nil || !errors.As(err, &ae) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Canonical(%q) = %q, %v; want an error with %q", c.in, got, err, c.want)
		}
	}
}

func TestS7Kinds(t *testing.T) {
	for typ := s7.TypeBool; typ <= s7.TypeCounter; typ++ {
		if s7Kinds[typ] == tag.Null || !s7Kinds[typ].Valid() {
			t.Errorf("%v has no kind", typ)
		}
	}
	for in, want := range map[string]tag.Kind{
		"DB1.DBX0.0": tag.Bool, "DB1.DBX0.0[9]": tag.Array | tag.Bool, "T1": tag.Uint32, "C1": tag.Uint16, "DB1.DBB0:CHAR[9]": tag.String,
		"DB1.DBB0:STRING[9]": tag.String, "DB1.DBB0:STRING[9][2]": tag.Array | tag.String, "DB1.DBD0:TIME": tag.Int32, "DB1.DBB0:DTL": tag.DateTime, "MW2:INT[3]": tag.Array | tag.Int16,
	} {
		if d, err := (S7{}).Describe(in); err != nil || d.Kind != want {
			t.Errorf("%s is %v, %v; want %v", in, d.Kind, err, want)
		}
	}
}

func FuzzS7Address(f *testing.F) {
	for _, s := range []string{"DB1.DBD4:REAL", "DB3.DBX0.0", "M10.5", "T5", "DB1,S10.20.3", "%DB1:4:STRING(20)[3]", "PE.W0", "V10.2", "AI12", "DB1,X0.1.8", "IW64:P", "DB1,W0.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseS7(s)
		if err != nil {
			return
		}
		again, err := parseS7(p.String())
		if err != nil || again != p {
			t.Errorf("%q is %+v, and %q is %+v, %v", s, p, p.String(), again, err)
		}
		if p.end() > s7Space || p.bytes() < 1 || p.kind() == tag.Null {
			t.Errorf("%q is %+v", s, p)
		}
	})
}
