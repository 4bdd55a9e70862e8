package uasc

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Identity is an application's own certificate and the key to it.
type Identity struct {
	Certificate
	Signer crypto.Signer // of an RSA key also a crypto.Decrypter, as *rsa.PrivateKey is; of P-256 it signs alone
}

// IdentityConfig says what a certificate is made with.
type IdentityConfig struct {
	ApplicationName string        // the common name; default "Millrace"
	ApplicationURI  string        // must be set
	Organization    string        // default none
	Hosts           []string      // host names and IP addresses under which the application is found
	ECC             bool          // a key of P-256, for ECC_nistP256; default RSA
	Bits            int           // of the RSA key, 2048 to 4096; default 2048
	Lifetime        time.Duration // default 20 years: who trusts a certificate of a machine does so until it is replaced
	Now             time.Time     // the certificate is valid from a day before; must be set
}

const (
	defaultName         = "Millrace"
	defaultBits         = 2048
	defaultCertLifetime = 20 * 365 * 24 * time.Hour
	serialBits          = 120 // a serial number has at most 20 bytes and is positive [RFC 5280 4.1.2.2]
	clockSlack          = 24 * time.Hour
	certificateType     = "CERTIFICATE"
	privateKeyType      = "PRIVATE KEY"
)

func (cfg IdentityConfig) withDefaults() (IdentityConfig, *url.URL, error) {
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = defaultName
	}
	cfg.Bits = orDefault(cfg.Bits, defaultBits)
	cfg.Lifetime = orDefault(cfg.Lifetime, defaultCertLifetime)
	uri, err := url.Parse(cfg.ApplicationURI)
	switch {
	case err != nil:
		return cfg, nil, fmt.Errorf("uasc: application URI %q: %w", cfg.ApplicationURI, err)
	case cfg.ApplicationURI == "":
		return cfg, nil, errors.New("uasc: a certificate needs an application URI")
	case cfg.Bits < 2048 || cfg.Bits > 4096 || cfg.Bits%8 != 0:
		return cfg, nil, fmt.Errorf("uasc: an RSA key of %d bits; the policies take 2048 to 4096", cfg.Bits)
	case cfg.Now.IsZero():
		return cfg, nil, errors.New("uasc: a certificate needs the time it is made at")
	}
	return cfg, uri, nil
}

// NewIdentity makes a key and a certificate that it signs itself [OPC 10000-6 6.2.2].
func NewIdentity(cfg IdentityConfig) (*Identity, error) {
	cfg, _, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	key, err := cfg.newKey()
	if err != nil {
		return nil, fmt.Errorf("uasc: make a key: %w", err)
	}
	return signedIdentity(cfg, key)
}

func (cfg IdentityConfig) newKey() (crypto.Signer, error) {
	if cfg.ECC {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return rsa.GenerateKey(rand.Reader, cfg.Bits)
}

// signedIdentity makes the certificate of a key.
func signedIdentity(cfg IdentityConfig, key crypto.Signer) (*Identity, error) {
	cfg, uri, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	template, err := cfg.template(uri)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("uasc: make a certificate: %w", err)
	}
	return newIdentity(der, key)
}

// template returns the certificate to be signed. An application certificate is both client's and server's, and is a leaf that signs itself.
func (cfg IdentityConfig) template(uri *url.URL) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("uasc: make a serial number: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: cfg.ApplicationName},
		NotBefore:    cfg.Now.Add(-clockSlack), NotAfter: cfg.Now.Add(cfg.Lifetime),
		SignatureAlgorithm:    x509.SHA256WithRSA,
		KeyUsage:              rsaUsage | x509.KeyUsageContentCommitment | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{uri},
	}
	if cfg.ECC { // the key of the certificate encrypts nothing, and agrees on nothing: ephemeral ones do
		t.SignatureAlgorithm, t.KeyUsage = x509.ECDSAWithSHA256, ecUsage|x509.KeyUsageContentCommitment|x509.KeyUsageCertSign
	}
	if cfg.Organization != "" {
		t.Subject.Organization = []string{cfg.Organization}
	}
	for _, host := range cfg.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
			continue
		}
		t.DNSNames = append(t.DNSNames, host)
	}
	return t, nil
}

// newIdentity puts a chain and its key together.
func newIdentity(chain []byte, key crypto.Signer) (*Identity, error) {
	cert, err := ParseCertificate(chain)
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.Key) {
		return nil, certificateError(errors.New("the private key is not the one of the certificate"))
	}
	return &Identity{Certificate: *cert, Signer: key}, nil
}

// LoadIdentity reads a certificate, with its issuers behind it if there are some, and its key (PKCS #8, PKCS #1 or SEC 1), each as PEM or DER.
func LoadIdentity(certFile, keyFile string) (*Identity, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("uasc: own certificate: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("uasc: own key: %w", err)
	}
	signer, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("uasc: own key %s: %w", keyFile, err)
	}
	id, err := newIdentity(derOf(cert, certificateType), signer)
	if err != nil {
		return nil, fmt.Errorf("uasc: own certificate %s: %w", certFile, err)
	}
	return id, nil
}

// LoadOrCreateIdentity loads the identity, or when neither file exists makes and saves one. created says which.
func LoadOrCreateIdentity(certFile, keyFile string, cfg IdentityConfig) (id *Identity, created bool, err error) {
	if exists(certFile) || exists(keyFile) {
		id, err = LoadIdentity(certFile, keyFile)
		return id, false, err
	}
	if id, err = NewIdentity(cfg); err != nil {
		return nil, false, err
	}
	return id, true, id.Save(certFile, keyFile)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// Save writes the certificate as DER, which other vendors' tools want, and the key as PEM that only its owner may read. The key goes first: a
// certificate without its key is of no use.
func (id *Identity) Save(certFile, keyFile string) error {
	key, err := x509.MarshalPKCS8PrivateKey(id.Signer)
	if err != nil {
		return fmt.Errorf("uasc: own key: %w", err)
	}
	const private, public = 0o600, 0o644
	if err := writeFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: privateKeyType, Bytes: key}), private); err != nil {
		return fmt.Errorf("uasc: own key: %w", err)
	}
	if err := writeFile(certFile, id.Chain, public); err != nil {
		return fmt.Errorf("uasc: own certificate: %w", err)
	}
	return nil
}

// writeFile puts b in place of name whole or not at all.
func writeFile(name string, b []byte, mode os.FileMode) error {
	const folder = 0o755
	if err := os.MkdirAll(filepath.Dir(name), folder); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// derOf returns the contents of all PEM blocks of a type in b, one behind the other, or b itself when it is no PEM.
func derOf(b []byte, kind string) []byte {
	var der []byte
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == kind {
			der = append(der, block.Bytes...)
		}
	}
	if der == nil {
		return b
	}
	return der
}

// parseKey reads a private key in whatever it is packed.
func parseKey(b []byte) (crypto.Signer, error) {
	if block, _ := pem.Decode(bytes.TrimSpace(b)); block != nil {
		b = block.Bytes
	}
	if key, err := x509.ParsePKCS1PrivateKey(b); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(b); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(b)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", key)
	}
	return signer, nil
}
