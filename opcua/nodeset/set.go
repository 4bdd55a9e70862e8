// Package nodeset holds sets of nodes of an OPC UA address space: it reads the NodeSet2 XML of companion specifications, writes and loads a
// compact binary form of the same, and carries that of namespace 0.
package nodeset

import (
	"millrace/opcua/ua"
)

// NamespaceUA is the URI of namespace 0.
const NamespaceUA = "http://opcfoundation.org/UA/"

// Set is the nodes of one or more models. All namespace indexes in it point into Namespaces.
type Set struct {
	Namespaces []string // [0] is NamespaceUA
	Models     []Model
	Nodes      []Node
}

// Model says what a set defines, and what it needs.
type Model struct {
	Uri             string
	Version         string
	PublicationDate ua.DateTime
	Required        []Model // without their own requirements
}

// Node is a node with the attributes that its class has; what it has not is zero.
type Node struct {
	Id            ua.NodeId
	Class         ua.NodeClass
	BrowseName    ua.QualifiedName
	DisplayName   ua.LocalizedText
	Description   ua.LocalizedText
	InverseName   ua.LocalizedText // of a ReferenceType
	WriteMask     uint32
	EventNotifier uint8 // of an Object or a View

	IsAbstract      bool // of a type
	Symmetric       bool // of a ReferenceType
	ContainsNoLoops bool // of a View
	Executable      bool // of a Method
	Historizing     bool // of a Variable

	// Of a Variable or a VariableType.
	DataType                ua.NodeId
	ValueRank               int32
	ArrayDimensions         []uint32
	AccessLevel             uint32
	MinimumSamplingInterval float64 // ms
	Value                   ua.Variant

	// Of a DataType: the definition, whose fields begin with those of its supertypes. Both are nil when it has none.
	Structure *ua.StructureDefinition
	Enum      *ua.EnumDefinition

	RolePermissions       []ua.RolePermissionType // nil: the server's own rules
	AccessRestrictions    uint16
	HasAccessRestrictions bool

	References []Reference
}

// Reference leads from the node that holds it (Forward) or to it. A file mostly names one of the two directions; who builds an address space adds
// the other.
type Reference struct {
	Type    ua.NodeId
	Target  ua.NodeId
	Forward bool
}
