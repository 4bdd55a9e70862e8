package driver

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"millrace/opcua/uasc"
)

// ownIdentity puts a certificate of RSA into a folder, as a gateway had it that knew no curves and whose host had another name.
func ownIdentity(t *testing.T, pki string) *uasc.Identity {
	t.Helper()
	id, err := uasc.NewIdentity(uasc.IdentityConfig{ApplicationName: "Millrace", ApplicationURI: "urn:before:millrace", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Save(filepath.Join(pki, ownCert), filepath.Join(pki, ownKey)); err != nil {
		t.Fatal(err)
	}
	return id
}

// A server says one application URI to all clients, and a client to all servers: the certificate for curves has that of the one that was there.
func TestOPCUACurveIsOfTheSameApplication(t *testing.T) {
	pki := t.TempDir()
	was := ownIdentity(t, pki)
	id, ecc, err := EnsureIdentities(pki)
	if err != nil {
		t.Fatal(err)
	}
	if id.Thumbprint != was.Thumbprint || ecc.ApplicationURI != was.ApplicationURI {
		t.Errorf("the certificate for curves is of %q, the one that was there of %q", ecc.ApplicationURI, was.ApplicationURI)
	}
}

// A folder that may only be read, as one that is mounted of a secret, goes on doing; one that has half of an identity does not.
func TestOPCUACurveInFolderToBeRead(t *testing.T) {
	pki := t.TempDir()
	was := ownIdentity(t, pki)
	own := filepath.Dir(filepath.Join(pki, ownCert))
	for name, mode := range map[string]os.FileMode{filepath.Join(pki, ownKey): 0o644, filepath.Dir(pki): 0o755, pki: 0o755, own: 0o555} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	id, ecc, err := ensureAsNobody(pki)
	if err != nil || ecc != nil || id.Thumbprint != was.Thumbprint {
		t.Errorf("%v, for curves %v, %v", id, ecc, err)
	}
	if err := os.Chmod(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pki, ownECCCert), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := EnsureIdentities(pki); err == nil {
		t.Error("half of an identity for curves is none")
	}
}

// ensureAsNobody is EnsureIdentities for one whom the modes of files bind, which they do not root.
func ensureAsNobody(pki string) (id, ecc *uasc.Identity, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
			const nobody = 65534
			_ = syscall.Setfsuid(nobody) // never fails, but for what comes then
		}
		id, ecc, err = EnsureIdentities(pki)
	}()
	<-done
	return id, ecc, err
}
