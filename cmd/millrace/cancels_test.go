package main

import (
	"context"
	"net"
	"testing"
	"time"

	"millrace/ctxguard/ctxtest"
	"millrace/internal/config"
	"millrace/internal/device"
	"millrace/internal/journal"
	"millrace/internal/ledger"
	"millrace/internal/notify"
	"millrace/internal/tag"
	"millrace/modbus"
	"millrace/s7"
)

// What waits for a device, a timer or a disk ends when it is told to, leaves nothing running and closes its connection.
func TestPartsObeyTheirContexts(t *testing.T) {
	for name, f := range map[string]func(context.Context) error{
		"a Modbus request": ctxtest.Conn(func(ctx context.Context, c net.Conn) error {
			m, err := modbus.NewClient(c, modbus.Config{Timeout: time.Hour})
			if err != nil {
				return err
			}
			defer m.Close()
			return m.ReadHolding(ctx, 1, 0, 1, make([]uint16, 1))
		}),
		"an S7 handshake": ctxtest.Conn(func(ctx context.Context, c net.Conn) error {
			m, err := s7.NewClient(ctx, c, s7.Config{Timeout: time.Hour, DialTimeout: time.Hour})
			if err != nil {
				return err
			}
			return m.Close()
		}),
		"the watch of the configuration": func(ctx context.Context) error {
			config.Watch(ctx, time.Second, func() []config.File { return nil }, func() {})
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) { ctxtest.AssertCancels(t, f) })
	}
	for name, f := range map[string]func(context.Context) error{
		"the ledger": func(ctx context.Context) error {
			return ledger.New(nil).Run(ctx, time.Second, func(ledger.Snapshot) {})
		},
		"a receiver of notifications": func(ctx context.Context) error {
			w, err := notify.New(notify.Config{Gateway: "g", URL: "http://127.0.0.1:1/"})
			if err != nil {
				return err
			}
			return w.Run(ctx)
		},
		"the devices": func(ctx context.Context) error {
			r, err := device.New(device.Config{Drivers: drivers(), Output: nowhere{}, Ledger: deviceLedger{ledger.New(nil)}})
			if err != nil {
				return err
			}
			return r.Run(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) { ctxtest.AssertCancels(t, f, ctxtest.ReturnsNil()) })
	}
	silent := ctxtest.SilentServer(t)
	t.Run("an S7 dial", func(t *testing.T) {
		ctxtest.AssertCancels(t, func(ctx context.Context) error {
			c, err := s7.Dial(ctx, silent, s7.Config{DialTimeout: time.Hour})
			if err != nil {
				return err
			}
			return c.Close()
		}, ctxtest.Outside())
	})
	t.Run("the journal", func(t *testing.T) {
		j, err := journal.Open(journal.Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		ctxtest.AssertCancels(t, j.Run, ctxtest.Outside(), ctxtest.ReturnsNil())
	})
}

// nowhere is an output that takes everything.
type nowhere struct{}

func (nowhere) Offer(*tag.Batch, func(error)) bool { return true }
