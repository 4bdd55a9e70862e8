package s7_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace/interop/capture"
	"millrace/interop/outside"
	"millrace/s7"
)

// compare asks a line by line and holds the answers against those that want has for what was asked. It returns how many were compared.
func compare(t *testing.T, a asker, lines []string, want func(line string) string) int {
	t.Helper()
	n := 0
	for _, line := range lines {
		got := a.ask(line)
		if got == "unserved" {
			continue
		}
		n++
		if expected := want(line); got != expected {
			t.Errorf("%.150s: %.200q, want %.200q", line, got, expected)
		}
	}
	return n
}

// dissect has Wireshark's dissector read a recording and holds its count of PDUs against that of our own codec.
func dissect(t *testing.T, p *capture.Proxy) int {
	t.Helper()
	outside.NeedTool(t, "tshark")
	p.Close()
	want := 0
	for n := 1; n <= p.Conns(); n++ {
		for _, fromPeer := range []bool{false, true} {
			want += pdus(t, p.Stream(n, fromPeer))
		}
	}
	got := p.Dissect(t, port, "tpkt", "s7comm.header.rosctr")
	if got != want || want == 0 {
		t.Errorf("the dissector saw %d PDUs of %d", got, want)
	}
	return got
}

func pdus(t *testing.T, b []byte) (n int) {
	t.Helper()
	stream := s7.NewStream(s7.StreamConfig{PDU: 4096})
	for len(b) > 0 {
		m, k, err := stream.Next(b)
		if err != nil || k == 0 {
			t.Errorf("%d bytes left of a stream: %v", len(b), err)
			return n
		}
		if b = b[k:]; m.Code == s7.TPDUData {
			n++
		}
	}
	return n
}

// memoryScript is everything that is asked of memory.
func memoryScript() []string { return slices.Concat(reads(), writes(), reals()) }

// TestMemoryOfOurServer has every foreign client read and write every area of our server, in every size, at every PDU that it can ask for.
func TestMemoryOfOurServer(t *testing.T) {
	for _, c := range []client{snap7Client, gos7Client, pythonClient} {
		for _, pdu := range c.pdus {
			t.Run(fmt.Sprintf("%s/PDU %d", c.name, pdu), func(t *testing.T) {
				proxy := capture.NewProxy(t, ourServer(t, s7.ServerConfig{Handler: memory(t)}))
				a := c.connect(t, proxy.Addr, pdu)
				if got := a.ask("pdu"); got != fmt.Sprint(pdu) {
					t.Errorf("PDU %s was granted", got)
				}
				model := newPlant(quirks{})
				lines := memoryScript()
				if c.name == pythonClient.name {
					lines = append(lines, manyNumbers()...)
				}
				n := compare(t, a, lines, func(line string) string { return c.sees(line, model.answer(line)) })
				t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, proxy))
			})
		}
	}
}

// server is a server for our client.
type server struct {
	name  string
	start func(t *testing.T) string
	pdus  []int
	quirks
	lines []string
}

// TestMemoryByOurClient has our client read and write every area of foreign servers. python-snap7's server takes the first variable of a write of several
// and says nothing of the others, which is no answer to our client: such lines are left out.
func TestMemoryByOurClient(t *testing.T) {
	single := slices.DeleteFunc(memoryScript(), func(line string) bool { return strings.HasPrefix(line, "writevars") && strings.Contains(line, ";") })
	for _, s := range []server{
		{"node-snap7", snap7Server, []int{240, 480, 960}, quirks{halfNumbers: true, afterReal: true}, memoryScript()},
		{"python-snap7", pythonServer, []int{240, 480}, quirks{wholeBytes: true, halfWrites: true}, append(single, manyNumbers()...)},
		{"ours", func(t *testing.T) string { return ourServer(t, s7.ServerConfig{Handler: memory(t)}) }, []int{112, 240, 480, 960}, quirks{}, append(memoryScript(), manyNumbers()...)},
	} {
		for _, pdu := range s.pdus {
			t.Run(fmt.Sprintf("%s/PDU %d", s.name, pdu), func(t *testing.T) {
				proxy := capture.NewProxy(t, s.start(t))
				a := ourClient(t, proxy.Addr, s7.Config{PDU: pdu})
				if a.PDU() != pdu {
					t.Errorf("PDU %d was granted", a.PDU())
				}
				n := compare(t, a, s.lines, newPlant(s.quirks).answer)
				if err := a.Close(); err != nil {
					t.Error(err)
				}
				t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, proxy))
			})
		}
	}
}

// TestMoreThanTwenty has our client read what snap7's server answers the first 20 of.
func TestMoreThanTwenty(t *testing.T) {
	proxy := capture.NewProxy(t, snap7Server(t))
	learned := 0
	a := ourClient(t, proxy.Addr, s7.Config{PDU: 480, Hooks: s7.Hooks{Learned: func(n int) { learned = n }}})
	var items []string
	for i := range 30 {
		items = append(items, fmt.Sprintf("DB 1 %d BYTE 3", 9*i))
	}
	line := "vars " + strings.Join(items, ";")
	n := compare(t, a, []string{line, line}, newPlant(quirks{}).answer)
	if learned != 20 {
		t.Errorf("learned that it takes %d", learned)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("compared: %d answers, %d frames dissected", n, dissect(t, proxy))
}

// What follows are the accepted differences: what a foreign client says otherwise. What it cannot ask at all its program answers with "unserved".

// snap7Sees: several codes of the wire are one error to snap7, and to gos7, which is made after it.
func snap7Sees(line, answer string) string {
	switch {
	case answer == "!D209", answer == "!D20E", answer == "!D402":
		return "!0A"
	case answer == "!03":
		return "!(CLI : function refused by CPU (Unknown error))"
	case line == "stop" && answer == "!D241":
		return "!(CPU : Cannot stop PLC)"
	}
	return answer
}

// gos7Sees: gos7 knows another byte for a CPU that runs already than snap7 does, and takes no refusal of a stop without the function in it.
func gos7Sees(line, answer string) string {
	switch {
	case answer == "!running":
		return "!(CPU : Cannot start PLC)"
	case line == "stop" && answer == "!D241":
		return "!(ISO : Invalid PDU received)"
	}
	return snap7Sees(line, answer)
}

// pythonSees: python-snap7 gives up a request at the first of its variables that failed, asks for two lists with an index under which PLCs have none, shows
// no subtype of a block, and of a CPU that will not start or stop the code alone.
func pythonSees(line, answer string) string {
	what, _, _ := strings.Cut(line, " ")
	switch {
	case what == "vars":
		for s := range strings.SplitSeq(answer, " ") {
			if strings.HasPrefix(s, "!") {
				return s
			}
		}
	case what == "cp", what == "protection":
		return "!D402"
	case what == "info":
		return strings.Replace(answer, " 5 10 ", " 5 0 ", 1)
	case answer == "!running", answer == "!stopped":
		return "!8404"
	}
	return answer
}
