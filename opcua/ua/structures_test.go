package ua

import (
	"bytes"
	"reflect"
	"testing"
)

// encodingIds returns the ids that NewMessage knows.
func encodingIds() (out []uint32) {
	for id := uint32(1); id < 1<<16; id++ {
		if _, ok := NewMessage(id); ok {
			out = append(out, id)
		}
	}
	return out
}

func TestEveryStructureReadsAsItWasWritten(t *testing.T) {
	ids := encodingIds()
	if len(ids) < 280 {
		t.Fatalf("%d structures have an encoding", len(ids))
	}
	for _, id := range ids {
		m, _ := NewMessage(id)
		if m.EncodingId() != id {
			t.Errorf("NewMessage(%d) is a structure of the encoding %d", id, m.EncodingId())
		}
		newFiller(uint64(id)).fill(m)
		b := AppendMessage(nil, m)
		back, _ := NewMessage(id)
		d := NewDecoder(b, Limits{})
		if got := d.EncodingId(); got != id {
			t.Fatalf("%T: the encoding id reads as %d", m, got)
		}
		back.DecodeFrom(&d)
		if err := d.Done(); err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		if !reflect.DeepEqual(m, back) {
			t.Fatalf("%T: wrote %+v, read %+v", m, m, back)
		}
		if again := AppendMessage(nil, back); !bytes.Equal(again, b) {
			t.Fatalf("%T: wrote % x, and again % x", m, b, again)
		}
	}
}

func TestNoPrefixOfAStructureIsOne(t *testing.T) {
	for _, id := range encodingIds() {
		m, _ := NewMessage(id)
		newFiller(uint64(id)).fill(m)
		b := m.AppendTo(nil)
		for n := range len(b) {
			if n > 100 && n%29 != 0 {
				continue
			}
			back, _ := NewMessage(id)
			d := NewDecoder(b[:n], Limits{})
			back.DecodeFrom(&d)
			if d.Err() == nil {
				t.Fatalf("%T: %d of %d bytes are taken for all of it", m, n, len(b))
			}
		}
	}
}

func TestSizesOfTypes(t *testing.T) {
	for _, x := range []struct {
		want int
		v    any
	}{
		{sizeString, ""}, {sizeXmlElement, XmlElement("")}, {sizeByteString, []byte{}}, {sizeSlice, []Variant{}}, {sizeNodeId, NodeId{}},
		{sizeExpandedNodeId, ExpandedNodeId{}}, {sizeQualifiedName, QualifiedName{}}, {sizeLocalizedText, LocalizedText{}}, {sizeGuid, Guid{}},
		{sizeExtensionObject, ExtensionObject{}}, {sizeDiagnosticInfo, DiagnosticInfo{}}, {sizeDataValue, DataValue{}}, {sizeVariant, Variant{}},
	} {
		if got := int(reflect.TypeOf(x.v).Size()); got != x.want {
			t.Errorf("%T takes %d bytes, not %d", x.v, got, x.want)
		}
	}
}
