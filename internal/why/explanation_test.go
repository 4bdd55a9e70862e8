package why

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
)

// What the API gives can be read back, has no null list, and has the evidence beside the findings.
func TestExplanationAsJSON(t *testing.T) {
	f := healthy()
	f.Evidence.Happenings = []device.Happening{{At: before(time.Minute), From: device.Ready, To: device.Suspect, Reason: "no answer"}}
	f.Evidence.RTT.History = []device.RTTEpoch{{Began: before(10 * time.Minute), Samples: 300, Median: 5 * time.Millisecond, P99: 8 * time.Millisecond}}
	f.down(device.FaultNoAnswer, dialError(os.ErrDeadlineExceeded))
	b, err := json.Marshal(Make(f.Facts))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "null") {
		t.Errorf("%s", b)
	}
	var e Explanation
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	x := e.Findings[0]
	if e.Of != "press1" || e.What != "device" || e.State != "cooling" || x.Cause != "no_answer" || x.Layer != LayerNetwork || x.Confidence != Likely || !x.Since.Equal(before(time.Minute)) || e.Well() {
		t.Errorf("%+v", e)
	}
	if len(e.Faults) != 1 || e.Faults[0].Kind != "no_answer" || e.Faults[0].Error == "" || len(e.History) != 1 || e.RTT.Usual != 5 || e.RTT.History[0].P99 != 8 || e.TCP == nil || e.TCP.Sent != 40 {
		t.Errorf("%+v", e)
	}
	f = healthy()
	f.ask()
	f.Evidence.TCP = device.TCPSample{}
	if e := Make(f.Facts); !e.Well() || e.What != "tag" || e.Of != "press1/t0" || e.Device != "press1" || e.TCP != nil {
		t.Errorf("%+v", e)
	}
}

func TestWordsThatAreNone(t *testing.T) {
	var l Layer
	var c Confidence
	for _, err := range []error{l.UnmarshalText([]byte("nowhere")), c.UnmarshalText([]byte("perhaps"))} {
		var w *WordError
		if !errors.As(err, &w) || !strings.Contains(err.Error(), w.Word) {
			t.Errorf("%v", err)
		}
	}
}
