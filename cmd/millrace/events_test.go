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
	lesson := func(name string, _ device.Limits) { told[name]++ }
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range devices {
			q.learn(fmt.Sprint("plc-", i), device.Limits{Window: 1})
		}
	})
	for range devices {
		q.teach(lesson)
	}
	wg.Wait()
	q.teach(lesson)
	if len(told) != devices {
		t.Errorf("%d of %d devices were heard", len(told), devices)
	}
	for name, n := range told {
		if n != 1 {
			t.Errorf("%s was told %d times", name, n)
		}
	}
}
