package opcua

import (
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// describeAttribute reads any attribute but the value.
func (s *Space) describeAttribute(who Roles, ref nodeRef, attribute uint32, v *ua.DataValue) {
	var n Node
	switch {
	case who&lookers == 0:
		v.Status = ua.BadUserAccessDenied
		return
	case !s.describe(ref, &n):
		v.Status = ua.BadNodeIdUnknown
		return
	}
	if n.DisplayName.Text == "" {
		n.DisplayName.Text = n.BrowseName.Name
	}
	value, ok := n.common(attribute)
	if !ok {
		value, ok = n.own(who, attribute)
	}
	if !ok {
		v.Status = ua.BadAttributeIdInvalid
		return
	}
	v.Value = value
}

// common returns an attribute that nodes of all classes have.
func (n *Node) common(attribute uint32) (ua.Variant, bool) {
	switch attribute {
	case ua.AttributeNodeId:
		return ua.NodeIdValue(n.Id), true
	case ua.AttributeNodeClass:
		return ua.Int32(int32(n.Class)), true
	case ua.AttributeBrowseName:
		return ua.QualifiedNameValue(n.BrowseName), true
	case ua.AttributeDisplayName:
		return ua.LocalizedTextValue(n.DisplayName), true
	case ua.AttributeDescription:
		return ua.LocalizedTextValue(n.Description), true
	case ua.AttributeWriteMask, ua.AttributeUserWriteMask:
		return ua.UInt32(0), true
	}
	return ua.Variant{}, false
}

// own returns an attribute that nodes of n's class have.
func (n *Node) own(who Roles, attribute uint32) (ua.Variant, bool) {
	switch n.Class {
	case ua.NodeClassVariable:
		if v, ok := n.typed(attribute); ok {
			return v, ok
		}
		return n.accessible(who, attribute)
	case ua.NodeClassVariableType:
		if v, ok := n.typed(attribute); ok {
			return v, ok
		}
		return n.typical(attribute)
	case ua.NodeClassObjectType, ua.NodeClassReferenceType, ua.NodeClassDataType:
		return n.typical(attribute)
	case ua.NodeClassMethod:
		return n.callable(who, attribute)
	}
	return n.notifying(attribute)
}

// typed returns an attribute that Variables and VariableTypes have.
func (n *Node) typed(attribute uint32) (ua.Variant, bool) {
	switch attribute {
	case ua.AttributeDataType:
		if n.DataType.IsNull() {
			return ua.NodeIdValue(stdId(ns0.BaseDataType)), true
		}
		return ua.NodeIdValue(n.DataType), true
	case ua.AttributeValueRank:
		return ua.Int32(n.ValueRank), true
	case ua.AttributeArrayDimensions:
		return ua.UInt32Array(n.ArrayDimensions), true
	}
	return ua.Variant{}, false
}

// accessible returns an attribute that Variables have.
func (n *Node) accessible(who Roles, attribute uint32) (ua.Variant, bool) {
	switch attribute {
	case ua.AttributeAccessLevel:
		return ua.Byte(uint8(levelOf(n))), true
	case ua.AttributeUserAccessLevel:
		return ua.Byte(uint8(n.levelFor(who))), true
	case ua.AttributeAccessLevelEx:
		return ua.UInt32(uint32(levelOf(n))), true
	case ua.AttributeMinimumSamplingInterval:
		return ua.Double(n.MinimumSamplingInterval), true
	case ua.AttributeHistorizing:
		return ua.Bool(n.Historizing), true
	}
	return ua.Variant{}, false
}

// levelFor is what who can do with the value of n.
func (n *Node) levelFor(who Roles) AccessLevel {
	level := levelOf(n)
	read, write := rolesOf(n)
	if who&read == 0 {
		level &^= AccessCurrentRead | AccessHistoryRead
	}
	if who&write == 0 {
		level &^= AccessCurrentWrite | AccessHistoryWrite | AccessStatusWrite | AccessTimestampWrite
	}
	return level
}

// callable returns an attribute that Methods have.
func (n *Node) callable(who Roles, attribute uint32) (ua.Variant, bool) {
	switch attribute {
	case ua.AttributeExecutable:
		return ua.Bool(n.Call != nil), true
	case ua.AttributeUserExecutable:
		_, write := rolesOf(n)
		return ua.Bool(n.Call != nil && who&write != 0), true
	}
	return ua.Variant{}, false
}

// typical returns an attribute that types have.
func (n *Node) typical(attribute uint32) (ua.Variant, bool) {
	switch {
	case attribute == ua.AttributeIsAbstract:
		return ua.Bool(n.IsAbstract), true
	case attribute == ua.AttributeSymmetric && n.Class == ua.NodeClassReferenceType:
		return ua.Bool(n.Symmetric), true
	case attribute == ua.AttributeInverseName && n.Class == ua.NodeClassReferenceType && n.InverseName.Text != "":
		return ua.LocalizedTextValue(n.InverseName), true
	case attribute == ua.AttributeDataTypeDefinition && n.Class == ua.NodeClassDataType && !n.Definition.IsNull():
		return ua.ExtensionObjectValue(n.Definition), true
	}
	return ua.Variant{}, false
}

// notifying returns an attribute that Objects and Views have.
func (n *Node) notifying(attribute uint32) (ua.Variant, bool) {
	switch {
	case attribute == ua.AttributeEventNotifier:
		return ua.Byte(n.EventNotifier), true
	case attribute == ua.AttributeContainsNoLoops && n.Class == ua.NodeClassView:
		return ua.Bool(n.ContainsNoLoops), true
	}
	return ua.Variant{}, false
}
