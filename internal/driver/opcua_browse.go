package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/internal/device"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
	"millrace/opcua/uasc"
)

// maxBrowsed is how many nodes a survey has at most.
const maxBrowsed = 100_000

// Browse asks a server what it is, and for all that is below its Objects folder but the server's own diagnostics.
func (d OPCUA) Browse(ctx context.Context, a device.Addr, timeout time.Duration) (Survey, error) {
	opts, err := d.parseOptions(a)
	if err != nil {
		return Survey{}, err
	}
	cfg, err := opts.config(device.Limits{})
	if err != nil {
		return Survey{}, err
	}
	cfg.Timeout = timeout
	cfg.DialTimeout = max(opts.dialTimeout, 3*timeout) // discovery, channel and session
	c, err := opcua.Dial(ctx, opts.url, cfg)
	if err != nil {
		return Survey{}, explainDial(err, &opts)
	}
	b := opcuaBrowse{client: c, namespaces: c.Namespaces(), at: map[ua.NodeId]int{}}
	if err = b.ask(ctx); err == nil {
		b.offers(ctx, opts.url, cfg)
	}
	return b.Survey, firstOf(err, c.Close())
}

// opcuaBrowse is one survey of a server.
type opcuaBrowse struct {
	Survey
	client     *opcua.Client
	namespaces []string
	found      []opcuaFound
	at         map[ua.NodeId]int // index in found
	top        []int
}

// opcuaFound is a node that was found, with what is below it.
type opcuaFound struct {
	id       ua.NodeId
	name     ua.QualifiedName
	class    ua.NodeClass
	below    []int
	typ      string // of a variable: its data type, with [] for an array
	readable bool
	writable bool
	property bool // it says something of the node above it
}

func (b *opcuaBrowse) ask(ctx context.Context) error {
	for _, f := range [...]func(context.Context) error{b.identity, b.walk, b.variables} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	for _, i := range b.top {
		b.list(i, 0, "")
	}
	return nil
}

// identity asks what the server says it is.
func (b *opcuaBrowse) identity(ctx context.Context) error {
	facts := [...]struct {
		name string
		id   uint32
	}{
		{"product", ns0.Server_ServerStatus_BuildInfo_ProductName}, {"manufacturer", ns0.Server_ServerStatus_BuildInfo_ManufacturerName},
		{"version", ns0.Server_ServerStatus_BuildInfo_SoftwareVersion}, {"build", ns0.Server_ServerStatus_BuildInfo_BuildNumber},
		{"product URI", ns0.Server_ServerStatus_BuildInfo_ProductUri},
		{"nodes in a read", ns0.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead},
		{"items in a request", ns0.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall},
	}
	ids := make([]ua.NodeId, len(facts))
	for i := range facts {
		ids[i] = ua.NumericId(0, facts[i].id)
	}
	values, err := b.client.ReadValues(ctx, ids...)
	if err = b.unlessRefused(err); err != nil {
		return err
	}
	e := b.client.Endpoint()
	b.say("application", printable(e.Server.ApplicationName.Text))
	b.say("application URI", printable(e.Server.ApplicationUri))
	for i := range facts {
		if v := values[i].Value; !v.IsNull() && v.String() != "0" {
			b.say(facts[i].name, printable(v.String()))
		}
	}
	b.say("security", b.client.Security().String())
	for i, uri := range b.namespaces {
		b.say("namespace "+strconv.Itoa(i), printable(uri))
	}
	return nil
}

// offers asks which security a session could have, over a connection of its own. All else is known by then.
func (b *opcuaBrowse) offers(ctx context.Context, url string, cfg opcua.Config) {
	endpoints, err := opcua.GetEndpoints(ctx, url, cfg)
	if err != nil {
		b.Refused = append(b.Refused, err.Error())
		return
	}
	var offered []string
	b.OnlyOpen = len(endpoints) > 0
	for i := range endpoints {
		policy, known := uasc.PolicyByURI(endpoints[i].SecurityPolicyUri)
		mode := endpoints[i].SecurityMode
		b.OnlyOpen = b.OnlyOpen && mode == ua.MessageSecurityModeNone
		if s := (uasc.Security{Policy: policy, Mode: mode}).String(); known && !slices.Contains(offered, s) {
			offered = append(offered, s)
		}
	}
	b.say("security offered", strings.Join(offered, ", "))
}

// unlessRefused notes what the server refuses: it may say other things.
func (b *opcuaBrowse) unlessRefused(err error) error {
	var e *opcua.Error
	if err == nil || b.client.Err() != nil || !errors.As(err, &e) || !e.Answered {
		return err
	}
	b.Refused = append(b.Refused, err.Error())
	return nil
}

// walk finds the nodes.
func (b *opcuaBrowse) walk(ctx context.Context) error {
	objects := ua.NumericId(0, ns0.ObjectsFolder)
	err := b.client.Walk(ctx, objects, opcua.WalkOptions{MaxNodes: maxBrowsed}, func(n opcua.Found) error {
		if n.Node == ua.NumericId(0, ns0.Server) {
			return opcua.ErrSkip
		}
		i := len(b.found)
		b.at[n.Node] = i
		b.found = append(b.found, opcuaFound{id: n.Node, name: cloneName(n.Reference.BrowseName), class: n.Reference.NodeClass,
			property: n.Reference.ReferenceTypeId == ua.NumericId(0, ns0.HasProperty)})
		if n.Parent == objects {
			b.top = append(b.top, i)
			return nil
		}
		p := &b.found[b.at[n.Parent]]
		p.below = append(p.below, i)
		return nil
	})
	if errors.Is(err, opcua.ErrWalkTooLong) {
		b.Refused = append(b.Refused, fmt.Sprintf("what lies beyond %d nodes", maxBrowsed))
		return nil
	}
	return b.unlessRefused(err)
}

func cloneName(q ua.QualifiedName) ua.QualifiedName {
	q.Name = strings.Clone(q.Name)
	return q
}

// variables asks for the types of variables, and for what this user may do with them.
func (b *opcuaBrowse) variables(ctx context.Context) error {
	attributes := [...]uint32{ua.AttributeDataType, ua.AttributeValueRank, ua.AttributeUserAccessLevel}
	var ask []ua.ReadValueId
	var whose []int
	for i := range b.found {
		if b.found[i].class != ua.NodeClassVariable {
			continue
		}
		whose = append(whose, i)
		for _, attr := range attributes {
			ask = append(ask, ua.ReadValueId{NodeId: b.found[i].id, AttributeId: attr})
		}
	}
	if len(ask) == 0 {
		return nil
	}
	types := make([]ua.NodeId, len(whose))
	err := b.client.ReadEach(ctx, opcua.NewReadPlan(ask, opcua.ReadOptions{}), func(i int, v *ua.DataValue) {
		n := &b.found[whose[i/len(attributes)]]
		switch attributes[i%len(attributes)] {
		case ua.AttributeDataType:
			types[i/len(attributes)], _ = v.Value.NodeId()
		case ua.AttributeValueRank:
			if rank, ok := v.Value.Int64(); ok && rank >= 0 {
				n.typ = "[]"
			}
		default:
			level, ok := v.Value.Uint64()
			n.readable, n.writable = !ok || level&1 != 0, level&2 != 0
		}
	})
	if err = b.unlessRefused(err); err != nil {
		return err
	}
	names, err := b.typeNames(ctx, types)
	for k, i := range whose {
		b.found[i].typ = names[types[k]] + b.found[i].typ
	}
	return err
}

// typeNames returns the names of data types.
func (b *opcuaBrowse) typeNames(ctx context.Context, types []ua.NodeId) (map[ua.NodeId]string, error) {
	names := map[ua.NodeId]string{}
	var ask []ua.ReadValueId
	for _, id := range types {
		id = cloneId(id)
		if _, known := names[id]; known {
			continue
		}
		names[id] = ""
		if t, ok := builtin(id); ok && id.Numeric != ns0.Enumeration {
			names[id] = t.String()
			continue
		}
		ask = append(ask, ua.ReadValueId{NodeId: id, AttributeId: ua.AttributeBrowseName})
	}
	if len(ask) == 0 {
		return names, nil
	}
	err := b.client.ReadEach(ctx, opcua.NewReadPlan(ask, opcua.ReadOptions{}), func(i int, v *ua.DataValue) {
		if q, ok := v.Value.QualifiedName(); ok {
			names[ask[i].NodeId] = strings.Clone(q.Name)
		}
	})
	return names, b.unlessRefused(err)
}

// list adds a node and what is below it to the survey.
func (b *opcuaBrowse) list(i, depth int, path string) {
	n := &b.found[i]
	path = joinTag(path, n.name.Name)
	item := Node{Depth: depth, Name: printable(n.name.String()), Kind: classWords(n.class), Writable: n.writable, Address: b.address(n.id)}
	if n.class == ua.NodeClassVariable {
		item.Kind = printable(n.typ)
	}
	if n.readable && !n.property && n.id.Namespace > 0 {
		item.Tag = path
	}
	b.Nodes = append(b.Nodes, item)
	below := slices.Clone(n.below)
	slices.SortStableFunc(below, func(x, y int) int { return strings.Compare(b.found[x].name.Name, b.found[y].name.Name) })
	for _, k := range below {
		b.list(k, depth+1, path)
	}
}

// address returns what reads a node, with its namespace by URI.
func (b *opcuaBrowse) address(id ua.NodeId) string {
	p := opcuaPoint{node: id, attr: ua.AttributeValue}
	if ns := int(id.Namespace); ns > 0 && ns < len(b.namespaces) {
		p.uri, p.node.Namespace = b.namespaces[ns], 0
	}
	return p.String()
}

func classWords(c ua.NodeClass) string {
	switch c {
	case ua.NodeClassObject:
		return "object"
	case ua.NodeClassMethod:
		return "method"
	case ua.NodeClassView:
		return "view"
	}
	return strings.ToLower(strings.TrimPrefix(c.String(), "NodeClass"))
}

// joinTag adds a name to the path of a tag.
func joinTag(path, name string) string {
	name = strings.ReplaceAll(printable(name), "/", "_")
	if path == "" {
		return name
	}
	return path + "/" + name
}
