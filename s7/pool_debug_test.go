//go:build millracedebug

package s7

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A message that is out for more than a minute names who took it.
func TestHoldersAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pools
		p.init()
		m := p.read.get()
		time.Sleep(heldLong - 1)
		if held := p.read.stats().Held; len(held) != 0 {
			t.Errorf("held too early: %q", held)
		}
		time.Sleep(1)
		if held := p.read.stats().Held; len(held) != 1 || !strings.Contains(held[0], "TestHoldersAreNamed") || !strings.HasPrefix(held[0], "for 1m0s") {
			t.Errorf("held %q", held)
		}
		p.read.put(m)
		if held := p.read.stats().Held; len(held) != 0 {
			t.Errorf("held after it was put: %q", held)
		}
	})
}
