package driver

import (
	"net/url"
	"strconv"
	"strings"

	"millrace/internal/tag"
	"millrace/opcua/ua"
)

// opcuaPoint is a parsed address: a node, by its id or by a browse path, and what of it is read and written. It is comparable.
type opcuaPoint struct {
	uri   string    // of the namespace; "" when node.Namespace is its index
	node  ua.NodeId // null when path says where the node is
	path  string    // from the root folder, in canonical form, as /Objects/2:Tank; "" when node says it
	attr  uint32    // ua.AttributeValue as a rule
	index string    // range of an array, as 1:3 or 0,2; "" for all of it
	typ   ua.TypeId // what is written; TypeNull when the node is to say so
	array bool      // an array of typ is written
}

// maxNodeText is the longest identifier of a node, in bytes [OPC 10000-3 8.2.4].
const maxNodeText = 4096

// namespace0 is the URI of the namespace whose index is 0 everywhere.
const namespace0 = "http://opcfoundation.org/UA/"

// Canonical returns the one form of an address that every spelling is turned into.
func (OPCUA) Canonical(address string) (string, error) {
	p, err := parseOPCUA(address)
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// Describe returns what address is in its one form, and the kind of its values when the address says it: the server knows the others.
func (OPCUA) Describe(address string) (Description, error) {
	p, err := parseOPCUA(address)
	if err != nil {
		return Description{}, err
	}
	return Description{Address: p.String(), Kind: p.kind()}, nil
}

// kind returns the kind of the values, Null when the address does not say it.
func (p *opcuaPoint) kind() tag.Kind {
	k := opcuaKind(p.typ)
	if p.array && k != tag.Null {
		k |= tag.Array
	}
	return k
}

// isElement says whether the point is one element of an array: its value is that, and no array.
func (p *opcuaPoint) isElement() bool { return p.index != "" && !strings.Contains(p.index, ":") }

// String returns the canonical form: nsu=urn:x;s=Tank.Level, ns=2;i=5;[1:3], /Objects/2:Tank;Int16, i=2258. Parsing it gives p back.
func (p *opcuaPoint) String() string {
	s := p.base()
	if q, err := parseOPCUA(s); err != nil || q != p.bare() {
		s += ";" // what stands at its end would be taken for what follows a node
	}
	if p.index != "" {
		s += ";[" + p.index + "]"
	}
	if p.attr != ua.AttributeValue {
		s += ";" + opcuaAttributes[p.attr]
	}
	if p.typ != ua.TypeNull {
		s += ";" + p.typ.String()
		if p.array {
			s += "[]"
		}
	}
	return s
}

// bare returns the Value of p's node, all of it.
func (p *opcuaPoint) bare() opcuaPoint {
	return opcuaPoint{uri: p.uri, node: p.node, path: p.path, attr: ua.AttributeValue}
}

// base returns the node alone.
func (p *opcuaPoint) base() string {
	switch {
	case p.path != "":
		return p.path
	case p.uri != "":
		return "nsu=" + escapeURI(p.uri) + ";" + p.node.String()
	}
	return p.node.String()
}

// escapeURI writes the URI of a namespace as it stands in a node id: without ; and % [OPC 10000-6 5.1.12].
func escapeURI(uri string) string {
	return strings.ReplaceAll(strings.ReplaceAll(uri, "%", "%25"), ";", "%3B")
}

// parseOPCUA reads an address:
//
//	nsu=urn:vendor:plc;s=Tank.Level   ns=2;s=Tank.Level   ns=2;i=1001   i=2258   ns=1;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63   ns=1;b=aGVsbG8=
//	/Objects/2:Tank/2:Level   /0:Objects/nsu=urn:vendor:plc;Tank          a browse path from the root folder
//
// Behind it may stand, each after a semicolon: [1:3] or [2] (a range or an element of an array), the name of an attribute, and the type that is written. A
// range may also follow an i=, g= or b= directly, and one with a colon any node. A semicolon at the end ends an identifier that would be read as one of those.
func parseOPCUA(s string) (opcuaPoint, error) {
	s = strings.TrimLeft(s, " \t\r\n")
	if t := strings.TrimRight(s, " \t\r\n"); !strings.HasSuffix(t, ";") || t != s {
		s = t
	}
	p := opcuaPoint{attr: ua.AttributeValue}
	rest, ended, err := p.suffixes(s)
	if err != nil {
		return p, err
	}
	switch {
	case rest == "":
		return p, bad("the address is empty").hint("write one such as nsu=urn:vendor:plc;s=Tank.Level")
	case strings.HasPrefix(rest, "/"):
		err = p.parsePath(p.bracket(rest, ended, false))
	default:
		err = p.parseNode(rest, ended)
	}
	if err == nil && p.index != "" && p.attr != ua.AttributeValue {
		err = bad("%s has no elements", opcuaAttributes[p.attr])
	}
	return p, err
}

// suffixes takes what stands behind the node. ended says that a semicolon marks the end of the node.
func (p *opcuaPoint) suffixes(s string) (rest string, ended bool, err error) {
	for {
		cut := strings.LastIndexByte(s, ';')
		if cut < 0 {
			return s, false, nil
		}
		word := s[cut+1:]
		if word == "" {
			return s[:cut], true, nil
		}
		if ok, err := p.suffix(word); err != nil || !ok {
			return s, false, err
		}
		s = s[:cut]
	}
}

// suffix takes one word behind the node, and says whether it is one that may stand there.
func (p *opcuaPoint) suffix(word string) (bool, error) {
	if strings.HasPrefix(word, "[") && strings.HasSuffix(word, "]") {
		index, ok := parseIndex(word[1 : len(word)-1])
		if !ok {
			return false, bad("%s is no range", word).hint("write [2], [1:3], or [0:1,2] of two dimensions")
		}
		if p.index != "" {
			return false, bad("there are two ranges")
		}
		p.index = index
		return true, nil
	}
	if strings.Contains(word, "=") { // of an identifier, as a rule: it is not worth looking through the names
		return false, nil
	}
	name, array := strings.CutSuffix(word, "[]")
	if t, ok := opcuaTypeNamed(name); ok {
		if p.typ != ua.TypeNull {
			return false, bad("there are two types")
		}
		p.typ, p.array = t, array
		return true, nil
	}
	if a, ok := opcuaAttributeNamed(word); ok {
		if p.attr != ua.AttributeValue {
			return false, bad("there are two attributes")
		}
		p.attr = a
		return true, nil
	}
	return false, nil
}

// bracket takes a range that follows the node directly. any says that it may be of one element: in a string identifier [3] is most often the name's own.
func (p *opcuaPoint) bracket(s string, ended, any bool) string {
	open := strings.LastIndexByte(s, '[')
	if ended || p.index != "" || open < 0 || !strings.HasSuffix(s, "]") {
		return s
	}
	inside := s[open+1 : len(s)-1]
	if !any && !strings.Contains(inside, ":") {
		return s
	}
	index, ok := parseIndex(inside)
	if !ok {
		return s
	}
	p.index = index
	return s[:open]
}

// parseIndex reads what is between the brackets of a range [OPC 10000-4 7.27] and returns its canonical form.
func parseIndex(s string) (string, bool) {
	var out []string
	for dim := range strings.SplitSeq(s, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(dim), ":")
		lo, err := strconv.ParseUint(from, 10, 31)
		if err != nil {
			return "", false
		}
		one := strconv.FormatUint(lo, 10)
		if ranged {
			hi, err := strconv.ParseUint(to, 10, 31)
			if err != nil || hi <= lo {
				return "", false
			}
			one += ":" + strconv.FormatUint(hi, 10)
		}
		out = append(out, one)
	}
	return strings.Join(out, ","), len(out) <= 8
}

// parseNode reads the id of a node.
func (p *opcuaPoint) parseNode(s string, ended bool) error {
	id := s
	switch {
	case strings.HasPrefix(s, "nsu="):
		uri, after, ok := strings.Cut(s[len("nsu="):], ";")
		if !ok || uri == "" {
			return bad("%q does not say where its URI ends", s).hint("write nsu=urn:vendor:plc;s=Tank.Level")
		}
		plain, err := url.PathUnescape(uri)
		if err != nil {
			plain = uri // a % of its own
		}
		p.uri, id = plain, after
	case strings.HasPrefix(s, "svr="):
		return bad("%q is a node of another server", s).hint("address that server by a device of its own")
	}
	identifier := id
	if after, ok := strings.CutPrefix(id, "ns="); ok {
		_, identifier, _ = strings.Cut(after, ";")
	}
	id = p.bracket(id, ended, !strings.HasPrefix(identifier, "s="))
	n, err := ua.ParseNodeId(id)
	switch {
	case err != nil:
		return bad("%q is no node id", s).hint("%s", nodeHint(s))
	case p.uri != "" && n.Namespace != 0:
		return bad("%q has two namespaces", s)
	case n.IsNull() || n.Type != ua.IdNumeric && n.Text == "":
		return bad("%q names nothing", s)
	case len(n.Text) > maxNodeText:
		return bad("the identifier has %d bytes, and %d are the most", len(n.Text), maxNodeText)
	}
	if p.uri == namespace0 {
		p.uri = ""
	}
	p.node = n
	return nil
}

// nodeHint says how what was probably meant is written.
func nodeHint(s string) string {
	const usual = "write nsu=<uri>;s=<name>, ns=<index>;s=<name>, i=, g= or b=, or a browse path such as /Objects/2:Tank"
	lower := strings.ToLower(s)
	switch {
	case strings.HasPrefix(lower, "ns=") && strings.Contains(s, ",") && !strings.Contains(s, ";"):
		return "did you mean " + strings.Replace(s, ",", ";", 1) + "?"
	case strings.HasPrefix(s, "ns=") && strings.Contains(s, ";"):
		return "behind ns=2; stands i=, s=, g= or b="
	case lower != s && (strings.HasPrefix(lower, "ns") || strings.HasPrefix(lower, "s=") || strings.HasPrefix(lower, "i=")):
		return "ns=, nsu=, i=, s=, g= and b= are written small"
	case strings.HasPrefix(s, "Objects/"), strings.HasPrefix(s, "0:Objects/"):
		return "did you mean /" + s + "?"
	}
	return usual
}
