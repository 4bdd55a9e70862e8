package driver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace/internal/device"
	"millrace/internal/driver"
	"millrace/internal/sim"
	"millrace/internal/tag"
	"millrace/modbus"
)

// readImage opens a session to a, reads the image and wants all of it good.
func readImage(t *testing.T, a device.Addr, o *observer) {
	t.Helper()
	s := openTo(t, a, o)
	defer s.Close()
	points := image()
	var b tag.Batch
	if err := s.Read(context.Background(), compile(t, a, device.Limits{}, points), &b); err != nil {
		t.Fatal(err)
	}
	if good := check(t, points, &b); good != len(points) {
		t.Errorf("%s: %d good of %d", a, good, len(points))
	}
}

func TestRTUOverTCP(t *testing.T) {
	m := plantOf(t, sim.ModbusConfig{Devices: 1, Framing: modbus.FramingRTU})
	a := device.Addr{Scheme: "modbus+rtu", Host: m.Addr(1), Path: "17"}
	points := image()
	for i := range points {
		if points[i].address == "1!40101" { // of another unit on the same line
			points[i].address = "2!40101"
		}
	}
	readImage(t, a, &observer{timeout: 5 * time.Second})
}

// TestALateReplyOverRTUEndsTheConnection: there is no id to know it by. The read that times out says so, the next one that the connection is
// over.
func TestALateReplyOverRTUEndsTheConnection(t *testing.T) {
	m := plantOf(t, sim.ModbusConfig{Devices: 1, Framing: modbus.FramingRTU}, "silence:every=2")
	a := device.Addr{Scheme: "modbus+rtu", Host: m.Addr(1)}
	points := image()
	good, opened := readThrough(t, driver.Modbus{}, a, compile(t, a, device.Limits{}, points), points, &observer{timeout: 20 * time.Millisecond}, 4, false)
	if good == 0 || opened != 2 {
		t.Errorf("%d good on %d connections", good, opened)
	}
}

func TestADeviceThatDoesNotEchoIDs(t *testing.T) {
	m := plant(t, 1, "wrong_id")
	a := addrOf(m, 1, map[string]string{"echo_id": "false"})
	readImage(t, a, &observer{timeout: 5 * time.Second})
}

func TestTheReasonNamesTheOptionForIDsThatAreNotEchoed(t *testing.T) {
	for fault, want := range map[string]bool{"wrong_id": true, "wrong_id:every=2": false} {
		a := addrOf(plant(t, 1, fault), 1, map[string]string{"window": "1"})
		_, err := driver.ReadOnce(context.Background(), driver.Modbus{}, a, []string{"holding:5", "input:5"}, 5*time.Second)
		var foreign *modbus.ForeignError
		if !errors.As(err, &foreign) || strings.Contains(err.Error(), "echo_id: false") != want {
			t.Errorf("%s: %v", fault, err)
		}
		_, err = driver.WriteOnce(context.Background(), driver.Modbus{}, a, []driver.Assignment{{Address: "holding:5", Value: "1"}}, 5*time.Second)
		if want && (err == nil || !strings.Contains(err.Error(), "echo_id: false")) {
			t.Errorf("%s: write: %v", fault, err)
		}
	}
}

func TestTLSWithClientCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, pool := certificate(t, dir)
	m := plantOf(t, sim.ModbusConfig{Devices: 2, TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, MinVersion: tls.VersionTLS12}})
	file := func(name string) string { return filepath.Join(dir, name) }
	options := map[string]string{"ca": file("cert.pem"), "cert": file("cert.pem"), "key": file("key.pem"), "window": "4"}
	a := device.Addr{Scheme: "modbus+tls", Host: m.Addr(1), Path: "1", Options: options}
	readImage(t, a, &observer{timeout: 5 * time.Second})

	// Device 2 is at another address than the certificate says, so that its name must be given.
	a.Host = m.Addr(2)
	if _, err := (driver.Modbus{}).Open(context.Background(), a, device.Limits{}, &observer{timeout: time.Second}); err == nil {
		t.Error("a certificate of another host was accepted")
	}
	options["server_name"] = "plc.example"
	readImage(t, a, &observer{timeout: 5 * time.Second})

	var oe *driver.OptionError
	options["ca"] = file("key.pem")
	if _, err := (driver.Modbus{}).Open(context.Background(), a, device.Limits{}, &observer{}); !errors.As(err, &oe) || oe.Option != "ca" {
		t.Errorf("a key is no CA: %v", err)
	}
	options["ca"] = file("absent.pem")
	if _, err := (driver.Modbus{}).Open(context.Background(), a, device.Limits{}, &observer{}); !errors.As(err, &oe) || oe.Option != "ca" {
		t.Errorf("%v", err)
	}
}

// certificate makes a self-signed certificate for 127.0.0.1 and plc.example, for both sides, and writes it to dir.
func certificate(t *testing.T, dir string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "plc"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"plc.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for name, data := range map[string][]byte{"cert.pem": certPEM, "key.pem": keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pair, pool
}
