package nodeset

import (
	"encoding/binary"
	"math"

	"millrace/opcua/ua"
)

// The compact form: the magic, then numbers as unsigned varints.
//
//	strings     count, then each with its length: every text of the set once; the others name them by index
//	namespaces  count, indexes
//	models      count, each: uri, version, date, count of required, these
//	blob        length alone
//	nodes       count, count of all references, each node
//	blob        values and definitions in the binary encoding of OPC UA, in the order of the nodes, up to the end
const magic = "MNS1"

// Bits that say which attributes of a node follow.
const (
	hasDisplay uint64 = 1 << iota // else it is the browse name
	hasDescription
	hasInverse
	hasWriteMask
	hasNotifier
	isAbstract
	isSymmetric
	hasNoLoops
	isExecutable
	isHistorizing
	hasDataType
	hasRank // else it is -1 where there is a data type
	hasDimensions
	hasAccess // else it is 1 for a Variable
	hasSampling
	hasValue
	hasStructure
	hasEnum
	hasRoles
	hasRestrictions
)

// writer builds the compact form.
type writer struct {
	texts []string
	index map[string]uint64
	body  []byte
	blob  []byte
}

// AppendTo appends the compact form of s, which Load reads.
func (s *Set) AppendTo(b []byte) []byte {
	w := &writer{index: map[string]uint64{}}
	w.number(uint64(len(s.Namespaces)))
	for _, uri := range s.Namespaces {
		w.text(uri)
	}
	w.models(s.Models, true)
	head := w.body
	w.body = nil
	references := 0
	for i := range s.Nodes {
		references += len(s.Nodes[i].References)
	}
	w.number(uint64(len(s.Nodes)))
	w.number(uint64(references))
	for i := range s.Nodes {
		w.node(&s.Nodes[i])
	}
	b = binary.AppendUvarint(append(b, magic...), uint64(len(w.texts)))
	for _, t := range w.texts {
		b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	}
	b = binary.AppendUvarint(append(b, head...), uint64(len(w.blob)))
	return append(append(b, w.body...), w.blob...)
}

func (w *writer) number(n uint64) { w.body = binary.AppendUvarint(w.body, n) }

func (w *writer) text(s string) {
	i, ok := w.index[s]
	if !ok {
		i = uint64(len(w.texts))
		w.index[s] = i
		w.texts = append(w.texts, s)
	}
	w.number(i)
}

func (w *writer) models(m []Model, required bool) {
	w.number(uint64(len(m)))
	for i := range m {
		w.text(m[i].Uri)
		w.text(m[i].Version)
		w.number(uint64(m[i].PublicationDate))
		if required {
			w.models(m[i].Required, false)
		}
	}
}

func (w *writer) id(n ua.NodeId) {
	w.number(uint64(n.Namespace)<<2 | uint64(n.Type))
	if n.Type == ua.IdNumeric {
		w.number(uint64(n.Numeric))
	} else {
		w.text(n.Text)
	}
}

func (w *writer) localized(t ua.LocalizedText) {
	w.text(t.Locale)
	w.text(t.Text)
}

func (w *writer) node(n *Node) {
	has := n.attributes()
	w.id(n.Id)
	w.number(uint64(n.Class))
	w.number(uint64(n.BrowseName.NamespaceIndex))
	w.text(n.BrowseName.Name)
	w.number(has)
	for _, t := range []struct {
		bit uint64
		t   ua.LocalizedText
	}{{hasDisplay, n.DisplayName}, {hasDescription, n.Description}, {hasInverse, n.InverseName}} {
		if has&t.bit != 0 {
			w.localized(t.t)
		}
	}
	w.optional(has, hasWriteMask, uint64(n.WriteMask))
	w.optional(has, hasNotifier, uint64(n.EventNotifier))
	w.variable(n, has)
	w.permissions(n, has)
	w.number(uint64(len(n.References)))
	for _, r := range n.References {
		w.reference(r)
	}
	w.encoded(n, has)
}

func (w *writer) optional(has, bit, v uint64) {
	if has&bit != 0 {
		w.number(v)
	}
}

func (w *writer) variable(n *Node, has uint64) {
	if has&hasDataType != 0 {
		w.id(n.DataType)
	}
	w.optional(has, hasRank, zigzag(n.ValueRank))
	if has&hasDimensions != 0 {
		w.number(uint64(len(n.ArrayDimensions)))
		for _, d := range n.ArrayDimensions {
			w.number(uint64(d))
		}
	}
	w.optional(has, hasAccess, uint64(n.AccessLevel))
	w.optional(has, hasSampling, math.Float64bits(n.MinimumSamplingInterval))
}

func (w *writer) permissions(n *Node, has uint64) {
	if has&hasRoles != 0 {
		w.number(uint64(len(n.RolePermissions)))
		for _, p := range n.RolePermissions {
			w.id(p.RoleId)
			w.number(uint64(p.Permissions))
		}
	}
	w.optional(has, hasRestrictions, uint64(n.AccessRestrictions))
}

func (w *writer) reference(r Reference) {
	var forward uint64
	if r.Forward {
		forward = 1
	}
	w.number(forward)
	w.id(r.Type)
	w.id(r.Target)
}

func (w *writer) encoded(n *Node, has uint64) {
	if has&hasValue != 0 {
		w.blob = n.Value.AppendTo(w.blob)
	}
	if has&hasStructure != 0 {
		w.blob = n.Structure.AppendTo(w.blob)
	}
	if has&hasEnum != 0 {
		w.blob = n.Enum.AppendTo(w.blob)
	}
}

func zigzag(n int32) uint64   { return uint64(uint32(n<<1 ^ n>>31)) }
func unzigzag(u uint64) int32 { return int32(uint32(u)>>1) ^ -int32(u&1) }

// attributes returns the bits of the attributes that are not what their absence says.
func (n *Node) attributes() uint64 {
	var has uint64
	set := func(bit uint64, there bool) {
		if there {
			has |= bit
		}
	}
	variable := n.Class == ua.NodeClassVariable || n.Class == ua.NodeClassVariableType
	set(hasDisplay, n.DisplayName != ua.LocalizedText{Text: n.BrowseName.Name})
	set(hasDescription, n.Description != ua.LocalizedText{})
	set(hasInverse, n.InverseName != ua.LocalizedText{})
	set(hasWriteMask, n.WriteMask != 0)
	set(hasNotifier, n.EventNotifier != 0)
	set(isAbstract, n.IsAbstract)
	set(isSymmetric, n.Symmetric)
	set(hasNoLoops, n.ContainsNoLoops)
	set(isExecutable, n.Executable)
	set(isHistorizing, n.Historizing)
	set(hasDataType, n.DataType != ua.NodeId{})
	set(hasRank, n.ValueRank != defaultRank(variable))
	set(hasDimensions, n.ArrayDimensions != nil)
	set(hasAccess, n.AccessLevel != defaultAccess(n.Class))
	set(hasSampling, n.MinimumSamplingInterval != 0)
	set(hasValue, !n.Value.IsNull())
	set(hasStructure, n.Structure != nil)
	set(hasEnum, n.Enum != nil)
	set(hasRoles, n.RolePermissions != nil)
	set(hasRestrictions, n.HasAccessRestrictions)
	return has
}

func defaultRank(variable bool) int32 {
	if variable {
		return -1
	}
	return 0
}

func defaultAccess(c ua.NodeClass) uint32 {
	if c == ua.NodeClassVariable {
		return 1
	}
	return 0
}
