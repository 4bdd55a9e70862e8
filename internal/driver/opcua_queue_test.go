package driver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"millrace/internal/tag"
)

// slip is a receipt that counts how often it was told.
type slip struct {
	n    int
	done *[]int
}

func (s slip) Done() { *s.done = append(*s.done, s.n) }

// pusher fills a queue with numbered values, three a message: a number, a text and an array.
type pusher struct {
	q    pushQueue[slip]
	done []int
	n    int
}

func (p *pusher) push() {
	p.n++
	p.q.push(func(b *tag.Batch) {
		b.Append(1, 0, tag.Good, tag.Int32, uint64(p.n))
		b.AppendString(2, 0, tag.Good, fmt.Sprint("text ", p.n))
		b.AppendAux(3, 0, tag.Good, tag.Uint8|tag.Array, []byte{byte(p.n)})
	}, slip{p.n, &p.done})
}

// took returns the numbers of the messages that are in b behind its first row, and says whether their three rows fit together.
func took(t *testing.T, b *tag.Batch) []int {
	t.Helper()
	var out []int
	for i := 1; i+2 < b.Len(); i += 3 {
		n := int(b.Bits[i])
		if b.Value(i+1).String() != fmt.Sprint("text ", n) || b.Value(i+2).String() != fmt.Sprintf("[%d]", n) {
			t.Errorf("rows of message %d are %s and %s", n, b.Value(i+1), b.Value(i+2))
		}
		out = append(out, n)
	}
	return out
}

func (p *pusher) take(t *testing.T) ([]int, func(error)) {
	t.Helper()
	var b tag.Batch
	b.AppendString(9, 0, tag.Good, "in front")
	done := p.q.take(&b)
	return took(t, &b), done
}

func TestPushedRowsWaitUntilTheyAreSafe(t *testing.T) {
	var p pusher
	if got, done := p.take(t); got != nil || done != nil {
		t.Errorf("%v of nothing", got)
	}
	p.push()
	p.push()
	got, first := p.take(t)
	if !slices.Equal(got, []int{1, 2}) || len(p.done) != 0 {
		t.Errorf("took %v, told %v", got, p.done)
	}
	p.push()
	if got, second := p.take(t); !slices.Equal(got, []int{3}) {
		t.Errorf("took %v", got)
	} else {
		second(nil)
	}
	first(nil)
	if !slices.Equal(p.done, []int{3, 1, 2}) {
		t.Errorf("told %v", p.done)
	}
}

// What could not be kept is taken again, in front of what has come since, and told once.
func TestPushedRowsThatWereLostComeAgain(t *testing.T) {
	var p pusher
	p.push()
	_, first := p.take(t)
	p.push()
	first(errors.New("no room"))
	p.push()
	got, again := p.take(t)
	if !slices.Equal(got, []int{1, 2, 3}) || len(p.done) != 0 {
		t.Errorf("took %v, told %v", got, p.done)
	}
	again(nil)
	if !slices.Equal(p.done, []int{1, 2, 3}) {
		t.Errorf("told %v", p.done)
	}
	if got, _ := p.take(t); got != nil {
		t.Errorf("took %v", got)
	}
}

func TestPushedRowsAllocateNothing(t *testing.T) {
	var p pusher
	var b tag.Batch
	text := strings.Repeat("x", 20)
	if n := testing.AllocsPerRun(200, func() {
		p.q.push(func(b *tag.Batch) { b.AppendString(1, 0, tag.Good, text) }, slip{1, &p.done})
		p.q.push(func(b *tag.Batch) { b.AppendString(2, 0, tag.Good, text) }, slip{2, &p.done})
		b.Reset()
		p.q.take(&b)(nil)
		p.done = p.done[:0]
	}); n != 0 && !underRace {
		t.Errorf("%v allocations", n)
	}
}

// Many goroutines push while one takes and others settle: every message is told once, and is in a batch that was safe.
func TestPushedRowsFromManyGoroutines(t *testing.T) {
	const each, pushers = 200, 4
	var q pushQueue[countedSlip]
	var told sync.Map
	var wg, settled sync.WaitGroup
	for g := range pushers {
		wg.Go(func() {
			for i := range each {
				id := g*each + i
				q.push(func(b *tag.Batch) { b.Append(tag.ID(id+1), 0, tag.Good, tag.Int32, 0) }, countedSlip{id, &told})
			}
		})
	}
	safe := map[tag.ID]bool{}
	for round := 0; len(safe) < each*pushers; round++ {
		var b tag.Batch
		done := q.take(&b)
		if done == nil {
			continue
		}
		if round%3 == 0 {
			done(errors.New("lost"))
			continue
		}
		for _, id := range b.ID {
			if safe[id] {
				t.Fatalf("message %d twice", id)
			}
			safe[id] = true
		}
		settled.Go(func() { done(nil) })
	}
	wg.Wait()
	settled.Wait()
	for id := range each * pushers {
		if n, _ := told.Load(id); n != 1 {
			t.Errorf("message %d told %v times", id, n)
		}
	}
}

type countedSlip struct {
	id   int
	told *sync.Map
}

func (s countedSlip) Done() {
	n, _ := s.told.LoadOrStore(s.id, 0)
	s.told.Store(s.id, n.(int)+1)
}
