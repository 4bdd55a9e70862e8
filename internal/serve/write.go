package serve

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"millrace/internal/tag"
	"millrace/internal/write"
	"millrace/opcua"
	"millrace/opcua/ua"
)

// Writer takes the values that clients write. *write.Path is one.
type Writer interface {
	Submit(ctx context.Context, o write.Order) write.Outcome
	LastOf(tag string) (write.Outcome, bool) // the last that ended
}

// WriteValues implements opcua.ValueStore: each value goes the path of all writes, as that of the session's user, and the answer comes when it has ended. What the node has afterwards is what the
// gateway reads.
func (n *Nodes) WriteValues(ctx context.Context, c *opcua.Caller, writes []opcua.ValueWrite) {
	p := n.plant.Load()
	for i := range writes {
		w := &writes[i]
		k, id := split(w.Key)
		t := p.tags[tag.ID(id)]
		switch {
		case k != ofTag || t != nil && !t.Writable || n.writer == nil:
			w.Status = ua.BadNotWritable
		case t == nil:
			w.Status = ua.BadNodeIdUnknown
		case len(w.Range) > 0:
			w.Status = ua.BadWriteNotSupported // the rest of the array may have changed by the time it is written
		case ctx.Err() != nil:
			w.Status = ua.BadRequestCancelledByClient
		default:
			w.Status = n.writeTag(ctx, c, t, w.Value.Value)
		}
	}
}

func (n *Nodes) writeTag(ctx context.Context, c *opcua.Caller, t *plantTag, v ua.Variant) ua.StatusCode {
	value, ok := valueOf(v)
	if !ok {
		return ua.BadTypeMismatch
	}
	out := n.writer.Submit(ctx, write.Order{Tag: t.Name, Value: value, Caller: write.Caller{User: userOf(c), Role: roleOf(c.Roles), Via: "opcua", From: "session " + c.Session.String()}})
	return statusOf(&out)
}

// userOf names the user of a session; of an anonymous one it says that nobody knows.
func userOf(c *opcua.Caller) string {
	if c.User == "" {
		return "anonymous"
	}
	return c.User
}

func roleOf(r opcua.Roles) (role write.Role) {
	if r&opcua.RoleWrite != 0 {
		role |= write.RoleWrite
	}
	if r&opcua.RoleAdmin != 0 {
		role |= write.RoleAdmin
	}
	return role
}

// writeRoles are the roles that may write a tag whose rule wants need.
func writeRoles(need write.Role) opcua.Roles {
	if need == write.RoleAdmin {
		return opcua.RoleAdmin
	}
	return opcua.RoleWrite | opcua.RoleAdmin
}

// statusOf is how an end is told to OPC UA clients. What is neither confirmed nor waiting is bad: clients take an uncertain code for success. In words it stands in the tag's property LastWrite.
func statusOf(o *write.Outcome) ua.StatusCode {
	switch o.End {
	case write.Confirmed:
		return ua.Good
	case write.Pending:
		return ua.GoodCompletesAsynchronously
	case write.Differs:
		return ua.BadUnexpectedError
	case write.Failed:
		return ua.BadDeviceFailure
	case write.Unknown:
		return ua.BadTimeout
	case write.Refused:
	}
	switch o.Cause {
	case write.NoTag:
		return ua.BadNotWritable
	case write.NoRole, write.NotApproved:
		return ua.BadUserAccessDenied
	case write.BadValue:
		return ua.BadTypeMismatch
	case write.OutOfRange:
		return ua.BadOutOfRange
	case write.Locked:
		return ua.BadInvalidState
	case write.TooMany:
		return ua.BadTooManyOperations
	case write.NotReachable:
		return ua.BadNoCommunication
	case write.Stopping:
		return ua.BadShutdown
	case write.Overtaken:
		return ua.BadRequestCancelledByRequest
	case write.NoCause, write.TooLate, write.KeyTaken, write.NoAudit:
	}
	return ua.BadResourceUnavailable
}

// lastWrite is what became of the last write of a tag, in words.
func (n *Nodes) lastWrite(t *plantTag, v *ua.DataValue) {
	if n.writer == nil {
		return
	}
	o, ok := n.writer.LastOf(t.Name)
	if !ok {
		return // null: there was none
	}
	text := string(o.End) + " (" + o.New.String() + " by " + o.By + ")"
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	v.Value, v.SourceTimestamp = ua.String(text), ua.DateTimeOf(o.Asked.Add(o.Took))
}

// valueOf turns what OPC UA carries into a value, and says whether that can be.
func valueOf(v ua.Variant) (tag.Value, bool) {
	k := tag.Kind(v.Type())
	switch {
	case v.IsNull() || !k.Valid() || len(v.Dims()) > 0:
		return tag.Value{}, false
	case v.IsArray():
		return arrayValue(v, k)
	}
	return scalarValue(v, k)
}

func scalarValue(v ua.Variant, k tag.Kind) (tag.Value, bool) {
	switch k {
	case tag.String, tag.ByteString:
		return tag.Value{Kind: k, Aux: v.AppendBytes(nil)}, true
	case tag.DateTime:
		t, _ := v.DateTime()
		return tag.Value{Kind: k, Bits: uint64(t.UnixNano())}, isInstant(t)
	}
	return tag.Value{Kind: k, Bits: v.Bits()}, true
}

// isInstant says whether t is a time that a tag can have: not null, and one that comes back from its nanoseconds.
func isInstant(t ua.DateTime) bool { return t > 0 && time.Unix(0, t.UnixNano()).Equal(t.Time()) }

func arrayValue(v ua.Variant, k tag.Kind) (tag.Value, bool) {
	switch k {
	case tag.Bool:
		return packed(v, k, func(e bool) uint64 {
			if e {
				return 1
			}
			return 0
		})
	case tag.Int8:
		return packed(v, k, func(e int8) uint64 { return uint64(e) })
	case tag.Uint8:
		return packed(v, k, func(e uint8) uint64 { return uint64(e) })
	case tag.Int16:
		return packed(v, k, func(e int16) uint64 { return uint64(e) })
	case tag.Uint16:
		return packed(v, k, func(e uint16) uint64 { return uint64(e) })
	case tag.Int32:
		return packed(v, k, func(e int32) uint64 { return uint64(e) })
	case tag.Uint32:
		return packed(v, k, func(e uint32) uint64 { return uint64(e) })
	case tag.Int64:
		return packed(v, k, func(e int64) uint64 { return uint64(e) })
	case tag.Uint64:
		return packed(v, k, func(e uint64) uint64 { return e })
	case tag.Float32:
		return packed(v, k, func(e float32) uint64 { return uint64(math.Float32bits(e)) })
	case tag.Float64:
		return packed(v, k, math.Float64bits)
	case tag.DateTime:
		list, _ := ua.ArrayOf[ua.DateTime](v)
		out, ok := packed(v, k, func(e ua.DateTime) uint64 { return uint64(e.UnixNano()) })
		return out, ok && !slices.ContainsFunc(list, func(e ua.DateTime) bool { return !isInstant(e) })
	case tag.String:
		return joined(v, k, func(b []byte, e string) []byte { return append(b, e...) })
	case tag.ByteString:
		return joined(v, k, func(b, e []byte) []byte { return append(b, e...) })
	}
	return tag.Value{}, false
}

// packed is an array of elements of one width.
func packed[T any](v ua.Variant, k tag.Kind, bits func(T) uint64) (tag.Value, bool) {
	list, ok := ua.ArrayOf[T](v)
	out := tag.Value{Kind: k | tag.Array}
	for _, e := range list {
		out.Aux = tag.AppendElem(out.Aux, k, bits(e))
	}
	return out, ok
}

// joined is an array of elements that are each preceded by their length.
func joined[T ~string | ~[]byte](v ua.Variant, k tag.Kind, put func([]byte, T) []byte) (tag.Value, bool) {
	list, ok := ua.ArrayOf[T](v)
	out := tag.Value{Kind: k | tag.Array}
	for _, e := range list {
		out.Aux = put(binary.AppendUvarint(out.Aux, uint64(len(e))), e)
	}
	return out, ok
}
