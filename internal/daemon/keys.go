package daemon

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/api"
	"github.com/sagebrush-ml/sagebrush/internal/audit"
	"github.com/sagebrush-ml/sagebrush/internal/capacity"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/identity"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/awskms"
	"github.com/sagebrush-ml/sagebrush/internal/keyring/local"
	"github.com/sagebrush-ml/sagebrush/internal/kms"
	"github.com/sagebrush-ml/sagebrush/internal/masterkey"
	"github.com/sagebrush-ml/sagebrush/internal/state"
	"github.com/sagebrush-ml/sagebrush/internal/volume"
)

// openMaster reads the master key. When it comes from the environment and the file
// is there still, the file's keys are former ones: that is how to change from the
// file to the environment.
func (d *Daemon) openMaster() (*masterkey.Ring, error) {
	file := d.Config.MasterKeyFile
	if file == "" {
		file = filepath.Join(d.data, "master.key")
	}
	salt := filepath.Join(d.data, "master.salt")
	secrets := d.Config.Secrets
	var former []masterkey.Source
	if secrets.FormerMasterKey != "" || secrets.FormerMasterPassphrase != "" {
		former = append(former, masterkey.Source{Value: secrets.FormerMasterKey, Passphrase: secrets.FormerMasterPassphrase, Salt: salt})
	}
	current := masterkey.Source{File: file, Value: secrets.MasterKey, Passphrase: secrets.MasterPassphrase, Salt: salt}
	if current.Value != "" || current.Passphrase != "" {
		if _, err := os.Stat(file); err == nil {
			former = append(former, masterkey.Source{File: file})
		}
	}
	return masterkey.Open(current, former...)
}

// chooseKeyring gives the keys that the server encrypts with: the embedded keystore,
// which is there in any case, or those of AWS.
func (d *Daemon) chooseKeyring(ctx context.Context) (keyring.Keyring, error) {
	if d.Config.KMS == "aws" {
		return awskms.New(ctx, awskms.Config{})
	}
	return d.keystore, nil
}

// keyService is the KMS API at the port: that of the keys that the server uses.
func (d *Daemon) keyService() *kms.Service {
	if d.Config.KMS == "aws" {
		return nil
	}
	return &kms.Service{Keys: d.keystore, Allow: api.AllowKey(d.keystore)}
}

// objectKeys are the keys under which objects are encrypted: the server's own in the
// embedded S3, AWS's in another S3 where these are the server's too, and else nobody
// knows.
func (d *Daemon) objectKeys(embedded bool) keyring.Keyring {
	if embedded || d.Config.KMS == "aws" {
		return d.keyring
	}
	return nil
}

// openVolumes makes what makes the volumes that VolumeKmsKeyId asks for.
func (d *Daemon) openVolumes() (*volume.Host, error) {
	most := int64(d.Config.VolumeMemoryMB) << 20
	if most == 0 {
		host, err := capacity.Host()
		if err != nil {
			return nil, err
		}
		most = host.MemoryBytes / 2
	}
	return volume.New(volume.Options{
		Dir: filepath.Join(d.data, "work", "volumes"), Keys: d.keyring, Choice: volume.Choice(d.Config.Volumes), MemoryBytes: most, Log: d.Log,
	}), nil
}

// openSecrets opens what the master key seals: the embedded keystore, and the access
// keys of those who may call. What is sealed under a former master key is sealed anew.
func (d *Daemon) openSecrets(ctx context.Context, store *state.Store) error {
	ring, err := d.openMaster()
	if err != nil {
		return err
	}
	d.keystore, err = local.Open(ctx, local.Options{Account: d.Config.Account, State: store, Master: ring, Log: d.Log, Now: time.Now})
	if err != nil {
		return err
	}
	if d.keyring, err = d.chooseKeyring(ctx); err != nil {
		return err
	}
	d.who, err = identity.Open(ctx, identity.Options{
		Account: d.Config.Account, State: store, Master: ring, Conditions: identity.ConditionKeys(), Log: d.Log, Now: time.Now,
	})
	if err == nil {
		err = d.importCredentials(ctx)
	}
	if err == nil && ring.Changing() {
		d.Log.Info("the master key was changed: everything is sealed under the current one, and the former ones may go", "keys", ring.String())
	}
	return err
}

// openAudit opens the audit log.
func (d *Daemon) openAudit() (err error) {
	path := filepath.Join(d.data, "audit.log")
	if d.audit, err = audit.Open(path, d.Log); err != nil {
		return fault.Wrap(fault.Internal, err, "the audit log %s cannot be written", path)
	}
	d.closers = append(d.closers, d.audit.Close)
	return nil
}
