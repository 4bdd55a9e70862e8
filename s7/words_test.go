package s7

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestBareRequests(t *testing.T) {
	for want, m := range map[string]encoder{
		"3207 0000 0102 0008 0004 0001120411430100 0A000000": BlockCountsRequest{},
		"3207 0000 0102 0008 0004 0001120411470100 0A000000": ReadClockRequest{},
		"3207 0000 0102 0008 0004 0001120411450200 0A000000": ClearPasswordRequest{},
	} {
		if got := m.AppendTo(nil, goldenRef); !bytes.Equal(got, unhex(want)) {
			t.Errorf("%T: %x", m, got)
		}
		if n := testing.AllocsPerRun(10, func() { m.AppendTo(make([]byte, 0, 64), 1) }); n > 1 { // the buffer
			t.Errorf("%T: %v allocs", m, n)
		}
	}
}

// What an answer marks its data with, by what was asked.
func TestAnswerSizes(t *testing.T) {
	for s, want := range map[TransportSize]DataSize{
		SizeBit: DataBit, SizeByte: DataByte, SizeChar: DataOctet, SizeWord: DataByte, SizeDWord: DataByte, SizeInt: DataInt, SizeDInt: DataInt,
		SizeReal: DataReal, SizeCounter: DataOctet, SizeTimer: DataOctet,
	} {
		if got := s.Data(); got != want {
			t.Errorf("%v: %d, want %d", s, got, want)
		}
	}
}

// named counts the values that have words of their own, all different.
func named[V ~uint8 | ~uint16](t *testing.T, unknown string, values int) int {
	t.Helper()
	seen := map[string]bool{}
	for i := range values {
		words := fmt.Sprint(V(i))
		if strings.Contains(words, unknown) {
			continue
		}
		if seen[words] || words == "" {
			t.Errorf("%d: %q is said twice", i, words)
		}
		seen[words] = true
	}
	return len(seen)
}

func TestValuesHaveWords(t *testing.T) {
	for what, got := range map[string][2]int{
		"frame reasons":      {named[FrameReason](t, "reason ", 256), int(FrameReasons)},
		"kinds":              {named[Kind](t, "ROSCTR ", 256), 4},
		"TPDUs":              {named[TPDUCode](t, "TPDU ", 256), 6},
		"disconnect reasons": {named[DisconnectReason](t, "reason ", 256) + 1, 10}, // "reason not specified"
		"return codes":       {named[ReturnCode](t, "return code ", 256), 9},
		"groups":             {named[Group](t, "group ", 256), 8},
		"block types":        {named[BlockType](t, "block type ", 256), 7},
		"functions":          {named[Function](t, "function ", 256), 12}, // with userdata
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d are named, want %d", what, got[0], got[1])
		}
	}
	codes := 0
	for i := range 1 << 16 {
		if c := ErrorCode(i); c.words() != "" {
			codes++
		}
	}
	if codes != 39 {
		t.Errorf("%d error codes are named", codes)
	}
}

func TestErrorsSayWhat(t *testing.T) {
	for want, err := range map[string]error{
		"s7: cannot frame: tpkt version (0x0001)":                                   frameError(FrameVersion, 1),
		"s7: cannot frame: tpkt version (0x0001), no frame in the 9 bytes after it": &FrameError{Reason: FrameVersion, Got: 1, Skipped: 9},
		"s7: malformed read var, 3 bytes: items":                                    &PDUError{FuncRead, 3, "items"},
		"s7: refused: 0xD402 (information function unavailable)":                    &RefusedError{Code: ErrNoSZL},
		"s7: read var refused: 0x8104 (service not implemented or frame error)":     &RefusedError{Function: FuncRead, Code: ErrServiceUnknown},
		"s7: no COUNTER: bcd": TypeCounter.bad("bcd"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if f := (BlockFile{BlockDB, 7, FileActive}); f.String() != "DB7" {
		t.Error(f)
	}
	if m := (WriteResponse{Codes: []byte{0xFF, 5}}); m.Code(1) != ReturnAddress {
		t.Error(m.Code(1))
	}
}

func TestCycles(t *testing.T) {
	for base, want := range map[TimeBase]time.Duration{TimeBase100ms: 500 * time.Millisecond, TimeBase1s: 5 * time.Second, TimeBase10s: 50 * time.Second, 3: 0} {
		if m := (SubscribeRequest{Base: base, Factor: 5}); m.Cycle() != want {
			t.Errorf("base %d: %v", base, m.Cycle())
		}
	}
}
