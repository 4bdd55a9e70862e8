package opcua

import "millrace/opcua/ua"

// monitoredItem is one item of a subscription. Its subscription's lock guards it, but for what is the sampler's. What a value touches comes first and together: with
// thousands of items most of what one costs is getting at it.
type monitoredItem struct {
	sub        *subscription
	prev, next *monitoredItem   // in its subscription's list of items that have something to tell
	links      []*monitoredItem // what it triggers; may hold some that are dead

	handle        uint32 // the client's
	mode          ua.MonitoringMode
	timestamps    ua.TimestampsToReturn
	discardOldest bool
	primed        bool // it has had its first value since it was enabled
	dead          bool // deleted
	listed        bool // in that list

	queue  noticeQueue
	filter itemFilter

	sampler *sampler // what it is monitored by, whether it listens to it now or not; nil when its user may not read the node
	place   int      // in the sampler's list, -1 when it does not listen; guarded by the sampler's lock
	id      uint32
	refused ua.StatusCode // why its user may not read the node; Good when there is a sampler
}

// offer gives the item a sample that differs in c from the one before. The subscription is locked.
func (it *monitoredItem) offer(s *sample, c change) {
	if it.dead || it.mode == ua.MonitoringModeDisabled || it.primed && !it.filter.passes(s, c) {
		return
	}
	it.primed = true
	it.filter.told(s)
	it.tell(s)
}

// tell queues a value, which lets it be sent when the item reports, and lets those that it triggers be sent.
func (it *monitoredItem) tell(s *sample) {
	if it.queue.push(s, it.discardOldest, &it.sub.budget) {
		it.sub.overflows++
	}
	if it.mode == ua.MonitoringModeReporting {
		it.sub.ready.add(it)
	}
	for _, l := range it.links {
		if !l.dead && l.mode == ua.MonitoringModeSampling && l.queue.n > 0 {
			it.sub.ready.add(l)
		}
	}
}

// setMode changes how the item works. It says whether the item must now begin or end to listen to its sampler. [OPC 10000-4 5.13.1.3]
func (it *monitoredItem) setMode(mode ua.MonitoringMode) (listen, leave bool) {
	was := it.mode
	it.mode = mode
	switch {
	case mode == was:
	case mode == ua.MonitoringModeDisabled:
		it.sub.ready.remove(it)
		it.queue.clear(&it.sub.budget)
		it.primed = false
		return false, true
	case mode == ua.MonitoringModeSampling:
		it.sub.ready.remove(it)
	case it.queue.n > 0:
		it.sub.ready.add(it)
	}
	return was == ua.MonitoringModeDisabled && mode != was, false
}

// source returns the sampler of the item, nil when there is none.
func (it *monitoredItem) source() *sampler {
	it.sub.mu.Lock()
	defer it.sub.mu.Unlock()
	return it.sampler
}

// end takes the item out of its subscription, which is locked.
func (it *monitoredItem) end() {
	it.dead = true
	it.sub.ready.remove(it)
	it.queue.clear(&it.sub.budget)
	it.links = nil
}

// mostLinks is how many items one may trigger: each of its values looks at all of them.
const mostLinks = 1000

// link adds an item that this one triggers, once. False: there are too many.
func (it *monitoredItem) link(to *monitoredItem) bool {
	it.unlink(to)
	if len(it.links) >= mostLinks {
		return false
	}
	it.links = append(it.links, to)
	return true
}

// unlink reports whether there was such a link. Dead ones go with it.
func (it *monitoredItem) unlink(to *monitoredItem) (found bool) {
	kept := it.links[:0]
	for _, l := range it.links {
		found = found || l == to
		if l != to && !l.dead {
			kept = append(kept, l)
		}
	}
	clear(it.links[len(kept):])
	it.links = kept
	return found
}

// readyList is the items that have something to tell, in the order in which they came to have it.
type readyList struct{ first, last *monitoredItem }

func (l *readyList) empty() bool { return l.first == nil }

func (l *readyList) add(it *monitoredItem) {
	if it.listed {
		return
	}
	it.listed, it.prev = true, l.last
	if l.last == nil {
		l.first = it
	} else {
		l.last.next = it
	}
	l.last = it
}

func (l *readyList) remove(it *monitoredItem) {
	if !it.listed {
		return
	}
	if it.prev == nil {
		l.first = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		l.last = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.listed, it.prev, it.next = false, nil, nil
}
