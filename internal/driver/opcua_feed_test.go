package driver

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// soon is how long what a server samples every second takes to come: a second until it is sampled, and half of one until it is sent.
const soon = 1600 * time.Millisecond

// feedBench is a server with a session that reads one plan.
type feedBench struct {
	*uaServer
	x     *opcuaSession
	w     *watcher
	pipes *pipes
	plan  *opcuaPlan

	mu    sync.Mutex
	woken int
}

// newFeed serves a plant in the bubble, and opens a session that reads addresses every second.
func newFeed(t *testing.T, query string, f func(*opcua.ServerConfig), tags []device.TagSpec) *feedBench {
	s := &uaServer{t: t, refuse: map[uint32]ua.StatusCode{}, asked: map[uint32]int{}}
	var err error
	if s.space, err = opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: "urn:test"}); err != nil {
		t.Fatal(err)
	}
	if s.ns, err = s.space.AddNamespace(plantURI); err != nil {
		t.Fatal(err)
	}
	s.fill()
	p := newPipes()
	s.serveOn(p, f)
	w := newWatcher()
	c, err := opcua.Dial(t.Context(), "opc.tcp://h", opcua.Config{Dialer: p.dial, Hooks: opcuaHooks(w)})
	if err != nil {
		t.Fatal(err)
	}
	b := &feedBench{uaServer: s, pipes: p, x: newOPCUASession(c, w), w: w, plan: planOPCUA(t, "opc.tcp://h"+query, tags)}
	t.Cleanup(func() {
		_ = b.x.Close()
		s.stop()
	})
	return b
}

func (b *feedBench) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.woken++
}

// turn reads the plan as a device does, and says what became of the rows.
func (b *feedBench) turn(verdict error) (rows []string, err error) {
	b.x.Wake(b.plan, time.Second, b.wake)
	var batch tag.Batch
	err = b.x.Read(b.t.Context(), b.plan, &batch)
	if done := b.x.Taken(b.plan); done != nil {
		done(verdict)
	}
	for i, id := range batch.ID {
		v := batch.Value(i).String()
		if batch.Quality[i] != tag.Good {
			v = batch.Quality[i].String()
		}
		rows = append(rows, fmt.Sprintf("%d %s", id, v))
	}
	return rows, err
}

// want turns and compares.
func (b *feedBench) want(rows ...string) {
	b.t.Helper()
	got, err := b.turn(nil)
	slices.Sort(got)
	slices.Sort(rows)
	if err != nil || !slices.Equal(got, rows) {
		b.t.Errorf("rows %q, %v; want %q", got, err, rows)
	}
}

func (b *feedBench) setValue(name string, v ua.Variant) {
	b.t.Helper()
	if err := b.space.SetValue(b.id(name), ua.DataValue{Value: v, SourceTimestamp: ua.DateTimeOf(time.Now())}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *feedBench) wakes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.woken
}

// The first Read subscribes; values come by themselves, wake who reads them, and are acknowledged once they are safe.
func TestOPCUASubscribes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=row;[1]", "/Objects/nsu=urn:plant;Plant/nsu=urn:plant;name"))
		b.want()
		time.Sleep(soon)
		if b.wakes() == 0 {
			t.Error("nobody was woken")
		}
		b.want("1 1.5", "2 20", "3 Kessel")
		b.want()
		before := b.wakes()
		b.setValue("level", ua.Double(2.5))
		time.Sleep(soon)
		if b.wakes() != before+1 {
			t.Errorf("woken %d times", b.wakes()-before)
		}
		b.want("1 2.5")
		time.Sleep(30 * time.Second) // messages that say that it lives, whose requests acknowledge
		if st := b.x.client.(*opcua.Client).Stats(); st.Acknowledged != 2 || st.Values != 4 {
			t.Errorf("%+v", st)
		}
	})
}

// Every value that was sampled between two Reads is a row, in order and with its own time.
func TestOPCUAQueuedValuesAreRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "?sampling=100ms", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5")
		for i := range 4 {
			b.setValue("level", ua.Double(float64(10+i)))
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(time.Second)
		b.want("1 10", "1 11", "1 12", "1 13")
	})
}

func TestOPCUABadNodesCostThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "?deadband=0.5", nil, specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=nothing", "nsu=urn:nowhere;s=x", "nsu=urn:plant;s=name", "/Objects/Later"))
		b.want("2 bad (no such address)", "3 bad (no such address)", "5 bad (no such address)")
		time.Sleep(soon)
		b.want("1 1.5", "2 bad (no such address)", "3 bad (no such address)", "4 Kessel", "5 bad (no such address)")
		if len(b.w.refused) != 3 || !strings.Contains(b.w.why.Error(), "BadNodeIdUnknown") {
			t.Errorf("%d refusals, %v", len(b.w.refused), b.w.why)
		}
		if err := b.space.Add(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes), opcua.Node{Id: b.id("later"), Class: ua.NodeClassVariable,
			BrowseName: ua.QualifiedName{Name: "Later"}, DataType: ua.NumericId(0, 6), ValueRank: -1, Value: ua.DataValue{Value: ua.Int32(5)}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lostAgain)
		b.want("2 bad (no such address)", "3 bad (no such address)")
		time.Sleep(soon)
		b.want("2 bad (no such address)", "3 bad (no such address)", "5 5")
		b.setValue("level", ua.Double(1.7)) // within the deadband
		time.Sleep(soon)
		b.want("2 bad (no such address)", "3 bad (no such address)")
	})
}

// A node that is bad now is so in each Read until it is not, and is told of once.
func TestOPCUANodesThatAreBadForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=count"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5", "2 -7")
		for turn := range 2 {
			if err := b.space.SetValue(b.id("level"), ua.DataValue{Status: ua.BadSensorFailure}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(soon)
			b.want("1 bad (sensor failure)", "1 bad (sensor failure)")
			b.want("1 bad (sensor failure)")
			if len(b.w.refused) != turn+1 {
				t.Errorf("told of %d times", len(b.w.refused))
			}
			b.setValue("level", ua.Double(float64(turn)))
			time.Sleep(soon)
			b.want(fmt.Sprint("1 ", turn))
			b.want()
		}
	})
}

// What was not safe comes again, and is acknowledged then.
func TestOPCUALostRowsComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		if got, err := b.turn(errors.New("disk full")); err != nil || !slices.Equal(got, []string{"1 1.5"}) {
			t.Errorf("%q, %v", got, err)
		}
		b.setValue("level", ua.Double(3))
		time.Sleep(soon)
		b.want("1 1.5", "1 3")
		b.want()
	})
}

// When nothing is safe for long the server is asked for no more, and it goes on when something is.
func TestOPCUAFullQueueStopsAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "?queue=100", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		var due []func(error)
		turns := 0
		for i := range 3 * maxUnsafe {
			b.setValue("level", ua.Double(float64(100+i)))
			time.Sleep(soon)
			b.x.Wake(b.plan, time.Second, b.wake)
			var batch tag.Batch
			if err := b.x.Read(t.Context(), b.plan, &batch); err != nil {
				t.Fatal(err)
			}
			if done := b.x.Taken(b.plan); done != nil {
				due = append(due, done)
				turns++
			}
		}
		if turns < maxUnsafe || turns > maxUnsafe+4 { // some were on their way
			t.Errorf("%d messages came while none was safe", turns)
		}
		for _, done := range due {
			done(nil)
		}
		time.Sleep(2 * time.Second)
		got, err := b.turn(nil)
		if want := fmt.Sprintf("1 %d", 100+3*maxUnsafe-1); err != nil || len(got) == 0 || got[len(got)-1] != want {
			t.Errorf("%q, %v; want %s last", got, err, want)
		}
	})
}

// A value that cannot be decoded takes those behind it in the message along. They come again, and the node is polled, or bad where nothing is polled.
func TestOPCUANotificationsThatCannotBeDecoded(t *testing.T) {
	deep := ua.Int32(1)
	for range 150 {
		deep = ua.VariantArray([]ua.Variant{deep})
	}
	for query, status := range map[string]ua.StatusCode{"": ua.BadEncodingLimitsExceeded, "?mode=subscribe": ua.BadDecodingError} {
		synctest.Test(t, func(t *testing.T) {
			b := newFeed(t, query, nil, specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=rw.any", "nsu=urn:plant;s=count"))
			b.setValue("rw.any", deep)
			b.want()
			time.Sleep(soon)
			bad := "2 " + tag.Quality(status).String()
			b.want("1 1.5", bad)
			time.Sleep(soon)
			b.want("1 1.5", "3 -7", bad)
			b.setValue("count", ua.Int32(8))
			time.Sleep(soon)
			b.want("3 8", bad)
		})
	}
}

// A server that refuses subscriptions is polled, and asked again later.
func TestOPCUARefusedSubscriptionsArePolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=nothing"))
		b.set(func() { b.refuse[ns0.CreateSubscriptionRequest_Encoding_DefaultBinary] = ua.BadServiceUnsupported })
		b.want("1 1.5", "2 bad (no such address)")
		b.setValue("level", ua.Double(2))
		b.want("1 2", "2 bad (no such address)")
		if n := b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary); n != 1 || b.w.why == nil {
			t.Errorf("asked %d times, %v", n, b.w.why)
		}
		b.set(func() { clear(b.refuse) })
		time.Sleep(refusedFor)
		b.want("2 bad (no such address)")
		time.Sleep(soon)
		b.want("1 2", "2 bad (no such address)")
	})
}

func TestOPCUASubscribeOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "?mode=subscribe", nil, specs("nsu=urn:plant;s=level"))
		b.set(func() { b.refuse[ns0.CreateSubscriptionRequest_Encoding_DefaultBinary] = ua.BadTooManySubscriptions })
		b.want("1 " + tag.Quality(ua.BadTooManySubscriptions).String())
		b.set(func() { clear(b.refuse) })
		b.want()
		time.Sleep(soon)
		b.want("1 1.5")
	})
}

// Items that the server has no room for are polled when they are due, the others are sent.
func TestOPCUAItemsBeyondTheServersAreArePolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", func(c *opcua.ServerConfig) { c.Subscriptions.ItemsPerSubscription = 1 }, specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=count"))
		b.want("2 -7")
		b.want() // not due yet
		time.Sleep(soon)
		b.want("1 1.5", "2 -7")
	})
}

// A subscription that is dead is made anew in the next Read, of which who reads is told.
func TestOPCUADeadSubscriptionsAreMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.setValue("level", ua.Double(4))
		time.Sleep(soon)
		before := b.wakes()
		b.x.states[0].feed.died(ua.BadTimeout)
		if b.wakes() != before+1 {
			t.Error("nobody was told")
		}
		b.want("1 1.5", "1 4") // what had come
		time.Sleep(soon)
		b.want("1 4")
		if n := b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary); n != 2 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

// A subscription that somebody wants made anew is, and what the old one had sent is taken.
func TestOPCUASubscriptionsAreMadeAnewWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.setValue("level", ua.Double(4))
		time.Sleep(soon)
		if !b.x.Resubscribe(b.plan) {
			t.Error("there is no subscription")
		}
		b.want("1 1.5", "1 4") // what had come
		time.Sleep(soon)
		b.want("1 4")
		b.want()
		if n, gone := b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary), b.times(ns0.DeleteSubscriptionsRequest_Encoding_DefaultBinary); n != 2 || gone != 1 {
			t.Errorf("%d subscriptions, %d of them deleted", n, gone)
		}
	})
}

func TestOPCUAWhatIsPolledIsNotSubscribedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "?mode=poll", nil, specs("nsu=urn:plant;s=level"))
		if b.x.Resubscribe(b.plan) {
			t.Error("what is polled has a subscription")
		}
	})
}

// A server that answers everything but Publish is found out, and the session ends when another subscription helps nothing.
func TestOPCUASilentSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5")
		b.set(func() { b.refuse[ns0.PublishRequest_Encoding_DefaultBinary] = opcua.NoAnswer })
		time.Sleep(30 * time.Second)
		b.want()
		time.Sleep(30 * time.Second)
		rows, err := b.turn(nil)
		var silent *SilentError
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &silent) || len(rows) != 0 {
			t.Errorf("%q, %v", rows, err)
		}
	})
}

// A plan that another has taken the place of loses its subscription, one for the same nodes inherits it.
func TestOPCUAPlansThatAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5")
		same := planOPCUA(t, "opc.tcp://h", specs("nsu=urn:plant;s=level"))
		b.plan = same
		b.setValue("level", ua.Double(2))
		time.Sleep(soon)
		b.want("1 2")
		b.plan = planOPCUA(t, "opc.tcp://h", specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=count"))
		b.want()
		time.Sleep(soon)
		b.want("1 2", "2 -7")
		made, gone := b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary), b.times(ns0.DeleteSubscriptionsRequest_Encoding_DefaultBinary)
		if made != 2 || gone != 1 || len(b.x.states) != 1 {
			t.Errorf("%d made, %d deleted, %d states", made, gone, len(b.x.states))
		}
		other := planOPCUA(t, "opc.tcp://h", []device.TagSpec{{ID: 50, Name: "x", Address: "nsu=urn:plant;s=level"}})
		b.plan = other
		b.want()
		time.Sleep(unreadFor)
		b.want("50 2")
		if len(b.x.states) != 1 {
			t.Errorf("%d states of plans that nobody reads", len(b.x.states))
		}
	})
}

// A group that is read at another interval than before is subscribed to at that.
func TestOPCUAIntervalsThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5")
		var batch tag.Batch
		for range 2 {
			b.x.Wake(b.plan, 100*time.Millisecond, b.wake)
			if err := b.x.Read(t.Context(), b.plan, &batch); err != nil {
				t.Fatal(err)
			}
		}
		made, gone := b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary), b.times(ns0.DeleteSubscriptionsRequest_Encoding_DefaultBinary)
		if got := b.x.states[0].feed.sub.Interval(); got != 50*time.Millisecond || made != 2 || gone != 1 {
			t.Errorf("publishing every %v, %d made, %d deleted", got, made, gone)
		}
	})
}

// Nobody who can be woken: the values are read.
func TestOPCUAWithoutWakeIsPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		if got := b.read(b.x, b.plan); got[1] != "1.5" || b.x.Taken(b.plan) != nil {
			t.Errorf("%v", got)
		}
	})
}

// A server that falls silent is asked for one node, which has the time of any read, before its subscription is made anew, which has more.
func TestOPCUASilentServersAreFoundOutByARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5")
		all := []uint32{ns0.PublishRequest_Encoding_DefaultBinary, ns0.ReadRequest_Encoding_DefaultBinary, ns0.CreateSubscriptionRequest_Encoding_DefaultBinary}
		b.set(func() {
			for _, id := range all {
				b.refuse[id] = opcua.NoAnswer
			}
		})
		var err error
		for n := 0; err == nil && n < 60; n++ {
			time.Sleep(time.Second)
			_, err = b.turn(nil)
		}
		var late net.Error
		if !errors.As(err, &late) || !late.Timeout() || errors.Is(err, net.ErrClosed) || b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary) != 1 {
			t.Errorf("%v; %d subscriptions", err, b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary))
		}
		b.set(func() { clear(b.refuse) })
		b.want()
		if n := b.times(ns0.CreateSubscriptionRequest_Encoding_DefaultBinary); n != 2 {
			t.Errorf("it answers: %d subscriptions", n)
		}
	})
}

// What is read once of the nodes of a plan is asked for at once: they have been found, and nothing has to be set up.
func TestOPCUAReadOnceOfWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFeed(t, "", nil, specs("nsu=urn:plant;s=level", "nsu=urn:plant;s=count"))
		b.want()
		time.Sleep(soon)
		b.want("1 1.5", "2 -7")
		before := b.times(ns0.ReadRequest_Encoding_DefaultBinary)
		var into tag.Batch
		if err := b.x.ReadOnce(t.Context(), planOPCUA(t, "opc.tcp://h", specs("nsu=urn:plant;s=level")), &into); err != nil || into.Len() != 1 || into.Quality[0] != tag.Good {
			t.Errorf("%v: %d rows", err, into.Len())
		}
		if n := b.times(ns0.ReadRequest_Encoding_DefaultBinary) - before; n != 1 {
			t.Errorf("%d reads for one value", n)
		}
	})
}
