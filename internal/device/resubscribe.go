package device

import "time"

// Resubscriber is a Subscriber that can make a subscription anew.
type Resubscriber interface {
	Subscriber
	// Resubscribe lets go of what the device sends for p, with the next Read of p, which takes what has come and asks the device to send it anew. The goroutine
	// whose turn it is calls it. It answers false when nothing is sent for p.
	Resubscribe(p Plan) bool
}

// NotSubscribedError is a device that sends nothing by itself.
type NotSubscribedError struct{ Device string }

func (e *NotSubscribedError) Error() string {
	return "device: " + e.Device + " has no subscriptions: it is asked for its values"
}

// Retryable answers true: a session may be there that has some.
func (e *NotSubscribedError) Retryable() bool { return true }

// Resubscribe has the subscriptions of a device made anew, each with a read of its group that comes at once. An unknown name is an *UnknownError, a device that sends nothing by itself
// a *NotSubscribedError.
func (r *Runtime) Resubscribe(device, reason string) error {
	u := r.unit(device)
	if u == nil {
		return &UnknownError{Name: device}
	}
	found := false
	for _, g := range u.groups {
		if g.subscribed.Load() {
			g.renew.Store(true)
			r.mail.woken(g)
			found = true
		}
	}
	if !found {
		return &NotSubscribedError{Device: device}
	}
	r.mail.call(func(s *shard) { s.note(u, "resubscribe", "its subscriptions are made anew: "+reason, time.Now()) })
	return nil
}

// renewed has the subscription of g made anew when somebody wants that. It is called in a turn.
func (g *group) renewed(s Subscriber) {
	r, ok := s.(Resubscriber)
	if ok && g.renew.Swap(false) {
		ok = r.Resubscribe(g.plan)
	}
	if g.subscribed.Load() != ok {
		g.subscribed.Store(ok)
	}
}
