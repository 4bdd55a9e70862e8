package opcua

import (
	"fmt"

	"millrace/opcua/ua"
)

// EventKind is what a client did on its own.
type EventKind uint8

// The kinds.
const (
	EventRenewed           EventKind = iota // the keys of the channel
	EventRenewalFailed                      // Err; the channel lives on with the old keys until they are over
	EventReconnected                        // Recover has a new channel
	EventReactivated                        // Recover: the session lives on
	EventSessionLost                        // Recover: the server does not have the session any more; Status
	EventSessionMade                        // Recover: a new session
	EventTransferred                        // Recover: the subscription lives on in the new session
	EventTransferFailed                     // Recover: Status
	EventRepublished                        // Recover: Count messages that had not come were sent again
	EventGap                                // Recover: messages that had not come are not there any more; Count of them, 0 unknown
	EventResent                             // Recover: the server was asked to send the values of all items
	EventRead                               // Recover: the values of Count items were read instead
	EventRecreated                          // Recover: the subscription was made anew with Count items
	EventRecreateFailed                     // Recover: Err
	EventNamespacesChanged                  // Recover: node ids with a namespace index may mean other nodes than before
	EventSubscriptionDead                   // nothing came for keep-alive and one intervals, or the server said so; Status
	EventPublishLimited                     // the server queues Count Publish requests at most
	EventPublishPaced                       // the server answers Publish requests at once with nothing: the client waits before it asks again
	EventMessageMissed                      // Count messages between the last one and this did not come
	EventUnfiltered                         // the server has no data change filter: items go without
	EventEndpointChanged                    // Recover: the server's certificate or endpoint is not what it was
	EventMessageBad                         // a message of a subscription cannot be decoded; Status
	EventTransferredAway                    // another client took the subscription over
)

var eventNames = [...]string{
	EventRenewed: "channel renewed", EventRenewalFailed: "channel renewal failed", EventReconnected: "reconnected", EventReactivated: "session reactivated",
	EventSessionLost: "session lost", EventSessionMade: "session made", EventTransferred: "subscription transferred",
	EventTransferFailed: "subscription not transferred", EventRepublished: "messages republished", EventGap: "gap", EventResent: "values resent",
	EventRead: "values read", EventRecreated: "subscription recreated", EventRecreateFailed: "subscription not recreated",
	EventNamespacesChanged: "namespaces changed", EventSubscriptionDead: "subscription dead", EventPublishLimited: "publish limited",
	EventPublishPaced: "publish paced", EventMessageMissed: "messages missed", EventUnfiltered: "no filters", EventEndpointChanged: "endpoint changed",
	EventMessageBad: "bad message", EventTransferredAway: "subscription transferred away",
}

// String returns what happened in two or three words.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// Event is one step that a client took on its own.
type Event struct {
	Kind         EventKind
	Subscription uint32 // its id on the server; 0 where it is about none
	Status       ua.StatusCode
	Count        int
	Err          error
}

// String returns the event with those of its facts that are there.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Subscription != 0 {
		s += fmt.Sprintf(", subscription %d", e.Subscription)
	}
	if e.Count != 0 {
		s += fmt.Sprintf(", %d", e.Count)
	}
	if e.Status != 0 {
		s += ": " + e.Status.String()
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}
