package opcua

import (
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"millrace/opcua/ua"
)

// inBubble runs f with a fake server in a synctest bubble.
func inBubble(t *testing.T, f func(t *testing.T, s *fakeServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newFake(t)) })
}

func wantValues(t *testing.T, got []float64, want ...float64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func wantStory(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestClientAcknowledgesWhatIsDone(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 2)
		w.keepReceipts()
		s.subs.notify(1, 1, 2)
		s.subs.notify(1, 3)
		wantValues(t, w.values(), 1, 2, 3)
		s.subs.notify(1, 4)
		wantValues(t, w.values(), 4)
		if got := s.subs.acknowledged(1); len(got) != 0 {
			t.Errorf("acknowledged %v before they were done", got)
		}
		w.receipts()[1].Done()
		s.subs.notify(1, 5) // its Publish is followed by one that carries the acknowledgement
		wantValues(t, w.values(), 5)
		if got := s.subs.acknowledged(1); !slices.Equal(got, []uint32{2}) {
			t.Errorf("acknowledged %v", got)
		}
	})
}

func TestClientStopsAskingWhenTheReceiverHasEnough(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{Unacknowledged: 3}, 1)
		w.keepReceipts()
		n := 0
		for s.subs.notify(1, float64(n)) {
			if n++; n > 10 {
				t.Fatal("it goes on asking")
			}
			synctest.Wait()
		}
		if n < 3 || n > 4 { // a second Publish was in flight when the third message came
			t.Errorf("%d messages", n)
		}
		time.Sleep(time.Hour)
		if d := w.deaths(); s.subs.queued() != 0 || len(d) != 0 {
			t.Errorf("asks with %d requests, dead %v", s.subs.queued(), d)
		}
		for _, r := range w.receipts() {
			r.Done()
		}
		synctest.Wait()
		if s.subs.queued() != 2 {
			t.Errorf("%d Publish requests after the receiver has done", s.subs.queued())
		}
	})
}

func TestClientHasAPublishRequestForEachSubscriptionAndOneMore(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
		for subs := 1; subs < 6; subs++ {
			synctest.Wait()
			if got := s.subs.queued(); got != max(2, subs+1) {
				t.Errorf("%d Publish requests for %d subscriptions", got, subs)
			}
			if _, err := w.c.Subscribe(t.Context(), SubscriptionConfig{Notify: w.notify}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestClientBacksOffWhenTheServerQueuesNoMore(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
		for range 5 {
			if _, err := w.c.Subscribe(t.Context(), SubscriptionConfig{Notify: w.notify}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		w.story()
		before := s.subs.queued()
		s.subs.refuse(ua.BadTooManyPublishRequests)
		wantStory(t, w.story(), fmt.Sprintf("publish limited, %d", before-1))
		if got := s.subs.queued(); got != before-1 {
			t.Errorf("%d Publish requests, then %d", before, got)
		}
		if w.c.Learned().Publishing != before-1 {
			t.Errorf("learned %+v", w.c.Learned())
		}
	})
}

// A server that answers Publish requests at once, with nothing inside, does not get many of them.
func TestClientPacesEmptyAnswers(t *testing.T) {
	for _, more := range []bool{false, true} {
		t.Run(fmt.Sprintf("more notifications %v", more), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				s.answer = func(f *fakeConn, r *fakeRequest) bool {
					if r.service != ServicePublish {
						return false
					}
					m := &ua.PublishResponse{SubscriptionId: 1, MoreNotifications: more, NotificationMessage: ua.NotificationMessage{SequenceNumber: 1}}
					if more {
						m.NotificationMessage.NotificationData = []ua.ExtensionObject{ua.Wrap(&ua.DataChangeNotification{})}
					}
					f.reply(r, m)
					return true
				}
				w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
				time.Sleep(time.Minute)
				if n := s.times(ServicePublish); n > 40 {
					t.Errorf("%d Publish requests in a minute", n)
				}
				if w.c.Stats().Paced == 0 || !strings.Contains(strings.Join(w.story(), "\n"), "publish paced") {
					t.Error("no pause")
				}
			})
		})
	}
}

func TestClientSilenceIsDeath(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{Interval: 500 * time.Millisecond, KeepAlive: 4}, 1)
		for range 5 {
			time.Sleep(2 * time.Second)
			s.subs.sayAlive(1)
		}
		if d := w.deaths(); len(d) != 0 {
			t.Fatalf("died of %v", d)
		}
		time.Sleep(2500*time.Millisecond + 100*time.Millisecond)
		var n net.Error
		if d := w.deaths(); len(d) != 1 || !errors.As(d[0], &n) || !n.Timeout() || w.c.Err() != nil || !w.sub.Dead() {
			t.Fatalf("dead %v, connection %v", d, w.c.Err())
		}
		if err := w.sub.Recreate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.subs.notify(2, 8)
		wantValues(t, w.values(), 8)
		wantStory(t, w.story(), "subscription dead, subscription 1: BadTimeout", "subscription recreated, subscription 2, 1")
	})
}

func TestClientStatusChangeIsDeath(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
		s.subs.publish(&ua.PublishResponse{SubscriptionId: 1, NotificationMessage: ua.NotificationMessage{
			SequenceNumber: 1, NotificationData: []ua.ExtensionObject{ua.Wrap(&ua.StatusChangeNotification{Status: ua.BadTimeout})},
		}})
		if d := w.deaths(); len(d) != 1 || !errors.Is(d[0], ua.BadTimeout) {
			t.Errorf("dead %v", d)
		}
	})
}

func TestClientFetchesAMissedMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
		s.subs.notify(1, 1)
		s.subs.lose(1, false, 2)
		s.subs.notify(1, 3)
		wantValues(t, w.values(), 1, 3, 2)
		wantStory(t, w.story(), "messages missed, subscription 1, 1", "messages republished, subscription 1, 1")
		if w.filled != 1 {
			t.Errorf("%d messages say that they were fetched", w.filled)
		}
	})
}

func TestClientFillsAGap(t *testing.T) {
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprintf("resend refused %v", refused), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				w := watch(t, s, s.config(), SubscriptionConfig{}, 3)
				if refused {
					s.subs.resend = ua.BadMethodInvalid
				}
				s.subs.lose(1, true)
				s.subs.notify(1, 9)
				if !refused {
					wantValues(t, w.values(), 9)
					wantStory(t, w.story(), "messages missed, subscription 1, 1", "gap, subscription 1, 1: BadMessageNotAvailable", "values resent, subscription 1")
					return
				}
				wantValues(t, w.values(), 9, 0, 1, 2)
				wantStory(t, w.story(), "messages missed, subscription 1, 1", "gap, subscription 1, 1: BadMessageNotAvailable", "values read, subscription 1, 3")
			})
		})
	}
}

func TestClientItemsOneBadOneCostsOne(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
		items := numberedItems(4)
		items[1].Node.NodeId.Namespace = 7
		items[2].NamespaceUri = "urn:nowhere"
		items[3].NamespaceUri, items[3].Node.NodeId.Namespace = "urn:fake", 0
		if err := w.sub.Add(t.Context(), items); err != nil {
			t.Fatal(err)
		}
		for i, want := range []ua.StatusCode{0, ua.BadNodeIdUnknown, ua.BadNodeIdUnknown, 0} {
			if items[i].Status != want || items[i].Handle != uint32(1+i) {
				t.Errorf("item %d is %+v", i, items[i])
			}
		}
		if err := w.sub.Remove(t.Context(), 1, 2, 99); err != nil || len(w.sub.Items()) != 3 {
			t.Errorf("%d items, %v", len(w.sub.Items()), err)
		}
	})
}

func TestClientGoesWithoutFilters(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		s.subs.create = func(it *ua.MonitoredItemCreateRequest) ua.StatusCode {
			if !it.RequestedParameters.Filter.IsNull() {
				return ua.BadMonitoredItemFilterUnsupported
			}
			return 0
		}
		w := watch(t, s, s.config(), SubscriptionConfig{}, 0)
		items := numberedItems(3)
		items[1].Deadband = 0.5
		if err := w.sub.Add(t.Context(), items); err != nil {
			t.Fatal(err)
		}
		for i := range items {
			if items[i].Status != 0 || items[i].Unfiltered != (i == 1) {
				t.Errorf("item %d is %+v", i, items[i])
			}
		}
		wantStory(t, w.story(), "no filters, subscription 1, 1")
		before := s.times(ServiceCreateMonitoredItems)
		items[2].Stamps = true
		if err := w.sub.Add(t.Context(), items[2:]); err != nil || !items[2].Unfiltered || s.times(ServiceCreateMonitoredItems) != before+1 {
			t.Errorf("%+v after %d requests, %v", items[2], s.times(ServiceCreateMonitoredItems)-before, err)
		}
	})
}

func TestClientRevisedValuesHaveFloors(t *testing.T) {
	for _, ms := range []float64{0, -5, 1e-300, math.NaN(), math.Inf(1), math.Inf(-1)} {
		t.Run(fmt.Sprint(ms), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				s.subs.revise = func(m *ua.CreateSubscriptionResponse) {
					m.RevisedPublishingInterval, m.RevisedMaxKeepAliveCount, m.RevisedLifetimeCount = ms, 0, 0
				}
				w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
				if d := w.sub.Interval(); d < intervalFloor || d > intervalCeiling {
					t.Errorf("interval %v", d)
				}
				time.Sleep(time.Minute)
				if n := s.times(ServicePublish); n > 10 {
					t.Errorf("%d Publish requests", n)
				}
			})
		})
	}
}

func TestClientRecovers(t *testing.T) {
	for _, x := range []struct {
		name   string
		before func(s *fakeServer) // while the connection is cut
		values []float64
		story  []string
	}{
		{"as it was", nil, nil, []string{"reconnected", "session reactivated"}},
		{"with messages that had not come", func(s *fakeServer) { s.subs.lose(1, false, 5); s.subs.lose(1, false, 6, 7) }, []float64{5, 6, 7},
			[]string{"reconnected", "session reactivated", "messages republished, subscription 1, 2"}},
		{"into another session", func(s *fakeServer) { s.forget(); s.subs.lose(1, false, 5) }, []float64{5},
			[]string{"reconnected", "session lost: BadSessionIdInvalid", "session made", "subscription transferred, subscription 1", "messages republished, subscription 1, 1"}},
		{"without a transfer", func(s *fakeServer) { s.forget(); s.subs.transfer = ua.BadUserAccessDenied }, nil,
			[]string{"reconnected", "session lost: BadSessionIdInvalid", "session made", "subscription not transferred, subscription 1: BadUserAccessDenied", "subscription recreated, subscription 2, 2"}},
		{"without the subscription", func(s *fakeServer) { delete(s.subs.live, 1) }, nil,
			[]string{"reconnected", "session reactivated", "subscription dead, subscription 1: BadSubscriptionIdInvalid", "subscription recreated, subscription 2, 2"}},
		{"with other namespaces", func(s *fakeServer) { s.names = append(s.names, "urn:new") }, nil,
			[]string{"reconnected", "session reactivated", "namespaces changed"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				w := watch(t, s, s.config(), SubscriptionConfig{}, 2)
				s.subs.notify(1, 1)
				wantValues(t, w.values(), 1)
				old := w.c
				w.recover(func() {
					if x.before != nil {
						x.before(s)
					}
				})
				wantStory(t, w.story(), x.story...)
				wantValues(t, w.values(), x.values...)
				s.subs.notify(w.sub.Id(), 100)
				wantValues(t, w.values(), 100)
				if _, err := old.Recover(t.Context()); !errors.Is(err, ErrRecovered) {
					t.Errorf("once more: %v", err)
				}
			})
		})
	}
}

// What the server says of a session that is over, that its subscription went elsewhere, may be among the messages that it has kept. It went here.
func TestClientTakesNoOldNewsForTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 2)
		w.recover(func() {
			s.forget()
			s.subs.lose(1, false)
			s.answers(func(f *fakeConn, r *fakeRequest) bool {
				m, ok := r.m.(*ua.RepublishRequest)
				if !ok || s.times(ServiceRepublish) > 1 {
					return false
				}
				moved := ua.Wrap(&ua.StatusChangeNotification{Status: ua.GoodSubscriptionTransferred})
				f.reply(r, &ua.RepublishResponse{NotificationMessage: ua.NotificationMessage{SequenceNumber: m.RetransmitSequenceNumber, NotificationData: []ua.ExtensionObject{moved}}})
				return true
			})
		})
		wantStory(t, w.story(), "reconnected", "session lost: BadSessionIdInvalid", "session made", "subscription transferred, subscription 1", "messages republished, subscription 1, 1")
		s.subs.notify(1, 100)
		wantValues(t, w.values(), 100)
	})
}

// A recovery that fails half-way leaves what the next one needs.
func TestClientRecoversInSeveralTries(t *testing.T) {
	for _, at := range []Service{ServiceActivateSession, ServiceCreateSession, ServiceRead, ServiceTransferSubscriptions, ServiceRepublish} {
		t.Run(at.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *fakeServer) {
				w := watch(t, s, s.config(), SubscriptionConfig{}, 2)
				s.cut()
				synctest.Wait()
				s.subs.forgetPublish()
				s.forget()
				s.subs.lose(1, false, 5)
				s.answer = func(f *fakeConn, r *fakeRequest) bool {
					if r.service != at {
						return false
					}
					_ = f.conn.Close()
					return true
				}
				for range 2 {
					if _, err := w.c.Recover(t.Context()); err == nil {
						t.Fatal("no error")
					}
				}
				s.answer = nil
				w.recover(nil)
				wantValues(t, w.values(), 5)
				s.subs.notify(1, 6)
				wantValues(t, w.values(), 6)
			})
		})
	}
}

// Messages that were not done are not acknowledged by a recovery, and those that were are, though the request that said so has no answer.
func TestClientRecoveryKeepsReceipts(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
		w.keepReceipts()
		s.subs.notify(1, 1)
		s.subs.notify(1, 2)
		synctest.Wait()
		w.receipts()[0].Done()
		w.recover(nil)
		if got := s.subs.acknowledged(1); !slices.Equal(got, []uint32{1}) {
			t.Errorf("acknowledged %v", got)
		}
		w.receipts()[1].Done()
		s.subs.notify(1, 3)
		if got := s.subs.acknowledged(1); !slices.Equal(got, []uint32{1, 2}) {
			t.Errorf("acknowledged %v", got)
		}
	})
}

func TestClientSubscriptionClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		w := watch(t, s, s.config(), SubscriptionConfig{}, 1)
		if err := w.sub.SetPublishing(t.Context(), false); err != nil {
			t.Error(err)
		}
		if err := w.sub.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := w.sub.Add(t.Context(), numberedItems(1)); !errors.Is(err, ua.BadSubscriptionIdInvalid) {
			t.Errorf("Add says %v", err)
		}
		s.subs.refuse(ua.BadNoSubscription)
		s.subs.refuse(ua.BadNoSubscription)
		if d := w.deaths(); s.subs.queued() != 0 || len(d) != 0 {
			t.Errorf("%d Publish requests, dead %v", s.subs.queued(), d)
		}
	})
}

// A server may answer the Publish requests that wait with BadSessionClosed before it answers the CloseSession: that is no loss of the session.
func TestClientClosesWithPublishRequestsUnderway(t *testing.T) {
	inBubble(t, func(t *testing.T, s *fakeServer) {
		var waiting []*fakeRequest
		s.answers(func(f *fakeConn, r *fakeRequest) bool {
			switch r.service {
			case ServicePublish:
				waiting = append(waiting, r)
				return true
			case ServiceCloseSession:
				for _, p := range waiting {
					f.fault(p, ua.BadSessionClosed)
				}
			}
			return false
		})
		c := s.client(s.config())
		if _, err := c.Subscribe(t.Context(), SubscriptionConfig{Notify: func(*Notification) {}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := c.Close(); err != nil || len(waiting) == 0 {
			t.Errorf("closed with %v, %d Publish requests waiting", err, len(waiting))
		}
	})
}
