package store

import (
	"fmt"
	"slices"
	"testing"
)

func TestHealRuns(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	put := func(r HealRun) {
		t.Helper()
		if err := s.PutHealRuns(ctx, []HealRun{r}); err != nil {
			t.Fatal(err)
		}
	}
	put(HealRun{1, "slow", "running", true, []byte(`{"id":1}`)})
	put(HealRun{2, "slow", "running", true, []byte(`{"id":2}`)})
	put(HealRun{2, "slow", "healed", false, []byte(`{"id":2,"outcome":"healed"}`)})
	put(HealRun{3, "hot", "rolled_back", false, []byte(`{"id":3}`)})
	if err := s.PutHealPause(ctx, []byte(`{"reason":"x"}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(ctx, dir); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ids := func(rule string, open bool, limit int) string {
		t.Helper()
		runs, err := s.HealRuns(ctx, rule, open, limit)
		if err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, r := range runs {
			out += fmt.Sprintf("%d %s %v %s;", r.ID, r.Outcome, r.Open, r.Record)
		}
		return out
	}
	for _, c := range []struct{ got, want string }{
		{ids("", false, 10), `3 rolled_back false {"id":3};2 healed false {"id":2,"outcome":"healed"};1 running true {"id":1};`},
		{ids("", false, 1), `3 rolled_back false {"id":3};`},
		{ids("slow", false, 1), `2 healed false {"id":2,"outcome":"healed"};`},
		{ids("", true, 10), `1 running true {"id":1};`},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	if last, err := s.LastHealRun(ctx); last != 3 || err != nil {
		t.Errorf("last %d, %v", last, err)
	}
	counts, err := s.HealCounts(ctx)
	if err != nil || !slices.Equal(counts, []HealCount{{"hot", "rolled_back", 1}, {"slow", "healed", 1}, {"slow", "running", 1}}) {
		t.Errorf("%v, %v", counts, err)
	}
	if p, err := s.HealPause(ctx); string(p) != `{"reason":"x"}` || err != nil {
		t.Errorf("%s, %v", p, err)
	}
	if err := s.PutHealPause(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if p, err := s.HealPause(ctx); p != nil || err != nil {
		t.Errorf("%s, %v", p, err)
	}
	// The oldest go, but for those that are not over.
	put(HealRun{maxHealRuns + 2, "late", "healed", false, []byte(`{}`)})
	if got := ids("slow", false, 10); got != `1 running true {"id":1};` {
		t.Errorf("kept %s", got)
	}
}
