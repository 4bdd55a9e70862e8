package opcua

import (
	"millrace/opcua/ua"
)

// Encoding ids of what is in a notification message.
const (
	idDataChange   = 811
	idStatusChange = 820
)

// publishMessage is a NotificationMessage [OPC 10000-4 7.26] with the subscription that it is of.
type publishMessage struct {
	subscription uint32
	sequence     uint32
	published    ua.DateTime
	blocks       int           // of notification data; 0 says that the subscription lives
	values       int           // data changes in them
	status       ua.StatusCode // of a StatusChangeNotification
	d            ua.Decoder    // at the first block
}

// decodePublish reads a PublishResponse behind its header. It answers false when that is malformed.
func decodePublish(d *ua.Decoder) (m publishMessage, ok bool) {
	m.subscription = d.U32()
	for n := d.Count(4); n > 0; n-- {
		d.U32() // numbers that may be republished
	}
	d.Bool() // whether there is more: a Publish request that waits fetches it
	m.message(d)
	return m, !d.Bad()
}

// message reads a NotificationMessage, and steps over its blocks to see what is in them.
func (m *publishMessage) message(d *ua.Decoder) {
	m.sequence, m.published = d.U32(), d.DateTime()
	d.Alias = true
	n := d.Count(3)
	m.d = *d
	for range n {
		x := d.ExtensionObject()
		if x.TypeId.Namespace != 0 || x.TypeId.Type != ua.IdNumeric || x.Xml {
			continue
		}
		in := ua.NewDecoder(x.Body, ua.Limits{})
		switch x.TypeId.Numeric {
		case idDataChange:
			m.values += in.Count(4 + 1)
		case idStatusChange:
			m.status = in.StatusCode()
		}
	}
	if d.Bad() {
		m.values, m.status = 0, 0
		return
	}
	m.blocks = n
}

// Notification is a message with new values of a subscription's items. It is good until the receiver returns.
type Notification struct {
	Subscription *Subscription
	Sequence     uint32      // 0: the values were read, to fill a gap
	Published    ua.DateTime // when the server sent it
	Filled       bool        // it did not come when it was due: it was fetched once more, or read

	generation uint32
	items      uint32
	lim        ua.Limits
	message    ua.Decoder // at the next block
	blocks     int
	block      ua.Decoder // at the next value
	left       int        // values in it
	bad        ua.StatusCode
	badItem    uint32         // whose value was the last that could not be decoded
	read       []ua.DataValue // of items, in place of a message
	at         int
}

// Next puts the next value into v and returns the handle of its item; ok is false when there is none. It does not allocate for numbers; strings are copies that the values of a message share: who
// keeps a few of them for long clones them.
func (m *Notification) Next(v *ua.DataValue) (handle uint32, ok bool) {
	if m.read != nil {
		return m.nextRead(v)
	}
	for {
		for m.left > 0 {
			m.left--
			handle = m.block.U32()
			m.block.DataValueInto(v)
			if m.block.Bad() {
				m.bad, m.badItem, m.left = m.block.Status(), handle, 0
				break
			}
			if handle < m.items {
				return handle, true
			}
		}
		if m.blocks == 0 {
			return 0, false
		}
		m.open()
	}
}

// open opens the next block.
func (m *Notification) open() {
	m.blocks--
	x := m.message.ExtensionObject()
	if x.TypeId != ua.NumericId(0, idDataChange) || x.Xml {
		return
	}
	m.block = ua.NewDecoder(x.Body, m.lim)
	m.left = m.block.Count(4 + 1)
}

// nextRead returns the next of the values that were read; those without an answer are left out.
func (m *Notification) nextRead(v *ua.DataValue) (uint32, bool) {
	for m.at < len(m.read) {
		m.at++
		if *v = m.read[m.at-1]; v.Has != 0 {
			return uint32(m.at - 1), true
		}
	}
	return 0, false
}

// Err returns nil, or the status that says that the rest of the message could not be decoded. It is known when Next has answered false.
func (m *Notification) Err() error {
	if m.bad == 0 {
		return nil
	}
	return m.bad
}

// Undecoded returns the item whose value could not be decoded; ok is false when all could. What stood behind it in the message is lost with it. It is known when Next has answered false.
func (m *Notification) Undecoded() (handle uint32, ok bool) { return m.badItem, m.bad != 0 }

// Receipt returns what the message is acknowledged with. It is a plain value that may be kept.
func (m *Notification) Receipt() Receipt {
	return Receipt{sub: m.Subscription, sequence: m.Sequence, generation: m.generation}
}

// Receipt acknowledges a message.
type Receipt struct {
	sub        *Subscription
	sequence   uint32
	generation uint32
}

// Done says that the values of the message are safe: it is acknowledged with one of the next Publish requests, and the server forgets it. It is called once for each message, from any goroutine. Messages
// that are not done are sent again by a server after Recover; and when SubscriptionConfig.Unacknowledged of them are not, the client asks for no more.
func (r Receipt) Done() {
	if r.sub == nil || r.sequence == 0 {
		return
	}
	f := r.sub.feed
	f.mu.Lock()
	if r.generation == r.sub.generation {
		r.sub.unacknowledged--
		f.acks = append(f.acks, ua.SubscriptionAcknowledgement{SubscriptionId: r.sub.id, SequenceNumber: r.sequence})
	}
	c := f.client
	freed := r.sub.unacknowledged == r.sub.cfg.Unacknowledged-1
	f.mu.Unlock()
	if freed {
		c.keeper.wake()
	}
}
