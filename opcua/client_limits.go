package opcua

import (
	"sync"
)

// Operations is how many operations one request of each service may have; 0 is unknown, and without limit in Config.
type Operations struct {
	Read, Write, Browse, TranslateBrowsePaths, Call, RegisterNodes, MonitoredItems, HistoryRead int
}

// Learned is what a client found out about a server by its refusals. It is plain data: kept and given to the next connection, it saves the same refusals.
type Learned struct {
	Operations Operations
	NoFilters  bool // the server has no data change filters, as S7-1200
	Publishing int  // Publish requests that the server queues; 0 unknown
}

// of returns the field of a service, nil for those whose requests have no operations that could be split.
func (o *Operations) of(s Service) *int {
	switch s {
	case ServiceRead:
		return &o.Read
	case ServiceWrite:
		return &o.Write
	case ServiceBrowse, ServiceBrowseNext:
		return &o.Browse
	case ServiceTranslateBrowsePathsToNodeIds:
		return &o.TranslateBrowsePaths
	case ServiceCall:
		return &o.Call
	case ServiceRegisterNodes, ServiceUnregisterNodes:
		return &o.RegisterNodes
	case ServiceCreateMonitoredItems, ServiceModifyMonitoredItems, ServiceDeleteMonitoredItems:
		return &o.MonitoredItems
	case ServiceHistoryRead:
		return &o.HistoryRead
	}
	return nil
}

// clientLimits is what bounds the requests of a connection: what the server publishes, what was learned, what is configured.
type clientLimits struct {
	most int // configured

	mu      sync.Mutex
	stated  Operations
	learned Learned
}

// operations returns how many operations a request of s may have, at least 1.
func (l *clientLimits) operations(s Service) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	stated, learned := l.stated.of(s), l.learned.Operations.of(s)
	if stated == nil {
		return l.most
	}
	n := l.most
	switch {
	case *stated > 0:
		n = min(n, *stated)
	default:
		n = min(n, firstOperations)
	}
	if *learned > 0 {
		n = min(n, *learned)
	}
	return max(n, 1)
}

// halve takes the word of the server that a request of s with n operations is too much. It returns how many may be tried next, 0 when n was one operation already, and
// whether that is news.
func (l *clientLimits) halve(s Service, n int) (next int, news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.learned.Operations.of(s)
	switch {
	case f == nil || n <= 1:
		return 0, false
	case *f == 0 || *f >= n:
		*f = n / 2
		return *f, true
	}
	return *f, false
}

// update changes what was learned by f.
func (l *clientLimits) update(f func(*Learned)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.learned)
}

func (l *clientLimits) state(o Operations) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stated = o
}

func (l *clientLimits) known() (stated Operations, learned Learned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stated, l.learned
}
