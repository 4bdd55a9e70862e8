package opcua

import (
	"context"

	"millrace/opcua/ua"
)

// Node is one node of the address space [OPC 10000-3 5]: to be added to a Space, or as a NodeStore describes one of its own. Fields that the class of the node does not
// have are ignored.
type Node struct {
	Id          ua.NodeId
	Class       ua.NodeClass
	BrowseName  ua.QualifiedName
	DisplayName ua.LocalizedText // zero: the text of BrowseName
	Description ua.LocalizedText

	// TypeDefinition of an Object or a Variable. Zero: BaseObjectType; PropertyType for a Variable added with HasProperty, else BaseDataVariableType.
	TypeDefinition ua.NodeId
	// References beyond the parent and the type definition. The other end of each is made by itself.
	References []Reference

	ReadRoles  Roles // any of these may read the value; zero: RoleRead
	WriteRoles Roles // any of these may write the value, or call the method; zero: RoleWrite

	// Of Variables and VariableTypes.
	DataType                ua.NodeId // zero: BaseDataType
	ValueRank               int32     // as on the wire: -1 scalar, 0 any number of dimensions but none, n > 0 that many, -2 any, -3 scalar or one
	ArrayDimensions         []uint32  // the greatest length of each dimension, 0 none
	AccessLevel             AccessLevel
	MinimumSamplingInterval float64 // ms; -1 not known
	Historizing             bool

	// The value of a Variable is one of these: what Store has under Key, what Live answers at each read, or Value, which Space.SetValue changes.
	Value ua.DataValue
	Live  func(ctx context.Context, v *ua.DataValue)
	Store ValueStore
	Key   uint64

	// Of Methods. InputArguments and OutputArguments are made from Inputs and Outputs. A method without Call is not executable.
	Call            MethodFunc
	Inputs, Outputs []ua.Argument

	// Of types.
	IsAbstract  bool
	Symmetric   bool
	InverseName ua.LocalizedText
	Definition  ua.ExtensionObject // DataTypeDefinition: a StructureDefinition or an EnumDefinition

	EventNotifier   uint8 // of Objects and Views
	ContainsNoLoops bool  // of Views
}

// Reference is a reference of a node, as that node sees it.
type Reference struct {
	Type    ua.NodeId
	Target  ua.ExpandedNodeId
	Inverse bool
}

// AccessLevel says what can be done with the value of a Variable [OPC 10000-3 8.57]. Zero in a Node means CurrentRead.
type AccessLevel uint8

// The bits of an AccessLevel.
const (
	AccessCurrentRead AccessLevel = 1 << iota
	AccessCurrentWrite
	AccessHistoryRead
	AccessHistoryWrite
	AccessSemanticChange
	AccessStatusWrite
	AccessTimestampWrite
)

// MethodFunc does what a method does. It answers ua.Good, or why it refuses; with ua.BadInvalidArgument it has set InputResults. It may block, without holding up anything but the
// session's own calls, writes and reads of history: ctx ends with the request's deadline, with Cancel, and with the session and the connection. context.Cause is a ua.StatusCode but for the deadline.
type MethodFunc func(ctx context.Context, m *MethodCall) ua.StatusCode

// MethodCall is one call of a method. It is valid during the call only. Number and types of Inputs are those that the method declares.
type MethodCall struct {
	Caller       *Caller
	Object       ua.NodeId // on which the method is called
	Method       ua.NodeId // the node of the method that was found for it
	Inputs       []ua.Variant
	InputResults []ua.StatusCode // one an input, all ua.Good
	Outputs      []ua.Variant    // to be appended to, as many as the method declares

	call *call
}
