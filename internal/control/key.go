package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/instancetype"
	"github.com/sagebrush-ml/sagebrush/internal/joblog"
	"github.com/sagebrush-ml/sagebrush/internal/keyring"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/volume"
)

// checkKey refuses a key that cannot be used now, with the key service's words.
func checkKey(ctx context.Context, keys keyring.Keyring, region, member, name string) error {
	if name == "" || keys == nil {
		return nil
	}
	key, err := keys.Describe(ctx, keyring.ID{Region: region, Name: name})
	if err == nil {
		err = key.Usable()
	}
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Denied, fault.Invalid, fault.Unusable, fault.Unsupported:
		return fault.Wrap(fault.Invalid, err, "Invalid %s: %s", member, fault.TextOf(err))
	}
	return err
}

// checkVolume refuses a key for the volumes of instances that cannot have them
// (BT-15), that cannot be used, or whose volumes this host cannot make.
func (c *Control) checkVolume(ctx context.Context, region, member, name string, instanceTypes ...string) error {
	if name == "" {
		return nil
	}
	for _, n := range instanceTypes {
		if t, _ := instancetype.Lookup(n); t.LocalNVMe {
			return fault.New(fault.Invalid, "Invalid %s: instances of type %s have local NVMe disks, which they encrypt with a key in hardware, and take no key for them. Leave %s out, or use another instance type.", member, n, member)
		}
	}
	if err := checkKey(ctx, c.Keys, region, member, name); err != nil {
		return err
	}
	return c.Volumes.Check()
}

// objectKey names a key to the store of objects, which has one region for all: an
// id or an alias of a request's region becomes an ARN.
func (c *Control) objectKey(region, name string) string {
	if name == "" || c.ObjectKeys == nil {
		return name
	}
	ref, err := keyring.ID{Region: region, Name: name}.Parse(c.Account)
	if err != nil { // of another account: the key service may know better
		return name
	}
	return ref.ARN(c.Account)
}

// openVolume makes the volume that a key asks for; nil without a key.
func (c *Control) openVolume(ctx context.Context, region, name, key string) (*volume.Volume, error) {
	if key == "" {
		return nil, nil
	}
	v, err := c.Volumes.Open(ctx, name, keyring.ID{Region: region, Name: key})
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), err, "the encrypted volume cannot be made with the key %s: %s", key, fault.TextOf(err))
	}
	return v, nil
}

// closeVolume destroys a volume, if there is one.
func (c *Control) closeVolume(v *volume.Volume) {
	if v == nil {
		return
	}
	if err := v.Close(); err != nil {
		c.Log.Warn("a volume was not removed", "error", err)
	}
}

// newVolumeID names a volume that nobody looks for again.
func newVolumeID() string {
	var b [12]byte
	rand.Read(b[:]) // it never fails
	return "volume-" + hex.EncodeToString(b[:])
}

// createLog opens a stream; with a key its lines are encrypted.
func (c *Control) createLog(ctx context.Context, in joblog.Place, stream, key string) (*joblog.Stream, error) {
	if key == "" {
		return c.Logs.Create(in, stream)
	}
	return c.Logs.CreateSealed(ctx, in, stream, keyring.ID{Region: in.Region, Name: key})
}

// loggable is a text about a job for the server's own log, which is not encrypted:
// texts quote what containers say.
func loggable(j resource.TransformJob, text string) string {
	if text != "" && j.Spec.Resources.VolumeKmsKeyID != "" {
		return "(not logged here, since the job has a VolumeKmsKeyId)"
	}
	return text
}

// errOver is a volume in memory that holds more than it may.
func errOver(v *volume.Volume) error {
	return fault.New(fault.Limit, "the instances' data is more than their volume may hold. %s", v)
}
