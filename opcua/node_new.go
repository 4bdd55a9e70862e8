package opcua

import (
	"context"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// bodyOf returns what a Space keeps of n.
func bodyOf(n *Node) *nodeBody {
	b := &nodeBody{
		class: n.Class, eventNotifier: n.EventNotifier, isAbstract: n.IsAbstract, symmetric: n.Symmetric, noLoops: n.ContainsNoLoops,
		readRoles: n.ReadRoles, writeRoles: n.WriteRoles, browseName: n.BrowseName, displayName: n.DisplayName, description: n.Description,
	}
	if b.displayName.Text == "" {
		b.displayName.Text = n.BrowseName.Name
	}
	b.readRoles, b.writeRoles = rolesOf(n)
	switch n.Class {
	case ua.NodeClassVariable, ua.NodeClassVariableType:
		b.variable = variableOf(n)
	case ua.NodeClassMethod:
		b.method = &nodeMethod{call: n.Call, inputs: n.Inputs, outputs: n.Outputs}
	case ua.NodeClassReferenceType, ua.NodeClassDataType:
		b.typ = &nodeType{inverseName: n.InverseName, definition: n.Definition}
	}
	return b
}

// rolesOf are those that may read and write n.
func rolesOf(n *Node) (read, write Roles) {
	read, write = n.ReadRoles, n.WriteRoles
	if read == 0 {
		read = RoleRead
	}
	if write == 0 {
		write = RoleWrite
	}
	return read, write
}

func variableOf(n *Node) *nodeVariable {
	v := &nodeVariable{
		dataType: n.DataType, rank: n.ValueRank, level: levelOf(n), historizing: n.Historizing, sampling: n.MinimumSamplingInterval,
		dims: n.ArrayDimensions, store: n.Store, key: n.Key, live: n.Live,
	}
	if v.dataType.IsNull() {
		v.dataType = stdId(ns0.BaseDataType)
	}
	if v.store == nil && v.live == nil {
		v.held = &heldValue{}
		value := n.Value
		stampSource(&value)
		v.held.value.Store(&value)
	}
	return v
}

// stampSource gives a value that the Space keeps the time when it got there, unless it has one of its own.
func stampSource(v *ua.DataValue) {
	if v.SourceTimestamp == 0 && !v.Value.IsNull() {
		v.SourceTimestamp = ua.DateTimeOf(time.Now())
	}
}

func levelOf(n *Node) AccessLevel {
	if n.AccessLevel == 0 {
		return AccessCurrentRead
	}
	return n.AccessLevel
}

// argumentsOf reads the property that describes the arguments of a method; without one there are none.
func argumentsOf(property *node) []ua.Argument {
	if property == nil {
		return nil
	}
	v := nodeRef{node: property}.variable()
	if v == nil || v.held == nil {
		return nil
	}
	var args []ua.Argument
	list, _ := ua.ArrayOf[ua.ExtensionObject](v.held.value.Load().Value)
	for _, x := range list {
		var a ua.Argument
		if x.Decode(&a, ua.Limits{}) != nil {
			return nil
		}
		args = append(args, a)
	}
	return args
}

// describe fills n, which comes as zeros, with what a node is, but for its references and value. False: it is gone.
func (s *Space) describe(ref nodeRef, n *Node) bool {
	if ref.mount != nil {
		return ref.describeFar(n)
	}
	b := ref.node.body.Load()
	if b == nil {
		return false
	}
	*n = Node{
		Id: ref.node.id, Class: b.class, BrowseName: b.browseName, DisplayName: b.displayName, Description: b.description,
		ReadRoles: b.readRoles, WriteRoles: b.writeRoles, IsAbstract: b.isAbstract, Symmetric: b.symmetric,
		EventNotifier: b.eventNotifier, ContainsNoLoops: b.noLoops,
	}
	if t := ref.node.target(ns0.HasTypeDefinition, false); t != nil {
		n.TypeDefinition = t.id
	}
	b.describe(n)
	return true
}

// describeFar has the NodeStore describe its node.
func (r nodeRef) describeFar(n *Node) bool {
	store, key := r.mount.store, r.key
	if !store.Node(key, n) {
		return false
	}
	if n.Class == ua.NodeClassMethod {
		n.Call = func(ctx context.Context, m *MethodCall) ua.StatusCode { return store.Call(ctx, key, m) }
	}
	return true
}

// describe fills in what only some classes have.
func (b *nodeBody) describe(n *Node) {
	if v := b.variable; v != nil {
		n.DataType, n.ValueRank, n.ArrayDimensions, n.AccessLevel = v.dataType, v.rank, v.dims, v.level
		n.MinimumSamplingInterval, n.Historizing = v.sampling, v.historizing
		n.Store, n.Key, n.Live = v.store, v.key, v.live
	}
	if m := b.method; m != nil {
		n.Call, n.Inputs, n.Outputs = m.call, m.inputs, m.outputs
	}
	if t := b.typ; t != nil {
		n.InverseName, n.Definition = t.inverseName, t.definition
	}
}
