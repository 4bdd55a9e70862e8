package serve

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace/internal/device"
	"millrace/internal/tag"
	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSource knows the values of a few tags and one device.
type fakeSource struct{ last map[tag.ID]device.Last }

func (f *fakeSource) Last(ids []tag.ID, dst []device.Last) []device.Last {
	for _, id := range ids {
		l, ok := f.last[id]
		if !ok {
			l = device.Last{Quality: tag.BadWaitingForInitialData}
		}
		l.ID = id
		dst = append(dst, l)
	}
	return dst
}

var since = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func (f *fakeSource) Device(name string) (device.Status, bool) {
	if name != "press" {
		return device.Status{}, false
	}
	return device.Status{Name: name, State: device.Cooling, Reason: "no route to host", Since: since}, true
}

func testTags() []Tag {
	return []Tag{
		{ID: 3, Name: "press/temp", Device: "press", Number: 7, Kind: tag.Float64, Unit: "°C", Address: "modbus://h/1 holding:5:float32"},
		{ID: 1, Name: "press/level", Device: "press", Number: 7, Kind: tag.Int16, Low: 10, High: 0},
		{ID: 2, Name: "press/recipe/steps", Device: "press", Number: 7, Kind: tag.Uint16 | tag.Array},
		{ID: 9, Name: "oven/mode", Device: "oven", Number: 4, Kind: tag.String},
		{ID: 10, Name: "oven/any", Device: "oven", Number: 4},
	}
}

// mounted returns nodes in a Space, and what they are read from.
func mounted(t *testing.T) (*opcua.Space, *Nodes, *fakeSource) {
	t.Helper()
	source := &fakeSource{last: map[tag.ID]device.Last{}}
	n := NewNodes(source, nil)
	space, err := opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: "urn:test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Mount(space, "urn:test:tags"); err != nil {
		t.Fatal(err)
	}
	n.Set(testTags())
	return space, n, source
}

// tree draws what hangs below a node, by the references that point down.
func tree(t *testing.T, n *Nodes, key uint64, depth int, room int, b *strings.Builder) {
	t.Helper()
	var node opcua.Node
	if !n.Node(key, &node) {
		t.Fatalf("key %x is no node", key)
	}
	fmt.Fprintf(b, "%*s%s %v %s", 2*depth, "", node.BrowseName.Name, node.Class, node.Id)
	if node.Class == ua.NodeClassVariable {
		fmt.Fprintf(b, " %v %d", node.DataType, node.ValueRank)
	}
	b.WriteString("\n")
	for from := 0; ; {
		refs := n.References(key, from, make([]opcua.Reference, 0, room))
		from += len(refs)
		for _, r := range refs {
			if r.Inverse || r.Type == ua.NumericId(0, ns0.HasTypeDefinition) {
				continue
			}
			child, ok := n.Find(r.Target.NodeId)
			if !ok {
				t.Fatalf("%v is not to be found", r.Target)
			}
			tree(t, n, child, depth+1, room, b)
		}
		if len(refs) < room {
			return
		}
	}
}

const wantTree = `Devices Object ns=2;s=#Devices
  oven Object ns=2;s=oven
    State Variable ns=2;s=oven#State i=12 -1
    Reason Variable ns=2;s=oven#Reason i=12 -1
    any Variable ns=2;s=oven/any i=24 -2
    mode Variable ns=2;s=oven/mode i=12 -1
  press Object ns=2;s=press
    State Variable ns=2;s=press#State i=12 -1
    Reason Variable ns=2;s=press#Reason i=12 -1
    level Variable ns=2;s=press/level i=4 -1
      EURange Variable ns=2;s=press/level#EURange i=884 -1
    recipe/steps Variable ns=2;s=press/recipe/steps i=5 1
    temp Variable ns=2;s=press/temp i=11 -1
      EngineeringUnits Variable ns=2;s=press/temp#EngineeringUnits i=887 -1
`

// All nodes are found by the references from the root, whatever the number that is asked for at once.
func TestTree(t *testing.T) {
	_, n, _ := mounted(t)
	for _, room := range []int{1, 2, 3, 5, 100} {
		var b strings.Builder
		root, ok := n.Find(ua.StringId(2, rootText))
		if !ok {
			t.Fatal("no root")
		}
		tree(t, n, root, 0, room, &b)
		if b.String() != wantTree {
			t.Errorf("room for %d references:\n%s", room, b.String())
		}
	}
}

// Each reference down has one up.
func TestReferencesGoBothWays(t *testing.T) {
	_, n, _ := mounted(t)
	for text := range n.plant.Load().byName {
		key, _ := n.Find(ua.StringId(2, text))
		up := 0
		for _, r := range n.References(key, 0, make([]opcua.Reference, 0, 100)) {
			if !r.Inverse {
				continue
			}
			up++
			parent, ok := n.Find(r.Target.NodeId)
			if !ok || !slices.ContainsFunc(n.References(parent, 0, make([]opcua.Reference, 0, 100)), func(d opcua.Reference) bool {
				return !d.Inverse && d.Type == r.Type && d.Target.NodeId == ua.StringId(2, text)
			}) {
				t.Errorf("%s: its parent %v does not know it", text, r.Target)
			}
		}
		if up != 1 {
			t.Errorf("%s has %d parents", text, up)
		}
	}
}

func TestFind(t *testing.T) {
	_, n, _ := mounted(t)
	for _, id := range []ua.NodeId{
		ua.StringId(2, ""), ua.StringId(2, "nobody"), ua.StringId(2, "press/"), ua.StringId(2, "press/level#EngineeringUnits"), ua.StringId(2, "press#EURange"),
		ua.StringId(2, "#EURange"), ua.StringId(2, "press/temp#State"), ua.NumericId(2, 7), {},
	} {
		if key, ok := n.Find(id); ok {
			t.Errorf("%v was found: %x", id, key)
		}
	}
	for _, text := range []string{"press", "press/temp", "press/temp#EngineeringUnits", "press#State", rootText} {
		a, ok1 := n.Find(ua.StringId(2, text))
		b, ok2 := n.FindText([]byte(text))
		if !ok1 || !ok2 || a != b {
			t.Errorf("%s: %x %v, by bytes %x %v", text, a, ok1, b, ok2)
		}
	}
}

// read reads nodes by the text of their ids through the Space, as a client's Read does.
func read(t *testing.T, space *opcua.Space, text string) ua.DataValue {
	t.Helper()
	var v ua.DataValue
	if !space.Value(t.Context(), ua.StringId(2, text), &v) {
		t.Fatalf("%s is no node", text)
	}
	return v
}

func TestValues(t *testing.T) {
	space, n, source := mounted(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 6700, time.UTC)
	source.last[3] = device.Last{TS: at.UnixNano(), Quality: tag.Good, Value: tag.Value{Kind: tag.Float64, Bits: math.Float64bits(21.5)}}
	source.last[2] = device.Last{TS: at.UnixNano(), Quality: tag.UncertainLastUsable, Value: tag.Value{Kind: tag.Uint16 | tag.Array, Aux: []byte{1, 0, 2, 1}}}
	v := read(t, space, "press/temp")
	if f, ok := v.Value.Float64(); !ok || f != 21.5 || v.Status != ua.Good || !v.SourceTimestamp.Time().Equal(at) {
		t.Errorf("temp is %v", v)
	}
	v = read(t, space, "press/recipe/steps")
	if a, ok := ua.ArrayOf[uint16](v.Value); !ok || !slices.Equal(a, []uint16{1, 258}) || v.Status != ua.UncertainLastUsableValue {
		t.Errorf("steps are %v", v)
	}
	if v = read(t, space, "press/level"); v.Status != ua.BadWaitingForInitialData || !v.Value.IsNull() || v.SourceTimestamp != 0 {
		t.Errorf("a tag that was never read is %v", v)
	}
	if v = read(t, space, "press#Reason"); v.Value.Text() != "no route to host" || !v.SourceTimestamp.Time().Equal(since) {
		t.Errorf("the reason is %v", v)
	}
	if v = read(t, space, "press#State"); v.Value.Text() != "cooling" {
		t.Errorf("the state is %v", v)
	}
	x, _ := read(t, space, "press/level#EURange").Value.ExtensionObject()
	var r ua.Range
	if err := x.Decode(&r, ua.Limits{}); err != nil || r.Low != 0 || r.High != 10 {
		t.Errorf("the range is %+v, %v", r, err)
	}
	n.Set(testTags()[3:]) // a reload without the press
	values := make([]ua.DataValue, 2)
	n.ReadValues(context.Background(), []uint64{keyOf(ofTag, 3), keyOf(ofState, 7)}, values)
	if values[0].Status != ua.BadNodeIdUnknown || values[1].Status != ua.BadNodeIdUnknown {
		t.Errorf("what is gone reads %v", values)
	}
	w := []opcua.ValueWrite{{Key: keyOf(ofTag, 9)}}
	if n.WriteValues(context.Background(), &opcua.Caller{}, w); w[0].Status != ua.BadNotWritable {
		t.Errorf("a write is %v", w[0].Status)
	}
}

// Every kind of value arrives as the built-in type of its number.
func TestKinds(t *testing.T) {
	for k := tag.Bool; k <= tag.ByteString; k++ {
		if !k.Valid() {
			continue
		}
		scalar := tag.Value{Kind: k, Bits: 1}
		aux := tag.AppendElem(tag.AppendElem(nil, k, 1), k, 0)
		if k.Width() == 0 {
			scalar = tag.Value{Kind: k, Aux: []byte("ab")}
			aux = []byte("\x02ab\x00") // each element behind its length
		}
		if v := variantOf(scalar); v.Type() != ua.TypeId(k) || v.IsArray() {
			t.Errorf("%v became %v", k, v)
		}
		if v := variantOf(tag.Value{Kind: k | tag.Array, Aux: aux}); v.Type() != ua.TypeId(k) || !v.IsArray() || v.Len() != 2 {
			t.Errorf("%v became %v of %d", k|tag.Array, v, v.Len())
		}
		if v := variantOf(tag.Value{Kind: k | tag.Array}); !v.IsArray() || v.Len() != 0 {
			t.Errorf("an empty %v became %v", k|tag.Array, v)
		}
	}
	if !variantOf(tag.Value{}).IsNull() {
		t.Error("no value became one")
	}
}

// Reading scalars allocates nothing.
func TestReadsDoNotAllocate(t *testing.T) {
	_, n, source := mounted(t)
	source.last[3] = device.Last{Quality: tag.Good, TS: 5, Value: tag.Value{Kind: tag.Float64, Bits: 77}}
	keys, values := slices.Repeat([]uint64{keyOf(ofTag, 3)}, 100), make([]ua.DataValue, 100)
	n.ReadValues(context.Background(), keys, values)
	if a := testing.AllocsPerRun(50, func() { n.ReadValues(context.Background(), keys, values) }); a > 0 && !raced {
		t.Errorf("%v allocations", a)
	}
}
