package driver

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
)

// opcuaClient is what a session needs of an *opcua.Client.
type opcuaClient interface {
	ReadEach(ctx context.Context, p *opcua.ReadPlan, f func(i int, v *ua.DataValue)) error
	Write(ctx context.Context, values []ua.WriteValue, results []ua.StatusCode) error
	Browse(ctx context.Context, nodes []ua.BrowseDescription, f func(i int, r *ua.ReferenceDescription) error) ([]ua.StatusCode, error)
	TranslateBrowsePaths(ctx context.Context, paths []ua.BrowsePath) ([]ua.BrowsePathResult, error)
	Subscribe(ctx context.Context, cfg opcua.SubscriptionConfig) (*opcua.Subscription, error)
	ReadTypes(ctx context.Context, types *ua.Types, ids ...ua.NodeId) error
	Namespaces() []string
	Known() *opcua.KnownEndpoint
	Learned() opcua.Learned
	Recover(ctx context.Context) (*opcua.Client, error)
	Detach()
	Err() error
	Close() error
}

// opcuaSession is one connection with one session. What the server sends by itself is kept by the feeds, which have locks of their own; all else is of whose turn it is.
type opcuaSession struct {
	client opcuaClient
	obs    device.Observer
	opts   opcuaOptions
	setUp  *setUpTime
	socket tcpProbe
	lesson opcua.Learned // that was told

	namespaces map[string]uint16 // index by URI
	states     []*opcuaState
	types      map[ua.NodeId]opcuaWriteType
	structures opcuaTypes

	each  func(i int, v *ua.DataValue) // value, made once
	into  *tag.Batch                   // of the Read that runs
	state *opcuaState
	reads *opcuaReads
}

// opcuaState is what a session has of one plan.
type opcuaState struct {
	plan  *opcuaPlan
	every time.Duration // how often it is read; 0 unknown
	wake  func()        // nil: nobody can be woken, so that nothing is subscribed to
	used  time.Time     // read last

	resolved bool
	ids      []ua.ReadValueId // of the plan's nodes; null where lost
	lost     []opcuaLost      // that cannot be asked for, or are not monitored
	tryAt    time.Time        // when they are tried again
	told     []ua.StatusCode  // by node: the last refusal that was told, 0 none

	reads     opcuaReads // what is polled
	polledAt  time.Time
	feed      *opcuaFeed // nil without subscription
	pollUntil time.Time  // the server refused a subscription, and is asked for one again then
	renew     bool       // the subscription is to be made anew
	garbled   []int      // nodes that are not subscribed to: what came for them could not be decoded
	taken     func(error)
}

// opcuaLost is a node of a plan that is not read, and why.
type opcuaLost struct {
	node   int
	status ua.StatusCode
}

// opcuaReads is what is asked for in one Read.
type opcuaReads struct {
	plan  *opcua.ReadPlan // nil without any
	nodes []int32         // of the state's plan, in the order of plan
}

const (
	// lostAgain is how often nodes are tried again that the server does not have: they may come with its next configuration.
	lostAgain = 30 * time.Second
	// unreadFor is how long what a session has for a plan outlives its last Read, at least.
	unreadFor = time.Minute
	// opcuaWindow is how many requests are in flight when the options do not say it. A request has up to a thousand nodes.
	opcuaWindow = 4
)

// Open connects to a's endpoint, and makes a session there.
func (d OPCUA) Open(ctx context.Context, a device.Addr, lim device.Limits, o device.Observer) (device.Session, error) {
	opts, err := d.parseOptions(a)
	if err != nil {
		return nil, err
	}
	cfg, err := opts.config(lim)
	if err != nil {
		return nil, err
	}
	t := dialTimesOf(o, opts.dialTimeout)
	cfg.DialTimeout, cfg.ConnectTimeout, cfg.HandshakeTimeout = t.all, t.connect, t.handshake
	patience := &setUpTime{obs: o}
	cfg.Hooks = opcuaHooks(o)
	cfg.Hooks.Timeout = patience.timeout
	c, err := opcua.Dial(ctx, opts.url, cfg)
	if err != nil {
		return nil, explainDial(err, &opts)
	}
	s := newOPCUASession(c, o)
	s.opts, s.setUp, s.lesson = opts, patience, c.Learned()
	return s, nil
}

// opcuaHooks has an observer hear what a client does.
func opcuaHooks(o device.Observer) opcua.Hooks {
	return opcua.Hooks{
		Timeout: o.Timeout, Replied: o.Replied, TimedOut: o.TimedOut, Late: o.Late, Foreign: o.Foreign,
		Refused: func(s opcua.Service, status ua.StatusCode, n int) {
			o.Refused(device.Span{}, explain(&opcua.Error{Service: s, Status: status, Answered: true, Sent: true, Operations: n}))
		},
	}
}

func newOPCUASession(c opcuaClient, o device.Observer) *opcuaSession {
	s := &opcuaSession{client: c, obs: o, socket: newTCPProbe(c), setUp: &setUpTime{obs: o}, namespaces: namespaceIndexes(c.Namespaces()), types: map[ua.NodeId]opcuaWriteType{}}
	s.structures.tried = map[ua.NodeId]bool{}
	s.each = s.value
	return s
}

// setUpTime is how long the next answer is waited for: longer while a plan is set up, since a small controller is seconds over a thousand items, and what is asked once must
// not have to be as fast as what is asked every second.
type setUpTime struct {
	obs device.Observer
	now atomic.Bool // a plan is being set up
}

// leastSetUp is how long an answer may take at least while a plan is set up.
const leastSetUp = 10 * time.Second

func (p *setUpTime) timeout() time.Duration {
	if p.now.Load() {
		return max(p.obs.Timeout(), leastSetUp)
	}
	return p.obs.Timeout()
}

// namespaceIndexes returns the index of each namespace.
func namespaceIndexes(uris []string) map[string]uint16 {
	out := make(map[string]uint16, len(uris))
	for i, uri := range uris {
		if _, twice := out[uri]; !twice && i <= 1<<16-1 {
			out[uri] = uint16(i)
		}
	}
	return out
}

// Limits returns what is kept of the server. How much it takes in one request is the client's to know.
func (s *opcuaSession) Limits() device.Limits { return device.Limits{Server: s.keep()} }

// TCPInfo is of the connection.
func (s *opcuaSession) TCPInfo() (device.TCPInfo, bool) { return s.socket.read() }

// Close ends the session with its subscriptions.
func (s *opcuaSession) Close() error { return s.client.Close() }

// Read reads the nodes of p, or takes what the server sent of them since the last Read. A node that the server does not give costs itself. The first Read of a plan whose reader can
// be woken subscribes, and the values come right behind it.
func (s *opcuaSession) Read(ctx context.Context, p device.Plan, into *tag.Batch) error {
	plan, ok := p.(*opcuaPlan)
	if !ok {
		return &OPCUAPlanError{p}
	}
	if err := s.client.Err(); err != nil {
		return explain(err)
	}
	defer s.tellLesson()
	now := time.Now()
	st := s.stateOf(plan)
	st.used = now
	s.sweep(ctx, now)
	if err := s.resolve(ctx, st, now); err != nil {
		return explain(err)
	}
	if err := s.define(ctx, s.structures.takeWanted()); err != nil {
		return explain(err)
	}
	for _, id := range plan.out {
		into.Append(id, 0, tag.BadOutOfService, tag.Null, 0)
	}
	s.into, s.state = into, st
	err := s.readState(ctx, st, now)
	s.into, s.state, s.reads = nil, nil, nil
	return err
}

func (s *opcuaSession) readState(ctx context.Context, st *opcuaState, now time.Time) error {
	if st.wantsFeed(now) {
		return s.readFeed(ctx, st, now)
	}
	s.denyLost(st)
	return s.poll(ctx, st, now)
}

// denyLost appends the rows of the nodes that are not asked for.
func (s *opcuaSession) denyLost(st *opcuaState) {
	for _, l := range st.lost {
		s.into.Append(st.plan.nodes[l.node].id, 0, tag.Quality(l.status), tag.Null, 0)
		s.tell(st, l.node, l.status)
	}
}

// tell reports why a node has no value, once until that changes.
func (s *opcuaSession) tell(st *opcuaState, node int, status ua.StatusCode) {
	if status == st.told[node] {
		return
	}
	st.told[node] = status
	s.obs.Refused(device.Span{}, &NodeRefusedError{Address: st.plan.nodes[node].point.String(), Status: status})
}

// poll reads what st reads.
func (s *opcuaSession) poll(ctx context.Context, st *opcuaState, now time.Time) error {
	if st.reads.plan == nil {
		return nil
	}
	start := s.into.Len()
	s.reads = &st.reads
	st.polledAt = now
	err := s.client.ReadEach(ctx, st.reads.plan, s.each)
	if err == nil {
		return nil
	}
	var e *opcua.Error
	if errors.As(err, &e) && s.client.Err() == nil && (e.Answered || s.garbled(st, start)) {
		return nil // the server said it of all nodes of the request, and their rows have it
	}
	dropSilent(s.into, start)
	return explain(err)
}

// garbled says whether all nodes without a value behind row start are without one because what the server sent for them cannot be decoded: the client has asked for them again and
// again in smaller requests. That costs them and not the device, which no new connection would mend.
func (s *opcuaSession) garbled(st *opcuaState, start int) bool {
	for i := start; i < s.into.Len(); i++ {
		if q := s.into.Quality[i]; isSilence(q) && ua.StatusCode(q).Code() != ua.BadDecodingError {
			return false
		}
	}
	for i := start; i < s.into.Len(); i++ {
		if ua.StatusCode(s.into.Quality[i]).Code() != ua.BadDecodingError {
			continue // nearly all: only for the others a node is looked for
		}
		if n := slices.IndexFunc(st.plan.nodes, func(x opcuaNode) bool { return x.id == s.into.ID[i] }); n >= 0 {
			s.tell(st, n, ua.BadDecodingError)
		}
	}
	return true
}

// value takes what came of one node.
func (s *opcuaSession) value(i int, v *ua.DataValue) {
	st := s.state
	n := int(s.reads.nodes[i])
	node := &st.plan.nodes[n]
	s.structures.append(s.into, node.id, v, node.point.isElement())
	switch {
	case !v.Status.IsBad():
		st.told[n] = 0
	case !isSilence(tag.Quality(v.Status)):
		s.tell(st, n, v.Status)
	}
}

// isSilence says whether a status is what the client gives to nodes of a request that was not answered.
func isSilence(q tag.Quality) bool {
	switch ua.StatusCode(q).Code() {
	case ua.BadTimeout, ua.BadConnectionClosed, ua.BadCommunicationError, ua.BadSecureChannelClosed, ua.BadDecodingError, ua.BadRequestInterrupted, ua.BadUnexpectedError:
		return true
	}
	return false
}

// dropSilent removes the rows behind from of which the server said nothing.
func dropSilent(b *tag.Batch, from int) {
	keep := from
	for i := from; i < b.Len(); i++ {
		if b.Kind[i] == tag.Null && isSilence(b.Quality[i]) {
			continue
		}
		b.ID[keep], b.TS[keep], b.Quality[keep], b.Kind[keep], b.Bits[keep] = b.ID[i], b.TS[i], b.Quality[i], b.Kind[i], b.Bits[i]
		keep++
	}
	b.Truncate(keep)
}

// stateOf returns what s has of p: of another plan for the same nodes when there is one. A plan that p has taken the place of is read no more.
func (s *opcuaSession) stateOf(p *opcuaPlan) *opcuaState {
	for _, st := range s.states {
		if st.plan == p {
			return st
		}
	}
	for _, st := range s.states {
		if st.plan.sameNodes(p) {
			st.adopt(p)
			return st
		}
	}
	for _, st := range s.states {
		if st.plan.overlaps(p) {
			st.used = time.Time{} // for sweep
		}
	}
	st := &opcuaState{plan: p, used: time.Now(), ids: make([]ua.ReadValueId, len(p.nodes)), told: make([]ua.StatusCode, len(p.nodes))}
	s.states = append(s.states, st)
	return st
}

// adopt makes st that of p, whose nodes are the same.
func (st *opcuaState) adopt(p *opcuaPlan) { st.plan = p }

// sweep ends what s has for plans that are read no more.
func (s *opcuaSession) sweep(ctx context.Context, now time.Time) {
	s.states = slices.DeleteFunc(s.states, func(st *opcuaState) bool {
		if now.Sub(st.used) < max(unreadFor, 3*st.every) {
			return false
		}
		if st.feed != nil {
			st.feed.close(ctx)
		}
		return true
	})
}
