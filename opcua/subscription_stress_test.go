package opcua

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"millrace/opcua/ua"
)

// worker is a session of a desk with a goroutine of its own, which asks for whatever comes to its mind.
type worker struct {
	*subDesk
	r *rand.Rand
}

func (w *worker) any() uint32 { return w.r.Uint32N(60) }

func (w *worker) ids() (list []uint32) {
	for range w.r.IntN(4) + 1 {
		list = append(list, w.any())
	}
	return list
}

func (w *worker) step() {
	s, k := w.server, w.desk
	switch w.r.IntN(12) {
	case 0, 1:
		_, _ = ask[ua.CreateSubscriptionResponse](k, s.serveCreateSubscription, &ua.CreateSubscriptionRequest{
			RequestedPublishingInterval: 1, RequestedLifetimeCount: w.any(), RequestedMaxKeepAliveCount: w.r.Uint32N(3), PublishingEnabled: w.r.IntN(4) > 0, Priority: uint8(w.any()),
		})
	case 2, 3, 4:
		for sub := range w.r.Uint32N(60) {
			r := itemOn(w.r.IntN(20), time.Duration(w.r.IntN(3))*time.Millisecond)
			r.MonitoringMode = ua.MonitoringMode(w.r.IntN(3))
			r.RequestedParameters.QueueSize = w.r.Uint32N(4)
			w.monitor(sub, r)
		}
	case 5:
		_, _ = ask[ua.TransferSubscriptionsResponse](k, s.serveTransferSubscriptions, &ua.TransferSubscriptionsRequest{SubscriptionIds: w.ids(), SendInitialValues: true})
	case 6:
		_, _ = ask[ua.DeleteSubscriptionsResponse](k, s.serveDeleteSubscriptions, &ua.DeleteSubscriptionsRequest{SubscriptionIds: w.ids()})
	case 7:
		_, _ = ask[ua.SetMonitoringModeResponse](k, s.serveSetMonitoringMode, &ua.SetMonitoringModeRequest{SubscriptionId: w.any(), MonitoringMode: ua.MonitoringMode(w.r.IntN(3)), MonitoredItemIds: w.ids()})
	case 8:
		_, _ = ask[ua.ModifyMonitoredItemsResponse](k, s.serveModifyMonitoredItems, &ua.ModifyMonitoredItemsRequest{
			SubscriptionId: w.any(), ItemsToModify: []ua.MonitoredItemModifyRequest{{MonitoredItemId: w.r.Uint32N(4), RequestedParameters: ua.MonitoringParameters{SamplingInterval: float64(w.r.IntN(4)), QueueSize: w.r.Uint32N(5)}}},
		})
	case 9:
		_, _ = ask[ua.SetTriggeringResponse](k, s.serveSetTriggering, &ua.SetTriggeringRequest{SubscriptionId: w.any(), TriggeringItemId: 1, LinksToAdd: w.ids(), LinksToRemove: w.ids()})
	case 10:
		_, _ = ask[ua.DeleteMonitoredItemsResponse](k, s.serveDeleteMonitoredItems, &ua.DeleteMonitoredItemsRequest{SubscriptionId: w.any(), MonitoredItemIds: w.ids()})
	default:
		w.publish(w.r.IntN(5), ua.SubscriptionAcknowledgement{SubscriptionId: w.any(), SequenceNumber: w.any()})
		w.server.subs.diagnostics(nil)
	}
}

// Sessions of one user make, change, take from each other and delete subscriptions and items, and come and go, while values change: nothing is stuck, nothing is left.
func TestSubscriptionStress(t *testing.T) {
	m := &teller{memory: newMemory(20), list: map[uint64][]Watcher{}}
	k := newSubDesk(t, m, SubscriptionLimits{MinPublishing: time.Millisecond, MinSampling: time.Millisecond, MinLifetime: time.Millisecond, PublishRequests: 4, Retransmissions: 2})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	stop := make(chan struct{})
	var pushing, working sync.WaitGroup
	pushing.Go(func() {
		for x := 0.0; ; x++ {
			select {
			case <-stop:
				return
			default:
				m.set(uint64(x)%20, x)
			}
		}
	})
	for n := range uint64(4) {
		working.Go(func() {
			r := rand.New(rand.NewPCG(seed, n))
			for life := range 3 {
				x := &session{caller: &Caller{Roles: RoleRead}, user: sessionUser{kind: ua.UserTokenTypeUserName, key: "u"}, name: fmt.Sprint(n, life)}
				w := &worker{subDesk: &subDesk{desk: &desk{t, k.server, &call{server: k.server, session: x, received: time.Now()}}, p: k.p}, r: r}
				for range 150 {
					w.step()
				}
				k.p.sessionEnded(x, r.IntN(2) == 0)
			}
		})
	}
	working.Wait()
	close(stop)
	pushing.Wait()
}
