package main

import (
	"fmt"
	"sync"
	"testing"

	"millrace/internal/device"
)

// Devices learn while the queue looks for what they have learned, whether there is anything or not; each lesson comes once.
func TestLessonsComeOnce(t *testing.T) {
	q := newEventQueue()
	const devices = 2000
	told := map[string]int{}
	lessons := func(all map[string]device.Limits) {
		for name := range all {
			told[name]++
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range devices {
			q.learn(fmt.Sprint("plc-", i), device.Limits{Window: 1})
		}
	})
	for range devices {
		q.teach(lessons)
	}
	wg.Wait()
	q.teach(lessons)
	calls := 0
	for i := range 3 {
		q.learn(fmt.Sprint("late-", i), device.Limits{})
	}
	q.teach(func(all map[string]device.Limits) { calls += 100 + len(all) })
	if q.teach(lessons); calls != 103 {
		t.Errorf("three lessons at once were not told in one: %d", calls)
	}
	if len(told) != devices {
		t.Errorf("%d of %d devices were heard", len(told), devices)
	}
	for name, n := range told {
		if n != 1 {
			t.Errorf("%s was told %d times", name, n)
		}
	}
}
