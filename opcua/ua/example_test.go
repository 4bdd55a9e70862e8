package ua_test

import (
	"fmt"

	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
)

// A message is appended, and read with a Decoder that is asked once, at the end.
func Example() {
	request := ua.ReadRequest{
		TimestampsToReturn: ua.TimestampsToReturnSource,
		NodesToRead:        []ua.ReadValueId{{NodeId: ua.NumericId(0, ns0.Server_ServerStatus_CurrentTime), AttributeId: ua.AttributeValue}},
	}
	b := ua.AppendMessage(nil, &request)

	d := ua.NewDecoder(b, ua.Limits{Message: 1 << 20})
	var got ua.ReadRequest
	if d.EncodingId() == got.EncodingId() {
		got.DecodeFrom(&d)
	}
	fmt.Println(d.Done(), got.TimestampsToReturn, got.NodesToRead[0].NodeId)
	// Output: <nil> Source i=2258
}

// Values of many nodes are read one at a time, so that nothing is made of the whole.
func ExampleReadResponseWalk() {
	response := ua.ReadResponse{Results: []ua.DataValue{{Value: ua.Double(21.5)}, {Status: ua.BadNodeIdUnknown}}}
	b := response.AppendTo(nil)

	d := ua.NewDecoder(b, ua.Limits{})
	var header ua.ResponseHeader
	header.DecodeFrom(&d)
	var w ua.ReadResponseWalk
	var v ua.DataValue
	for w.Start(&d); w.Next(&d, &v); {
		fmt.Println(w.Index(), v.Value, v.Status)
	}
	w.End(&d)
	fmt.Println(d.Done())
	// Output:
	// 0 21.5 Good
	// 1 null BadNodeIdUnknown
	// <nil>
}

// A structure that was not known when the program was compiled is decoded by the definition that its server has for it.
func ExampleTypes() {
	double := ua.NumericId(0, ns0.Double)
	types := ua.NewTypes()
	types.Add(ua.DataType{
		Id: ua.NumericId(2, 1), Name: "Point", Base: ua.NumericId(0, ns0.Structure), Binary: ua.NumericId(2, 2),
		Structure: &ua.StructureDefinition{Fields: []ua.StructureField{
			{Name: "x", DataType: double, ValueRank: -1}, {Name: "y", DataType: double, ValueRank: -1},
		}},
	})
	point := ua.Structure{Type: types.Type(ua.NumericId(2, 1)), Fields: []ua.Field{{Name: "x", Value: ua.Double(1)}, {Name: "y", Value: ua.Double(2)}}}
	object, err := types.Wrap(&point)
	if err != nil {
		fmt.Println(err)
		return
	}
	got, err := types.Object(object, ua.Limits{})
	fmt.Println(object.TypeId, got.String(), err)
	// Output: ns=2;i=2 {x: 1, y: 2} <nil>
}
