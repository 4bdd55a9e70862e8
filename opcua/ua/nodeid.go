package ua

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// IdType says what the identifier of a NodeId is.
type IdType uint8

// The types of identifiers [OPC 10000-3 8.2.4].
const (
	IdNumeric IdType = iota
	IdString
	IdGuid
	IdOpaque
)

// NodeId names a node within a server [OPC 10000-3 8.2]. It is comparable: a key of maps. The zero value is null.
type NodeId struct {
	Namespace uint16
	Type      IdType
	Numeric   uint32
	Text      string // IdString: the text; IdGuid: its 16 bytes in wire order; IdOpaque: the bytes
}

// NumericId returns the NodeId ns=NS;i=N.
func NumericId(ns uint16, n uint32) NodeId { return NodeId{Namespace: ns, Numeric: n} }

// StringId returns the NodeId ns=NS;s=S.
func StringId(ns uint16, s string) NodeId { return NodeId{Namespace: ns, Type: IdString, Text: s} }

// GuidId returns the NodeId ns=NS;g=G.
func GuidId(ns uint16, g Guid) NodeId { return NodeId{Namespace: ns, Type: IdGuid, Text: g.wire()} }

// OpaqueId returns the NodeId ns=NS;b=P; p is copied.
func OpaqueId(ns uint16, p []byte) NodeId {
	return NodeId{Namespace: ns, Type: IdOpaque, Text: string(p)}
}

// IsNull reports whether n names nothing: namespace 0 and an empty identifier of any type.
func (n NodeId) IsNull() bool {
	if n.Namespace != 0 {
		return false
	}
	switch n.Type {
	case IdNumeric:
		return n.Numeric == 0
	case IdGuid:
		return n.Text == "" || n.Text == strings.Repeat("\x00", 16)
	default:
		return n.Text == ""
	}
}

// Guid returns the identifier of an IdGuid, else the zero Guid.
func (n NodeId) Guid() Guid {
	if n.Type != IdGuid {
		return Guid{}
	}
	return guidOf(n.Text)
}

// String returns the form ns=2;s=name; ns=0 is left out [OPC 10000-6 5.3.1.10].
func (n NodeId) String() string {
	prefix := ""
	if n.Namespace != 0 {
		prefix = "ns=" + strconv.Itoa(int(n.Namespace)) + ";"
	}
	switch n.Type {
	case IdNumeric:
		return prefix + "i=" + strconv.FormatUint(uint64(n.Numeric), 10)
	case IdString:
		return prefix + "s=" + n.Text
	case IdGuid:
		return prefix + "g=" + n.Guid().String()
	default:
		return prefix + "b=" + base64.StdEncoding.EncodeToString([]byte(n.Text))
	}
}

// ParseNodeId reads the form that String writes.
func ParseNodeId(s string) (NodeId, error) {
	var n NodeId
	rest := s
	if after, ok := strings.CutPrefix(rest, "ns="); ok {
		ns, id, found := strings.Cut(after, ";")
		v, err := strconv.ParseUint(ns, 10, 16)
		if !found || err != nil {
			return NodeId{}, fmt.Errorf("ua: node id %q: ns= wants a number up to 65535 and a ;", s)
		}
		n.Namespace, rest = uint16(v), id
	}
	if err := n.parseIdentifier(rest); err != nil {
		return NodeId{}, fmt.Errorf("ua: node id %q: %w", s, err)
	}
	return n, nil
}

func (n *NodeId) parseIdentifier(s string) error {
	kind, id, found := strings.Cut(s, "=")
	if !found {
		return fmt.Errorf("want i=, s=, g= or b=")
	}
	switch kind {
	case "i":
		v, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return fmt.Errorf("i= wants a number up to 4294967295")
		}
		n.Numeric = uint32(v)
	case "s":
		n.Type, n.Text = IdString, id
	case "g":
		g, err := ParseGuid(id)
		if err != nil {
			return err
		}
		n.Type, n.Text = IdGuid, g.wire()
	case "b":
		p, err := base64.StdEncoding.DecodeString(id)
		if err != nil {
			return fmt.Errorf("b= wants base64")
		}
		n.Type, n.Text = IdOpaque, string(p)
	default:
		return fmt.Errorf("want i=, s=, g= or b=")
	}
	return nil
}

// ExpandedNodeId is a NodeId that may name its namespace by URI and may lie in another server [OPC 10000-4 7.16].
type ExpandedNodeId struct {
	NodeId
	NamespaceUri string // "" when Namespace says it
	ServerIndex  uint32 // 0 is this server
}

// IsLocal reports whether e lies in this server and needs no look-up of a namespace.
func (e ExpandedNodeId) IsLocal() bool { return e.NamespaceUri == "" && e.ServerIndex == 0 }

// String returns the form svr=1;nsu=uri;s=name, without the parts that are not there.
func (e ExpandedNodeId) String() string {
	s := ""
	if e.ServerIndex != 0 {
		s = "svr=" + strconv.FormatUint(uint64(e.ServerIndex), 10) + ";"
	}
	if e.NamespaceUri == "" {
		return s + e.NodeId.String()
	}
	n := e.NodeId
	n.Namespace = 0
	return s + "nsu=" + e.NamespaceUri + ";" + n.String()
}

// First bytes of an encoded NodeId and the flags of an ExpandedNodeId [OPC 10000-6 5.2.2.9].
const (
	idTwoByte    = 0
	idFourByte   = 1
	idNumeric    = 2
	idString     = 3
	idGuid       = 4
	idByteString = 5

	idHasServer = 0x40
	idHasUri    = 0x80
)

// AppendNodeId appends n in its shortest form.
func AppendNodeId(b []byte, n NodeId) []byte { return appendNodeId(b, &n, 0) }

func appendNodeId(b []byte, n *NodeId, flags byte) []byte {
	switch n.Type {
	case IdNumeric:
		return appendNumericId(b, n, flags)
	case IdString:
		return AppendText(append(b, idString|flags, byte(n.Namespace), byte(n.Namespace>>8)), n.Text)
	case IdGuid:
		b = append(b, idGuid|flags, byte(n.Namespace), byte(n.Namespace>>8))
		if len(n.Text) != 16 {
			return append(b, make([]byte, 16)...)
		}
		return append(b, n.Text...)
	default:
		return AppendText(append(b, idByteString|flags, byte(n.Namespace), byte(n.Namespace>>8)), n.Text)
	}
}

func appendNumericId(b []byte, n *NodeId, flags byte) []byte {
	v := n.Numeric
	switch {
	case n.Namespace == 0 && v <= 0xff:
		return append(b, idTwoByte|flags, byte(v))
	case n.Namespace <= 0xff && v <= 0xffff:
		return append(b, idFourByte|flags, byte(n.Namespace), byte(v), byte(v>>8))
	}
	return append(b, idNumeric|flags, byte(n.Namespace), byte(n.Namespace>>8), byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

// AppendExpandedNodeId appends e. With a URI the namespace index is written as 0.
func AppendExpandedNodeId(b []byte, e ExpandedNodeId) []byte {
	var flags byte
	if e.NamespaceUri != "" {
		flags |= idHasUri
		e.Namespace = 0
	}
	if e.ServerIndex != 0 {
		flags |= idHasServer
	}
	b = appendNodeId(b, &e.NodeId, flags)
	if flags&idHasUri != 0 {
		b = AppendString(b, e.NamespaceUri)
	}
	if flags&idHasServer != 0 {
		b = AppendUInt32(b, e.ServerIndex)
	}
	return b
}

// NodeId reads a NodeId.
func (d *Decoder) NodeId() NodeId {
	n, flags := d.nodeId()
	if flags != 0 {
		d.fail(BadDecodingError, "a NodeId with the flags of an ExpandedNodeId")
		return NodeId{}
	}
	return n
}

// nodeId reads a NodeId and the two flags of its first byte.
func (d *Decoder) nodeId() (n NodeId, flags byte) {
	form := d.U8()
	flags = form & (idHasUri | idHasServer)
	switch form &^ (idHasUri | idHasServer) {
	case idTwoByte:
		n.Numeric = uint32(d.U8())
	case idFourByte:
		n.Namespace = uint16(d.U8())
		n.Numeric = uint32(d.U16())
	case idNumeric:
		n.Namespace = d.U16()
		n.Numeric = d.U32()
	case idString:
		n.Namespace, n.Type = d.U16(), IdString
		n.Text = d.String()
	case idGuid:
		n.Namespace, n.Type = d.U16(), IdGuid
		n.Text = d.textOf(16)
	case idByteString:
		n.Namespace, n.Type = d.U16(), IdOpaque
		n.Text, _ = d.byteText()
	default:
		d.fail(BadDecodingError, "a NodeId of an unknown form")
	}
	return n, flags
}

// ExpandedNodeId reads an ExpandedNodeId.
func (d *Decoder) ExpandedNodeId() ExpandedNodeId {
	n, flags := d.nodeId()
	e := ExpandedNodeId{NodeId: n}
	if flags&idHasUri != 0 {
		e.NamespaceUri = d.String()
	}
	if flags&idHasServer != 0 {
		e.ServerIndex = d.U32()
	}
	return e
}
