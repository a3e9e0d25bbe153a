package daemon

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/capacity"
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

// openKeyring opens the keys that the server encrypts with. The embedded keystore
// is there in any case.
func (d *Daemon) openKeyring(ctx context.Context, store *state.Store) (err error) {
	if d.keystore, err = d.openKeys(ctx, store); err != nil {
		return err
	}
	d.keyring = d.keystore
	if d.Config.KMS == "aws" {
		d.keyring, err = awskms.New(ctx, awskms.Config{})
	}
	return err
}

// keyService is the KMS API at the port: that of the keys that the server uses.
func (d *Daemon) keyService() *kms.Service {
	if d.Config.KMS == "aws" {
		return nil
	}
	return &kms.Service{Keys: d.keystore}
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

// openKeys opens the embedded keystore. What is sealed under a former master key
// is sealed anew.
func (d *Daemon) openKeys(ctx context.Context, store *state.Store) (*local.Store, error) {
	ring, err := d.openMaster()
	if err != nil {
		return nil, err
	}
	keys, err := local.Open(ctx, local.Options{Account: d.Config.Account, State: store, Master: ring, Log: d.Log, Now: time.Now})
	if err == nil && ring.Changing() {
		d.Log.Info("the master key was changed: everything is sealed under the current one, and the former ones may go", "keys", ring.String())
	}
	return keys, err
}
