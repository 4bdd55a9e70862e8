package opcua_test

import (
	"context"
	"fmt"

	"millrace/opcua"
	"millrace/opcua/ua"
)

// A Space with a folder, a value that the program sets, one that is made at each read, and a method.
func ExampleSpace() {
	space, err := opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: "urn:example:boiler"})
	if err != nil {
		fmt.Println(err)
		return
	}
	const objects, organizes, hasComponent, int32Type, double = 85, 35, 47, 6, 11
	std := func(id uint32) ua.NodeId { return ua.NumericId(0, id) }
	name := func(s string) ua.QualifiedName { return ua.QualifiedName{NamespaceIndex: 1, Name: s} }
	boiler := ua.StringId(1, "boiler")

	err = space.Add(std(objects), std(organizes), opcua.Node{Id: boiler, Class: ua.NodeClassObject, BrowseName: name("Boiler")})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = space.Add(boiler, std(hasComponent),
		opcua.Node{
			Id: ua.StringId(1, "boiler.level"), Class: ua.NodeClassVariable, BrowseName: name("Level"), DataType: std(double), ValueRank: -1,
			AccessLevel: opcua.AccessCurrentRead | opcua.AccessCurrentWrite,
		},
		opcua.Node{
			Id: ua.StringId(1, "boiler.heat"), Class: ua.NodeClassVariable, BrowseName: name("Heat"), DataType: std(double), ValueRank: -1,
			Live: func(_ context.Context, v *ua.DataValue) { v.Value = ua.Double(81.5) },
		},
		opcua.Node{
			Id: ua.StringId(1, "boiler.fill"), Class: ua.NodeClassMethod, BrowseName: name("Fill"),
			Inputs: []ua.Argument{{Name: "litres", DataType: std(int32Type), ValueRank: -1}},
			Call: func(ctx context.Context, m *opcua.MethodCall) ua.StatusCode {
				litres, _ := m.Inputs[0].Float64()
				if err := space.SetValue(ua.StringId(1, "boiler.level"), ua.DataValue{Value: ua.Double(litres)}); err != nil {
					return ua.BadInternalError
				}
				return ua.Good
			},
		},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := space.SetValue(ua.StringId(1, "boiler.level"), ua.DataValue{Value: ua.Double(12)}); err != nil {
		fmt.Println(err)
		return
	}
	var v ua.DataValue
	for _, id := range []string{"boiler.level", "boiler.heat"} {
		fmt.Println(id, space.Value(context.Background(), ua.StringId(1, id), &v), v.Value)
	}
	// Output:
	// boiler.level true 12
	// boiler.heat true 81.5
}
