package driver

import (
	"context"
	"errors"
	"slices"
	"time"

	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// resolve finds out what the nodes of st's plan are called in this session: their namespaces by URI, their browse paths. What is not found is lost, and looked for again now
// and then. The error is that of the connection.
func (s *opcuaSession) resolve(ctx context.Context, st *opcuaState, now time.Time) error {
	if st.resolved && (len(st.lost) == 0 || now.Before(st.tryAt)) {
		return nil
	}
	if !st.resolved && s.foundBefore(st) {
		st.resolved = true
		st.readAll()
		return nil
	}
	s.setUp.now.Store(!st.resolved)
	defer s.setUp.now.Store(false)
	var which []int
	if st.resolved {
		for _, l := range st.lost {
			which = append(which, l.node)
		}
	} else {
		which = make([]int, len(st.ids))
		for i := range which {
			which[i] = i
		}
	}
	lost, err := s.find(ctx, st, which)
	if err != nil {
		return err
	}
	found := slices.DeleteFunc(slices.Clone(which), func(n int) bool { return isLost(lost, n) })
	if err := s.learnStructures(ctx, st, found); err != nil {
		return err
	}
	st.resolved, st.tryAt = true, now.Add(lostAgain)
	if st.feed != nil {
		return s.monitorAgain(ctx, st, which, lost)
	}
	st.lost = lost
	st.readAll()
	return nil
}

// foundBefore fills in the ids of st's nodes when other plans of this session have found all of them: nothing has to be asked then, which would have the time of what is set up.
func (s *opcuaSession) foundBefore(st *opcuaState) bool {
	for n := range st.ids {
		id, ok := s.foundAs(&st.plan.nodes[n].point)
		if !ok {
			return false
		}
		st.ids[n] = id
	}
	return len(st.ids) > 0
}

// foundAs returns what p is called in this session, when a plan has found that.
func (s *opcuaSession) foundAs(p *opcuaPoint) (id ua.ReadValueId, ok bool) {
	for _, o := range s.states {
		if !o.resolved {
			continue
		}
		if n := slices.IndexFunc(o.plan.nodes, func(x opcuaNode) bool { return x.point == *p }); n >= 0 && !o.isLost(n) {
			return o.ids[n], true
		}
	}
	return ua.ReadValueId{}, false
}

// isLost says whether a node is among those that are lost.
func isLost(lost []opcuaLost, node int) bool {
	return slices.ContainsFunc(lost, func(l opcuaLost) bool { return l.node == node })
}

// find fills in the ids of nodes, and returns those that have none.
func (s *opcuaSession) find(ctx context.Context, st *opcuaState, which []int) (lost []opcuaLost, err error) {
	var paths []ua.BrowsePath
	var whose []int
	for _, n := range which {
		p := &st.plan.nodes[n].point
		if p.path != "" {
			path, ok := s.browsePath(p.path)
			if !ok {
				lost = append(lost, opcuaLost{n, ua.BadNodeIdUnknown})
				continue
			}
			paths, whose = append(paths, path), append(whose, n)
			continue
		}
		id, ok := s.nodeOf(p)
		if !ok {
			lost = append(lost, opcuaLost{n, ua.BadNodeIdUnknown})
			continue
		}
		st.ids[n] = p.read(id)
	}
	if len(paths) == 0 {
		return lost, nil
	}
	found, err := s.translate(ctx, paths)
	if err != nil {
		return nil, err
	}
	for i, n := range whose {
		if found[i].IsNull() {
			lost = append(lost, opcuaLost{n, ua.BadNodeIdUnknown})
			continue
		}
		st.ids[n] = st.plan.nodes[n].point.read(found[i])
	}
	return lost, nil
}

// read returns what asks for the point, of a node whose id is known.
func (p *opcuaPoint) read(id ua.NodeId) ua.ReadValueId {
	return ua.ReadValueId{NodeId: id, AttributeId: p.attr, IndexRange: p.index}
}

// nodeOf returns the id of a point that is no path, in this session.
func (s *opcuaSession) nodeOf(p *opcuaPoint) (ua.NodeId, bool) {
	id := p.node
	if p.uri == "" {
		return id, true
	}
	ns, ok := s.namespaces[p.uri]
	id.Namespace = ns
	return id, ok
}

// browsePath returns a path as the server takes it; false when it has no such namespace.
func (s *opcuaSession) browsePath(path string) (ua.BrowsePath, bool) {
	steps, err := pathSteps(path)
	out := ua.BrowsePath{StartingNode: ua.NumericId(0, ns0.RootFolder)}
	for _, st := range steps {
		ns, ok := st.namespace, true
		if st.uri != "" {
			ns, ok = s.namespaces[st.uri]
		}
		if !ok {
			return out, false
		}
		out.RelativePath.Elements = append(out.RelativePath.Elements, ua.RelativePathElement{
			ReferenceTypeId: ua.NumericId(0, ns0.HierarchicalReferences), IncludeSubtypes: true,
			TargetName: ua.QualifiedName{NamespaceIndex: ns, Name: st.name},
		})
	}
	return out, err == nil
}

// translate returns the nodes at paths, null where there is none. The error is that of the connection.
func (s *opcuaSession) translate(ctx context.Context, paths []ua.BrowsePath) ([]ua.NodeId, error) {
	out := make([]ua.NodeId, len(paths))
	results, err := s.client.TranslateBrowsePaths(ctx, paths)
	var e *opcua.Error
	if err != nil && !(errors.As(err, &e) && e.Answered && s.client.Err() == nil) {
		return nil, err
	}
	for i := range results {
		for _, t := range results[i].Targets {
			if i < len(out) && !results[i].StatusCode.IsBad() && t.RemainingPathIndex == 1<<32-1 && t.TargetId.IsLocal() {
				out[i] = t.TargetId.NodeId
				break
			}
		}
	}
	return out, nil
}

// readAll has st poll all nodes that were found.
func (st *opcuaState) readAll() {
	gone := map[int]bool{}
	for _, l := range st.lost {
		gone[l.node] = true
	}
	var nodes []int
	for n := range st.ids {
		if !gone[n] {
			nodes = append(nodes, n)
		}
	}
	st.reads = st.readsOf(nodes)
}

// readsOf returns what reads some nodes.
func (st *opcuaState) readsOf(nodes []int) opcuaReads {
	if len(nodes) == 0 {
		return opcuaReads{}
	}
	ids := make([]ua.ReadValueId, len(nodes))
	r := opcuaReads{nodes: make([]int32, len(nodes))}
	for i, n := range nodes {
		ids[i], r.nodes[i] = st.ids[n], int32(n)
	}
	r.plan = opcua.NewReadPlan(ids, opcua.ReadOptions{Most: st.plan.lim.MaxTags})
	return r
}
