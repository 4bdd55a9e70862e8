package opcua

// subState is where a subscription stands between two cycles. [OPC 10000-4 5.14.1.2]
//
//	          something said                          nothing to say
//	       ┌────────────────────► NORMAL ───────────────────────────────► KEEP-ALIVE
//	       │                       │  ▲                                    │  ▲  │
//	LATE ◄─┼──── no Publish there ─┘  └──────── something to say ──────────┘  │  │
//	 │ ▲   │                                                                  │  │
//	 │ └───┼──── no Publish there when something is to be said, or it is time for a sign of life
//	 │     │                                                                  │
//	 └─────┴──── a Publish came: notifications, or a sign of life ────────────┘
//
//	from each of them: LifetimeCount cycles without a Publish or another service for it ──► CLOSED
type subState uint8

const (
	subNormal subState = iota
	subLate
	subKeepAlive
	subClosed
)

// String names s.
func (s subState) String() string {
	return [...]string{"normal", "late", "keep-alive", "closed"}[min(s, subClosed)]
}

// subAction is what a step of the machine asks of its subscription.
type subAction uint8

const (
	subWait      subAction = iota // nothing leaves
	subNotify                     // take a Publish and send notifications, then say sentData
	subSayAlive                   // take a Publish and send a keep-alive
	subLifeEnded                  // the lifetime is over: tell it and delete the subscription
)

// subMachine is a subscription without its items: states and counters, no clock, no socket, no lock.
// ready says that notifications wait, queued that a Publish of the session does.
type subMachine struct {
	state   subState
	enabled bool // publishing is
	more    bool // the last message was cut: the next Publish that comes has the rest
	said    bool // there was a message already

	keepAliveCount, lifetimeCount uint32
	keepAliveLeft, lifetimeLeft   uint32 // cycles
	next                          uint32 // number of the next message with data
}

func newSubMachine(keepAlive, lifetime uint32, enabled bool) subMachine {
	m := subMachine{enabled: enabled, next: 1}
	m.modify(keepAlive, lifetime)
	return m
}

// modify takes revised counts and begins both anew.
func (m *subMachine) modify(keepAlive, lifetime uint32) {
	m.keepAliveCount, m.lifetimeCount = keepAlive, lifetime
	m.keepAliveLeft = keepAlive
	m.touch()
}

// touch says that the client did something about the subscription: its life begins anew.
func (m *subMachine) touch() { m.lifetimeLeft = m.lifetimeCount }

// enable is SetPublishingMode.
func (m *subMachine) enable(enabled bool) {
	m.enabled, m.more = enabled, false
	m.touch()
}

// tick is the end of a publishing interval.
func (m *subMachine) tick(ready, queued bool) subAction {
	if m.state == subClosed {
		return subWait
	}
	if m.lifetimeLeft <= 1 {
		m.state = subClosed
		return subLifeEnded
	}
	m.lifetimeLeft--
	ready = ready && m.enabled
	switch m.state {
	case subNormal:
		return m.tickNormal(ready, queued)
	case subKeepAlive:
		return m.tickKeepAlive(ready, queued)
	default: // late until a Publish comes
		return subWait
	}
}

func (m *subMachine) tickNormal(ready, queued bool) subAction {
	switch {
	case ready && queued:
		return subNotify
	case !m.said && queued:
		return m.sayAlive()
	case ready || !m.said:
		m.state = subLate
		return subWait
	}
	// The table of the specification lets one cycle pass before it counts, its text counts this one. A client that waits for keepAlive+1 intervals
	// and no longer is served by the text.
	m.state, m.keepAliveLeft = subKeepAlive, m.keepAliveCount
	return m.tickKeepAlive(false, queued)
}

func (m *subMachine) tickKeepAlive(ready, queued bool) subAction {
	switch {
	case ready && queued:
		return subNotify
	case !ready && m.keepAliveLeft > 1:
		m.keepAliveLeft--
		return subWait
	case queued:
		return m.sayAlive()
	}
	m.state = subLate
	return subWait
}

// wants says that a Publish is to be given to the subscription at once.
func (m *subMachine) wants(ready bool) bool {
	return m.state == subLate || m.state == subNormal && m.more && m.enabled && ready
}

// publish gives a Publish to a subscription that wants one.
func (m *subMachine) publish(ready bool) subAction {
	switch {
	case !m.wants(ready):
		return subWait
	case m.enabled && ready:
		return subNotify
	}
	return m.sayAlive()
}

func (m *subMachine) sayAlive() subAction {
	m.state, m.said, m.more = subKeepAlive, true, false
	m.keepAliveLeft = m.keepAliveCount
	m.touch()
	return subSayAlive
}

// sentData says that a message left; more, that it was cut. It returns the message's number.
func (m *subMachine) sentData(more bool) uint32 {
	m.state, m.said, m.more = subNormal, true, more
	m.touch()
	n := m.next
	m.next = afterSequence(n)
	return n
}

// afterSequence skips 0, which is no number of a message.
func afterSequence(n uint32) uint32 {
	if n++; n == 0 {
		return 1
	}
	return n
}
