package s7

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"millrace/internal/listen/listentest"
	"millrace/wire"
)

// stage is how far a connection is when the bad input comes.
type stage int

const (
	atAccept  stage = iota // nothing was sent
	atConnect              // CR and CC
	atSetup                // Setup with a PDU of 240
)

// badInput is what a client sends and what it must get. An empty reason means that the connection lives, otherwise it ends and this is counted. PLC and
// server are testMemory and the defaults.
type badInput struct {
	name   string
	stage  stage
	send   string
	want   string
	reason string
}

// tpkt frames a TPDU.
func tpkt(tpdu string) string {
	b := unhex(tpdu)
	return fmt.Sprintf("0300%04X%X", 4+len(b), b)
}

// dt frames a whole PDU.
func dt(pdu string) string { return tpkt("02F080" + pdu) }

// fragment is one that is not the last.
func fragment(data string) string { return tpkt("02F000" + data) }

// job is the frame of a Job with reference 0001.
func job(param, data string) string {
	return dt(fmt.Sprintf("320100000001%04X%04X%s%s", len(unhex(param)), len(unhex(data)), param, data))
}

// answer is the frame of its answer.
func answer(param, data string) string {
	return dt(fmt.Sprintf("320300000001%04X%04X0000%s%s", len(unhex(param)), len(unhex(data)), param, data))
}

// refusal is the frame of its refusal.
func refusal(code string) string { return dt("320200000001 0000 0000" + code) }

// cr is the frame of a CR with these parameters.
func cr(parameters string) string {
	return tpkt(fmt.Sprintf("%02X E0 0000 0001 00 %s", 6+len(unhex(parameters)), parameters))
}

// cc is the frame of its CC on the second connection of a server.
func cc(parameters string) string {
	return tpkt(fmt.Sprintf("%02X D0 0001 0003 00 %s", 6+len(unhex(parameters)), parameters))
}

const (
	item4     = "120A1002 0004 0001 84 000000" // DB1.DBB0, 4 bytes
	item4Data = "FF04 0020 00010203"
	tsaps     = "C1020100 C2020102"
)

// read is a Job that reads one item, and readGets its answer with the data item.
func read(item string) string     { return job("0401"+item, "") }
func readGets(data string) string { return answer("0401", data) }

func setup(amq, pdu string) string { return job("F000"+amq+amq+pdu, "") }

func setupGets(amq, pdu string) string { return answer("F000"+amq+amq+pdu, "") }

// pieces cuts the PDU of a frame into fragments of n bytes.
func pieces(frame string, n int) string {
	return fmt.Sprintf("%X", AppendFragments(nil, unhex(frame)[FrameBytes:], n+dtBytes))
}

var badTPKT = []badInput{
	{"version 0", atAccept, "0000" + askConnect[4:], "", "tpkt version"},
	{"version 2", atSetup, "0200" + askAlive[4:], "", "tpkt version"},
	{"version 4", atConnect, "0400" + askSetup[4:], "", "tpkt version"},
	{"length 0", atAccept, "03000000", "", "tpkt too short"},
	{"length 3", atSetup, "03000003", "", "tpkt too short"},
	{"length 4", atSetup, "03000004", "", "tpkt too short"},
	{"length 6", atSetup, "03000006 02F0", "", "tpkt too short"},
	{"length 65535 and few bytes", atSetup, "0300FFFF 02F080 3201", "", "tpkt too long"},
	{"length 65535 at first", atAccept, "0300FFFF 11E0", "", "tpkt too long"},
	{"as long as the PDU", atSetup, job("0401"+item4, strings.Repeat("00", 240-24)), refusal("8500"), ""},
	{"one byte longer than the PDU", atSetup, job("0401"+item4, strings.Repeat("00", 241-24)), refusal("8500"), ""},
	{"longer than the PDU, and good", atSetup, job("0501"+"120A1002 00E0 0001 84 000000", "0004 0700"+strings.Repeat("11", 224)) + read(item4),
		refusal("8500") + readGets(item4Data), ""},
	{"as long as what is refused", atSetup, job("0401"+item4, strings.Repeat("00", 960-24)), refusal("8500"), ""},
	{"longer than what is refused", atSetup, job("0401"+item4, strings.Repeat("00", 961-24)), "", "tpkt too long"},
	{"reserved byte 7", atSetup, "0307" + read(item4)[4:], readGets(item4Data), ""},
	{"HTTP", atAccept, fmt.Sprintf("%X", "GET / HTTP/1.1\r\n\r\n"), "", "tpkt version"},
	{"TLS hello", atAccept, "16030100F8010000F40303", "", "tls hello"},
	{"Modbus", atAccept, "000100000006010300010001", "", "tpkt version"},
	{"100 empty TPDUs", atSetup, strings.Repeat(dt(""), 100), "", ""},
	{"an empty TPDU at first", atAccept, dt("") + askConnect, cc("C0010A" + tsaps), ""},
	{"two requests in one segment", atSetup, read(item4) + read(item4), readGets(item4Data) + readGets(item4Data), ""},
	{"a request and what is none", atSetup, read(item4) + "FFFF", readGets(item4Data), "tpkt version"},
}

var badCOTP = []badInput{
	{"LI 0", atAccept, "03000016 00E0" + strings.Repeat("00", 16), "", "cotp header"},
	{"LI 255", atSetup, "03000016 FFF0" + strings.Repeat("00", 16), "", "cotp header"},
	{"LI beyond the TPKT", atSetup, "03000008 0AF08000", "", "cotp header"},
	{"LI of a DT 3", atSetup, "03000008 03F08000", "", "cotp header"},
	{"the 22 bytes that are no CR", atAccept, "03000016 11E0" + strings.Repeat("00", 16), "", "malformed connect request"},
	{"CR with bytes behind its header", atAccept, tpkt("06E0 0000 0001 00 FFFF"), "", "malformed connect request"},
	{"CR without source reference", atAccept, tpkt("06E0 0000"), "", "cotp header"},
	{"CR cut", atAccept, tpkt("04E0 0000 00"), "", "malformed connect request"},
	{"CR twice", atAccept, askConnect + askConnect, cc("C0010A" + tsaps), "second connect request"},
	{"CR after CC", atConnect, askConnect, "", "second connect request"},
	{"CR after Setup", atSetup, askConnect, "", "second connect request"},
	{"DT before CR", atAccept, askSetup, "", "data before connect request"},
	{"DR first", atAccept, tpkt("06800000000100"), "", "disconnect request"},
	{"DR", atSetup, tpkt("06800000000100"), "", "disconnect request"},
	{"DC", atConnect, tpkt("05C000000001"), "", "unexpected tpdu"},
	{"CC", atSetup, "03000016" + "11D0000100060" + "0C0010A" + "C1020100C2020101", "", "unexpected tpdu"},
	{"ED", atSetup, tpkt("0210804141"), "", "cotp code"},
	{"ER", atSetup, tpkt("0470000100"), "", "unexpected tpdu"},
	{"ER first", atAccept, tpkt("0470000100"), "", "unexpected tpdu"},
	{"unknown code", atAccept, tpkt("0230804141"), "", "cotp code"},
	{"parameter past the end", atAccept, cr("C0010A C1FF0100"), "", "malformed connect request"},
	{"parameter without its length", atAccept, cr("C0010A C1"), "", "malformed connect request"},
	{"unknown parameter", atAccept, cr("C0010A 990401020304" + tsaps), cc("C0010A" + tsaps), ""},
	{"parameters the other way round", atAccept, cr("C1020100 C2020200 C0010A"), cc("C0010A C1020100 C2020200"), ""},
	{"no parameters", atAccept, cr(""), cc("C0010A"), ""},
	{"TSAPs of 0 bytes", atAccept, cr("C0010A C100 C200"), cc("C0010A"), ""},
	{"TSAPs of 1 byte", atAccept, cr("C0010A C10101 C20102"), cc("C0010A C10101 C20102"), ""},
	{"TSAP of 16 bytes", atAccept, cr("C0010A C110" + strings.Repeat("41", 16) + "C2020102"), cc("C0010A C110" + strings.Repeat("41", 16) + "C2020102"), ""},
	{"TSAP of 17 bytes", atAccept, cr("C0010A C111" + strings.Repeat("41", 17)), "", "malformed connect request"},
	{"size code 0", atAccept, cr("C00100" + tsaps), "", "malformed connect request"},
	{"size code 6", atAccept, cr("C00106" + tsaps), "", "malformed connect request"},
	{"size code 14", atAccept, cr("C0010E" + tsaps), "", "malformed connect request"},
	{"size code 255", atAccept, cr("C001FF" + tsaps), "", "malformed connect request"},
	{"size of 2 bytes", atAccept, cr("C0020400" + tsaps), "", "malformed connect request"},
	{"size 128", atAccept, cr("C00107" + tsaps), cc("C00107" + tsaps), ""},
	{"size 8192", atAccept, cr("C0010D" + tsaps), cc("C0010A" + tsaps), ""},
	{"class 4", atAccept, tpkt("0DE0 0000 0001 40 C0010A C1020100"), cc("C0010A C1020100"), ""},
	{"2 fragments", atSetup, pieces(read(item4), 12), readGets(item4Data), ""},
	{"3 fragments", atSetup, pieces(read(item4), 8), readGets(item4Data), ""},
	{"fragments of 1 byte", atSetup, pieces(read(item4), 1), readGets(item4Data), ""},
	{"64 fragments, most of them empty", atSetup, strings.Repeat(fragment(""), 63) + read(item4), readGets(item4Data), ""},
	{"65 fragments", atSetup, strings.Repeat(fragment(""), 64) + read(item4), "", "too many fragments"},
	{"10,000 fragments of 1 byte", atSetup, strings.Repeat(fragment("32"), 10_000), "", "too many fragments"},
	{"fragments of more than a PDU", atSetup, fragment(strings.Repeat("32", 200)) + fragment(strings.Repeat("32", 41)), "", "too many fragments"},
	{"a CR between fragments", atSetup, fragment("3201") + askConnect, "", "interleaved fragments"},
	{"fragments that are no PDU", atSetup, fragment("4141") + dt("4242424242424242"), "", "s7 protocol id"},
}

var badS7 = []badInput{
	{"S7comm-plus", atSetup, dt("72010000"), "", "s7comm-plus"},
	{"protocol FF", atSetup, dt("FF010000000100000000"), "", "s7 protocol id"},
	{"ROSCTR 0", atSetup, dt("32000000000100000000"), "", "s7 rosctr"},
	{"ROSCTR 2", atSetup, dt("320200000001000000000000"), "", "answer to nothing"},
	{"ROSCTR 3", atSetup, dt("320300000001000000000000"), "", "answer to nothing"},
	{"ROSCTR 3 before Setup", atConnect, dt("320300000001000000000000"), "", "no setup"},
	{"ROSCTR 5", atSetup, dt("32050000000100000000"), "", "s7 rosctr"},
	{"ROSCTR 8", atSetup, dt("32080000000100000000"), "", "s7 rosctr"},
	{"ROSCTR 255", atSetup, dt("32FF0000000100000000"), "", "s7 rosctr"},
	{"header cut", atSetup, dt("3201000000010000"), "", "s7 length"},
	{"parameter length lies low", atSetup, dt("320100000001000D0000" + "0401" + item4), "", "s7 length"},
	{"parameter length lies high", atSetup, dt("320100000001000F0000" + "0401" + item4), "", "s7 length"},
	{"parameter length 0 with a function", atSetup, dt("32010000000100000000" + "0401" + item4), "", "s7 length"},
	{"parameter length FFFF", atSetup, dt("320100000001FFFF0000" + "0401" + item4), "", "s7 length"},
	{"data length FFFF", atSetup, dt("320100000001000EFFFF" + "0401" + item4), "", "s7 length"},
	{"lengths whose sum overflows", atSetup, dt("320100000001FFFF000F" + "0401" + item4), "", "s7 length"},
	{"parameters are data", atSetup, dt("3201000000010000000E" + "0401" + item4), refusal("8104"), ""},
	{"no parameters", atSetup, job("", ""), refusal("8104"), ""},
	{"function 0", atSetup, job("00", ""), refusal("8104"), ""},
	{"function FF", atSetup, job("FF01", ""), refusal("8104"), ""},
	{"function 04 alone", atSetup, job("04", ""), refusal("8500"), ""},
	{"read before Setup", atConnect, read(item4), "", "no setup"},
	{"Userdata before Setup", atConnect, dt("320700000001 0008 0008 0001120411440100 FF090004 0011 0001"), "", "no setup"},
	{"Setup with PDU 0", atConnect, setup("0001", "0000") + setup("0001", "00F0"), refusal("8500") + setupGets("0001", "00F0"), ""},
	{"Setup with PDU 1", atConnect, setup("0001", "0001"), refusal("8500"), ""},
	{"Setup with PDU 111", atConnect, setup("0001", "006F"), refusal("8500"), ""},
	{"Setup with PDU 112", atConnect, setup("0001", "0070"), setupGets("0001", "0070"), ""},
	{"Setup with PDU 239", atConnect, setup("0001", "00EF"), setupGets("0001", "00EF"), ""},
	{"Setup with PDU 65535", atConnect, setup("0001", "FFFF"), setupGets("0001", "03C0"), ""},
	{"Setup with AMQ 0", atConnect, setup("0000", "00F0"), refusal("8500"), ""},
	{"Setup with AMQ FFFF", atConnect, setup("FFFF", "00F0"), setupGets("0008", "00F0"), ""},
	{"Setup cut", atConnect, job("F00000010001", ""), refusal("8500"), ""},
	{"Setup with data", atConnect, job("F0000001000100F0", "00"), refusal("8500"), ""},
	{"Setup again", atSetup, setup("0008", "00F0") + read(item4), setupGets("0008", "00F0") + readGets(item4Data), ""},
	{"Setup again with another PDU", atSetup, read(item4) + setup("0008", "0070") + read(item4), readGets(item4Data) + refusal("8401") + readGets(item4Data), ""},
	{"Setup again with a longer PDU", atSetup, setup("0008", "03C0"), setupGets("0008", "00F0"), ""},
	{"Setup again with another AMQ", atSetup, setup("0001", "00F0"), refusal("8401"), ""},
	{"Setup again with PDU 0", atSetup, setup("0001", "0000"), refusal("8500"), ""},
}

// fails is the answer to a read of one item that fails.
func fails(code string) string { return readGets(code + "00 0000") }

func write(items int, list, data string) string {
	return job(fmt.Sprintf("05%02X%s", items, list), data)
}

func writeGets(codes string) string { return answer(fmt.Sprintf("05%02X", len(unhex(codes))), codes) }

const (
	byte1  = "120A1002 0001 0001 84 000320" // DB1.DBB100
	byte1D = "0004 0008 77"
)

var badVar = []badInput{
	{"count 0", atSetup, job("0400", ""), refusal("8500"), ""},
	{"count 255", atSetup, job("04FF"+item4, ""), refusal("8500"), ""},
	{"one item too few", atSetup, job("0402"+item4, ""), refusal("8500"), ""},
	{"one item too many", atSetup, job("0401"+item4+item4, ""), refusal("8500"), ""},
	{"read with data", atSetup, job("0401"+item4, "00"), refusal("8500"), ""},
	{"item length 0", atSetup, job("0401 1200", ""), refusal("8500"), ""},
	{"item length 9", atSetup, read("120910020004000184000000"), refusal("8500"), ""},
	{"item of 9 bytes", atSetup, read("1209100200040001840000"), fails("06"), ""},
	{"item length 255", atSetup, read("12FF10020004000184000000"), refusal("8500"), ""},
	{"specification 13", atSetup, read("130A10020004000184000000"), fails("06"), ""},
	{"syntax FF", atSetup, read("120AFF020004000184000000"), fails("06"), ""},
	{"syntax 00", atSetup, read("120A00020004000184000000"), fails("06"), ""},
	{"syntax B2", atSetup, read("1204B2FF0000"), fails("06"), ""},
	{"syntax B0 with a count that lies", atSetup, read("1207B0FF0400010000"), fails("06"), ""},
	{"size 0", atSetup, read("120A1000 0004 0001 84 000000"), fails("06"), ""},
	{"size 255", atSetup, read("120A10FF 0004 0001 84 000000"), fails("06"), ""},
	{"no elements", atSetup, read("120A1002 0000 0001 84 000000"), fails("05"), ""},
	{"FFFF DWORDs beyond the end", atSetup, read("120A1006 FFFF 0001 84 000000"), fails("05"), ""},
	{"FFFF DWORDs of a DB that is not there", atSetup, read("120A1006 FFFF 0009 84 000000"), fails("0A"), ""},
	{"more than the PDU has room for", atSetup, read("120A1002 00DF 0001 84 000000"), refusal("8500"), ""},
	{"address FFFFFF", atSetup, read("120A1001 0001 0001 84 FFFFFF"), fails("05"), ""},
	{"begins at the end", atSetup, read("120A1002 0001 0001 84 010000"), fails("05"), ""},
	{"goes beyond the end", atSetup, read("120A1002 0002 0001 84 00FFF8"), fails("05"), ""},
	{"start and size overflow", atSetup, read("120A1006 FFFF 0001 84 FFFFF8"), fails("05"), ""},
	{"8 bits", atSetup, read("120A1001 0008 0001 84 000000"), fails("05"), ""},
	{"a byte at a bit", atSetup, read("120A1002 0001 0001 84 000001"), fails("05"), ""},
	{"timer as bytes", atSetup, read("120A1002 0002 0000 1D 000000"), fails("05"), ""},
	{"byte as timer", atSetup, read("120A101D 0001 0001 84 000000"), fails("05"), ""},
	{"counter as timer", atSetup, read("120A101D 0001 0000 1C 000000"), fails("05"), ""},
	{"timer beyond the end", atSetup, read("120A101D 0001 0000 1D 000010"), fails("05"), ""},
	{"DB 0", atSetup, read("120A1002 0001 0000 84 000000"), fails("0A"), ""},
	{"DB 65535", atSetup, read("120A1002 0001 FFFF 84 000000"), answer("0401", "FF04 0008 00"), ""},
	{"DB that is not there", atSetup, read("120A1002 0001 0003 84 000000"), fails("0A"), ""},
	{"area 0", atSetup, read("120A1002 0001 0001 00 000000"), fails("0A"), ""},
	{"area that is not there", atSetup, read("120A1002 0001 0000 80 000000"), fails("0A"), ""},
	{"good and bad items", atSetup, job("0403"+item4+"120A1002 0001 0003 84 000000"+item4, ""), answer("0403", item4Data+"0A00 0000"+item4Data), ""},
	{"odd length before another", atSetup, job("0402"+byte1+item4, ""), answer("0402", "FF04 0008 6400"+item4Data), ""},
	{"answers that exceed the PDU together", atSetup,
		job("0402"+"120A1002 0080 0001 84 000000"+"120A1002 0080 0001 84 000000", ""), refusal("8500"), ""},

	{"write count 0", atSetup, write(0, "", ""), refusal("8500"), ""},
	{"write without data", atSetup, write(1, byte1, ""), refusal("8500"), ""},
	{"data cut", atSetup, write(1, byte1, "0004 0008"), refusal("8500"), ""},
	{"data of one item too few", atSetup, write(2, byte1+byte1, byte1D), refusal("8500"), ""},
	{"data of one item too many", atSetup, write(1, byte1, byte1D+"00"+byte1D), refusal("8500"), ""},
	{"no fill between items", atSetup, write(2, byte1+byte1, byte1D+byte1D), writeGets("FF07"), ""}, // the second reads as one of no data
	{"fill between items", atSetup, write(2, byte1+byte1, byte1D+"00"+byte1D), writeGets("FFFF"), ""},
	{"fill behind the last item", atSetup, write(1, byte1, byte1D+"00"), writeGets("FF"), ""},
	{"length in bytes instead of bits", atSetup, write(1, item4, "0004 0004 11223344"), refusal("8500"), ""},
	{"length in bits instead of bytes", atSetup, write(1, item4, "0009 0020 11223344"), refusal("8500"), ""},
	{"data of another length", atSetup, write(1, item4, "0004 0010 1122"), writeGets("07"), ""},
	{"data of another length for a DB that is not there", atSetup, write(1, "120A1002 0004 0003 84 000000", "0004 0010 1122"), writeGets("0A"), ""},
	{"data of another length beyond the end", atSetup, write(1, "120A1002 0004 0001 84 010000", "0004 0010 1122"), writeGets("05"), ""},
	{"a bit as byte", atSetup, write(1, "120A1001 0001 0001 84 000320", "0004 0008 01"), writeGets("07"), ""},
	{"a byte as bit", atSetup, write(1, byte1, "0003 0001 01"), writeGets("07"), ""},
	{"8 bits are written", atSetup, write(1, "120A1001 0008 0001 84 000320", "0003 0008 01"), writeGets("05"), ""},
	{"read-only DB", atSetup, write(1, "120A1002 0001 0002 84 000000", byte1D), writeGets("03"), ""},
	{"beyond the end of a read-only DB", atSetup, write(1, "120A1002 0001 0002 84 000050", byte1D), writeGets("05"), ""},
	{"a bad item does not stop the next", atSetup, write(2, "120A1002 0001 0003 84 000000"+byte1, byte1D+"00"+byte1D), writeGets("0AFF"), ""},
}

// manyWrites are writes of 60 and 255 items, which need a long PDU.
func manyWrites(n int) badInput {
	data := strings.Repeat(byte1D+"00", n-1) + byte1D
	return badInput{fmt.Sprintf("write of %d items", n), atConnect, setup("0001", "FFFF") + write(n, strings.Repeat(byte1, n), data),
		setupGets("0001", "1F40") + writeGets(strings.Repeat("FF", n)), ""}
}

func TestServerBadInput(t *testing.T) {
	for _, table := range [][]badInput{badTPKT, badCOTP, badS7, badVar} {
		for _, tc := range table {
			tc.run(t, ServerConfig{})
		}
	}
	for _, n := range []int{60, 255} {
		manyWrites(n).run(t, ServerConfig{PDU: 8000})
	}
}

func (tc badInput) run(t *testing.T, cfg ServerConfig) {
	for _, split := range []string{"at once", "byte by byte"} {
		t.Run(tc.name+", "+split, func(t *testing.T) {
			t.Parallel()
			cfg := cfg
			cfg.Handler = testMemory(t)
			s := serve(t, cfg)
			bystander := s.session()
			c := s.Dial()
			if tc.stage >= atConnect {
				sendHex(t, c, askConnect)
				wantHex(t, c, cc("C0010A"+tsaps))
			}
			if tc.stage >= atSetup {
				sendHex(t, c, askSetup)
				wantHex(t, c, wantSetup)
			}
			sendHex(t, bystander, askAlive)
			if split == "at once" {
				c.Write(unhex(tc.send)) // the server may hang up on the way
			} else {
				dribble(c, unhex(tc.send))
			}
			wantHex(t, c, tc.want)
			if tc.reason != "" {
				wantHungUp(t, c)
			} else if tc.stage == atSetup {
				wantAlive(t, c)
			}
			wantHex(t, bystander, wantOK)
			wantAlive(t, bystander)
			tc.check(t, s.ended())
		})
	}
}

func (tc badInput) check(t *testing.T, st ServerStats) {
	t.Helper()
	where, other := st.Ended, st.Refused
	if tc.stage != atSetup {
		where, other = other, where
	}
	if tc.reason != "" && (where[tc.reason] != 1 || other[tc.reason] != 0) {
		t.Errorf("refused %v, ended %v, want %q", st.Refused, st.Ended, tc.reason)
	}
	if st.Accepted != 2 {
		t.Errorf("%d connections", st.Accepted)
	}
}

// dribble writes b byte by byte. The server may hang up on the way.
func dribble(c net.Conn, b []byte) {
	for i := range b {
		if _, err := c.Write(b[i : i+1]); err != nil {
			return
		}
	}
}

// The client of a small TPDU size gets its answers in fragments of that size, and sends its own.
func TestServerFragmentsAnswers(t *testing.T) {
	s := serve(t, ServerConfig{Handler: testMemory(t)})
	s.session()
	c := s.Dial()
	sendHex(t, c, cr("C00107"+tsaps))
	wantHex(t, c, cc("C00107"+tsaps))
	sendHex(t, c, setup("0008", "03C0"))
	wantHex(t, c, setupGets("0008", "03C0"))
	sendHex(t, c, pieces(read("120A1002 03AE 0001 84 000000"), 10)) // 942 bytes, all that fit
	m := ReadResponse{Items: []DataItem{{Code: ReturnOK, Size: DataByte, Data: patterned(942)}}}
	wantHex(t, c, fmt.Sprintf("%X", AppendFragments(nil, m.AppendTo(nil, 1), 128)))
	wantAlive(t, c)
}

// A PDU beyond what a TPDU can hold goes both ways in fragments, and data beyond what a length in bits can say go in octets.
func TestServerLongPDU(t *testing.T) {
	const n = 50_000
	m := &Memory{}
	if err := m.AddDB(1, patterned(n)); err != nil {
		t.Fatal(err)
	}
	s := serve(t, ServerConfig{Handler: m, PDU: 65_000})
	s.session()
	c := s.Dial()
	sendHex(t, c, cr("C0010D"+tsaps))
	wantHex(t, c, cc("C0010D"+tsaps))
	sendHex(t, c, setup("0001", "FDE8"))
	wantHex(t, c, setupGets("0001", "FDE8"))
	sendHex(t, c, fmt.Sprintf("%X", askBytes(n)))
	r := ReadResponse{Items: []DataItem{{Code: ReturnOK, Size: DataOctet, Data: patterned(n)}}}
	wantHex(t, c, fmt.Sprintf("%X", AppendFragments(nil, r.AppendTo(nil, 1), 8192)))

	data := bytes.Repeat([]byte{7}, n)
	w := WriteRequest{Items: []Item{Bytes(AreaDB, 1, 0, n)}, Data: []DataItem{{Size: DataOctet, Data: data}}}
	if _, err := c.Write(AppendFragments(nil, w.AppendTo(nil, 1), 8192)); err != nil {
		t.Fatal(err)
	}
	wantHex(t, c, writeGets("FF"))
	m.View(AreaDB, 1, func(b []byte) {
		if !bytes.Equal(b, data) {
			t.Error("what was written is not there")
		}
	})
}

// The server answers all jobs that came together in one write, in order, more than the window too.
func TestServerGathersAnswers(t *testing.T) {
	ln := listentest.NewPipes()
	serveOn(t, ServerConfig{Handler: testMemory(t)}, ln)
	c := sessionOver(t, ln)
	defer c.Close()
	var ask, want []byte
	for i := range uint16(12) {
		it := Bytes(AreaDB, 1, uint32(i), 100)
		m := ReadRequest{Items: []Item{it}}
		ask = EndFrame(m.AppendTo(BeginFrame(ask), i), len(ask))
		r := ReadResponse{Items: []DataItem{{Code: ReturnOK, Size: DataByte, Data: patterned(200)[i : i+100]}}}
		want = EndFrame(r.AppendTo(BeginFrame(want), i), len(want))
	}
	if _, err := c.Write(ask); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<16)
	n, err := c.Read(got) // a pipe hands over one write, or less
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Errorf("one read gave %d bytes of %d, %v", n, len(want), err)
	}
}

// A write of more answers than are gathered goes out in several writes, in order.
func TestServerBoundsGathering(t *testing.T) {
	const n = 100
	c := activeConn(t, ServerConfig{Handler: testMemory(t)})
	ask := bytes.Repeat(askBytes(200), n)
	answers := 0
	for in := ask; len(in) > 0; {
		used, out, err := c.Serve(t.Context(), in, nil)
		if err != nil || used == 0 || len(out) >= gatherBytes+240+FrameBytes {
			t.Fatalf("used %d, answered %d bytes, %v", used, len(out), err)
		}
		in = in[used:]
		answers += len(out)
	}
	if want := n * len(answerBytes(200)); answers != want {
		t.Errorf("%d bytes of answers, want %d", answers, want)
	}
}

// A service that answers with more than the client can take is refused instead.
func TestServerHoldsAnswersToThePDU(t *testing.T) {
	c := activeConn(t, ServerConfig{Handler: testMemory(t)})
	p, err := DecodePDU(unhex(askAlive)[FrameBytes:])
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{240, 241} {
		start := BeginFrame(nil)
		c.out = EndFrame(append(start, make([]byte, n)...), 0)
		c.settle(&p, 0)
		head := wire.Over(c.out)
		head.Skip(tpktLengthAt)
		if got, want := int(head.U16()), map[int]int{240: 247, 241: 19}[n]; got != want {
			t.Errorf("%d bytes became a frame of %d, want %d", n, got, want)
		}
	}
}
