package s7_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"millrace/internal/listen/listentest"
	"millrace/s7"
)

// memory is the plant for our server.
func memory(t *testing.T) *s7.Memory {
	t.Helper()
	p := newPlant(quirks{}).areas
	m := &s7.Memory{}
	for area, name := range map[s7.Area]string{s7.AreaInputs: "I", s7.AreaOutputs: "Q", s7.AreaMarkers: "M", s7.AreaCounter: "C", s7.AreaTimer: "T"} {
		if err := m.SetArea(area, p[name]); err != nil {
			t.Fatal(err)
		}
	}
	for n, name := range map[uint16]string{1: "DB1", 2: "DB2", 3: "DB3"} {
		if err := m.AddDB(n, p[name]); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// ourServer serves on loopback until the test ends.
func ourServer(t *testing.T, cfg s7.ServerConfig) string {
	t.Helper()
	s, err := s7.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return listentest.Serve(t, s).Addr
}

// ours asks by our client.
type ours struct {
	t *testing.T
	*s7.Client
}

func ourClient(t *testing.T, addr string, cfg s7.Config) *ours {
	t.Helper()
	cfg.Slot, cfg.Diagnostics = 2, true
	c, err := s7.Dial(t.Context(), addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &ours{t, c}
}

var (
	areaNames = map[string]s7.Area{"I": s7.AreaInputs, "Q": s7.AreaOutputs, "M": s7.AreaMarkers, "DB": s7.AreaDB, "C": s7.AreaCounter, "T": s7.AreaTimer}
	sizeNames = map[string]s7.TransportSize{"BIT": s7.SizeBit, "BYTE": s7.SizeByte, "CHAR": s7.SizeChar, "WORD": s7.SizeWord, "INT": s7.SizeInt,
		"DWORD": s7.SizeDWord, "DINT": s7.SizeDInt, "REAL": s7.SizeReal, "COUNTER": s7.SizeCounter, "TIMER": s7.SizeTimer}
)

func (q question) item() s7.Item {
	m := s7.Item{Syntax: s7.SyntaxAny, Size: sizeNames[q.size], Count: uint16(q.count), DB: uint16(q.db), Area: areaNames[q.area], Address: uint32(q.at)}
	if !m.Area.Numbered() {
		m.Address = uint32(q.at)<<3 | uint32(q.bit)
	}
	return m
}

func (o *ours) ask(line string) string {
	what, rest, _ := strings.Cut(line, " ")
	switch what {
	case "pdu":
		return strconv.Itoa(o.PDU())
	case "read", "vars", "write", "writevars":
		var vars []s7.Var
		for s := range strings.SplitSeq(rest, ";") {
			q := ask(s)
			vars = append(vars, s7.Var{Item: q.item(), Data: q.data})
		}
		return o.memory(vars, strings.HasPrefix(what, "write"))
	}
	return o.service(what, strings.Fields(rest))
}

func (o *ours) memory(vars []s7.Var, write bool) string {
	do := o.Read
	if write {
		do = o.Write
	}
	if err := do(o.t.Context(), vars); err != nil {
		return "!(" + err.Error() + ")"
	}
	var out []string
	for _, v := range vars {
		switch {
		case v.Err != nil:
			out = append(out, failure(v.Err))
		case write:
			out = append(out, "ok")
		default:
			out = append(out, hex.EncodeToString(v.Data))
		}
	}
	return strings.Join(out, " ")
}

// failure shows the code on the wire.
func failure(err error) string {
	var e *s7.Error
	switch {
	case !errors.As(err, &e):
	case e.Detail == s7.DetailRunning && e.Function == s7.FuncPIService:
		return "!running"
	case e.Detail == s7.DetailStopped && e.Function == s7.FuncStop:
		return "!stopped"
	case e.Refused != 0:
		return fmt.Sprintf("!%04X", uint16(e.Refused))
	case e.Code != 0:
		return fmt.Sprintf("!%02X", uint8(e.Code))
	}
	return "!(" + err.Error() + ")"
}
