package linktrace

import (
	"testing"
	"time"
)

// A trace has the losses that its link has, nothing within its cuts, and half of the cuts announced; the same seed makes the same one.
func TestMake(t *testing.T) {
	for _, l := range Links() {
		tr := l.Make(1, 50_000, true)
		again := l.Make(1, 50_000, true)
		if len(tr.Answers) != len(again.Answers) || tr.Answers[100] != again.Answers[100] {
			t.Errorf("%s: the same seed makes another trace", l.Name)
		}
		if lost := 1 - float64(len(l.Make(1, 50_000, false).Answers))/50_000; lost < l.Loss*0.8 || lost > l.Loss*1.2+0.0001 {
			t.Errorf("%s: %.4f lost, want %.4f", l.Name, lost, l.Loss)
		}
		announced := 0
		for _, c := range tr.Cuts {
			if c.Announced {
				announced++
			}
			for _, a := range tr.Answers {
				if sent := a.At.Add(-a.RTT); !sent.Before(c.From) && sent.Before(c.To) {
					t.Errorf("%s: an answer within a cut", l.Name)
				}
			}
		}
		if len(tr.Cuts) < 20 || announced != (len(tr.Cuts)+1)/2 {
			t.Errorf("%s: %d cuts, %d announced", l.Name, len(tr.Cuts), announced)
		}
	}
	if Median([]time.Duration{1, 2, 3}) != 2 || Median(nil) != 0 {
		t.Error("median")
	}
}
