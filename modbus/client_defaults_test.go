package modbus

import (
	"testing"
	"time"
)

func TestUserTimeoutHasADefault(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 10 * time.Second, 7 * time.Second: 7 * time.Second, -1: -1} {
		if cfg, err := (Config{UserTimeout: given}).withDefaults(); err != nil || cfg.UserTimeout != want {
			t.Errorf("UserTimeout %v is taken as %v, %v; want %v", given, cfg.UserTimeout, err, want)
		}
	}
}
