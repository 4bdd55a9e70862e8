package modbus_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net"
	"time"

	"millrace/modbus"
)

// serve runs a server on a free port of the loopback until stop is called.
func serve(cfg modbus.ServerConfig) (addr string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	srv, err := modbus.NewServer(cfg)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(ctx, ln) // ends with ctx
	}()
	return ln.Addr().String(), func() {
		cancel()
		<-ended
	}
}

// A pool keeps connections ready, and never has more of them than the device has slots.
func ExamplePool() {
	addr, stop := startMeter()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	pool, err := modbus.NewPool(addr, modbus.PoolConfig{Warm: 2, Slots: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- pool.Run(ctx) }()

	calls := []modbus.Call{{Unit: 1, Function: modbus.FuncReadHolding, Address: 7, Quantity: 1}}
	err = pool.Do(ctx, calls)
	fmt.Println(calls[0].Data, err)

	cancel()
	fmt.Println(<-ended)
	// Output:
	// [0 7] <nil>
	// context canceled
}

// Devices behind a serial gateway that passes RTU frames on: the same client, with another framing and one request at a time.
func ExampleConfig_rtuOverTCP() {
	addr, stop := serve(modbus.ServerConfig{Handler: meter{}, Framing: modbus.FramingRTU})
	defer stop()
	ctx := context.Background()

	c, err := modbus.Dial(ctx, addr, modbus.Config{Framing: modbus.FramingRTU})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	regs := make([]uint16, 2)
	fmt.Println(c.ReadHolding(ctx, 17, 40, 2, regs), regs)
	// Output: <nil> [40 41]
}

// Over TLS the role in the client's certificate says what it may do: this operator may read and not write.
func ExampleServerConfig_roles() {
	plc, operator := certificate("plc", ""), certificate("press-17", "operator")
	addr, stop := serve(modbus.ServerConfig{
		Handler:     meter{},
		TLS:         &tls.Config{Certificates: []tls.Certificate{plc}, ClientCAs: trusting(operator)},
		RequireRole: true,
		Authorize: func(r *modbus.Request) bool {
			return !r.Function.Writes() || r.Conn.Role() == "engineer"
		},
	})
	defer stop()
	ctx := context.Background()

	c, err := modbus.Dial(ctx, addr, modbus.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{operator}, RootCAs: trusting(plc)},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	regs := make([]uint16, 1)
	fmt.Println(c.ReadHolding(ctx, 1, 5, 1, regs), regs)
	fmt.Println(c.WriteRegister(ctx, 1, 5, 6))
	// Output:
	// <nil> [5]
	// modbus: write register 5 of unit 1: exception 1 (illegal function)
}

// certificate makes a certificate for the loopback address that signs itself, with a role unless that is empty.
func certificate(name, role string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	if role != "" {
		value, err := asn1.MarshalWithParams(role, "utf8")
		if err != nil {
			panic(err)
		}
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 50316, 802, 1}, Value: value}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func trusting(c tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.Leaf)
	return pool
}
