package daemon

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
)

// Credentials are an access key of the server.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// Endpoint is what a client needs to reach a server. The daemon keeps it in its
// data folder, readable by its owner only.
type Endpoint struct {
	URL    string `json:"url"`
	Region string `json:"region"`
	// CABundle is the file of the certificate that clients must trust, "" without TLS.
	CABundle string `json:"caBundle,omitempty"`
	Credentials
}

// EndpointFile is the name of the file in the data folder that holds an Endpoint.
const EndpointFile = "endpoint.json"

// credentialsFile is the name of the file in the data folder that holds the access
// key of the user admin.
const credentialsFile = "credentials.json"

// admin is the user whose access key the server makes itself.
const admin = "admin"

// loadCredentials reads the server's access key, or makes one where there is none,
// as at the first start.
func loadCredentials(path string) (c Credentials, made bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c = Credentials{AccessKeyID: "AKIA" + rand.Text()[:16], SecretAccessKey: (rand.Text() + rand.Text())[:40]}
		return c, true, writePrivate(path, c)
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err == nil && (c.AccessKeyID == "" || c.SecretAccessKey == "") {
		err = errors.New("it lacks a key or a secret")
	}
	if err != nil {
		return c, false, fault.Wrap(fault.Internal, err, "the access key in %s cannot be read; remove the file to have a new one made", path)
	}
	return c, false, nil
}

// importCredentials makes the server's access key one of the user admin, who may do
// everything. Where the file was gone, all that admin had before is replaced: whoever
// owns the data folder gets back in.
func (d *Daemon) importCredentials(ctx context.Context) error {
	if d.made {
		if err := d.who.Reset(ctx, admin, []identity.Document{identity.AdministratorAccess()}); err != nil {
			return err
		}
	}
	return d.who.Import(ctx, admin, []identity.Document{identity.AdministratorAccess()}, d.keys.AccessKeyID, keyring.Secret(d.keys.SecretAccessKey))
}

// keyRotated keeps the key of the data folder one that is good: the key that replaces
// it takes its place. Where that cannot be written, the files keep the old one, which is
// good for the grace time of its rotation.
func (d *Daemon) keyRotated(old, id string, secret keyring.Secret) {
	d.keysMu.Lock()
	defer d.keysMu.Unlock()
	if old != d.keys.AccessKeyID {
		return
	}
	d.keys = Credentials{AccessKeyID: id, SecretAccessKey: string(secret)}
	if err := errors.Join(writePrivate(filepath.Join(d.data, credentialsFile), d.keys), d.writeEndpoint()); err != nil {
		d.Log.Error("the access key in the data folder ends with the grace time, because the one that replaces it cannot be written there", "key", old, "error", err)
	}
}

// writeEndpoint notes where the server is for the client commands. keysMu is held, or
// nobody else is there yet.
func (d *Daemon) writeEndpoint() error {
	e := Endpoint{URL: d.URL(), Region: d.Config.Region, Credentials: d.keys}
	if d.tls != nil {
		if path, err := filepath.Abs(d.Config.TLSCert); err == nil {
			e.CABundle = path
		}
	}
	return writePrivate(filepath.Join(d.data, EndpointFile), e)
}

// writePrivate replaces a file at once, with a mode that only its owner can read.
func writePrivate(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
