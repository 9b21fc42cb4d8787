package mtls

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// fileName is the one file of an identity: private key, certificate chain,
// roots. One file, because a crash between two writes could leave a key and a
// certificate that do not belong together.
const fileName = "node.pem"

// Load reads the credentials that Save left in dir. The kind is NotFound when
// there are none, DataLoss when the file is damaged. They may have expired.
func Load(dir string) (*Credentials, error) {
	path := filepath.Join(dir, fileName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errdefs.ErrNotFound.WithMessage("this node is in no cluster: there is no " + path)
	}
	if err != nil {
		return nil, fmt.Errorf("read node identity: %w", err)
	}
	c, err := unmarshal(data)
	if err != nil {
		return nil, errdefs.ErrDataLoss.WithMessage(fmt.Sprintf(
			"node identity %s is damaged: %v; restore it from a backup, or leave the cluster and join again", path, err))
	}
	return c, nil
}

// Save writes the credentials to dir, all or nothing, readable by the owner
// only. Once it returned nil they survive a power cut.
func (c *Credentials) Save(dir string) error {
	data, err := c.marshal()
	if err != nil {
		return fmt.Errorf("save node identity: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save node identity: %w", err)
	}
	if err := replaceFile(filepath.Join(dir, fileName), data); err != nil {
		return fmt.Errorf("save node identity: %w", err)
	}
	return nil
}

// Remove deletes the credentials in dir, as leaving a cluster does. It is no
// error when there are none.
func Remove(dir string) error {
	if err := os.Remove(filepath.Join(dir, fileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove node identity: %w", err)
	}
	return syncDir(dir)
}

func (c *Credentials) marshal() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.Certificate.PrivateKey)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
	for _, der := range c.Certificate.Certificate {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	b.Write(c.RootPEM)
	return b.Bytes(), nil
}

// unmarshal reads what marshal wrote. The roots are the certificates that
// sign themselves.
func unmarshal(data []byte) (*Credentials, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it does not begin with a private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a private key of type %T cannot sign", parsed)
	}
	certs, err := parseCertificates(rest)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	var chain, roots []*x509.Certificate
	for _, cert := range certs {
		if bytes.Equal(cert.RawIssuer, cert.RawSubject) && cert.CheckSignatureFrom(cert) == nil {
			roots = append(roots, cert)
		} else {
			chain = append(chain, cert)
		}
	}
	return newCredentials(key, chain, roots)
}

// replaceFile puts data in place of the file at path: whoever looks, also
// after a crash, finds the old content or the new.
func replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the renames and removals in dir last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
