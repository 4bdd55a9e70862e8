package opcua

import (
	"testing"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

func writeOf(id ua.NodeId, v ua.Variant) ua.WriteValue {
	return ua.WriteValue{NodeId: id, AttributeId: ua.AttributeValue, Value: ua.DataValue{Value: v}}
}

func write(k *desk, list ...ua.WriteValue) []ua.StatusCode {
	k.t.Helper()
	r, status := ask[ua.WriteResponse](k, k.server.serveWrite, &ua.WriteRequest{NodesToWrite: list})
	if status != ua.Good {
		k.t.Fatal(status)
	}
	return r.Results
}

func TestWriteReachesStoresInBatchesAndInOrder(t *testing.T) {
	s, far := mounted(t, 10)
	near := variables(t, s, 10)
	zoo(t, s)
	k := deskFor(t, s)
	var list []ua.WriteValue
	for i, id := range append(textIds(1, 10), textIds(memoryNamespace, 10)...) {
		list = append(list, writeOf(id, ua.Double(float64(100+i))))
	}
	list = append(list, writeOf(ua.StringId(1, "variable"), ua.DoubleArray([]float64{9})), writeOf(ua.StringId(1, "v0"), ua.Double(7)))
	for i, status := range write(k, list...) {
		if status != ua.Good {
			t.Errorf("%d: %v", i, status)
		}
	}
	if near.batches != 2 || far.batches != 1 {
		t.Errorf("%d and %d batches, want 2 and 1", near.batches, far.batches)
	}
	for i, v := range near.values {
		if f, _ := v.Value.Float64(); f != map[bool]float64{true: 7, false: float64(100 + i)}[i == 0] {
			t.Errorf("v%d is %v", i, f)
		}
	}
	if got := readItemOf(k, ua.StringId(1, "variable"), ua.AttributeValue, "", ua.QualifiedName{}); !got.Value.Equal(ua.DoubleArray([]float64{9})) {
		t.Error(got.Value)
	}
}

// A variable of each data type and rank, and what may be written to it.
func TestWriteChecksTypes(t *testing.T) {
	s := bareSpace(t)
	k := deskFor(t, s)
	number := func(dataType uint32, rank int32) ua.NodeId {
		id := ua.NumericId(1, dataType<<8|uint32(rank+8))
		if s.index.find(id) == nil {
			err := s.Add(ua.NodeId{}, ua.NodeId{}, Node{Id: id, Class: ua.NodeClassVariable, BrowseName: named(1, "x"), DataType: stdId(dataType), ValueRank: rank, AccessLevel: AccessCurrentRead | AccessCurrentWrite})
			if err != nil {
				t.Fatal(err)
			}
		}
		return id
	}
	matrix := ua.Matrix([]uint32{2, 2}, ua.DoubleArray([]float64{1, 2, 3, 4}))
	bytes := []byte{1, 2}
	for i, c := range []struct {
		dataType uint32
		rank     int32
		v        ua.Variant
		want     ua.StatusCode
	}{
		{11, -1, ua.Double(1), ua.Good},
		{11, -1, ua.Float(1), ua.BadTypeMismatch},
		{11, -1, ua.Int32(1), ua.BadTypeMismatch},
		{11, -1, ua.Variant{}, ua.BadTypeMismatch},
		{11, -1, ua.DoubleArray([]float64{1}), ua.BadTypeMismatch},
		{11, 1, ua.DoubleArray([]float64{1}), ua.Good},
		{11, 1, ua.Double(1), ua.BadTypeMismatch},
		{11, 1, matrix, ua.BadTypeMismatch},
		{11, 2, matrix, ua.Good},
		{11, 2, ua.DoubleArray([]float64{1}), ua.BadTypeMismatch},
		{11, 0, matrix, ua.Good},
		{11, 0, ua.Double(1), ua.BadTypeMismatch},
		{11, -2, matrix, ua.Good},
		{11, -2, ua.Double(1), ua.Good},
		{11, -3, ua.Double(1), ua.Good},
		{11, -3, ua.DoubleArray([]float64{1}), ua.Good},
		{11, -3, matrix, ua.BadTypeMismatch},
		{ns0.Number, -1, ua.Float(1), ua.Good},
		{ns0.Number, -1, ua.Byte(1), ua.Good},
		{ns0.Number, -1, ua.String("1"), ua.BadTypeMismatch},
		{ns0.Integer, -1, ua.Int64(1), ua.Good},
		{ns0.Integer, -1, ua.UInt32(1), ua.BadTypeMismatch},
		{ns0.UInteger, -1, ua.UInt32(1), ua.Good},
		{ns0.UInteger, -1, ua.Int32(1), ua.BadTypeMismatch},
		{ns0.Enumeration, -1, ua.Int32(1), ua.Good},
		{ns0.Enumeration, -1, ua.UInt32(1), ua.BadTypeMismatch},
		{ns0.BaseDataType, -1, ua.String("x"), ua.Good},
		{ns0.BaseDataType, -1, ua.Variant{}, ua.Good},
		{30, -1, ua.ByteString(bytes), ua.Good},
		{30, -1, ua.String("x"), ua.BadTypeMismatch},
		{15, -1, ua.ByteArray(bytes), ua.Good},
		{3, 1, ua.ByteString(bytes), ua.Good},
		{3, -1, ua.ByteString(bytes), ua.BadTypeMismatch},
		{884, -1, ua.StructureValue(&ua.Range{}), ua.Good},
		{884, -1, ua.StructureValue(&ua.Argument{}), ua.BadTypeMismatch},
		{884, 1, ua.ExtensionObjectArray([]ua.ExtensionObject{ua.Wrap(&ua.Range{}), ua.Wrap(&ua.Argument{})}), ua.BadTypeMismatch},
		{ns0.Structure, -1, ua.StructureValue(&ua.Argument{}), ua.Good},
	} {
		if got := write(k, writeOf(number(c.dataType, c.rank), c.v))[0]; got != c.want {
			t.Errorf("%d: %v to type %d, rank %d: %v, want %v", i, c.v, c.dataType, c.rank, got, c.want)
		}
	}
	if got := readItemOf(k, number(3, 1), ua.AttributeValue, "", ua.QualifiedName{}); !got.Value.Equal(ua.ByteArray(bytes)) {
		t.Errorf("a ByteString written to an array of Byte: %v", got.Value.Type())
	}
	if got := readItemOf(k, number(15, -1), ua.AttributeValue, "", ua.QualifiedName{}); !got.Value.Equal(ua.ByteString(bytes)) {
		t.Errorf("an array of Byte written to a ByteString: %v", got.Value.Type())
	}
}

func TestWriteStatus(t *testing.T) {
	s, far := mounted(t, 1)
	zoo(t, s)
	k := deskFor(t, s)
	v, v0 := ua.StringId(1, "variable"), ua.StringId(memoryNamespace, "v0")
	five := ua.DoubleArray([]float64{0, 1, 2, 3, 4})
	part := func(parts string, x ua.Variant) ua.WriteValue {
		w := writeOf(v, x)
		w.IndexRange = parts
		return w
	}
	attribute := func(id ua.NodeId, a uint32) ua.WriteValue {
		w := writeOf(id, ua.Int32(1))
		w.AttributeId = a
		return w
	}
	stamped := func(id ua.NodeId, x ua.Variant, v ua.DataValue) ua.WriteValue {
		v.Value = x
		return ua.WriteValue{NodeId: id, AttributeId: ua.AttributeValue, Value: v}
	}
	for i, c := range []struct {
		w    ua.WriteValue
		want ua.StatusCode
	}{
		{writeOf(ua.StringId(1, "nobody"), five), ua.BadNodeIdUnknown},
		{writeOf(ua.StringId(1, "object"), five), ua.BadAttributeIdInvalid},
		{writeOf(ua.StringId(1, "structure"), five), ua.BadNotWritable},
		{writeOf(ua.StringId(1, "live"), ua.Double(1)), ua.BadNotWritable},
		{attribute(v, ua.AttributeDisplayName), ua.BadNotWritable},
		{attribute(v, ua.AttributeExecutable), ua.BadAttributeIdInvalid},
		{attribute(v, 99), ua.BadAttributeIdInvalid},
		{part("1:2", ua.DoubleArray([]float64{8, 9})), ua.Good},
		{part("2:1", ua.DoubleArray([]float64{8, 9})), ua.BadIndexRangeInvalid},
		{part("4:5", ua.DoubleArray([]float64{8, 9})), ua.BadIndexRangeNoData},
		{part("1:2", ua.DoubleArray([]float64{8})), ua.BadIndexRangeDataMismatch},
		{part("1", ua.Int32Array([]int32{8})), ua.BadTypeMismatch},
		{writeOf(v, ua.DoubleArray(make([]float64, 6))), ua.BadOutOfRange},
		{stamped(v, five, ua.DataValue{Status: ua.UncertainInitialValue, SourceTimestamp: 9}), ua.Good},
		{stamped(v0, ua.Double(1), ua.DataValue{Status: ua.UncertainInitialValue}), ua.BadWriteNotSupported},
		{stamped(v0, ua.Double(1), ua.DataValue{SourceTimestamp: 9}), ua.BadWriteNotSupported},
		{stamped(v0, ua.Double(1), ua.DataValue{ServerTimestamp: 9}), ua.BadWriteNotSupported},
		{writeOf(v0, ua.Double(1)), ua.Good},
	} {
		if got := write(k, c.w)[0]; got != c.want {
			t.Errorf("%d: %+v: %v, want %v", i, c.w, got, c.want)
		}
	}
	if got := readItemOf(k, v, ua.AttributeValue, "", ua.QualifiedName{}); got.Status != ua.UncertainInitialValue {
		t.Errorf("a status that was written: %v", got.Status)
	}
	far.stamps = true
	if got := write(k, stamped(v0, ua.Double(1), ua.DataValue{SourceTimestamp: 9}))[0]; got != ua.Good {
		t.Errorf("a store that takes timestamps: %v", got)
	}
	k.call.session.caller = &Caller{Roles: RoleRead}
	for _, id := range []ua.NodeId{v, v0} {
		if got := write(k, writeOf(id, five))[0]; got != ua.BadUserAccessDenied {
			t.Errorf("%v, by one who may read: %v", id, got)
		}
	}
}

func TestWriteRefusesWholeRequests(t *testing.T) {
	s := bareSpace(t)
	m := variables(t, s, 1)
	s.limits.Write = 2
	k := deskFor(t, s)
	w := writeOf(ua.StringId(1, "v0"), ua.Double(5))
	for want, r := range map[ua.StatusCode]*ua.WriteRequest{
		ua.BadNothingToDo: {}, ua.BadTooManyOperations: {NodesToWrite: []ua.WriteValue{w, w, w}},
	} {
		if _, status := ask[ua.WriteResponse](k, k.server.serveWrite, r); status != want {
			t.Errorf("%v, want %v", status, want)
		}
	}
	d := request(t, &ua.WriteRequest{NodesToWrite: []ua.WriteValue{w, w}})
	whole := d.Rest()
	for _, b := range [][]byte{whole[:len(whole)-1], append(whole[:len(whole):len(whole)], 0xFF)} {
		d := ua.NewDecoder(b, ua.Limits{})
		d.Alias = true
		if _, status := k.server.serveWrite(t.Context(), k.call, &d, nil); status != ua.BadDecodingError {
			t.Errorf("%d bytes: %v", len(b), status)
		}
	}
	if f, _ := m.values[0].Value.Float64(); f != 0 || m.batches != 0 {
		t.Errorf("a request that cannot be read has written %v", f)
	}
}
