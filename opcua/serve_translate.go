package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// minBrowsePath is the shortest BrowsePath: StartingNode 2, null array of elements 4.
const minBrowsePath = 6

// serveTranslateBrowsePaths answers a TranslateBrowsePathsToNodeIds [OPC 10000-4 5.8.4].
func (s *Server) serveTranslateBrowsePaths(ctx context.Context, c *call, d *ua.Decoder, out []byte) ([]byte, ua.StatusCode) {
	n := d.Count(minBrowsePath)
	if status := c.looking(d, n, s.space.limits.TranslateBrowsePaths); status != ua.Good {
		return out, status
	}
	t := translator{space: s.space, aliases: &c.session.aliases, work: s.space.limits.PathWork}
	room := c.room(out)
	out = ua.AppendInt32(out, int32(n))
	for range n {
		var path ua.BrowsePath
		if path.DecodeFrom(d); d.Bad() {
			return out, d.Status()
		}
		if out = t.appendResult(out, &path); len(out) > room {
			return out, ua.BadResponseTooLarge
		}
	}
	return endOfRequest(d, appendNoDiagnostics(out))
}

// pathTargets is the most targets of one path.
const pathTargets = 1000

// translator follows browse paths. Its work is bounded over all paths of a request: a path that goes back and forth between nodes with many references would
// otherwise multiply them with each element.
type translator struct {
	space   *Space
	aliases *nodeAliases
	work    int // references that may still be looked at
}

// appendResult appends the BrowsePathResult of a path.
func (t *translator) appendResult(out []byte, path *ua.BrowsePath) []byte {
	targets, status := t.translate(path)
	r := ua.BrowsePathResult{StatusCode: status, Targets: targets}
	return r.AppendTo(out)
}

func (t *translator) translate(path *ua.BrowsePath) ([]ua.BrowsePathTarget, ua.StatusCode) {
	elements := path.RelativePath.Elements
	switch {
	case len(elements) == 0:
		return nil, ua.BadNothingToDo
	case len(elements) > t.space.limits.PathElements:
		return nil, ua.BadQueryTooComplex
	}
	start, ok := t.space.resolve(t.aliases, path.StartingNode)
	if !ok {
		return nil, ua.BadNodeIdUnknown
	}
	at := []nodeRef{start}
	var found []ua.BrowsePathTarget
	for i := range elements {
		last := i == len(elements)-1
		if elements[i].TargetName.Name == "" && !last {
			return nil, ua.BadBrowseNameInvalid
		}
		step, status := t.stepOf(&elements[i])
		if status != ua.Good {
			return nil, status
		}
		step.left, step.last = uint32(i+1), last
		if at, found, status = t.follow(at, found, step); status != ua.Good {
			return nil, status
		}
	}
	return found, verdict(found)
}

// verdict is the status of a path with these targets.
func verdict(found []ua.BrowsePathTarget) ua.StatusCode {
	if len(found) == 0 {
		return ua.BadNoMatch
	}
	for i := range found {
		if found[i].RemainingPathIndex != wholePath {
			return ua.UncertainReferenceOutOfServer
		}
	}
	return ua.Good
}

// wholePath is the RemainingPathIndex of a path that was followed to its end.
const wholePath = 1<<32 - 1

// pathStep is one element of a path.
type pathStep struct {
	spec browseSpec
	name ua.QualifiedName
	left uint32 // index of the element behind it
	last bool
}

func (t *translator) stepOf(e *ua.RelativePathElement) (pathStep, ua.StatusCode) {
	step := pathStep{name: e.TargetName, spec: browseSpec{subtypes: e.IncludeSubtypes, aliases: t.aliases}}
	if e.IsInverse {
		step.spec.direction = ua.BrowseDirectionInverse
	}
	if !e.ReferenceTypeId.IsNull() {
		if !t.space.isReferenceType(e.ReferenceTypeId) {
			return step, ua.BadReferenceTypeIdInvalid
		}
		step.spec.kind = t.space.index.find(e.ReferenceTypeId)
	}
	return step, ua.Good
}

// follow goes one step from all nodes in at. It returns the nodes where the next step begins, each once, and found with the targets where the path ends.
func (t *translator) follow(at []nodeRef, found []ua.BrowsePathTarget, step pathStep) ([]nodeRef, []ua.BrowsePathTarget, ua.StatusCode) {
	var next []nodeRef
	seen := map[nodeRef]bool{}
	for _, ref := range at {
		c := t.space.cursor(ref, step.spec)
		var hit browseHit
		for c.next(&hit) {
			if t.work -= c.work; t.work < 0 {
				return nil, nil, ua.BadQueryTooComplex
			}
			c.work = 0
			if !step.matches(&hit) || seen[hit.ref] && !hit.external {
				continue
			}
			seen[hit.ref] = true
			if hit.external || step.last {
				found = append(found, step.target(&hit))
			} else {
				next = append(next, hit.ref)
			}
			if len(found)+len(next) > pathTargets {
				return nil, nil, ua.BadTooManyMatches
			}
		}
		if t.work -= c.work; t.work < 0 {
			return nil, nil, ua.BadQueryTooComplex
		}
	}
	return next, found, ua.Good
}

// matches says whether the target of a reference has the name that is asked for. That of a node in another server is not known here: it may be one that
// the path goes on from, but not one that it ends with.
func (p *pathStep) matches(hit *browseHit) bool {
	if p.name == (ua.QualifiedName{}) {
		return true
	}
	if hit.external {
		return !p.last
	}
	return p.name == hit.name
}

// target is the end of a path, or where it leaves this server.
func (p *pathStep) target(hit *browseHit) ua.BrowsePathTarget {
	if hit.external && !p.last {
		return ua.BrowsePathTarget{TargetId: hit.to, RemainingPathIndex: p.left}
	}
	return ua.BrowsePathTarget{TargetId: hit.to, RemainingPathIndex: wholePath}
}
