package uasc_test

import (
	"fmt"
	"log"
	"time"

	"millrace/opcua/ua"
	"millrace/opcua/uasc"
)

// next takes the one message that b is. A connection keeps what is left of b, and reads on while the Kind is 0.
func next(c *uasc.Channel, b []byte) uasc.Message {
	_, m, err := c.Next(b, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	return m
}

// Both sides of a channel, without a network between them.
func Example() {
	security := uasc.Security{Policy: uasc.None, Mode: ua.MessageSecurityModeNone}
	shared, err := uasc.NewServer(uasc.ServerConfig{Security: []uasc.Security{security}})
	if err != nil {
		log.Fatal(err)
	}
	server := shared.NewChannel(1, "10.0.0.9:50123")
	client, err := uasc.NewClient(uasc.ClientConfig{Security: security})
	if err != nil {
		log.Fatal(err)
	}

	ack, _, err := server.AcceptHello(nil, next(server, client.AppendHello(nil, "opc.tcp://plc:4840")))
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Acknowledged(next(client, ack)); err != nil {
		log.Fatal(err)
	}
	request, err := client.AppendOpen(nil, 1, false, time.Hour, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	response, _, err := server.AcceptOpen(nil, next(server, request), time.Now())
	if err != nil {
		log.Fatal(err)
	}
	opened, err := client.Opened(next(client, response), time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("token", opened.TokenID, "for", opened.Lifetime)

	b := client.Begin(nil, 2)
	b = append(b, "the message"...)
	b, err = client.End(b, 0, uasc.KindMessage, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	m := next(server, b)
	fmt.Printf("%v %d: %s\n", m.Kind, m.RequestID, m.Body)
	// Output:
	// token 1 for 1h0m0s
	// MSG 2: the message
}
