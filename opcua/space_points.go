package opcua

import (
	"encoding/binary"

	"millrace/opcua/ua"
)

// browsePoints is where a session's Browse and HistoryRead go on. Zero is empty. The turn of the session guards it.
type browsePoints struct {
	last    uint64 // number of the newest continuation point
	browse  map[uint64]*browsePoint
	history map[uint64]*historyPoint
}

// browsePoint is a Browse that goes on.
type browsePoint struct {
	cursor *browseCursor
	ahead  browseHit // found, and not answered yet
	begun  bool      // there is one ahead
	mask   uint32
	most   int // references an answer
}

// historyPoint is a HistoryRead that goes on.
type historyPoint struct {
	historian Historian
	query     HistoryQuery
}

// clear forgets everything.
func (p *browsePoints) clear() { *p = browsePoints{} }

// pointId writes the number of a continuation point as the client gets it. It is good for its session alone, and so needs no secret.
func pointId(n uint64) [8]byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return b
}

// pointOf reads what pointId wrote; 0 is none.
func pointOf(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// keepBrowse keeps x and returns its number, or false when there are limit already.
func (p *browsePoints) keepBrowse(x *browsePoint, limit int) (uint64, bool) {
	if len(p.browse) >= limit {
		return 0, false
	}
	if p.browse == nil {
		p.browse = map[uint64]*browsePoint{}
	}
	p.last++
	p.browse[p.last] = x
	return p.last, true
}

// takeBrowse returns what was kept under a number and forgets it, nil when there is nothing.
func (p *browsePoints) takeBrowse(id []byte) *browsePoint {
	n := pointOf(id)
	x := p.browse[n]
	delete(p.browse, n)
	return x
}

// keepHistory is keepBrowse for HistoryRead.
func (p *browsePoints) keepHistory(x *historyPoint, limit int) (uint64, bool) {
	if len(p.history) >= limit {
		return 0, false
	}
	if p.history == nil {
		p.history = map[uint64]*historyPoint{}
	}
	p.last++
	p.history[p.last] = x
	return p.last, true
}

// takeHistory is takeBrowse for HistoryRead.
func (p *browsePoints) takeHistory(id []byte) *historyPoint {
	n := pointOf(id)
	x := p.history[n]
	delete(p.history, n)
	return x
}

// aliasNamespace is the namespace of the ids that registered nodes get: none of a Space has this index.
const aliasNamespace = 0xFFFF

// An alias is a place in the session's table, and how often that place was used before: an alias that was given back finds nothing.
const (
	aliasPlaceBits = 20
	aliasPlaces    = 1 << aliasPlaceBits
)

// nodeAliases are the nodes that a session has registered [OPC 10000-4 5.8.5]. The id that it is given is a place in a table, which is looked up faster than a text and
// is seven bytes on the wire.
type nodeAliases struct {
	session *session // whose they are
	places  []nodeAlias
	free    []uint32
}

type nodeAlias struct {
	ref  nodeRef
	used uint32
	live bool
}

// register returns a short id for ref, or false when there are limit already.
func (a *nodeAliases) register(ref nodeRef, limit int) (ua.NodeId, bool) {
	if n := len(a.free); n > 0 {
		i := a.free[n-1]
		a.free = a.free[:n-1]
		p := &a.places[i]
		p.ref, p.live = ref, true
		p.used++
		return aliasId(i, p.used), true
	}
	if len(a.places) >= min(limit, aliasPlaces) {
		return ua.NodeId{}, false
	}
	a.places = append(a.places, nodeAlias{ref: ref, live: true})
	return aliasId(uint32(len(a.places)-1), 0), true
}

func aliasId(place, used uint32) ua.NodeId {
	return ua.NumericId(aliasNamespace, used<<aliasPlaceBits|place)
}

// at returns the place that an id stands for, or nil.
func (a *nodeAliases) at(id ua.NodeId) *nodeAlias {
	if a == nil || id.Type != ua.IdNumeric {
		return nil
	}
	i := id.Numeric & (aliasPlaces - 1)
	if int(i) >= len(a.places) {
		return nil
	}
	p := &a.places[i]
	if !p.live || aliasId(i, p.used) != id {
		return nil
	}
	return p
}

// find returns the node that was registered under id. One that was removed and added again since then is found again.
func (a *nodeAliases) find(x *nodeIndex, id ua.NodeId) (nodeRef, bool) {
	p := a.at(id)
	if p == nil {
		return nodeRef{}, false
	}
	if p.ref.node == nil || p.ref.node.body.Load() != nil {
		return p.ref, true
	}
	n := x.find(p.ref.node.id)
	if n == nil || n.body.Load() == nil {
		return nodeRef{}, false
	}
	p.ref.node = n
	return p.ref, true
}

// unregister gives an id back; one that stands for nothing is passed over.
func (a *nodeAliases) unregister(id ua.NodeId) {
	p := a.at(id)
	if id.Namespace != aliasNamespace || p == nil {
		return
	}
	p.ref, p.live = nodeRef{}, false
	a.free = append(a.free, id.Numeric&(aliasPlaces-1))
}
