package driver

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// An outage that is shorter than the server's patience loses nothing: what changed meanwhile comes, in order, and once.
func TestOPCUAOutagesLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "?sampling=500ms&queue=20", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5")
		b.pipes.cut()
		rows, err := b.turn(nil)
		if !errors.Is(err, net.ErrClosed) || len(rows) != 0 {
			t.Fatalf("%q, %v", rows, err)
		}
		if !b.x.Suspend() {
			t.Fatal("nothing to go on with")
		}
		for i := range 5 {
			b.setValue("level", ua.Double(float64(10+i)))
			time.Sleep(time.Second)
		}
		if err := b.x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(soon)
		b.want("1 10", "1 11", "1 12", "1 13", "1 14")
		if n := b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary); n != 1 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

// A server that has lost the session gets another one, and sends what is so now.
func TestOPCUALostSessionsAreMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5")
		b.pipes.cut()
		if !b.x.Suspend() {
			t.Fatal("nothing to go on with")
		}
		b.server.EndSessions()
		b.setValue("level", ua.Double(10))
		if err := b.x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(soon)
		b.want("1 10")
	})
}

// A server that cannot be reached is tried again; one that does not let us in any more is another matter.
func TestOPCUAResumesThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		b.pipes.cut()
		b.x.Suspend()
		b.pipes.deaf.Store(true)
		if err := b.x.Resume(t.Context()); err == nil || errors.Is(err, device.ErrNotResumable) {
			t.Error(err)
		}
		b.pipes.deaf.Store(false)
		b.set(func() {
			b.refuse[ns0.CreateSessionRequest_Encoding_DefaultBinary] = ua.BadTooManySessions
			b.refuse[ns0.ActivateSessionRequest_Encoding_DefaultBinary] = ua.BadSessionIdInvalid
		})
		if err := b.x.Resume(t.Context()); !errors.Is(err, device.ErrNotResumable) {
			t.Error(err)
		}
	})
}

func TestOPCUAPollingHasNothingToGoOnWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "?mode=poll", nil, specs("nsu=urn:plant;s=level"))
		b.want("1 1.5")
		if b.x.Suspend() {
			t.Error("a polled session was kept")
		}
	})
}
