package opcua

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"millrace/opcua/ua"
)

// subscription is one subscription.
//
// Its owner is the session that it belongs to; the owner's lock guards the machine, the messages that wait for an acknowledgement and the parameters of
// publishing, mu guards the items with all that is queued. Who holds both took the owner's first.
type subscription struct {
	id     uint32
	user   string // by whom it is counted
	budget subBudget
	owner  atomic.Pointer[sessionSubscriptions] // changes with the locks of both

	machine subMachine
	sent    sentQueue
	counts  subCounts
	rank    atomic.Uint64 // who gets a Publish first: the highest; changes with the owner's lock

	interval time.Duration // this and what follows is guarded by subscriptions.mu
	due      dueTime       // when the interval ends

	mu        sync.Mutex
	closed    bool
	most      uint32           // notifications of a message; 0 no limit
	items     []*monitoredItem // by id
	lastItem  uint32           // id of the last item made
	ready     readyList
	overflows uint32 // values that were lost in queues
}

// subCounts is what a subscription counts for its diagnostics. The owner's lock guards it.
type subCounts struct {
	modified, enabled, disabled    uint32
	republishes, republished       uint32
	transferAsked, toOther, toSame uint32
	publishes, notifications       uint32 // Publish requests that were used, and values in them
	dropped, late                  uint32 // messages that nobody can ask for any more; cycles without a Publish
}

func (c *subCounts) moved(same bool) {
	c.transferAsked++
	if same {
		c.toSame++
	} else {
		c.toOther++
	}
}

const rankTurns = 1<<56 - 1

// rankOf puts priority first, then who was served longest ago, by the count of its session's turns.
func rankOf(priority uint8, turn uint64) uint64 {
	return uint64(priority)<<56 | rankTurns - turn&rankTurns
}

func (s *subscription) priority() uint8 { return uint8(s.rank.Load() >> 56) }

// lockOwner locks the session that s belongs to, and returns nil without any lock when s has been deleted.
func (s *subscription) lockOwner() *sessionSubscriptions {
	for {
		o := s.owner.Load()
		if o == nil {
			return nil
		}
		o.mu.Lock()
		if s.owner.Load() == o {
			return o
		}
		o.mu.Unlock()
	}
}

// isReady says whether something waits to be told.
func (s *subscription) isReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.ready.empty()
}

func (s *subscription) setMost(most uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = most
}

// item returns the item with this id, nil when there is none. s is locked.
func (s *subscription) item(id uint32) *monitoredItem {
	i := sort.Search(len(s.items), func(i int) bool { return s.items[i].id >= id })
	if i == len(s.items) || s.items[i].id != id {
		return nil
	}
	return s.items[i]
}

// Sizes of what surrounds notifications in a PublishResponse.
const (
	publishFixed = 4 + 4 + 1 + 4 + 4                // SubscriptionId, two counts, MoreNotifications, DiagnosticInfos
	messageFixed = 4 + 8 + 4 + 4 + 1 + 4 + 4 + 4    // number, time, count, type, encoding, length, count of items, DiagnosticInfos
	messageLeast = publishFixed + messageFixed + 64 // below which a client cannot be served
)

// message moves what waits into a NotificationMessage of at most room bytes, in buffer b. more says that it was cut. There is something ready.
func (s *subscription) message(b []byte, number uint32, now ua.DateTime, room int) (_ []byte, told uint32, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b = ua.AppendUInt32(b, number)
	b = ua.AppendDateTime(b, now)
	b = ua.AppendInt32(b, 1)
	b = appendBodyHead(b, idDataChangeNotification)
	length := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	b, told = s.notices(b, room-messageFixed)
	b = ua.AppendInt32(b, -1)
	putUint32(b[length:], uint32(len(b)-length-4))
	putUint32(b[length+4:], told)
	return b, told, !s.ready.empty()
}

// notices appends what waits, up to the bounds of a message.
func (s *subscription) notices(b []byte, room int) (_ []byte, told uint32) {
	end := len(b) + room
	for it := s.ready.first; it != nil; it = s.ready.first {
		for it.queue.n > 0 {
			n := it.queue.at(0)
			if s.most > 0 && told >= s.most {
				return b, told
			}
			if len(b)+n.size() > end {
				if told > 0 {
					return b, told
				}
				n.value, n.status = n.value[:0], ua.BadEncodingLimitsExceeded // no message can take it, not even alone
			}
			b = n.appendTo(b, it.handle, it.timestamps)
			it.queue.pop(&s.budget)
			told++
		}
		s.ready.remove(it)
	}
	return b, told
}

// Encodings of what a NotificationMessage holds.
const (
	idDataChangeNotification   = 811
	idStatusChangeNotification = 820
)

// appendBodyHead appends the head of an ExtensionObject with a binary body, up to its length.
func appendBodyHead(b []byte, encoding uint16) []byte {
	return append(b, 1, 0, byte(encoding), byte(encoding>>8), 1)
}

func putUint32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}
