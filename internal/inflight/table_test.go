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

func TestDuplicatesAreForgotten(t *testing.T) {
	var tb table
	first := tb.add(slot{key: 5, turn: &Turn{}}).id
	tb.answer(tb.find(first))
	for n := 1; n < answeredIDs; n++ {
		if !tb.duplicate(&toy{}, Head{ID: first, Key: 5}) || tb.duplicate(&toy{}, Head{ID: first, Key: 6}) || tb.duplicate(&toy{}, Head{ID: first + 100, Key: 5}) {
			t.Fatalf("after %d answers", n)
		}
		tb.answer(tb.find(tb.add(slot{key: 5, turn: &Turn{}}).id))
	}
	tb.answer(tb.find(tb.add(slot{key: 5, turn: &Turn{}}).id))
	if tb.duplicate(&toy{}, Head{ID: first, Key: 5}) {
		t.Error("known for ever")
	}
}
