package opcua_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"millrace/opcua"
	"millrace/opcua/ua"
	"millrace/opcua/ua/ns0"
	"millrace/opcua/uasc"
)

// everybody is a Validator for an example; a server has a CertificateValidator with a TrustStore.
type everybody struct{}

func (everybody) Validate(time.Time, []byte, uasc.Use) error { return nil }

// A server with one variable for clients that encrypt and know a password.
func ExampleServer() {
	err := serveShift(func(ctx context.Context, url string, own *uasc.Identity) error {
		user := opcua.User{Name: "shift", Password: "wrong"}
		_, err := opcua.Dial(ctx, url, opcua.Config{Identity: own, AnyServer: true, User: user})
		fmt.Println("refused:", errors.Is(err, ua.BadUserAccessDenied))

		user.Password = "correct horse"
		client, err := opcua.Dial(ctx, url, opcua.Config{Identity: own, AnyServer: true, User: user})
		if err != nil {
			return err
		}
		defer client.Close()
		values, err := client.ReadValues(ctx, ua.StringId(1, "speed"))
		if err != nil {
			return err
		}
		fmt.Println(values[0].Value, client.Endpoint().SecurityMode)
		return nil
	})
	fmt.Println(err)
	// Output:
	// refused: true
	// 1500 SignAndEncrypt
	// <nil>
}

// serveShift serves while f runs.
func serveShift(f func(ctx context.Context, url string, client *uasc.Identity) error) error {
	space, err := opcua.NewSpace(opcua.SpaceConfig{ApplicationURI: "urn:example:plant"})
	if err != nil {
		return err
	}
	speed := opcua.Node{
		Id: ua.StringId(1, "speed"), Class: ua.NodeClassVariable, BrowseName: ua.QualifiedName{NamespaceIndex: 1, Name: "Speed"},
		DataType: ua.NumericId(0, ns0.Double), ValueRank: -1, AccessLevel: opcua.AccessCurrentRead, Value: ua.DataValue{Value: ua.Double(1500)},
	}
	if err := space.Add(ua.NumericId(0, ns0.ObjectsFolder), ua.NumericId(0, ns0.Organizes), speed); err != nil {
		return err
	}
	hash, err := opcua.HashPassword([]byte("correct horse"))
	if err != nil {
		return err
	}
	users, err := opcua.ReadUsers(strings.NewReader("shift read " + hash))
	if err != nil {
		return err
	}
	own, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationURI: "urn:example:plant", Hosts: []string{"127.0.0.1"}, Now: time.Now()})
	if err != nil {
		return err
	}
	theirs, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationURI: "urn:example:client", Hosts: []string{"127.0.0.1"}, Now: time.Now()})
	if err != nil {
		return err
	}
	server, err := opcua.NewServer(opcua.ServerConfig{
		Space: space, Identity: own, Trust: everybody{}, Users: users, UserTokens: opcua.TokenPassword,
		Security: []uasc.Security{{Policy: uasc.Aes256Sha256RsaPss, Mode: ua.MessageSecurityModeSignAndEncrypt}},
	})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, ln) }()
	err = f(ctx, "opc.tcp://"+ln.Addr().String(), theirs)
	stop()
	return errors.Join(err, <-ended)
}
