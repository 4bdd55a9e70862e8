package opcua

import (
	"errors"
	"testing"

	"millrace/opcua/ua"
)

// The structure of a server's status is decoded by the definitions that the server itself gives, as by the generated code.
func TestClientDecodesByDefinitions(t *testing.T) {
	_, _, url := liveServer(t, 1, SubscriptionLimits{})
	c := dialLive(t, url)
	v, err := c.ReadValues(t.Context(), ua.NumericId(0, 2256))
	if err != nil {
		t.Fatal(err)
	}
	x, ok := v[0].Value.ExtensionObject()
	var want ua.ServerStatusDataType
	if !ok || x.Decode(&want, ua.Limits{}) != nil {
		t.Fatalf("status is %v", v[0])
	}
	types := ua.NewTypes()
	if err := c.ReadTypes(t.Context(), types, x.TypeId); err != nil {
		t.Fatal(err)
	}
	got, err := types.Object(x, ua.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	state, _ := got.Field("State").Value.Int64()
	name := got.Field("BuildInfo").Nested[0].Field("ProductName").Value.Text()
	if state != int64(want.State) || name != want.BuildInfo.ProductName || name == "" {
		t.Errorf("%v, want %+v", &got, want)
	}
	before := c.Stats().Sent
	if err := c.ReadTypes(t.Context(), types, x.TypeId); err != nil || c.Stats().Sent != before {
		t.Errorf("what is known is read again: %v", err)
	}
	var e *TypeError
	if err := c.ReadTypes(t.Context(), types, ua.NumericId(0, 999999)); !errors.As(err, &e) {
		t.Errorf("an unknown type: %v", err)
	}
}
