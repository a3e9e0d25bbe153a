package kube

import (
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sagebrush-ml/sagebrush/internal/driver"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// validID is the form of a Spec's ID that is part of names and the value of a label.
var validID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// refuse refuses what pods cannot be held to. Nothing is left out silently.
func (d *Driver) refuse(spec driver.Spec) error {
	switch {
	case !validID.MatchString(spec.ID):
		return fault.New(fault.Internal, "instance ID %q is not of the form [a-z0-9-]{1,63} with a letter or digit at both ends", spec.ID)
	case spec.Isolated:
		return fault.New(fault.Unsupported,
			"instance %s is to have no network (EnableNetworkIsolation), and on Kubernetes only the cluster's own network could see to that: run the model on Docker, or without isolation", spec.ID)
	case spec.Sealed:
		return fault.New(fault.Unsupported,
			"instance %s is to be on an encrypted volume (a KMS key for volumes), and on Kubernetes the node keeps what it prints on its own disk: run the model on Docker, or without that key", spec.ID)
	case len(spec.GPUs) > 0:
		return fault.New(fault.Unsupported,
			"instance %s is to have the GPUs %s, and on Kubernetes GPUs cannot be given by number: use an instance type without GPUs", spec.ID, strings.Join(spec.GPUs, ", "))
	case spec.Hostname != "" && len(validation.IsDNS1123Label(spec.Hostname)) > 0:
		return fault.New(fault.Invalid,
			"the host name %q of instance %s is not possible on Kubernetes: it may have small letters, digits and hyphens", spec.Hostname, spec.ID)
	}
	for _, f := range folders(spec) {
		if !filepath.IsAbs(f.host) {
			return fault.New(fault.Internal, "the folder for %s of instance %s is not an absolute path", f.inside, spec.ID)
		}
	}
	return nil
}
