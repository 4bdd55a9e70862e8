// Package device runs devices: it opens sessions to them, polls them on time, notices when they vanish, and brings them back,
// without one of them touching another. Protocols come in through Driver.
package device

import (
	"context"
	"errors"
	"time"

	"millrace/internal/resilience"
	"millrace/internal/tag"
)

// Addr says where a device is and how to speak to it.
type Addr struct {
	Scheme  string            // modbus, modbus+tls, modbus+rtu: the driver's table says which it takes
	Host    string            // host:port; the port is filled in
	Path    string            // what stands behind the host without its slash: the unit id of Modbus
	Options map[string]string // the driver's own options, checked by Compile and Open
}

// String returns the address as a URL without options.
func (a Addr) String() string {
	if a.Path == "" {
		return a.Scheme + "://" + a.Host
	}
	return a.Scheme + "://" + a.Host + "/" + a.Path // in one: ten thousand are asked for at a time
}

// TagSpec is one tag to read, and to write when Writable.
type TagSpec struct {
	ID           tag.ID
	Writable     bool
	OutOfService bool
	Name         string // full name: device/tag
	Address      string // what the driver reads, in any dialect that it accepts, type and word order included
	Shared       *Terms // nil for the zero Terms; nobody changes what it leads to
}

// Terms is what the values of a tag mean and how they are kept. Thousands of tags have the same: they share one, so two TagSpecs are compared with Equal.
type Terms struct {
	Scale     float64 // engineering value = raw*Scale + Bias; Scale 0 is no scaling
	Bias      float64
	Unit      string
	Deadband  Deadband
	WriteRule string // the rule of the write path, "" for its default; the device does not look at it
}

// Terms returns the terms of t, a copy.
func (t *TagSpec) Terms() Terms {
	if t.Shared == nil {
		return Terms{}
	}
	return *t.Shared
}

// Equal says whether t and o are the same tag, read and written in the same way.
func (t TagSpec) Equal(o TagSpec) bool {
	same := t.Terms() == o.Terms()
	t.Shared, o.Shared = nil, nil
	return same && t == o
}

// Deadband suppresses small changes of a good value. A change of quality always passes. The zero value passes a value only when it differs.
type Deadband struct {
	Abs     float64 // suppress while |new - last passed| <= Abs
	Percent float64 // suppress while |new - last passed| <= Percent/100 * (High - Low), or of |last passed| when Low = High = 0
	Low     float64
	High    float64
	Every   bool // pass every value read, changed or not
}

// Span is a range of addresses in one area of a device, both ends included. Area is the driver's own number.
type Span struct {
	Area     uint8
	From, To uint32
}

// Limits is what a device was found to bear: given by configuration, negotiated at Open, and learned by refusals. Zero means unknown
// or the protocol's own limit.
type Limits struct {
	Window       int       // requests in flight at once on a connection; what one device of an endpoint taught holds for all of them
	Connections  int       // that a session may have, configured; 0 is 1
	WindowTried  time.Time // when more in flight failed last, zero when it never did
	CapsLearned  time.Time // when a read of more than one of the caps below was refused last, zero when it was not, or is not known
	MaxRegisters int       // 16-bit registers in one read
	MaxBits      int       // bits in one read
	MaxWrite     int       // registers in one write
	MaxItems     int       // variables in one request, of protocols whose requests have several
	MaxTags      int       // tags in one request, of a device that is asked for less at once: nothing is configured or learned of it. What is subscribed is polled then
	PDU          int       // bytes
	Gap          int       // addresses of no interest that may be read to save a request; -1 none
	RequestWorth int       // bytes that cost the device as much as one more request, measured; a plan reads over gaps that cost less. Gap goes before it
	Holes        []Span    // never read: the device refused them
	Of           string    // of what is learned: what it was learned of, in words of our own; "" is not known
	Server       string    // what a driver keeps of the other side for the next session besides, in its own words; no plan depends on it
	Generation   uint64    // grows with every change; a plan compiled for an older one must be compiled anew
}

// Driver speaks one protocol. It holds no state: one value serves all devices.
type Driver interface {
	// Endpoint returns the key of what a shares connections with: devices of equal keys take turns on the same sessions. Modbus
	// units behind one gateway address are one endpoint.
	Endpoint(a Addr) string
	// Compile makes the plan that reads tags. It is pure and runs again whenever Limits change. The errors of single tags come as
	// one *TagError each, joined; the plan then covers the others.
	Compile(a Addr, tags []TagSpec, lim Limits) (Plan, error)
	// Open dials a's endpoint and shakes hands within ctx. The session serves every plan compiled for that endpoint. o outlives ctx:
	// the session reports to it until Close returns.
	Open(ctx context.Context, a Addr, lim Limits, o Observer) (Session, error)
}

// Pricer is a Driver whose plans read over gaps to save requests.
type Pricer interface {
	// RequestWorth returns how many bytes are reckoned to cost as much as one more request where nothing was measured.
	RequestWorth() int
}

// Patient is a Driver whose Open may take longer than a reply: certificates are checked and keys are made.
type Patient interface {
	// Patience returns how long an Open of a may take, when that is longer than what the device's profile allows.
	Patience(a Addr) time.Duration
}

// Sparing is a Driver whose devices bear only so many requests unless the configuration says otherwise.
type Sparing interface {
	// RequestsPerSecond returns the most requests a second that the endpoint of a is given, 0 for no limit.
	RequestsPerSecond(a Addr, p resilience.Profile) float64
}

// Plan is what Compile made: immutable, and good for every session of that driver.
type Plan interface {
	Requests() []Request
	Tags() []TagSpec // the order in which Read appends rows need not be this
}

// Paced is a Plan that tells how fast its requests may go. Without it they go one after the other over one connection.
type Paced interface {
	Pace() Pace
}

// Pace says how many requests are on their way at once.
type Pace struct {
	Window      int // in flight on a connection, as it is known now
	MaxWindow   int // what it may grow to by itself
	Connections int // that a session has
}

// Request describes one request of a plan, to show and to reckon with.
type Request struct {
	Op       string // what it is called: "read holding"
	From, To uint32 // addresses, both included
	Tags     int
	BytesOut int // on the wire, both headers included
	BytesIn  int
}

// Session is one open connection to an endpoint. One goroutine at a time uses it: a device borrows a turn.
type Session interface {
	// Limits returns what was negotiated at Open, the zero value when nothing was.
	Limits() Limits
	// Read does all requests of p and appends a row for each tag of which the device said something: a value, or a quality that is
	// the tag's own fault. An error is the transport's: rows appended before it are right, the other tags have none. An error that is a
	// net.Error with Timeout leaves the session usable; one that unwraps to net.ErrClosed ends it. It returns only when nobody else
	// touches into.
	Read(ctx context.Context, p Plan, into *tag.Batch) error
	// Write sends w in order and fills r, which has the same length. p is a plan of the device that has the tags: units share a session,
	// and p knows whose it is.
	Write(ctx context.Context, p Plan, w []Write, r []Result) error
	Close() error
}

// Write is one value to write, in raw units (scaling is undone already).
type Write struct {
	Tag   TagSpec
	Value tag.Value
}

// Result is what became of one Write. Err nil means that the device confirmed it.
type Result struct {
	Err             error
	MayHaveHappened bool
	Read            bool // of Wish: the tag was read behind it. Else its last value says nothing of it
}

// Observer hears of each request of a session; the endpoint passes it on to the device whose turn it is. Calls come from the session's
// goroutines and must not block.
type Observer interface {
	Timeout() time.Duration                         // how long to wait for the next reply
	Replied(rtt time.Duration)                      // a reply that matched
	Served(requests, bytes int, took time.Duration) // so many requests, of so many bytes both ways, took the device so long together; a session that has no use for it does not call
	TimedOut(after time.Duration)                   // no reply in time
	Late(by time.Duration)                          // the reply to a request that had timed out, or a duplicate (0)
	Foreign()                                       // a reply to nothing that was asked; the connection is closed
	Refused(s Span, err error)                      // the device answered, and refused
	Learned(l Limits)                               // of the device being read: fields that are not 0 replace what was known, Holes are added
}

// Timeouts is an Observer that says how long the parts of a dial may take. Open's context bounds both together.
type Timeouts interface {
	Connect() time.Duration   // until the connection is there
	Handshake() time.Duration // from then on until the session is
}

// TagError says what is wrong with one tag of a Compile.
type TagError struct {
	Tag     string // TagSpec.Name
	Address string
	Err     error
}

func (e *TagError) Error() string {
	return "tag " + e.Tag + ": address " + e.Address + ": " + e.Err.Error()
}
func (e *TagError) Unwrap() error { return e.Err }

// Subscriber is a Session whose device sends values by itself. It keeps them until a Read of their plan takes them, which then asks the device
// for nothing that is on its way anyhow, and fails when the device has been silent for longer than it had promised.
type Subscriber interface {
	// Wake says how often p is read, and whom to tell that it has values waiting; it is called before each Read of p, from its goroutine. f returns at
	// once, so that any goroutine may call it, and a call too many does no harm. A plan that is read no more is not told of: the Session ends what it has for a
	// plan that was not read for long.
	Wake(p Plan, every time.Duration, f func())
	// Taken returns what to call once, from any goroutine, when the rows that the last Read of p appended are safe (nil) or will never be, so that
	// the device can be told. It is nil when none of them came by themselves. The goroutine that called Read calls it.
	Taken(p Plan) func(error)
}

// Grower is a Session that can have more connections than it was opened with.
type Grower interface {
	Session
	// Grow lets the session have lim.Connections, of which it makes those that it has not by and by. a and lim are as for Open, and within ctx is what must be done before it returns; it
	// is called between two Reads. A session that has as many stays as it is.
	Grow(ctx context.Context, a Addr, lim Limits) error
}

// Resumer is a Session that can be gone on with when its connection has failed: what the device keeps for it until then is not lost.
type Resumer interface {
	Session
	// Suspend ends the connection in place of Close and leaves the session as it is on the device. It answers false, and has done nothing, when there is nothing to be gone on with.
	// Close afterwards returns at once.
	Suspend() bool
	// Resume dials a suspended session's endpoint and goes on, within ctx; plans and limits hold. After an error it may be called again, but for one that unwraps to
	// ErrNotResumable.
	Resume(ctx context.Context) error
}

// ErrNotResumable is in the error of a Resume that will not succeed: the device has let the session go, or does not let us in as before. Another one is to be opened.
var ErrNotResumable = errors.New("device: the session cannot be gone on with")

// Output takes filled batches. Offer never blocks, copies what it keeps, and answers false when it has no room. When it took b it calls done, which
// may be nil, once: with nil when b is safe, with an error when it is lost. done returns at once.
type Output interface {
	Offer(b *tag.Batch, done func(error)) bool
}
