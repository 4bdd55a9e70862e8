package nodeset

import (
	"math"

	"millrace/opcua/ua"
)

// Load reads the compact form that Set.AppendTo writes. It takes no part of b.
func Load(b []byte) (*Set, error) { return load(string(b)) }

// load reads the compact form. The texts of the set are parts of s; values and definitions are copied.
func load(s string) (*Set, error) {
	r := reader{s: s}
	if len(s) < len(magic) || s[:len(magic)] != magic {
		return nil, &Error{What: "no compact node set of this version"}
	}
	r.at = len(magic)
	r.readTexts()
	set := &Set{Namespaces: make([]string, r.count(1))}
	for i := range set.Namespaces {
		set.Namespaces[i] = r.text()
	}
	r.namespaces = uint64(len(set.Namespaces))
	set.Models = r.models(true)
	blob := r.blob()
	set.Nodes = make([]Node, r.count(minNode))
	r.references = make([]Reference, r.count(minReference))
	for i := range set.Nodes {
		r.node(&set.Nodes[i], blob)
	}
	if r.bad || blob.Err() != nil || len(set.Namespaces) == 0 || set.Namespaces[0] != NamespaceUA {
		return nil, &Error{What: "a compact node set that is damaged"}
	}
	return set, nil
}

// Fewest bytes of a node and of a reference, which bound their counts by the bytes that are left.
const (
	minNode      = 7
	minReference = 5
)

// reader reads the compact form; the first read that fails turns it bad.
type reader struct {
	s          string
	at         int
	bad        bool
	texts      []string
	namespaces uint64
	references []Reference // room for those of all nodes
}

func (r *reader) fail() {
	r.bad = true
	r.at = len(r.s)
}

func (r *reader) number() uint64 {
	var n uint64
	for shift := 0; shift < 64 && r.at < len(r.s); shift += 7 {
		c := r.s[r.at]
		r.at++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.fail()
	return 0
}

// count reads a count of things that take at least size bytes each.
func (r *reader) count(size int) int {
	n := r.number()
	if n > uint64((len(r.s)-r.at)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) readTexts() {
	r.texts = make([]string, r.count(1))
	for i := range r.texts {
		n := r.count(1)
		r.texts[i] = r.s[r.at : r.at+n]
		r.at += n
	}
}

func (r *reader) text() string {
	i := r.number()
	if i >= uint64(len(r.texts)) {
		r.fail()
		return ""
	}
	return r.texts[i]
}

func (r *reader) models(required bool) []Model {
	n := r.count(3)
	if n == 0 {
		return nil
	}
	m := make([]Model, n)
	for i := range m {
		m[i] = Model{Uri: r.text(), Version: r.text(), PublicationDate: ua.DateTime(r.number())}
		if required {
			m[i].Required = r.models(false)
		}
	}
	return m
}

// blob finds the encoded values, which stand behind the nodes.
func (r *reader) blob() *ua.Decoder {
	n := r.count(1)
	end := len(r.s) - n
	d := ua.NewDecoder([]byte(r.s[end:]), ua.Limits{})
	d.Alias = true
	r.s = r.s[:end]
	return &d
}

func (r *reader) id() (n ua.NodeId) {
	head := r.number()
	if head>>2 >= r.namespaces {
		r.fail()
		return n
	}
	n.Namespace, n.Type = uint16(head>>2), ua.IdType(head&3)
	if n.Type != ua.IdNumeric {
		n.Text = r.text()
		return n
	}
	v := r.number()
	if v > math.MaxUint32 {
		r.fail()
	}
	n.Numeric = uint32(v)
	return n
}

func (r *reader) localized() ua.LocalizedText {
	return ua.LocalizedText{Locale: r.text(), Text: r.text()}
}

func (r *reader) node(n *Node, blob *ua.Decoder) {
	n.Id = r.id()
	n.Class = ua.NodeClass(r.number())
	n.BrowseName.NamespaceIndex = uint16(r.number())
	n.BrowseName.Name = r.text()
	has := r.number()
	n.DisplayName.Text = n.BrowseName.Name
	if has&hasDisplay != 0 {
		n.DisplayName = r.localized()
	}
	if has&hasDescription != 0 {
		n.Description = r.localized()
	}
	if has&hasInverse != 0 {
		n.InverseName = r.localized()
	}
	n.WriteMask = uint32(r.optional(has, hasWriteMask, 0))
	n.EventNotifier = uint8(r.optional(has, hasNotifier, 0))
	n.IsAbstract, n.Symmetric, n.ContainsNoLoops = has&isAbstract != 0, has&isSymmetric != 0, has&hasNoLoops != 0
	n.Executable, n.Historizing = has&isExecutable != 0, has&isHistorizing != 0
	r.variable(n, has)
	r.permissions(n, has)
	r.nodeReferences(n)
	encoded(n, has, blob)
}

func (r *reader) optional(has, bit, otherwise uint64) uint64 {
	if has&bit == 0 {
		return otherwise
	}
	return r.number()
}

func (r *reader) variable(n *Node, has uint64) {
	if has&hasDataType != 0 {
		n.DataType = r.id()
	}
	variable := n.Class == ua.NodeClassVariable || n.Class == ua.NodeClassVariableType
	n.ValueRank = unzigzag(r.optional(has, hasRank, zigzag(defaultRank(variable))))
	if has&hasDimensions != 0 {
		n.ArrayDimensions = make([]uint32, r.count(1))
		for i := range n.ArrayDimensions {
			n.ArrayDimensions[i] = uint32(r.number())
		}
	}
	n.AccessLevel = uint32(r.optional(has, hasAccess, uint64(defaultAccess(n.Class))))
	n.MinimumSamplingInterval = math.Float64frombits(r.optional(has, hasSampling, 0))
}

func (r *reader) permissions(n *Node, has uint64) {
	if has&hasRoles != 0 {
		n.RolePermissions = make([]ua.RolePermissionType, r.count(3))
		for i := range n.RolePermissions {
			n.RolePermissions[i] = ua.RolePermissionType{RoleId: r.id(), Permissions: ua.PermissionType(r.number())}
		}
	}
	if has&hasRestrictions != 0 {
		n.AccessRestrictions, n.HasAccessRestrictions = uint16(r.number()), true
	}
}

// nodeReferences reads the references of n into the room for all of them, which the sum in front of the nodes has measured.
func (r *reader) nodeReferences(n *Node) {
	count := r.count(minReference)
	if count == 0 {
		return
	}
	if count > len(r.references) {
		r.fail()
		return
	}
	n.References, r.references = r.references[:count:count], r.references[count:]
	for i := range n.References {
		n.References[i] = Reference{Forward: r.number() != 0, Type: r.id(), Target: r.id()}
	}
}

func encoded(n *Node, has uint64, blob *ua.Decoder) {
	if has&hasValue != 0 {
		blob.VariantInto(&n.Value)
	}
	if has&hasStructure != 0 {
		n.Structure = new(ua.StructureDefinition)
		n.Structure.DecodeFrom(blob)
	}
	if has&hasEnum != 0 {
		n.Enum = new(ua.EnumDefinition)
		n.Enum.DecodeFrom(blob)
	}
}
