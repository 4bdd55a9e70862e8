package opcua

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace/opcua/ua"
)

// What a client reads of every server first, in the order of readLimits.
const (
	nodeNamespaceArray = 2255
	nodeServerState    = 2259
)

// limitNodes are the nodes of OperationLimits [OPC 10000-5 6.3.11], beside the service that each is for.
var limitNodes = [...]struct {
	node    uint32
	service Service
}{
	{11705, ServiceRead}, {11707, ServiceWrite}, {11709, ServiceCall}, {11710, ServiceBrowse}, {11711, ServiceRegisterNodes},
	{11712, ServiceTranslateBrowsePathsToNodeIds}, {11714, ServiceCreateMonitoredItems}, {12165, ServiceHistoryRead},
}

// readLimits reads the namespaces and the limits of the server. A server that does not have them has none.
func (c *Client) readLimits(ctx context.Context) error {
	ids := []ua.NodeId{ua.NumericId(0, nodeNamespaceArray)}
	for _, l := range limitNodes {
		ids = append(ids, ua.NumericId(0, l.node))
	}
	values, err := c.ReadValues(ctx, ids...)
	if err != nil {
		return err
	}
	names := slices.Clone(values[0].Value.Strings())
	for i := range names {
		names[i] = strings.Clone(names[i])
	}
	c.namespaces.Store(&names)
	var stated Operations
	for i, l := range limitNodes {
		if n, ok := values[i+1].Value.Uint64(); ok && !values[i+1].Status.IsBad() {
			*stated.of(l.service) = int(min(n, 1<<31-1))
		}
	}
	c.limits.state(stated)
	return nil
}

// Namespaces returns the NamespaceArray of the server as it was when the session was made: the URI of each namespace index. The caller changes nothing in it.
func (c *Client) Namespaces() []string { return *c.namespaces.Load() }

// NamespaceError says that the server does not have a namespace.
type NamespaceError struct{ URI string }

func (e *NamespaceError) Error() string {
	return fmt.Sprintf("opcua: the server has no namespace %q", e.URI)
}

// Namespace returns the index of a namespace in this session; the error is a *NamespaceError.
func (c *Client) Namespace(uri string) (uint16, error) {
	i := slices.Index(c.Namespaces(), uri)
	if i < 0 || i > 1<<16-1 {
		return 0, &NamespaceError{URI: uri}
	}
	return uint16(i), nil
}

// Resolve returns the id by which this session knows a node: a namespace URI becomes an index. A node of another server has none.
func (c *Client) Resolve(id ua.ExpandedNodeId) (ua.NodeId, error) {
	if id.ServerIndex != 0 {
		return ua.NodeId{}, fmt.Errorf("opcua: node %v is on another server", id)
	}
	if id.NamespaceUri == "" {
		return id.NodeId, nil
	}
	ns, err := c.Namespace(id.NamespaceUri)
	id.NodeId.Namespace = ns
	return id.NodeId, err
}

// ParseNodeId reads a node id as people write it, "ns=2;s=Temperature" or "i=2258", or with the URI of its namespace, "nsu=urn:plant;s=Temperature" [OPC 10000-6 5.1.12],
// which is looked up in this session's namespaces. In a URI %3B stands for a semicolon and %25 for a percent sign.
func (c *Client) ParseNodeId(s string) (ua.NodeId, error) {
	uri, rest, ok := cutNamespaceUri(s)
	if !ok {
		return ua.ParseNodeId(s)
	}
	id, err := ua.ParseNodeId(rest)
	if err != nil {
		return id, err
	}
	id.Namespace, err = c.Namespace(uri)
	return id, err
}

// cutNamespaceUri cuts nsu=URI; off a node id.
func cutNamespaceUri(s string) (uri, rest string, ok bool) {
	tail, ok := strings.CutPrefix(s, "nsu=")
	if !ok {
		return "", s, false
	}
	uri, rest, ok = strings.Cut(tail, ";")
	if !ok {
		return "", s, false
	}
	return strings.NewReplacer("%3B", ";", "%3b", ";", "%25", "%").Replace(uri), rest, true
}

// FormatNodeId returns a node id with the URI of its namespace, in which it outlives the session: the reverse of ParseNodeId.
func (c *Client) FormatNodeId(id ua.NodeId) string {
	names := c.Namespaces()
	if id.Namespace == 0 || int(id.Namespace) >= len(names) {
		return id.String()
	}
	_, rest, _ := strings.Cut(id.String(), ";")
	uri := strings.NewReplacer("%", "%25", ";", "%3B").Replace(names[id.Namespace])
	return "nsu=" + uri + ";" + strings.TrimPrefix(rest, "ns="+strconv.Itoa(int(id.Namespace))+";")
}
