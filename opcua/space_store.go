package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// Caller is who asks. It is never changed: a session that changes its user gets a new one.
type Caller struct {
	Session ua.NodeId
	User    string // empty for an anonymous user
	Roles   Roles
}

// ValueStore holds the values of variables in the host program, under numbers of the host's choice; a number that meant one variable never means another, since
// clients hold on to it. Several goroutines call it. It is comparable, as a pointer is.
//
// A ValueStore may also be a ValuePusher, a Historian and a StampWriter.
type ValueStore interface {
	// ReadValues sets values[i] to the value of keys[i]; values come as zeros, which is a null value and Good. A key that is not there any more is
	// ua.BadNodeIdUnknown. It must not wait for I/O. It is called once for up to 1024 variables, so that it can lock once for all of them. What values refer to
	// afterwards (strings, arrays) is read after the call, and must not be changed by anybody.
	ReadValues(ctx context.Context, keys []uint64, values []ua.DataValue)
	// WriteValues takes the writes in their order and sets the Status of each, which comes as Good. Access level, roles and type have been checked. Values may
	// point into the request: what is kept is cloned. It may wait, and ctx ends as that of a method does.
	WriteValues(ctx context.Context, c *Caller, writes []ValueWrite)
}

// ValueWrite is one value to be written.
type ValueWrite struct {
	Key    uint64
	Value  ua.DataValue
	Range  ua.NumericRange // the part of the value that is written; without dimensions the whole. Variant.Splice puts it in
	Status ua.StatusCode
}

// Watcher is told of new values. v is valid during the call only.
type Watcher interface {
	Changed(v *ua.DataValue)
}

// ValuePusher is a ValueStore that knows when a value changes. Variables of one that does not are sampled.
type ValuePusher interface {
	// Watch has w.Changed called with every new value of key from now on, in order and without a lock that ReadValues, Watch or Unwatch take. It answers
	// false when this key must be sampled after all.
	Watch(key uint64, w Watcher) bool
	// Unwatch undoes Watch. A call of Changed may still be under way when it returns.
	Unwatch(key uint64, w Watcher)
}

// StampWriter is a ValueStore that takes status codes or timestamps with a value. Without it, or when it says no, a Write that has them is refused
// with ua.BadWriteNotSupported [OPC 10000-4 5.10.4].
type StampWriter interface {
	WritesStamps() (status, timestamps bool)
}

// Historian is a ValueStore that knows earlier values. ReadHistory may wait, and its ctx ends as that of a method does.
type Historian interface {
	// ReadHistory appends raw values of r.Key to values and answers how it went. next, when not nil, is what the following call gets as r.Next to go on where
	// this one ended; it is the Historian's own and never leaves the server.
	ReadHistory(ctx context.Context, r *HistoryQuery, values []ua.DataValue) (more []ua.DataValue, next []byte, status ua.StatusCode)
}

// HistoryQuery asks for raw values [OPC 10000-11 6.4.3]. Start after End means the newest first. One of Start, End and Max may be missing.
type HistoryQuery struct {
	Key        uint64
	Start, End ua.DateTime // 0: not given
	Max        int         // the most values for this call, at least 1
	Bounds     bool        // the values at or just outside of Start and End are asked for, too
	Next       []byte
}

// NodeStore serves all nodes of one namespace without having them in the Space: it is asked at every request, so that nodes come and go as the host likes.
// Several goroutines call it. None of its methods waits for I/O but Call. ReadValues is asked for the values of whatever has a key: of a node that is no variable it is
// ua.BadAttributeIdInvalid, of one that is not to be read ua.BadNotReadable. Whoever has RoleRead may read them.
type NodeStore interface {
	ValueStore
	// Find returns the key of a node. id.Text may be part of a request and must not be kept.
	Find(id ua.NodeId) (key uint64, ok bool)
	// Node describes a node in n, which comes as zeros, TypeDefinition included; References and the value are not asked for here. False: there is no such node any more.
	Node(key uint64, n *Node) bool
	// References appends the references of a node in both directions, HasTypeDefinition included, from position from on, and no more than
	// refs has room for. Fewer than that means that there are no more. A node that disappears between two calls moves the others; nobody minds.
	References(key uint64, from int, refs []Reference) []Reference
	// Call calls a method of the store, whose node has this key.
	Call(ctx context.Context, key uint64, m *MethodCall) ua.StatusCode
}

// TextFinder is a NodeStore that finds ids of type String by the bytes of their text, which are valid during the call only. Without it each of them is made a
// string first.
type TextFinder interface {
	FindText(text []byte) (key uint64, ok bool)
}
