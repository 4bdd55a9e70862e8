package driver

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/s7"
)

// TestAddressesInTheDocs runs every row of docs/addresses.md.
func TestAddressesInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/addresses.md")
	if err != nil {
		t.Fatal(err)
	}
	modbus, rest, _ := strings.Cut(string(text), "\n## S7\n")
	s7, opcua, _ := strings.Cut(rest, "\n## OPC UA\n")
	checkS7Addresses(t, s7)
	checkOPCUAAddresses(t, opcua)
	spelling := regexp.MustCompile("^\\| `([^`]+)` \\| `([^`]+)` \\| ")
	typ := regexp.MustCompile("^\\| `([a-z]+[0-9]*)(\\[n\\])?` \\| [^|]+ \\| ([^|]*) \\|$")
	spellings, types, orders := 0, 0, 0
	for line := range strings.Lines(modbus) {
		line = strings.TrimSpace(line)
		if m := spelling.FindStringSubmatch(line); m != nil {
			spellings++
			if got, err := (Modbus{}).Canonical(m[1]); err != nil || got != m[2] {
				t.Errorf("%s is %s, %v; the document says %s", m[1], got, err, m[2])
			}
		} else if m := typ.FindStringSubmatch(line); m != nil {
			types++
			if m[2] != "" {
				continue // what stands behind texts is prose
			}
			for name := range strings.SplitSeq(m[3], ", ") {
				if typeNames[strings.ToLower(name)] != typeNames[m[1]] || typeNames[m[1]] == typeNone {
					t.Errorf("%s is not %s", name, m[1])
				}
			}
		} else if strings.HasPrefix(line, "| 16 |") || strings.HasPrefix(line, "| 32 |") || strings.HasPrefix(line, "| 64 |") {
			for _, o := range regexp.MustCompile("`([a-h]+)`").FindAllStringSubmatch(line, -1) {
				orders++
				if _, ok := parseOrder(o[1], len(o[1])/2); !ok {
					t.Errorf("%s is no order", o[1])
				}
			}
		}
	}
	if spellings < 15 || types != len(typeTable)-1 || orders != 2+4+8 {
		t.Errorf("%d spellings, %d types, %d orders found", spellings, types, orders)
	}
	for name := range modbusOptionTable {
		if !strings.Contains(modbus, "`"+name) {
			t.Errorf("option %s is not described", name)
		}
	}
}

// checkS7Addresses runs every row of the S7 half.
func checkS7Addresses(t *testing.T, text string) {
	t.Helper()
	spellings, types := 0, 0
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\| ").FindAllStringSubmatch(text, -1) {
		spellings++
		if got, err := (S7{}).Canonical(m[1]); err != nil || got != m[2] {
			t.Errorf("%s is %s, %v; the document says %s", m[1], got, err, m[2])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z0-9]+)` \\| ([^|`]+) \\| ([a-z0-9]+) \\| ").FindAllStringSubmatch(text, -1) {
		types++
		typ, ok := s7.ParseDataType(m[1])
		if !ok || s7Kinds[typ].String() != m[3] {
			t.Errorf("%s has kind %s, not %s", m[1], s7Kinds[typ], m[3])
		}
		size := map[bool]string{true: "a bit", false: strconv.Itoa(typ.Size(0))}[typ == s7.TypeBool]
		if isHeaded(typ) {
			size = map[bool]string{true: "2 + n", false: "4 + 2n"}[typ == s7.TypeString]
		}
		if m[2] != size {
			t.Errorf("%s has %s bytes, not %s", m[1], size, m[2])
		}
	}
	if spellings < 40 || types != int(s7.TypeCounter) {
		t.Errorf("%d spellings, %d types found", spellings, types)
	}
	prose := regexp.MustCompile("`([A-Z]+[0-9,.]+[^`]*)`").FindAllStringSubmatch(text[strings.Index(text, "What two products"):strings.Index(text, "### Types of S7")], -1)
	refused := 0
	for _, m := range prose {
		if _, err := (S7{}).Canonical(m[1]); err != nil {
			refused++
		}
	}
	if refused != 4 || len(prose) != 7 {
		t.Errorf("of %v %d are refused", prose, refused)
	}
}

// TestS7AsDocumented holds docs/s7.md against the tables and rules of the driver.
func TestS7AsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/s7.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name := range s7OptionTable {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("option %s is not described", name)
		}
	}
	models := 0
	for _, m := range regexp.MustCompile("(?m)^\\| (?:`(\\w+)`|none) \\| (\\d*) ?\\| (\\S+), (\\S+) \\| (\\d+) \\| (\\d+) \\|$").FindAllStringSubmatch(text, -1) {
		models++
		url := "s7://h"
		if m[1] != "" {
			url += "?model=" + m[1]
		}
		o := optionsOf(t, url)
		lim := o.limit(limitsUnknown)
		slot := strconv.Itoa(int(o.slot))
		if m[2] == "" {
			slot = ""
		}
		if got := fmt.Sprintf("%s %s %s %d %d", slot, dotted(o.calling), dotted(o.called), lim.PDU, lim.Window); got != strings.Join(m[2:], " ") {
			t.Errorf("%s has %s, the document says %v", url, got, m[2:])
		}
	}
	if models != len(s7Models)+1 {
		t.Errorf("%d models found", models)
	}
	checkS7Refusals(t, text)
	for i, pdu := range []int{240, 480, 960} {
		if s7.MaxReadData(pdu) != []int{222, 462, 942}[i] || s7.MaxWriteData(pdu) != []int{212, 452, 932}[i] {
			t.Errorf("PDU %d", pdu)
		}
	}
}

func dotted(tsap []byte) string { return fmt.Sprintf("%02X.%02X", tsap[0], tsap[1]) }

// checkS7Refusals holds the table of refusals against the qualities that tags get.
func checkS7Refusals(t *testing.T, text string) {
	t.Helper()
	rows := 0
	for _, m := range regexp.MustCompile(`(?m)^\| ([0-9A-Dx, ]+?)(?:, [a-z ]+)? \| (bad \([a-z ]+\)) \|`).FindAllStringSubmatch(text, -1) {
		for code := range strings.SplitSeq(m[1], ", ") {
			n, err := strconv.ParseUint(strings.ReplaceAll(code, "x", "0"), 16, 16)
			if err != nil {
				t.Fatal(m[0], err)
			}
			why := s7Refusal{all: s7.ErrorCode(n)}
			if len(code) == 2 {
				why = s7Refusal{code: s7.ReturnCode(n)}
			}
			rows++
			if got := why.quality().String(); got != m[2] {
				t.Errorf("%s is %s, the document says %s", code, got, m[2])
			}
		}
	}
	if rows != 12 {
		t.Errorf("%d refusals found", rows)
	}
}

// checkOPCUAAddresses runs every row of the OPC UA part.
func checkOPCUAAddresses(t *testing.T, text string) {
	t.Helper()
	spellings, types := 0, 0
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\| ").FindAllStringSubmatch(text, -1) {
		spellings++
		if got, err := (OPCUA{}).Canonical(m[1]); err != nil || got != m[2] {
			t.Errorf("%s is %s, %v; the document says %s", m[1], got, err, m[2])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Za-z0-9]+)` \\| ([a-z0-9]+) \\| ").FindAllStringSubmatch(text, -1) {
		types++
		typ, ok := opcuaTypeNamed(m[1])
		if !ok || opcuaKind(typ).String() != m[2] {
			t.Errorf("%s has kind %s, the document says %s", m[1], opcuaKind(typ), m[2])
		}
	}
	if spellings < 24 || types != int(ua.TypeLocalizedText) {
		t.Errorf("%d spellings, %d types found", spellings, types)
	}
}

// TestOPCUAAsDocumented holds docs/opcua.md against the options of the driver and the qualities of statuses.
func TestOPCUAAsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/opcua.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name := range opcuaOptionTable {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("option %s is not described", name)
		}
	}
	statuses := map[string]ua.StatusCode{}
	for _, s := range []ua.StatusCode{ua.BadNodeIdUnknown, ua.BadAttributeIdInvalid, ua.BadNotReadable, ua.BadUserAccessDenied, ua.BadIndexRangeNoData, ua.BadTypeMismatch, ua.BadNotWritable,
		ua.BadOutOfRange, ua.BadSecurityModeInsufficient, ua.BadTooManyMonitoredItems, ua.BadWaitingForInitialData, ua.BadDecodingError, ua.BadNoCommunication, ua.BadSensorFailure, ua.BadOutOfService} {
		statuses[s.String()] = s
	}
	rows := regexp.MustCompile("(?m)^\\| `(Bad\\w+)` \\| (bad \\([^|]+\\)) \\|").FindAllStringSubmatch(text, -1)
	for _, m := range rows {
		if s, ok := statuses[m[1]]; !ok || tag.Quality(s).String() != m[2] {
			t.Errorf("%s is %s, the document says %s", m[1], tag.Quality(s), m[2])
		}
	}
	if len(rows) != len(statuses) {
		t.Errorf("%d statuses found", len(rows))
	}
	for _, fact := range []struct {
		words string
		holds bool
	}{
		{"at most 16 messages, of 10,000 values each", maxUnsafe == 16 && maxInMessage == 10_000},
		{"every 30 seconds", lostAgain == 30*time.Second},
		{"asked again after a minute", refusedFor == time.Minute},
		{"1 to 10,000;", maxQueue == 10_000},
		{"100 at most", longestQueue == 100},
		{"50ms at least", fastestPublishing == 50*time.Millisecond},
		{"1 to 64; 4 without it", opcuaWindow == 4 && opcua.MaxWindow == 64},
		{"5s without it", defaultKeepAlive == 5*time.Second},
		{"10s at least", minSessionTimeout == 10*time.Second},
	} {
		if !fact.holds || !strings.Contains(text, fact.words) {
			t.Errorf("%q does not hold, or is not said", fact.words)
		}
	}
}
