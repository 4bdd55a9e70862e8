package inflight

import "testing"

func TestAnIDIsNotReusedBeforeItsReply(t *testing.T) {
	var tb table
	lost := tb.add(slot{key: 1, turn: &Turn{}}).id
	tb.giveUp(tb.find(lost))
	for range 3 * 65536 {
		id := tb.add(slot{key: 1, turn: &Turn{}}).id
		if id == lost {
			t.Fatal("the lost id came again")
		}
		tb.answer(tb.find(id))
	}
	tb.answer(tb.find(lost))
	seen := false
	for range 65536 {
		id := tb.add(slot{key: 1, turn: &Turn{}}).id
		seen = seen || id == lost
		tb.answer(tb.find(id))
	}
	if !seen || tb.inFlight != 0 || len(tb.slots) != 2 {
		t.Fatalf("seen again %v, in flight %d, %d slots", seen, tb.inFlight, len(tb.slots))
	}
}

// Ids go round: 0 is younger than 65535.
func TestOvertakingWhereIDsGoRound(t *testing.T) {
	tb := table{next: 0xFFFD}
	var ids []uint16
	for range 4 {
		ids = append(ids, tb.add(slot{key: 1, turn: &Turn{}}).id)
	}
	for i, want := range []bool{false, true, true, true} {
		if got := tb.overtakes(tb.find(ids[i])); got != want {
			t.Errorf("id %d overtakes: %v", ids[i], got)
		}
	}
	tb.giveUp(tb.find(ids[0]))
	if tb.overtakes(tb.find(ids[1])) {
		t.Error("overtakes one that nobody waits for")
	}
}

// As many answers are remembered as four windows have, from 16 to 64.
func TestDuplicatesAreForgotten(t *testing.T) {
	for _, c := range []struct{ window, known int }{{1, 16}, {4, 16}, {8, 32}, {16, 64}, {MaxWindow, 64}} {
		var tb table
		open := func() uint16 { return tb.add(slot{key: 5, turn: &Turn{}}).id }
		var ids []uint16
		for range c.window {
			ids = append(ids, open())
		}
		for n := range 3 * mostAnswered {
			tb.answer(tb.find(ids[n]))
			ids = append(ids, open())
			for back := range n + 1 {
				if known := tb.duplicate(&toy{}, Head{ID: ids[n-back], Key: 5}); known != (back < c.known) {
					t.Fatalf("window %d: after %d answers, the one %d before the last is known: %v", c.window, n+1, back, known)
				}
			}
			if tb.duplicate(&toy{}, Head{ID: ids[n], Key: 6}) || tb.duplicate(&toy{}, Head{ID: ids[n+1], Key: 5}) {
				t.Fatalf("window %d: after %d answers, what was not answered is known", c.window, n+1)
			}
		}
	}
}
