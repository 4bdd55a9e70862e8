package opcua

import (
	"context"
	"slices"

	"millrace/opcua/ua"
)

// minBrowseDescription is the shortest BrowseDescription: NodeId 2, direction 4, type of references 2, subtypes 1, two masks of 4.
const minBrowseDescription = 17

// serveBrowse answers a Browse [OPC 10000-4 5.8.2].
func (s *Server) serveBrowse(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	var view ua.ViewDescription
	view.DecodeFrom(d)
	most := int(d.U32())
	n := d.Count(minBrowseDescription)
	if status := c.looking(d, n, s.space.limits.Browse); status != ua.Good {
		return out, status
	}
	in, status := s.space.viewOf(&view)
	if status != ua.Good {
		return out, status
	}
	if most == 0 || most > s.space.limits.References {
		most = s.space.limits.References
	}
	b := browser{space: s.space, points: &c.session.browse, aliases: &c.session.aliases, room: c.room(out), out: ua.AppendInt32(out, int32(n))}
	for range n {
		var what ua.BrowseDescription
		if what.DecodeFrom(d); d.Bad() {
			return out, d.Status()
		}
		b.browse(&what, in, most)
	}
	return endOfRequest(d, appendNoDiagnostics(b.out))
}

// viewOf returns the nodes of a view, nil for all there are.
func (s *Space) viewOf(v *ua.ViewDescription) (map[nodeRef]bool, ua.StatusCode) {
	if v.ViewId.IsNull() {
		return nil, ua.Good
	}
	in, status := s.view(v.ViewId)
	switch { // of a view that there is not, nothing else can be wrong
	case status != ua.Good:
		return nil, status
	case v.Timestamp != 0:
		return nil, ua.BadViewTimestampInvalid // views have no history here
	case v.ViewVersion != 0:
		return nil, ua.BadViewVersionInvalid
	}
	return in, ua.Good
}

// browser appends BrowseResults to a response.
type browser struct {
	space   *Space
	points  *browsePoints
	aliases *nodeAliases
	out     []byte
	room    int // how long out may become; what does not fit waits for BrowseNext
	work    int // references that were looked at; those beyond BrowseWork wait, too
}

// browse appends the result of one BrowseDescription.
func (b *browser) browse(what *ua.BrowseDescription, in map[nodeRef]bool, most int) {
	ref, ok := b.space.resolve(b.aliases, what.NodeId)
	if !ok {
		b.refuse(ua.BadNodeIdUnknown)
		return
	}
	spec := browseSpec{direction: what.BrowseDirection, subtypes: what.IncludeSubtypes, classes: what.NodeClassMask, view: in, aliases: b.aliases}
	if spec.direction < ua.BrowseDirectionForward || spec.direction > ua.BrowseDirectionBoth {
		b.refuse(ua.BadBrowseDirectionInvalid)
		return
	}
	if !what.ReferenceTypeId.IsNull() {
		if !b.space.isReferenceType(what.ReferenceTypeId) {
			b.refuse(ua.BadReferenceTypeIdInvalid)
			return
		}
		spec.kind = b.space.index.find(what.ReferenceTypeId)
	}
	if in != nil && !in[ref] {
		b.refuse(ua.BadNodeNotInView)
		return
	}
	b.page(&browsePoint{cursor: b.space.cursor(ref, spec), mask: what.ResultMask, most: most})
}

// refuse appends a result without references.
func (b *browser) refuse(status ua.StatusCode) {
	b.out = ua.AppendStatusCode(b.out, status)
	b.out = ua.AppendInt32(b.out, -1)
	b.out = ua.AppendInt32(b.out, -1)
}

// page appends a result with the next references of p, and keeps p when they are not all.
func (b *browser) page(p *browsePoint) {
	start := len(b.out)
	b.out = ua.AppendStatusCode(b.out, ua.Good)
	b.out = ua.AppendInt32(b.out, -1) // no continuation point
	b.out = ua.AppendInt32(b.out, 0)
	n, more := 0, true
	for n < p.most && len(b.out) < b.room && b.work < b.space.limits.BrowseWork {
		if more = b.next(p); !more {
			break
		}
		b.out = appendHit(b.out, &p.ahead, p.mask)
		p.begun = false
		n++
	}
	if more {
		more = b.next(p)
	}
	putInt32(b.out, start+8, n)
	if !more {
		return
	}
	id, ok := b.points.keepBrowse(p, b.space.limits.ContinuationPoints)
	if !ok {
		b.out = b.out[:start]
		b.refuse(ua.BadNoContinuationPoints)
		return
	}
	text := pointId(id)
	putInt32(b.out, start+4, len(text))
	b.out = slices.Insert(b.out, start+8, text[:]...)
}

// next makes sure that there is a reference ahead of p, and answers false when there are no more. Without work left it does not look, and says that there may be.
func (b *browser) next(p *browsePoint) bool {
	if p.begun || b.work >= b.space.limits.BrowseWork {
		return true
	}
	before := p.cursor.work
	p.begun = p.cursor.next(&p.ahead)
	b.work += p.cursor.work - before
	return p.begun
}

// putInt32 overwrites the four bytes at b[at:].
func putInt32(b []byte, at, v int) {
	ua.AppendInt32(b[:at], int32(v))
}
