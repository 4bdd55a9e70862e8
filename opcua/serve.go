package opcua

import (
	"millrace/opcua/ua"
)

// What the services on nodes share.

// responseRoom bounds a response when its client does not.
const responseRoom = 16 << 20

// room returns how long out may become: a request of a few bytes can ask for a thousand times that, so that services look while they append.
func (c *call) room(out []byte) int {
	room := responseRoom
	if most := int(c.session.maxResponse); most > 0 {
		room = min(room, most)
	}
	return len(out) + room
}

// now is the server time of a response: when its request came.
func (c *call) now() ua.DateTime { return ua.DateTimeOf(c.received) }

// appendNoDiagnostics appends the null array of DiagnosticInfo that closes most responses.
func appendNoDiagnostics(out []byte) []byte { return ua.AppendInt32(out, -1) }

// endOfRequest answers out when all of the request has been read, and nothing else is behind it.
func endOfRequest(d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	if d.Bad() {
		return out, d.Status()
	}
	if d.Left() > 0 {
		return out, ua.BadDecodingError
	}
	return out, ua.Good
}

// looking is operations for a service that shows nodes: it refuses who may not look at them.
func (c *call) looking(d *ua.Decoder, n, limit int) ua.StatusCode {
	status := operations(d, n, limit)
	if status == ua.Good && c.session.caller.Roles&lookers == 0 {
		return ua.BadUserAccessDenied
	}
	return status
}

// operations checks how many operations a request has, before the first is looked at.
func operations(d *ua.Decoder, n, limit int) ua.StatusCode {
	switch {
	case d.Bad():
		return d.Status()
	case n == 0:
		return ua.BadNothingToDo
	case n > limit:
		return ua.BadTooManyOperations
	}
	return ua.Good
}

// appendStatuses appends one status an operation, and no diagnostics.
func appendStatuses(out []byte, list []ua.StatusCode) []byte {
	out = ua.AppendInt32(out, int32(len(list)))
	for _, s := range list {
		out = ua.AppendStatusCode(out, s)
	}
	return appendNoDiagnostics(out)
}
