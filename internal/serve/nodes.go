package serve

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// kind is what a node is of. It stands in the high half of its key; the low half is the tag's ID or the device's number, which both stay over
// reloads, so that a key means the same for as long as somebody keeps it.
type kind uint32

const (
	ofRoot   kind = iota // the folder of all devices
	ofDevice             // a folder with its tags
	ofState              // a device's state, in a word
	ofReason             // why it is in that state, in words
	ofTag
	ofUnits // a tag's EngineeringUnits
	ofRange // a tag's EURange
	ofWrite // what became of the last write of a tag
)

// suffixes are what the ids of nodes end in that hang on a device or a tag. Names have no #.
var suffixes = [...]struct {
	of   kind
	text string
	name string // browse name
}{
	ofRoot:   {text: rootText, name: "Devices"},
	ofDevice: {of: ofDevice},
	ofState:  {ofDevice, "#State", "State"},
	ofReason: {ofDevice, "#Reason", "Reason"},
	ofTag:    {of: ofTag},
	ofUnits:  {ofTag, "#EngineeringUnits", "EngineeringUnits"},
	ofRange:  {ofTag, "#EURange", "EURange"},
	ofWrite:  {ofTag, "#LastWrite", "LastWrite"},
}

// rootText is the text of the root's id: no device has that name.
const rootText = "#Devices"

func keyOf(k kind, n uint32) uint64 { return uint64(k)<<32 | uint64(n) }

func split(key uint64) (kind, uint32) { return kind(key >> 32), uint32(key) }

// Nodes shows the tags of a gateway as OPC UA nodes: a folder for each device, a variable for each tag, by the names that they have in the
// gateway. It is an opcua.NodeStore of one namespace. Values are read when they are asked for, so that it costs the path of values nothing.
type Nodes struct {
	source Source
	writer Writer // nil: nothing is writable
	ns     uint16
	plant  atomic.Pointer[plant]
	reads  sync.Pool // of *reading
}

// reading is the memory of one ReadValues.
type reading struct {
	ids  []tag.ID
	at   []int
	last []device.Last
}

// NewNodes returns a Nodes without tags. writer takes what clients write; nil serves all tags read-only.
func NewNodes(source Source, writer Writer) *Nodes {
	n := &Nodes{source: source, writer: writer, reads: sync.Pool{New: func() any { return new(reading) }}}
	n.plant.Store(newPlant(nil))
	return n
}

// Mount puts n under the Objects folder of space, in the namespace uri. It may be mounted in several Spaces, as long as the namespace has the same index in each.
func (n *Nodes) Mount(space *opcua.Space, uri string) error {
	ns, err := space.Mount(uri, n)
	if err != nil {
		return err
	}
	if n.ns != 0 && n.ns != ns {
		return fmt.Errorf("serve: namespace %s has index %d in one address space and %d in another", uri, n.ns, ns)
	}
	n.ns = ns
	return space.AddReference(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes), ua.StringId(ns, rootText))
}

// Set makes tags what is served from now on. Clients keep their ids: a tag that stays keeps its name, and so its node.
func (n *Nodes) Set(tags []Tag) { n.plant.Store(newPlant(tags)) }

// Find implements opcua.NodeStore.
func (n *Nodes) Find(id ua.NodeId) (uint64, bool) {
	if id.Type != ua.IdString {
		return 0, false
	}
	return n.plant.Load().find(id.Text)
}

func (p *plant) find(text string) (uint64, bool) {
	if key, ok := p.byName[text]; ok {
		return key, true
	}
	if text == rootText {
		return keyOf(ofRoot, 0), true
	}
	return p.findProperty(text)
}

// findProperty finds what hangs on a tag. There are few who ask, so that the map does not hold these.
func (p *plant) findProperty(text string) (uint64, bool) {
	for k, s := range suffixes {
		if s.of != ofTag || s.text == "" || len(text) <= len(s.text) || text[len(text)-len(s.text):] != s.text {
			continue
		}
		key, ok := p.byName[text[:len(text)-len(s.text)]]
		if of, id := split(key); ok && of == ofTag && p.has(kind(k), p.tags[tag.ID(id)]) {
			return keyOf(kind(k), id), true
		}
	}
	return 0, false
}

// has says whether t has that property.
func (p *plant) has(k kind, t *plantTag) bool {
	switch k {
	case ofUnits:
		return t.Unit != ""
	case ofRange:
		return t.Low != t.High
	case ofWrite:
		return t.Writable
	}
	return false
}

// FindText implements opcua.TextFinder.
func (n *Nodes) FindText(text []byte) (uint64, bool) {
	p := n.plant.Load()
	if key, ok := p.byName[string(text)]; ok {
		return key, true
	}
	return p.find(string(text))
}

// Node implements opcua.NodeStore.
func (n *Nodes) Node(key uint64, node *opcua.Node) bool {
	p := n.plant.Load()
	k, i := split(key)
	switch k {
	case ofRoot:
		n.folder(node, rootText, suffixes[ofRoot].name)
		return true
	case ofDevice, ofState, ofReason:
		d := p.numbers[i]
		if d == nil {
			return false
		}
		if k == ofDevice {
			n.folder(node, d.name, d.name)
		} else {
			n.property(node, d.name, k, ns0.String)
		}
		return true
	case ofTag, ofUnits, ofRange, ofWrite:
		return n.tagNode(k, p.tags[tag.ID(i)], node)
	}
	return false
}

func (n *Nodes) tagNode(k kind, t *plantTag, node *opcua.Node) bool {
	switch {
	case t == nil:
		return false
	case k == ofUnits:
		n.property(node, t.Name, k, ns0.EUInformation)
	case k == ofRange:
		n.property(node, t.Name, k, ns0.Range)
	case k == ofWrite:
		n.property(node, t.Name, k, ns0.String)
		node.BrowseName.NamespaceIndex = n.ns
	default:
		n.name(node, t.Name, t.short)
		node.Class, node.TypeDefinition, node.DataType, node.ValueRank = ua.NodeClassVariable, t.definition(), dataType(t.Kind), rank(t.Kind)
		node.Description = ua.LocalizedText{Text: t.Address}
		if t.Writable && n.writer != nil {
			node.AccessLevel, node.WriteRoles = opcua.AccessCurrentRead|opcua.AccessCurrentWrite, writeRoles(t.Role)
		}
	}
	return true
}

func (n *Nodes) name(node *opcua.Node, text, browse string) {
	node.Id = ua.StringId(n.ns, text)
	node.BrowseName = ua.QualifiedName{NamespaceIndex: n.ns, Name: browse}
}

func (n *Nodes) folder(node *opcua.Node, text, browse string) {
	n.name(node, text, browse)
	node.Class, node.TypeDefinition = ua.NodeClassObject, ua.NumericId(0, ns0.FolderType)
}

// property describes what hangs on the device or tag called of. Those of a tag have names of the standard.
func (n *Nodes) property(node *opcua.Node, of string, k kind, dataType uint32) {
	n.name(node, of+suffixes[k].text, suffixes[k].name)
	if suffixes[k].of == ofTag {
		node.BrowseName.NamespaceIndex = 0
	}
	node.Class, node.TypeDefinition, node.DataType, node.ValueRank = ua.NodeClassVariable, ua.NumericId(0, ns0.PropertyType), ua.NumericId(0, dataType), -1
}

// definition is BaseAnalogType, whose properties are optional, for a tag that has one of them.
func (t *plantTag) definition() ua.NodeId {
	if t.Unit != "" || t.Low != t.High {
		return ua.NumericId(0, ns0.BaseAnalogType)
	}
	return ua.NumericId(0, ns0.BaseDataVariableType)
}

// dataType is the built-in type with the kind's number.
func dataType(k tag.Kind) ua.NodeId {
	if k == tag.Null {
		return ua.NumericId(0, ns0.BaseDataType)
	}
	return ua.NumericId(0, uint32(k.Elem()))
}

func rank(k tag.Kind) int32 {
	switch {
	case k == tag.Null:
		return -2 // any
	case k.IsArray():
		return 1
	}
	return -1
}

// References implements opcua.NodeStore.
func (n *Nodes) References(key uint64, from int, refs []opcua.Reference) []opcua.Reference {
	p := n.plant.Load()
	k, i := split(key)
	w := referenceWriter{ns: n.ns, skip: from, refs: refs}
	switch k {
	case ofRoot:
		w.add(ns0.HasTypeDefinition, ua.NumericId(0, ns0.FolderType), false)
		w.add(ns0.Organizes, ua.NumericId(0, ns0.ObjectsFolder), true)
		for _, d := range p.devices[w.jump(len(p.devices)):] {
			if !w.text(ns0.Organizes, d.name, false) {
				break
			}
		}
	case ofDevice:
		p.ofDevice(&w, i)
	case ofState, ofReason:
		if d := p.numbers[i]; d != nil {
			w.add(ns0.HasTypeDefinition, ua.NumericId(0, ns0.PropertyType), false)
			w.text(ns0.HasProperty, d.name, true)
		}
	case ofTag, ofUnits, ofRange, ofWrite:
		if t := p.tags[tag.ID(i)]; t != nil {
			p.ofTag(&w, k, t)
		}
	}
	return w.refs
}

func (p *plant) ofDevice(w *referenceWriter, i uint32) {
	d := p.numbers[i]
	if d == nil {
		return
	}
	w.add(ns0.HasTypeDefinition, ua.NumericId(0, ns0.FolderType), false)
	w.text(ns0.Organizes, rootText, true)
	w.text(ns0.HasProperty, d.name+suffixes[ofState].text, false)
	w.text(ns0.HasProperty, d.name+suffixes[ofReason].text, false)
	for _, t := range d.tags[w.jump(len(d.tags)):] {
		if !w.text(ns0.Organizes, t.Name, false) {
			break
		}
	}
}

func (p *plant) ofTag(w *referenceWriter, k kind, t *plantTag) {
	if k != ofTag {
		w.add(ns0.HasTypeDefinition, ua.NumericId(0, ns0.PropertyType), false)
		w.text(ns0.HasProperty, t.Name, true)
		return
	}
	w.add(ns0.HasTypeDefinition, t.definition(), false)
	w.text(ns0.Organizes, t.device.name, true)
	for _, k := range []kind{ofUnits, ofRange, ofWrite} {
		if p.has(k, t) {
			w.text(ns0.HasProperty, t.Name+suffixes[k].text, false)
		}
	}
}

// referenceWriter appends references behind the first skip, as many as there is room for.
type referenceWriter struct {
	ns   uint16
	skip int
	refs []opcua.Reference
}

// jump skips up to n references at once and returns how many.
func (w *referenceWriter) jump(n int) int {
	n = min(n, w.skip)
	w.skip -= n
	return n
}

// add answers false when there is no more room.
func (w *referenceWriter) add(kind uint32, to ua.NodeId, inverse bool) bool {
	if w.skip > 0 {
		w.skip--
		return true
	}
	if len(w.refs) == cap(w.refs) {
		return false
	}
	w.refs = append(w.refs, opcua.Reference{Type: ua.NumericId(0, kind), Target: ua.ExpandedNodeId{NodeId: to}, Inverse: inverse})
	return true
}

func (w *referenceWriter) text(kind uint32, to string, inverse bool) bool {
	return w.add(kind, ua.StringId(w.ns, to), inverse)
}

// ReadValues implements opcua.ValueStore.
func (n *Nodes) ReadValues(_ context.Context, keys []uint64, values []ua.DataValue) {
	p := n.plant.Load()
	r := n.reads.Get().(*reading)
	defer n.reads.Put(r)
	r.ids, r.at = r.ids[:0], r.at[:0]
	for i, key := range keys {
		k, id := split(key)
		if k == ofTag && p.tags[tag.ID(id)] != nil {
			r.ids, r.at = append(r.ids, tag.ID(id)), append(r.at, i)
			continue
		}
		n.readOther(p, k, id, &values[i])
	}
	r.last = n.source.Last(r.ids, r.last[:0])
	for i := range r.last {
		fill(&values[r.at[i]], &r.last[i])
	}
	clear(r.last) // strings and arrays in it are the reader's now
}

// fill writes down what is known of a tag. The qualities are status codes.
func fill(v *ua.DataValue, l *device.Last) {
	v.Value, v.Status = variantOf(l.Value), ua.StatusCode(l.Quality)
	if l.TS != 0 {
		v.SourceTimestamp = ua.DateTimeOfUnixNano(l.TS)
	}
}

// readOther reads what is no tag.
func (n *Nodes) readOther(p *plant, k kind, i uint32, v *ua.DataValue) {
	switch k {
	case ofState, ofReason:
		d := p.numbers[i]
		if d == nil {
			break
		}
		s, ok := n.source.Device(d.name)
		if !ok {
			break
		}
		v.Value, v.SourceTimestamp = ua.String(s.State.String()), ua.DateTimeOf(s.Since)
		if k == ofReason {
			v.Value = ua.String(s.Reason)
		}
		return
	case ofUnits, ofRange:
		if t := p.tags[tag.ID(i)]; t != nil {
			v.Value = t.property(k)
			return
		}
	case ofWrite:
		if t := p.tags[tag.ID(i)]; t != nil {
			n.lastWrite(t, v)
			return
		}
	case ofRoot, ofDevice, ofTag:
	}
	v.Status = ua.BadNodeIdUnknown
}

// unitsURI is the namespace of units that are plain text [OPC 10000-8 5.6.4]: their id is -1.
const unitsURI = "urn:millrace:units"

func (t *plantTag) property(k kind) ua.Variant {
	if k == ofRange {
		return ua.StructureValue(&ua.Range{Low: min(t.Low, t.High), High: max(t.Low, t.High)})
	}
	return ua.StructureValue(&ua.EUInformation{NamespaceUri: unitsURI, UnitId: -1, DisplayName: ua.LocalizedText{Text: t.Unit}})
}

// Call implements opcua.NodeStore. There are no methods.
func (n *Nodes) Call(context.Context, uint64, *opcua.MethodCall) ua.StatusCode {
	return ua.BadMethodInvalid
}
