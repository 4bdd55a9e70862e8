package opcua

import (
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// browseSpec says which references are followed.
type browseSpec struct {
	direction ua.BrowseDirection
	kind      *node // nil: all
	subtypes  bool  // of kind, too
	classes   uint32
	view      map[nodeRef]bool // what lies in the view; nil: everything
	aliases   *nodeAliases     // of who looks; nil for the server itself
}

// browseCursor walks over the references of a node. Those that the Space has are those of the moment when it was made; a NodeStore is asked for its own page by page. It
// stays good when nodes come and go meanwhile: a target that is gone is passed over.
type browseCursor struct {
	space *Space
	spec  browseSpec
	list  []nodeReference // what is left of the Space's
	from  nodeRef         // whose mount, when it has one, has more
	at    int             // position in the references of the mount
	page  []Reference     // what is left of the ones that were asked for
	ended bool            // the mount has no more
	work  int             // references looked at

	lastKind *node // of the reference before, which is mostly that of the next
	lastFits bool
}

// browsePage is how many references a NodeStore is asked for at once.
const browsePage = 64

// browseHit is a reference that a browseCursor found.
type browseHit struct {
	kind     ua.NodeId
	inverse  bool
	to       ua.ExpandedNodeId
	ref      nodeRef // of the target; zero when it lies in another server
	class    ua.NodeClass
	name     ua.QualifiedName
	display  ua.LocalizedText
	typeDef  ua.NodeId
	external bool
}

// cursor returns a browseCursor over the references of ref.
func (s *Space) cursor(ref nodeRef, spec browseSpec) *browseCursor {
	c := &browseCursor{space: s, spec: spec, from: ref, ended: ref.mount == nil}
	n := ref.node
	if ref.mount != nil {
		n = s.index.find(ref.id())
	}
	if n != nil {
		c.list = n.references()
	}
	if x := s.sessions.Load(); x != nil && n != nil && n.is(sessionSummary) {
		c.from, c.ended = nodeRef{mount: x.mount, key: keySummary}, false
	}
	return c
}

// next finds the next reference that fits, and answers false at the end.
func (c *browseCursor) next(hit *browseHit) bool {
	for len(c.list) > 0 {
		r := c.list[0]
		c.list = c.list[1:]
		c.work++
		if c.fits(r.kind, r.inverse) && c.reach(r, hit) {
			return true
		}
	}
	for !c.ended || len(c.page) > 0 {
		if len(c.page) == 0 {
			c.turn()
			continue
		}
		r := c.page[0]
		c.page = c.page[1:]
		c.work++
		if kind := c.space.index.find(r.Type); kind != nil && c.fits(kind, r.Inverse) && c.reachFar(&r, hit) {
			return true
		}
	}
	return false
}

// turn asks the mount for its next references.
func (c *browseCursor) turn() {
	c.page = c.from.mount.store.References(c.from.key, c.at, make([]Reference, 0, browsePage))
	c.at += len(c.page)
	c.ended = len(c.page) < browsePage
}

// fits says whether references of this kind are followed.
func (c *browseCursor) fits(kind *node, inverse bool) bool {
	switch {
	case c.spec.direction == ua.BrowseDirectionForward && inverse, c.spec.direction == ua.BrowseDirectionInverse && !inverse:
		return false
	case c.spec.kind == nil || kind == c.spec.kind:
		return true
	case !c.spec.subtypes:
		return false
	}
	if kind != c.lastKind {
		c.lastKind, c.lastFits = kind, kind.isA(c.spec.kind)
	}
	return c.lastFits
}

// reach describes the target of a reference of the Space.
func (c *browseCursor) reach(r nodeReference, hit *browseHit) bool {
	*hit = browseHit{kind: r.kind.id, inverse: r.inverse}
	b := r.to.body.Load()
	if b == nil {
		return c.reachId(r.to.id, hit)
	}
	hit.to.NodeId, hit.ref = r.to.id, nodeRef{node: r.to}
	hit.class, hit.name, hit.display = b.class, b.browseName, b.displayName
	if b.class == ua.NodeClassObject || b.class == ua.NodeClassVariable {
		if t := r.to.target(ns0.HasTypeDefinition, false); t != nil {
			hit.typeDef = t.id
		}
	}
	return c.shown(hit)
}

// reachFar describes the target of a reference of a NodeStore.
func (c *browseCursor) reachFar(r *Reference, hit *browseHit) bool {
	*hit = browseHit{kind: r.Type, inverse: r.Inverse}
	if !r.Target.IsLocal() {
		hit.to, hit.external = r.Target, true
		return c.spec.classes == 0 && c.spec.view == nil
	}
	return c.reachId(r.Target.NodeId, hit)
}

// reachId describes the node of an id, if there is one.
func (c *browseCursor) reachId(id ua.NodeId, hit *browseHit) bool {
	ref, ok := c.space.resolve(c.spec.aliases, id)
	if !ok {
		return false
	}
	var n Node
	if !c.space.describe(ref, &n) {
		return false
	}
	hit.to.NodeId, hit.ref = id, ref
	hit.class, hit.name, hit.display = n.Class, n.BrowseName, n.DisplayName
	if hit.display.Text == "" {
		hit.display.Text = n.BrowseName.Name
	}
	if n.Class == ua.NodeClassObject || n.Class == ua.NodeClassVariable {
		hit.typeDef = n.TypeDefinition
	}
	return c.shown(hit)
}

// shown says whether class and view let a target be seen.
func (c *browseCursor) shown(hit *browseHit) bool {
	if c.spec.classes != 0 && c.spec.classes&uint32(hit.class) == 0 {
		return false
	}
	return c.spec.view == nil || c.spec.view[hit.ref]
}

// view returns the nodes of a view: what can be reached from it over forward hierarchical references [OPC 10000-3 5.4].
func (s *Space) view(id ua.NodeId) (map[nodeRef]bool, ua.StatusCode) {
	ref, ok := s.resolve(nil, id)
	var n Node
	if !ok || !s.describe(ref, &n) || n.Class != ua.NodeClassView {
		return nil, ua.BadViewIdUnknown
	}
	in := map[nodeRef]bool{ref: true}
	spec := browseSpec{direction: ua.BrowseDirectionForward, kind: s.index.find(stdId(ns0.HierarchicalReferences)), subtypes: true}
	work := s.limits.PathWork
	for open := []nodeRef{ref}; len(open) > 0; {
		c := s.cursor(open[0], spec)
		open = open[1:]
		var hit browseHit
		for c.next(&hit) {
			if !hit.external && !in[hit.ref] {
				in[hit.ref] = true
				open = append(open, hit.ref)
			}
		}
		if work -= c.work; work < 0 {
			return nil, ua.BadResourceUnavailable
		}
	}
	return in, ua.Good
}

// bits of BrowseDescription.ResultMask [OPC 10000-4 5.8.2].
const (
	showKind = 1 << iota
	showForward
	showClass
	showName
	showDisplay
	showTypeDefinition
)

// appendHit appends a ReferenceDescription with the fields that were asked for; the others are null.
func appendHit(b []byte, h *browseHit, mask uint32) []byte {
	var d ua.ReferenceDescription
	d.NodeId = h.to
	if mask&showKind != 0 {
		d.ReferenceTypeId = h.kind
	}
	if mask&showForward != 0 {
		d.IsForward = !h.inverse
	}
	if mask&showClass != 0 {
		d.NodeClass = h.class
	}
	if mask&showName != 0 {
		d.BrowseName = h.name
	}
	if mask&showDisplay != 0 {
		d.DisplayName = h.display
	}
	if mask&showTypeDefinition != 0 {
		d.TypeDefinition.NodeId = h.typeDef
	}
	return d.AppendTo(b)
}
