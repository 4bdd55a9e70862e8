package opcua_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"millrace/opcua"
	"millrace/opcua/ua"
)

// plant serves an address space with nothing but its own until stop is called.
func plant() (url string, stop func()) {
	space, err := opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: "urn:example:plant"})
	if err != nil {
		panic(err)
	}
	server, err := opcua.NewServer(opcua.ServerConfig{Space: space})
	if err != nil {
		panic(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(ctx, ln)
	}()
	return "opc.tcp://" + ln.Addr().String(), func() { cancel(); <-ended }
}

func ExampleDial() {
	url, stop := plant()
	defer stop()
	ctx := context.Background()
	client, err := opcua.Dial(ctx, url, opcua.Config{})
	if err != nil {
		fmt.Println(err) // says how far it came, and what to do
		return
	}
	defer client.Close()
	array, err := client.ParseNodeId("i=2255")
	if err != nil {
		fmt.Println(err)
		return
	}
	values, err := client.ReadValues(ctx, array, ua.StringId(1, "nobody"))
	if err != nil {
		fmt.Println(err) // of the connection; what is wrong with a node is with its value
		return
	}
	fmt.Println(values[0].Value.Strings()[1])
	fmt.Println(values[1].Status)
	// Output:
	// urn:example:plant
	// BadNodeIdUnknown
}

func ExampleClient_Subscribe() {
	url, stop := plant()
	defer stop()
	ctx := context.Background()
	client, err := opcua.Dial(ctx, url, opcua.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	times := make(chan ua.DateTime, 1)
	sub, err := client.Subscribe(ctx, opcua.SubscriptionConfig{
		Interval: 50 * time.Millisecond,
		Notify: func(m *opcua.Notification) { // in the connection's reader: hand over and return
			var v ua.DataValue
			for {
				item, ok := m.Next(&v)
				if !ok {
					break
				}
				if at, ok := v.Value.DateTime(); ok && item == 0 {
					select {
					case times <- at:
					default:
					}
				}
			}
			m.Receipt().Done() // the values are safe: the server may forget the message
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	items := []opcua.Item{{Node: ua.ReadValueId{NodeId: ua.NumericId(0, 2258)}}, {Node: ua.ReadValueId{NodeId: ua.StringId(1, "nobody")}}}
	if err := sub.Add(ctx, items); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(items[0].Status, items[1].Status)
	first, second := <-times, <-times
	fmt.Println(second > first)
	// Output:
	// Good BadNodeIdUnknown
	// true
}

func ExampleDialError() {
	_, err := opcua.Dial(context.Background(), "http://plc", opcua.Config{})
	fmt.Println(strings.TrimPrefix(err.Error(), "opcua: "))
	// Output: connect http://plc: "http://plc" is no URL of the form opc.tcp://host:port/path
}
