package nodeset

import (
	"bytes"
	"reflect"
	"strconv"
	"testing"

	"millrace/opcua/ua"
)

// filler sets every field of a structure: arrays have two elements, numbers count up.
type filler struct{ n int }

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch x := v.Addr().Interface().(type) {
	case *ua.Variant:
		*x = ua.Matrix([]uint32{1, 2}, ua.Int32Array([]int32{int32(f.n), 2}))
	case *ua.DataValue:
		*x = ua.DataValue{Value: ua.Double(float64(f.n)), SourceTimestamp: ua.DateTime(f.n), Has: ua.HasValue | ua.HasSourceTimestamp}
	case *ua.ExtensionObject:
		*x = ua.ExtensionObject{TypeId: ua.NumericId(1, uint32(f.n)), Body: []byte{1, 2, byte(f.n)}}
	case *ua.DiagnosticInfo:
		*x = ua.DiagnosticInfo{SymbolicId: int32(f.n), Has: ua.HasSymbolicId}
	case *ua.NodeId:
		*x = ua.StringId(uint16(f.n), strconv.Itoa(f.n))
	case *ua.ExpandedNodeId:
		*x = ua.ExpandedNodeId{NodeId: ua.NumericId(0, uint32(f.n)), ServerIndex: 2}
	case *ua.Guid:
		*x = ua.Guid{D1: uint32(f.n)}
	default:
		f.fillKind(v)
	}
}

func (f *filler) fillKind(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("text " + strconv.Itoa(f.n))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(f.n) / 4)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.n % 100))
	default:
		v.SetUint(uint64(f.n % 200))
	}
}

// TestGeneratedCodecAgreesWithTheDefinitions writes each structure of namespace 0 with the code that was generated from the binary schema, reads
// it by the definition in the NodeSet, and writes it again: two files of the specification, and two codecs.
func TestGeneratedCodecAgreesWithTheDefinitions(t *testing.T) {
	types := ua.NewTypes()
	s := loadNS0(t)
	s.Types(types)
	compared := 0
	for i := range s.Nodes {
		dt := types.Type(s.Nodes[i].Id)
		if dt == nil || dt.Structure == nil || dt.Binary.IsNull() {
			continue
		}
		m, ok := ua.NewMessage(dt.Binary.Numeric)
		if !ok {
			t.Logf("%s has no generated structure", dt.Name)
			continue
		}
		new(filler).fill(reflect.ValueOf(m).Elem())
		o := ua.Wrap(m)
		got, err := types.Object(o, ua.Limits{})
		if err != nil {
			t.Errorf("%s: %v", dt.Name, err)
			continue
		}
		back, err := types.Wrap(&got)
		if err != nil || back.TypeId != o.TypeId || !bytes.Equal(back.Body, o.Body) {
			t.Errorf("%s: %v: wrote % x, and by its definition % x", dt.Name, err, o.Body, back.Body)
		}
		if first := reflect.ValueOf(m).Elem(); first.NumField() != len(got.Fields) || len(got.Fields) > 0 && first.Type().Field(0).Name != got.Fields[0].Name {
			t.Errorf("%s: the fields are %v", dt.Name, &got)
		}
		compared++
	}
	t.Logf("%d structures", compared)
	if compared < 150 {
		t.Errorf("only %d structures were compared", compared)
	}
}
